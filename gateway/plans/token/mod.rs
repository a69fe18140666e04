//! The operator's own tokens (JWT) as a credential of a plan: who makes them is who keeps the accounts, and the gateway
//! only holds the public key.
//!
//! | key | algorithm that is taken |
//! |---|---|
//! | RSA of 2048 to 8192 bits | RS256 |
//! | Ed25519 | EdDSA |
//!
//! The key alone decides on the algorithm. A header that names another one is refused, so neither `none` nor an HMAC
//! with the public key as its secret gets anywhere.
//!
//! By hand on `ring`, not with `jsonwebtoken`: without one of its two back ends that crate splits the text and panics
//! unless the process has installed a provider, reads the system's clock, and overlooks `crit`.

mod claims;
mod public_key;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::claims::Members;
pub use self::public_key::KeyError;
use self::public_key::PublicKey;

/// The longest token.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The longest name of a subject.
const SUBJECT_BYTES_MAX: usize = 256;
/// How far the clock of whoever made a token may be from ours, in seconds.
const LEEWAY_S: u64 = 30;

/// Judges the tokens of one issuer.
#[derive(Debug)]
pub struct TokenVerifier {
    key: PublicKey,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    claim: Box<str>,
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Whose it is: 1 to 256 bytes without control characters.
    pub subject: Box<str>,
    /// The first second of Unix time at which the token is refused: its `exp` and the leeway.
    pub expires_at: u64,
}

/// Why a token is not taken; its text is fit for the client. To OAuth all of them are `invalid_token` (RFC 6750 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not the compact form of a JWS, or its JSON is not what it should be.
    #[error("the token is not three parts of base64url, the first two of them JSON objects with each member once")]
    Malformed,
    /// Longer than any token needs to be.
    #[error("the token is longer than 8192 bytes")]
    TooLong,
    /// `alg` is not what the key is for.
    #[error("the token's algorithm is not {0}")]
    Algorithm(&'static str),
    /// `crit`: there is an extension in it that must be understood, and none is.
    #[error("the token has a critical header parameter, and none is understood")]
    Critical,
    /// Not made with the issuer's key, or changed.
    #[error("the token's signature is not its issuer's")]
    Signature,
    /// A claim is missing or is not of its type.
    #[error("the token's claim {0} is missing or malformed")]
    Claim(&'static str),
    /// Past `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf`.
    #[error("the token is not good yet")]
    NotYetValid,
    /// `iss` is another one.
    #[error("the token is of another issuer")]
    Issuer,
    /// `aud` does not name us.
    #[error("the token is for another audience")]
    Audience,
    /// The configured claim is missing, or it is not a text that may name somebody.
    #[error("the token does not say whose it is in 1 to 256 bytes of text")]
    Subject,
}

impl TokenVerifier {
    /// A verifier with the public key of the issuer, as PEM (`BEGIN PUBLIC KEY`).
    ///
    /// `issuer` and `audience` are asked for if they are given; without an audience a token that was made for another
    /// service of the same issuer is good here too. `claim` is the one that names the subject, for example `sub`.
    ///
    /// # Errors
    /// [`KeyError`] if the key is none that is taken.
    pub fn new(pem: &str, issuer: Option<&str>, audience: Option<&str>, claim: &str) -> Result<Self, KeyError> {
        let key = PublicKey::parse(pem)?;
        Ok(Self { key, issuer: issuer.map(Into::into), audience: audience.map(Into::into), claim: claim.into() })
    }

    /// Judges a token at a time, in seconds of Unix time. Nothing that it claims is read before its signature is good.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: u64) -> Result<Claimed, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        self.check_header(&members(header)?)?;
        match self.key.has_signed(signed.as_bytes(), &bytes(signature)?) {
            true => self.check_claims(&members(payload)?, now),
            false => Err(TokenError::Signature),
        }
    }

    fn check_header(&self, header: &Members) -> Result<(), TokenError> {
        let algorithm = self.key.algorithm();
        if header.text("alg") != Some(algorithm) {
            return Err(TokenError::Algorithm(algorithm));
        }
        match header.has("crit") {
            true => Err(TokenError::Critical),
            false => Ok(()),
        }
    }

    fn check_claims(&self, claims: &Members, now: u64) -> Result<Claimed, TokenError> {
        let expires_at = claims.time("exp")?.ok_or(TokenError::Claim("exp"))?.saturating_add(LEEWAY_S);
        if now >= expires_at {
            return Err(TokenError::Expired);
        }
        if claims.time("nbf")?.is_some_and(|begins_at| now.saturating_add(LEEWAY_S) < begins_at) {
            return Err(TokenError::NotYetValid);
        }
        if self.issuer.as_deref().is_some_and(|issuer| claims.text("iss") != Some(issuer)) {
            return Err(TokenError::Issuer);
        }
        if self.audience.as_deref().is_some_and(|audience| !claims.text_or_list_has("aud", audience)) {
            return Err(TokenError::Audience);
        }
        let subject = claims.text(&self.claim).filter(|subject| names_somebody(subject)).ok_or(TokenError::Subject)?;
        Ok(Claimed { subject: subject.into(), expires_at })
    }
}

/// Whether a credential has the form of a JWT, by a look at its letters: then it is a bad one if it is refused, and
/// else it is something else, as an API key. It may well be somebody else's.
pub fn looks_like_jwt(text: &str) -> bool {
    // What base64url makes of `{"` or `{ `. The third part is empty where the algorithm is `none`.
    let mut parts = text.split('.');
    let three = parts.next().is_some_and(|header| header.starts_with("ey"))
        && parts.next().is_some_and(|payload| !payload.is_empty())
        && parts.next().is_some()
        && parts.next().is_none();
    three && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Subjects go into log lines and headers.
fn names_somebody(subject: &str) -> bool {
    (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) && !subject.contains(char::is_control)
}

fn members(part: &str) -> Result<Members, TokenError> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| TokenError::Malformed)
}

fn bytes(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}
