//! Bearer tokens of the Coinbase Developer Platform (CDP), whose facilitator answers nobody without one.
//!
//! A JWT (RFC 7519) that is good for two minutes, for one method and one URL. The form is that of `coinbase/cdp-sdk`.
//! Not for when one is made anew: that is `auth`.

mod key;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use self::key::Key;

/// How long a token is good, in seconds: what the platform's own packages say.
pub(super) const LIFETIME_S: u64 = 120;

/// An API key of the platform: it signs tokens. Never printed, and wiped when it is dropped.
#[derive(Clone)]
pub struct CdpKey {
    id: Arc<str>,
    key: Arc<Key>,
}

/// Why a key cannot be used. Says nothing of the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CdpKeyError {
    /// Neither PEM nor base64.
    #[error("is neither base64 nor PEM, the base64 of an Ed25519 key or an EC private key in PEM would be right")]
    Form,
    /// Base64 of something else.
    #[error("is base64 of {0} bytes, 64 would be right: an Ed25519 key's seed and its public half")]
    Length(usize),
    /// The halves are of two keys.
    #[error(
        "has two halves of 32 bytes that do not belong together, the whole text as it was given out would be right"
    )]
    Halves,
    /// PEM of something else.
    #[error("is PEM of something else, an unencrypted private key of the curve P-256 would be right")]
    Curve,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
    nonce: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iss: &'a str,
    aud: [&'a str; 1],
    // Older descriptions have one text, `uri`.
    uris: [&'a str; 1],
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl CdpKey {
    /// Reads a key as the platform gives it: its id, and the secret as base64 (Ed25519) or PEM (P-256), also with `\n`
    /// in place of line ends.
    ///
    /// # Errors
    /// [`CdpKeyError`] if the secret is none.
    pub fn parse(id: &str, secret: &str) -> Result<Self, CdpKeyError> {
        Ok(Self { id: id.into(), key: Arc::new(Key::parse(secret)?) })
    }

    /// A token for `uri`: the method, a blank, host and path. `now` is in seconds of Unix time; `nonce` must be random.
    pub fn token(&self, uri: &str, nonce: [u8; 16], now: u64) -> String {
        let nonce = format!("{:032x}", u128::from_be_bytes(nonce));
        let header = Header { alg: self.key.algorithm(), kid: &self.id, typ: "JWT", nonce };
        let exp = now.saturating_add(LIFETIME_S);
        let (aud, uris) = (["cdp_service"], [uri]);
        let claims = Claims { sub: &self.id, iss: "cdp", aud, uris, iat: now, nbf: now, exp };
        let mut token = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

fn part(part: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).expect("texts and numbers are JSON"))
}

impl fmt::Debug for CdpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CdpKey(…)")
    }
}
