use ed25519_dalek::{Signature, VerifyingKey};
use pkcs1::RsaPublicKeyRef;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use spki::der::{Decode as _, DecodePem as _};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoOwned};

/// RFC 8410.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

/// Who signs tokens.
#[derive(Debug)]
pub(super) enum PublicKey {
    Rsa(UnparsedPublicKey<Box<[u8]>>),
    Ed25519(VerifyingKey),
}

/// Why a public key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or the PEM of something else.
    #[error("this is not a public key in PEM (\"-----BEGIN PUBLIC KEY-----\"): {0}")]
    NotPem(spki::der::Error),
    /// A key of another kind, by its object identifier.
    #[error("the key's algorithm is {0}; RSA and Ed25519 are taken")]
    Algorithm(ObjectIdentifier),
    /// An RSA key that is too weak, or more than is checked.
    #[error("the RSA key has {0} bits; 2048 to 8192 are taken")]
    RsaBits(usize),
    /// The kind is right and the key is none.
    #[error("the key inside the PEM is not a sound one")]
    Unsound,
}

impl PublicKey {
    pub(super) fn parse(pem: &str) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoOwned::from_pem(pem).map_err(KeyError::NotPem)?;
        let key = info.subject_public_key.as_bytes().ok_or(KeyError::Unsound)?;
        match info.algorithm.oid {
            pkcs1::ALGORITHM_OID => parse_rsa(key),
            ED25519 => parse_ed25519(key).ok_or(KeyError::Unsound),
            other => Err(KeyError::Algorithm(other)),
        }
    }

    /// As `alg` calls it.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => key.verify(message, signature).is_ok(),
            Self::Ed25519(key) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
        }
    }
}

fn parse_rsa(key: &[u8]) -> Result<PublicKey, KeyError> {
    let rsa = RsaPublicKeyRef::from_der(key).map_err(|_| KeyError::Unsound)?;
    let modulus = rsa.modulus.as_bytes();
    let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(zeros).unwrap_or(0));
    match (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        true => Ok(PublicKey::Rsa(UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.into()))),
        false => Err(KeyError::RsaBits(bits)),
    }
}

/// A key of small order would have signed everything.
fn parse_ed25519(key: &[u8]) -> Option<PublicKey> {
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    (!key.is_weak()).then_some(PublicKey::Ed25519(key))
}
