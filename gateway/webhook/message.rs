use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::iso_millis;

/// What Standard Webhooks demands of a secret, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What messages are signed with. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Zeroizing<Vec<u8>>);

/// A text that is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not \"whsec_\" and base64 of 24 to 64 bytes, as Standard Webhooks has it")]
pub struct SecretError;

/// An event, as it is sent each time.
#[derive(Debug)]
pub(super) struct Message {
    id: String,
    kind: &'static str,
    body: String,
}

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Value,
}

impl SigningSecret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let bytes = text.strip_prefix("whsec_").and_then(|rest| STANDARD.decode(rest).ok()).map(Zeroizing::new);
        bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).map(Self).ok_or(SecretError)
    }

    fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let mac = Hmac::<sha2::Sha256>::new_from_slice(&self.0);
        let mut mac = mac.unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl Message {
    pub(super) fn new(kind: &'static str, data: Value, at: SystemTime) -> Self {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let body = serde_json::to_string(&Body { kind, timestamp: iso_millis(at), data }).unwrap_or_default();
        Self { id: format!("msg_{}", alloy_primitives::hex::encode(random)), kind, body }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn kind(&self) -> &str {
        self.kind
    }

    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// The headers of an attempt at that time.
    pub(super) fn headers(&self, secret: &SigningSecret, timestamp: u64) -> HeaderMap {
        let signature = secret.sign(&self.id, timestamp, &self.body);
        [
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
        .collect()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_one_form() {
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA", "whsec_?"] {
            assert_eq!(SigningSecret::parse(bad), Err(SecretError), "{bad}");
        }
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
    }

    #[test]
    fn a_message_has_one_id() {
        let message = Message::new("payer.struck", json!({ "payer": "0x1" }), std::time::UNIX_EPOCH);
        assert_eq!(
            message.body(),
            r#"{"type":"payer.struck","timestamp":"1970-01-01T00:00:00.000Z","data":{"payer":"0x1"}}"#
        );
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (first, second) = (message.headers(&secret, 1), message.headers(&secret, 2));
        assert_eq!(first["webhook-id"], second["webhook-id"]);
        assert_ne!(first["webhook-signature"], second["webhook-signature"]);
        assert_eq!((&first["webhook-timestamp"], first.len()), (&HeaderValue::from_static("1"), 3));
    }
}
