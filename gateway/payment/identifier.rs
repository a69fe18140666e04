//! x402's extension `payment-identifier`: a client's own name for a payment, the same each time it sends it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Refused;

/// The member of a challenge's `extensions`, as the reference writes it.
pub(super) const DECLARATION: &str = concat!(
    r#""payment-identifier":{"info":{"required":false},"schema":{"#,
    r#""$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"#,
    r#""required":{"type":"boolean"},"id":{"type":"string","minLength":16,"maxLength":128,"#,
    r#""pattern":"^[a-zA-Z0-9_-]+$"}},"required":["required"]}}"#,
);

const CHARS_MIN: usize = 16;
const CHARS_MAX: usize = 128;

/// What a client sends back of the challenge's `extensions`. Only what it adds is read.
#[derive(Deserialize)]
struct Extensions {
    #[serde(rename = "payment-identifier")]
    payment_identifier: Option<Value>,
}

/// The identifier in a payment's `extensions`, if there is one.
///
/// # Errors
/// [`Refused`] if it is there and not of its form: left out in silence, it would not protect whoever relies on it.
pub(super) fn read(extensions: Option<&RawValue>) -> Result<Option<String>, Refused> {
    let extensions = extensions.and_then(|raw| serde_json::from_str::<Extensions>(raw.get()).ok());
    let declared = extensions.and_then(|extensions| extensions.payment_identifier);
    match declared.as_ref().and_then(|declared| declared.pointer("/info/id")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if is_identifier(id) => Ok(Some(id.clone())),
        Some(_) => Err(Refused::new(
            "invalid_payment_identifier",
            "extensions[\"payment-identifier\"].info.id is not 16 to 128 letters, digits, hyphens and underscores",
        )),
    }
}

fn is_identifier(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (CHARS_MIN..=CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payment::testing::{Wallet, read, usdc, v2, weather};

    /// What is read of a payment's extensions, and whether they go on to the facilitator as they are.
    fn presented(extensions: &Value) -> Result<Option<String>, String> {
        let mut payment = v2(&usdc(10_000), Wallet::new(1).eip3009(&usdc(10_000), 1));
        payment["extensions"] = extensions.clone();
        let presented = read(&payment, &weather()).map_err(|refused| refused.reason.into_owned())?;
        let passed: Value = serde_json::from_str(presented.request.payment_payload.get()).unwrap();
        assert_eq!(passed.get("extensions").unwrap_or(&Value::Null), extensions);
        Ok(presented.identifier)
    }

    fn with_id(id: &Value) -> Result<Option<String>, String> {
        presented(&json!({ "other": 1, "payment-identifier": { "info": { "required": false, "id": id } } }))
    }

    #[test]
    fn an_identifier_is_read_and_passed_on() {
        for id in ["a234567890-_ABCD", &"x".repeat(128), "pay_7d5d747be160e280504c099d984bcfe0"] {
            assert_eq!(with_id(&json!(id)), Ok(Some(id.to_owned())), "{id}");
        }
    }

    #[test]
    fn a_malformed_identifier_is_refused() {
        let bad = ["", "a23456789012345", &"x".repeat(129), "a234567890 12345", "a234567890.12345", "ä234567890123456"];
        for id in bad.map(Value::from).into_iter().chain([json!(7), json!([]), json!({}), json!(true)]) {
            assert_eq!(with_id(&id), Err("invalid_payment_identifier".to_owned()), "{id}");
        }
    }

    /// What a client makes of our declarations is its own affair.
    #[test]
    fn what_has_no_identifier_has_none() {
        assert_eq!(with_id(&Value::Null), Ok(None));
        for extensions in [
            json!(null),
            json!([]),
            json!("text"),
            json!({}),
            json!({ "payment-identifier": null }),
            json!({ "payment-identifier": "text" }),
            json!({ "payment-identifier": { "info": [] } }),
            json!({ "payment-identifier": { "info": { "required": true } } }),
            json!({ "sign-in-with-x": { "info": { "domain": "evil.example" } } }),
        ] {
            assert_eq!(presented(&extensions), Ok(None), "{extensions}");
        }
    }
}
