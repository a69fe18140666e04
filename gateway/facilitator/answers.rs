//! What a facilitator's answer to `/verify` or `/settle` means.
//!
//! Only two of its members decide: `isValid` and `success`, as JSON booleans. Everything else is optional and read
//! leniently, since facilitators in the field send nulls, legacy names and bodies of their own.
//!
//! | answer to `/settle` | outcome |
//! |---|---|
//! | 2xx, `success: true`, a transaction, our network, no `errorReason` | settled |
//! | 2xx or 4xx, `success: false` | refused |
//! | the same, "already used" or with a transaction for a reason that we do not know | unknown |
//! | the same, without a transaction for a reason that says that one was sent, or in words of no protocol | unknown |
//! | 4xx without `success` | not processed, as if not sent |
//! | anything else | unknown |

use http::StatusCode;
use serde_json::{Map, Value};

use super::reasons::{SETTLEMENT_PENDING, is_open, may_be_sent, says_failed, says_used};
use super::transport::Answer;
use super::{FacilitatorError, Refusal, SettleOutcome, Unclear, Verdict};
use crate::x402::facilitator::SettleResponse;

/// Reason of a refusal that gives none.
const NO_REASON_VERIFY: &str = "invalid_payment";
/// The same for a settlement.
const NO_REASON_SETTLE: &str = "settlement_failed";
/// Longest text that is passed on, in bytes: it ends in response headers, logs and the ledger.
const TEXT_BYTES_MAX: usize = 512;
/// `status` values of a settlement that is not over (x402-specification-v2.md).
const STATUSES_OPEN: [&str; 2] = ["pending", "deferred_until"];
/// The same, of one that moves no money.
const STATUSES_UNPAID: [&str; 3] = ["blocked", "canceled", "expired"];

/// What an answer of `/settle` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// This is it.
    Final(SettleOutcome),
    /// The transaction is sent and not confirmed. Asked again, the facilitator waits for the same one.
    Pending {
        /// Its hash.
        transaction: String,
    },
}

/// Reads an answer of `/verify`.
///
/// # Errors
/// [`FacilitatorError::Nonsense`] if it is neither yes nor no.
pub fn verdict(answer: &Answer) -> Result<Verdict, FacilitatorError> {
    let nonsense = |why: &str| FacilitatorError::Nonsense(format!("{why} (HTTP {})", answer.status.as_u16()));
    if !answer.status.is_success() && !answer.status.is_client_error() {
        return Err(nonsense("it failed"));
    }
    let Some(members) = members(answer) else { return Err(nonsense("no JSON object")) };
    match members.get("isValid") {
        Some(Value::Bool(true)) if answer.status.is_success() => Ok(Verdict::Valid { payer: text(&members, "payer") }),
        Some(Value::Bool(true)) => Err(nonsense("isValid is true in an error")),
        Some(Value::Bool(false)) => Ok(Verdict::Refused(Refusal {
            reason: text(&members, "invalidReason").unwrap_or_else(|| NO_REASON_VERIFY.to_owned()),
            message: text(&members, "invalidMessage"),
            payer: text(&members, "payer"),
            transaction: None,
        })),
        Some(_) => Err(nonsense("isValid is not a boolean")),
        None => Err(nonsense("no verdict")),
    }
}

/// Reads an answer of `/settle`. `network` is the only one that is believed.
pub fn settlement(answer: &Answer, network: &str) -> Settlement {
    let http = answer.status.as_u16();
    let unclear = |why: &str| Unclear::new(format!("{why} (HTTP {http})"));
    let unknown = |why: &str| Settlement::Final(SettleOutcome::Unknown(unclear(why)));
    if !answer.status.is_success() && !answer.status.is_client_error() {
        return unknown("it failed");
    }
    let Some(members) = members(answer) else {
        return if is_unprocessed(answer.status) { not_processed(http) } else { unknown("no JSON object") };
    };
    if let Some(why) = open_reason(&members, answer.status) {
        return match transaction(&members) {
            Some(transaction) if why == SETTLEMENT_PENDING => Settlement::Pending { transaction },
            transaction => Settlement::Final(SettleOutcome::Unknown(Unclear { transaction, ..unclear(&why) })),
        };
    }
    match members.get("success") {
        Some(Value::Bool(true)) if answer.status.is_success() => match receipt(&members, network) {
            Ok(receipt) => Settlement::Final(SettleOutcome::Settled(receipt)),
            Err(why) => unknown(&why),
        },
        Some(Value::Bool(true)) => unknown("success is true in an error"),
        Some(Value::Bool(false)) if is_ambiguous(answer.status) => unknown("it failed"),
        Some(Value::Bool(false)) => Settlement::Final(refused(&members, unclear)),
        Some(_) => unknown("success is not a boolean"),
        None if is_unprocessed(answer.status) => not_processed(http),
        None => unknown("no outcome"),
    }
}

/// A clear no, if it is one.
fn refused(members: &Map<String, Value>, unclear: impl Fn(&str) -> Unclear) -> SettleOutcome {
    let reason = reason(members).unwrap_or_else(|| NO_REASON_SETTLE.to_owned());
    let transaction = transaction(members);
    let used = says_used(&reason);
    if used || if transaction.is_some() { !says_failed(&reason) } else { may_be_sent(&reason) } {
        return SettleOutcome::Unknown(Unclear { transaction, used, ..unclear(&reason) });
    }
    let (message, payer) = (text(members, "errorMessage"), text(members, "payer"));
    SettleOutcome::Refused(Refusal { reason, message, payer, transaction })
}

/// Why the outcome is open, if the answer says so beside or instead of `success`.
fn open_reason(members: &Map<String, Value>, status: StatusCode) -> Option<String> {
    if let Some(reason) = reason(members).filter(|reason| is_open(reason)) {
        return Some(reason);
    }
    match text(members, "status") {
        Some(open) if STATUSES_OPEN.contains(&open.as_str()) => Some(format!("status is {open}")),
        _ if status == StatusCode::ACCEPTED => Some("accepted, not done".to_owned()),
        _ => None,
    }
}

/// The receipt in an answer with `success: true`, or what is wrong with it.
fn receipt(members: &Map<String, Value>, ours: &str) -> Result<SettleResponse, String> {
    let transaction = transaction(members).ok_or("success without a transaction")?;
    let network = either(members, "network", "networkId").unwrap_or_default();
    if network != ours {
        return Err(format!("success on the network {network:?} instead of {ours:?}"));
    }
    if let Some(status) = text(members, "status").filter(|status| STATUSES_UNPAID.contains(&status.as_str())) {
        return Err(format!("success and status {status}"));
    }
    if let Some(reason) = text(members, "errorReason").filter(|reason| !reason.is_empty()) {
        return Err(format!("success and the errorReason {reason:?}"));
    }
    let payer = text(members, "payer");
    Ok(SettleResponse { success: true, error_reason: None, error_message: None, transaction, network, payer })
}

fn transaction(members: &Map<String, Value>) -> Option<String> {
    // Longer than any chain's, or with blanks in it, it is no transaction; it would end in a response header.
    let plain = |text: &String| text.len() < TEXT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    either(members, "transaction", "txHash").filter(|text| !text.is_empty() && plain(text))
}

fn reason(members: &Map<String, Value>) -> Option<String> {
    either(members, "errorReason", "error")
}

/// A text by its name of today, or else by that of the first Java facilitators.
fn either(members: &Map<String, Value>, name: &str, legacy: &str) -> Option<String> {
    text(members, name).or_else(|| text(members, legacy))
}

/// A text member, in one line and cut to size. One of another type is as good as absent.
fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    let whole = members.get(name)?.as_str()?;
    let mut text: String = whole.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    Some(text)
}

/// The body, if it is a JSON object.
pub(super) fn members(answer: &Answer) -> Option<Map<String, Value>> {
    serde_json::from_slice(&answer.body).ok()
}

/// An error with which the HTTP request itself was refused, before anybody looked at the payment.
fn is_unprocessed(status: StatusCode) -> bool {
    status.is_client_error() && !is_ambiguous(status)
}

/// Client errors that do not say that nothing was done: a timeout, a conflict with something that may be this very
/// payment, and a request that may be under way.
fn is_ambiguous(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_EARLY)
}

/// Whether the request was refused for what it carries to say who asks, before anybody looked at the payment.
pub(super) fn is_turned_away(answer: &Answer) -> bool {
    let unprocessed = |settlement| matches!(settlement, Settlement::Final(SettleOutcome::NotSent(_)));
    // No network is needed to read an error.
    answer.status == StatusCode::UNAUTHORIZED && unprocessed(settlement(answer, ""))
}

fn not_processed(http: u16) -> Settlement {
    Settlement::Final(SettleOutcome::NotSent(format!("the facilitator refused the request itself (HTTP {http})")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const BASE: &str = "eip155:8453";

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    /// The outcome in a word.
    fn settled(status: u16, body: &str) -> String {
        match settlement(&answer(status, body), BASE) {
            Settlement::Pending { transaction } => format!("pending {transaction}"),
            Settlement::Final(SettleOutcome::Settled(receipt)) => format!("settled {}", receipt.transaction),
            Settlement::Final(SettleOutcome::Refused(refusal)) => format!("refused {}", refusal.reason),
            Settlement::Final(SettleOutcome::NotSent(_)) => "not sent".to_owned(),
            Settlement::Final(SettleOutcome::Unknown(unclear)) if unclear.used => "used".to_owned(),
            Settlement::Final(SettleOutcome::Unknown(_)) => "unknown".to_owned(),
        }
    }

    fn verified(status: u16, body: &str) -> String {
        match verdict(&answer(status, body)) {
            Ok(Verdict::Valid { payer }) => format!("valid {payer:?}"),
            Ok(Verdict::Refused(refusal)) => format!("refused {}", refusal.reason),
            Err(_) => "no verdict".to_owned(),
        }
    }

    #[test]
    fn settled_needs_success_and_a_transaction_on_our_network() {
        for (status, body, outcome) in [
            (200, r#"{"success":true,"transaction":"0x1","network":"eip155:8453","payer":"0x2"}"#, "settled 0x1"),
            (
                200,
                r#"{"success":true,"transaction":"0x1","network":"eip155:8453","payer":7,"errorReason":null}"#,
                "settled 0x1",
            ),
            (200, r#"{"success":true,"transaction":"0x1","network":"eip155:8453","status":"settled"}"#, "settled 0x1"),
            (201, r#"{"success":true,"txHash":"0x1","networkId":"eip155:8453","error":null}"#, "settled 0x1"),
            (200, r#"{"success":true,"transaction":null,"txHash":"0x1","network":"eip155:8453"}"#, "settled 0x1"),
            (200, r#"{"success":true,"transaction":"","network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":"","txHash":"0x1","network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":" ","network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":1,"network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"success":true,"network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":"0x1"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":"0x1","network":null}"#, "unknown"),
            (200, r#"{"success":true,"transaction":"0x1","network":"base"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":"0x1","network":"eip155:84532"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":"0x1","network":"eip155:8453","status":"blocked"}"#, "unknown"),
            (200, r#"{"success":true,"transaction":"0x1","network":"eip155:8453","errorReason":""}"#, "settled 0x1"),
            (200, r#"{"success":true,"transaction":"0x1","network":"eip155:8453","errorReason":"no"}"#, "unknown"),
            (200, r#"{"success":"true","transaction":"0x1","network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"success":1,"transaction":"0x1","network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"transaction":"0x1","network":"eip155:8453"}"#, "unknown"),
            (400, r#"{"success":true,"transaction":"0x1","network":"eip155:8453"}"#, "unknown"),
            (500, r#"{"success":true,"transaction":"0x1","network":"eip155:8453"}"#, "unknown"),
        ] {
            assert_eq!(settled(status, body), outcome, "{status} {body}");
        }
        let long = format!(r#"{{"success":true,"transaction":"{}","network":"eip155:8453"}}"#, "f".repeat(600));
        assert_eq!(settled(200, &long), "unknown");
    }

    #[test]
    fn only_a_clear_no_is_a_refusal() {
        for (status, body, outcome) in [
            (
                200,
                r#"{"success":false,"errorReason":"insufficient_funds","transaction":""}"#,
                "refused insufficient_funds",
            ),
            (400, r#"{"success":false,"errorReason":"invalid_payload"}"#, "refused invalid_payload"),
            (
                200,
                r#"{"success":false,"errorReason":"invalid_exact_evm_transaction_failed","transaction":"0x1"}"#,
                "refused invalid_exact_evm_transaction_failed",
            ),
            (200, r#"{"success":false,"errorReason":"invalid_exact_evm_nonce_already_used"}"#, "used"),
            (200, r#"{"success":false,"errorReason":"duplicate_settlement: seen"}"#, "used"),
            (200, r#"{"success":false,"errorReason":"some_day","transaction":"0x1"}"#, "unknown"),
            (200, r#"{"success":false,"errorReason":"transaction_failed","transaction":""}"#, "unknown"),
            (
                200,
                r#"{"success":false,"errorReason":"transaction_failed","transaction":"0x1"}"#,
                "refused transaction_failed",
            ),
            (200, r#"{"success":false,"error":"nonce"}"#, "refused nonce"),
            (200, r#"{"success":false,"errorReason":"not_for_you: sorry, no"}"#, "refused not_for_you: sorry, no"),
            (200, r#"{"success":false,"errorReason":null,"error":null}"#, "refused settlement_failed"),
            (402, r#"{"success":false,"errorReason":{"code":1}}"#, "refused settlement_failed"),
            (500, r#"{"success":false,"errorReason":"insufficient_funds"}"#, "unknown"),
            (503, "", "unknown"),
            (408, r#"{"success":false,"errorReason":"timeout"}"#, "unknown"),
            (302, "", "unknown"),
        ] {
            assert_eq!(settled(status, body), outcome, "{status} {body}");
        }
    }

    #[test]
    fn a_refused_http_request_is_not_processed() {
        for status in [400, 401, 403, 404, 405, 413, 422, 429] {
            for body in ["", "<html>", "[]", r#"{"error":"no"}"#, r#"{"errorMessage":"no","correlationId":"1"}"#] {
                assert_eq!(settled(status, body), "not sent", "{status} {body}");
            }
        }
        for status in [408, 409, 425, 500, 502, 503, 504] {
            assert_eq!(settled(status, r#"{"error":"no"}"#), "unknown", "{status}");
        }
        for body in ["", "<html>", "[]", "{}", "null", r#"{"success":tru"#, "\u{feff}{}"] {
            assert_eq!(settled(200, body), "unknown", "{body}");
        }
    }

    #[test]
    fn pending_is_neither_paid_nor_unpaid() {
        for (status, body, outcome) in [
            (200, r#"{"success":false,"errorReason":"settlement_pending","transaction":"0x1"}"#, "pending 0x1"),
            (202, r#"{"success":false,"errorReason":"settlement_pending","txHash":"0x1"}"#, "pending 0x1"),
            (200, r#"{"success":false,"errorReason":"settlement_pending","transaction":""}"#, "unknown"),
            (400, r#"{"error":"settlement_pending"}"#, "unknown"),
            (200, r#"{"success":false,"errorReason":"unexpected_settle_error","transaction":"0x1"}"#, "unknown"),
            (200, r#"{"success":true,"status":"pending","transaction":"0x1","network":"eip155:8453"}"#, "unknown"),
            (200, r#"{"success":false,"status":"pending"}"#, "unknown"),
            (400, r#"{"status":"pending"}"#, "unknown"),
            (202, r#"{"success":true,"transaction":"0x1","network":"eip155:8453"}"#, "unknown"),
            (202, r#"{"success":false,"errorReason":"insufficient_funds"}"#, "unknown"),
            (202, "", "unknown"),
        ] {
            assert_eq!(settled(status, body), outcome, "{status} {body}");
        }
    }

    #[test]
    fn a_verdict_is_a_json_boolean() {
        for (status, body, outcome) in [
            (200, r#"{"isValid":true,"payer":"0x2"}"#, "valid Some(\"0x2\")"),
            (200, r#"{"isValid":true,"payer":null,"invalidReason":null,"extra":null}"#, "valid None"),
            (200, r#"{"isValid":true,"payer":{},"invalidReason":[]}"#, "valid None"),
            (200, r#"{"isValid":false,"invalidReason":"insufficient_funds"}"#, "refused insufficient_funds"),
            (400, r#"{"isValid":false,"invalidReason":"invalid_payload"}"#, "refused invalid_payload"),
            (
                412,
                r#"{"isValid":false,"invalidReason":"permit2_allowance_required"}"#,
                "refused permit2_allowance_required",
            ),
            (200, r#"{"isValid":false,"invalidReason":null}"#, "refused invalid_payment"),
            (200, r#"{"isValid":false,"invalidReason":5}"#, "refused invalid_payment"),
            (400, r#"{"isValid":true}"#, "no verdict"),
            (500, r#"{"isValid":true}"#, "no verdict"),
            (500, r#"{"isValid":false}"#, "no verdict"),
            (302, r#"{"isValid":true}"#, "no verdict"),
            (200, r#"{"isValid":"true"}"#, "no verdict"),
            (200, r#"{"isValid":1}"#, "no verdict"),
            (200, r#"{"isValid":null}"#, "no verdict"),
            (200, r#"{"success":true}"#, "no verdict"),
            (200, "<html>isValid: true</html>", "no verdict"),
            (200, "", "no verdict"),
            (401, r#"{"error":"unauthorized"}"#, "no verdict"),
            (429, "", "no verdict"),
        ] {
            assert_eq!(verified(status, body), outcome, "{status} {body}");
        }
    }

    #[test]
    fn an_error_names_the_status_and_nothing_of_the_body() {
        let error = verdict(&answer(401, r#"{"error":"Bearer sesame"}"#)).unwrap_err().to_string();
        assert!(error.contains("HTTP 401") && !error.contains("sesame"), "{error}");
    }

    #[test]
    fn texts_of_a_refusal_are_cut_and_in_one_line() {
        let body = serde_json::json!({"isValid": false, "invalidReason": format!("a\n{}", "é".repeat(1000))});
        let Ok(Verdict::Refused(refusal)) = verdict(&answer(200, &body.to_string())) else { panic!("no refusal") };
        assert!(refusal.reason.starts_with("a é") && refusal.reason.len() <= TEXT_BYTES_MAX);
    }
}
