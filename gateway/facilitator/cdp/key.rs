//! The two kinds of private keys, from the texts that they come in.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{SECRET_KEY_LENGTH, Signer as _, SigningKey};
use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey as _, SecretDocument};
use zeroize::Zeroizing;

use super::CdpKeyError;

/// Padding is lost easily and says nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A private key. Both kinds wipe themselves.
pub(super) enum Key {
    Ed25519(SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl Key {
    pub(super) fn parse(secret: &str) -> Result<Self, CdpKeyError> {
        if secret.contains("-----BEGIN ") { p256(secret).map(Self::P256) } else { ed25519(secret).map(Self::Ed25519) }
    }

    /// As `alg` calls it.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    /// A signature in the form of RFC 7518: of ES256 the two numbers, one after the other.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().into()
            }
        }
    }
}

fn ed25519(secret: &str) -> Result<SigningKey, CdpKeyError> {
    let bytes = Zeroizing::new(BASE64.decode(secret.trim()).map_err(|_| CdpKeyError::Form)?);
    let length = || CdpKeyError::Length(bytes.len());
    let (seed, public) = bytes.split_first_chunk::<SECRET_KEY_LENGTH>().ok_or_else(length)?;
    let public: &[u8; 32] = public.try_into().map_err(|_| length())?;
    let key = SigningKey::from_bytes(seed);
    if key.verifying_key().as_bytes() == public { Ok(key) } else { Err(CdpKeyError::Halves) }
}

fn p256(text: &str) -> Result<p256::ecdsa::SigningKey, CdpKeyError> {
    let block = private_block(text).ok_or(CdpKeyError::Curve)?;
    // A document that wipes itself, which the shorter ways to read PEM have not.
    let (label, document) = SecretDocument::from_pem(&block).map_err(|_| CdpKeyError::Curve)?;
    let key = match label {
        "EC PRIVATE KEY" => SecretKey::from_sec1_der(document.as_bytes()).ok(),
        "PRIVATE KEY" => SecretKey::from_pkcs8_der(document.as_bytes()).ok(),
        _ => None,
    };
    key.map(Into::into).ok_or(CdpKeyError::Curve)
}

/// The block with the private key: OpenSSL puts one with the curve's parameters before it. Line ends come back, which
/// environment variables often have as two characters each.
fn private_block(text: &str) -> Option<Zeroizing<String>> {
    let mut block = Zeroizing::new(String::with_capacity(text.len().saturating_add(1)));
    let lines = text.lines().flat_map(|line| line.split("\\n")).map(|line| line.trim_end_matches("\\r").trim());
    let lines = lines.filter(|line| !line.is_empty());
    let lines = lines.skip_while(|line| !(line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----")));
    for line in lines {
        block.push_str(line);
        block.push('\n');
        if line.starts_with("-----END ") {
            return Some(block);
        }
    }
    None
}
