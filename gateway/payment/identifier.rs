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
