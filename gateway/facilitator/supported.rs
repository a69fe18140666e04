//! What a facilitator's answer to `/supported` means.

use serde_json::Value;

use super::FacilitatorError;
use super::answers::members;
use super::transport::Answer;
use crate::x402::facilitator::{SupportedKind, SupportedResponse};

/// Reads an answer of `/supported`. A kind that cannot be read is left out: the others are still of use.
///
/// # Errors
/// [`FacilitatorError::Nonsense`] if it has no list of kinds.
pub fn supported(answer: &Answer) -> Result<SupportedResponse, FacilitatorError> {
    let nonsense = |why: &str| FacilitatorError::Nonsense(format!("{why} (HTTP {})", answer.status.as_u16()));
    if !answer.status.is_success() {
        return Err(nonsense("it failed"));
    }
    let Some(members) = members(answer) else { return Err(nonsense("no JSON object")) };
    let Some(Value::Array(kinds)) = members.get("kinds") else { return Err(nonsense("no list of kinds")) };
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let signers = members.get("signers").and_then(Value::as_object).into_iter().flatten();
    Ok(SupportedResponse {
        kinds: kinds.iter().filter_map(kind).collect(),
        extensions: members.get("extensions").map(texts).unwrap_or_default(),
        signers: signers.map(|(pattern, list)| (pattern.clone(), texts(list))).collect(),
    })
}

fn kind(value: &Value) -> Option<SupportedKind> {
    Some(SupportedKind {
        x402_version: value.get("x402Version")?.as_u64()?.try_into().ok()?,
        scheme: value.get("scheme")?.as_str()?.to_owned(),
        network: value.get("network")?.as_str()?.to_owned(),
        extra: value.get("extra").and_then(Value::as_object).cloned(),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn kinds_that_cannot_be_read_are_left_out() {
        let body = r#"{"kinds":[
            {"x402Version":2,"scheme":"exact","network":"eip155:8453","extra":null},
            {"x402Version":2,"scheme":"exact","network":"solana:1","extra":{"feePayer":"F"}},
            {"x402Version":"2","scheme":"exact","network":"a"}, {"x402Version":300,"scheme":"exact","network":"a"}, 7],
            "extensions":null,"signers":{"solana:*":["F",null],"eip155:*":"x"}}"#;
        let supported = supported(&answer(200, body)).unwrap();
        let networks: Vec<_> = supported.kinds.iter().map(|kind| &*kind.network).collect();
        assert_eq!(networks, ["eip155:8453", "solana:1"]);
        assert_eq!(supported.kinds[1].extra.as_ref().unwrap()["feePayer"], "F");
        assert_eq!(supported.signers["solana:*"], ["F"]);
        assert!(supported.extensions.is_empty() && supported.signers["eip155:*"].is_empty());
    }

    #[test]
    fn no_list_of_kinds_is_no_answer() {
        for (status, body) in
            [(200, "{}"), (200, r#"{"kinds":null}"#), (200, "[]"), (404, r#"{"kinds":[]}"#), (200, "")]
        {
            assert!(supported(&answer(status, body)).is_err(), "{status} {body}");
        }
    }
}
