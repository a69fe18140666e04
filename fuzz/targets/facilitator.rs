//! A facilitator's answers: only a clear yes is a yes.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};
use tollgate::facilitator::{Answer, Refusal, SettleOutcome, Settlement, Verdict, settlement, supported, verdict};
use tollgate::pricing::Kinds;

use super::halves;

const NETWORK: &str = "eip155:8453";
/// The longest text that is passed on.
const TEXT_BYTES_MAX: usize = 512;

/// Reads the bytes as an answer: a line with the status, and the body.
pub fn facilitator(data: &[u8]) {
    let (status, body) = halves(data);
    let status = StatusCode::from_bytes(status).unwrap_or(StatusCode::OK);
    let answer = Answer { status, body: Bytes::copy_from_slice(body) };
    let said = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    let says = |name: &str, value: bool| said.get(name) == Some(&Value::Bool(value));
    match verdict(&answer) {
        Ok(Verdict::Valid { payer }) => {
            assert!(says("isValid", true) && status.is_success(), "not a yes");
            short(payer.as_deref());
        }
        Ok(Verdict::Refused(refusal)) => {
            assert!(says("isValid", false));
            check_refusal(&refusal);
        }
        Err(_) => {}
    }
    match settlement(&answer, NETWORK) {
        Settlement::Final(SettleOutcome::Settled(receipt)) => {
            assert!(says("success", true) && status.is_success() && receipt.success, "not settled");
            assert_eq!(receipt.network, NETWORK);
            assert!(said.get("errorReason").is_none_or(|reason| !reason.is_string() || reason == ""), "an error");
            check_transaction(&receipt.transaction);
            short(receipt.payer.as_deref());
        }
        Settlement::Final(SettleOutcome::Refused(refusal)) => {
            assert!(says("success", false), "not a no");
            check_refusal(&refusal);
        }
        Settlement::Final(SettleOutcome::NotSent(_)) => {
            assert!(status.is_client_error() && !said.contains_key("success"), "it may have been sent");
        }
        Settlement::Final(SettleOutcome::Unknown(unclear)) => {
            assert!(unclear.why.len() <= 2 * TEXT_BYTES_MAX, "{}", unclear.why);
            unclear.transaction.as_deref().into_iter().for_each(check_transaction);
        }
        Settlement::Pending { transaction } => check_transaction(&transaction),
    }
    check_supported(&answer);
}

fn check_supported(answer: &Answer) {
    let Ok(supported) = supported(answer) else { return };
    let once = Kinds::from_supported(&supported, &Kinds::unknown());
    assert_eq!(Kinds::from_supported(&supported, &once), once, "the same answer changes what is offered");
}

fn check_refusal(refusal: &Refusal) {
    short(Some(&refusal.reason));
    short(refusal.message.as_deref());
    short(refusal.payer.as_deref());
    refusal.transaction.as_deref().into_iter().for_each(check_transaction);
}

fn short(text: Option<&str>) {
    let fits = |text: &str| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    assert!(text.is_none_or(fits), "{text:?}");
}

fn check_transaction(transaction: &str) {
    assert!((1..=TEXT_BYTES_MAX).contains(&transaction.len()), "{transaction:?}");
    assert!(transaction.bytes().all(|byte| byte.is_ascii_graphic()), "{transaction:?}");
}
