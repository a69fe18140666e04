//! Payment headers of both versions, and what is made of the payments in them.

use serde_json::{Value, json};
use tollgate::chain::Authorization;
use tollgate::money::{Family, TransferMethod};
use tollgate::payment::{PaymentId, Presented};
use tollgate::x402::{Version, codec};

use super::market::{OFFER, read};

/// What our terms, written twice, add to a payment on its way to the facilitator.
const TERMS_BYTES_MAX: usize = 2048;

/// Reads the bytes as a header, and as the JSON inside one: nothing that changes base64 at random gets far.
pub fn payment(data: &[u8]) {
    judge(data);
    judge(codec::encode_bytes(data).as_bytes());
}

fn judge(header: &[u8]) {
    let Ok(presented) = read(header) else { return };
    let text = codec::decode(header).expect("it was decoded before");
    let ours = &presented.terms;
    let offered = OFFER.terms.iter().any(|terms| {
        // On Solana fee payer and memo may be others.
        (&terms.network, &terms.asset, &terms.pay_to) == (&ours.network, &ours.asset, &ours.pay_to)
            && terms.amount == ours.amount
    });
    assert!(offered || presented.quote.is_some(), "terms that nobody gave");
    assert_eq!(presented.offer, OFFER.key);
    assert_ne!(presented.payer.as_ref(), Some(&presented.terms.pay_to), "who pays is who is paid");
    check_id(&presented.id);
    check_request(&presented, &text);
    check_look_up(&presented);
    check_spellings(&presented, &text);
}

fn check_id(id: &PaymentId) {
    let digits = id.as_str().strip_prefix("pay_").expect("an id's beginning");
    assert!(digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
}

/// The facilitator sees our terms, not much more than was sent, and no quote.
fn check_request(presented: &Presented, text: &str) {
    let (payload, ours) = (presented.request.payment_payload.get(), presented.request.payment_requirements.get());
    assert!(payload.len() <= text.len() + TERMS_BYTES_MAX, "{} bytes of {}", payload.len(), text.len());
    let ours: Value = serde_json::from_str(ours).expect("our own JSON");
    let amount = ours.get("amount").or(ours.get("maxAmountRequired")).expect("an amount");
    assert_eq!(*amount, json!(presented.amount()));
    assert_eq!(ours["payTo"], json!(presented.terms.pay_to));
    let token = presented.quote.as_ref().map(|quote| quote.token.as_str());
    assert!(token.is_none_or(|token| !ours.to_string().contains(token)), "the facilitator sees the quote");
}

/// What was taken can be looked up on its chain, as the same payment: or nobody would ever know what became of it.
fn check_look_up(presented: &Presented) {
    let (terms, found) = (&presented.terms, Authorization::read(presented.request.payment_payload.get()));
    match (terms.network.family(), terms.asset.transfer) {
        (Family::Evm(_), TransferMethod::Native) => {
            let Some(Authorization::Eip3009 { from, nonce, valid_before }) = found else { panic!("not to be found") };
            assert_eq!(PaymentId::eip3009(&terms.network, &terms.asset.address, &from, &nonce), presented.id);
            assert_eq!((Some(&from), valid_before), (presented.payer.as_ref(), presented.window.valid_before));
        }
        (Family::Solana, _) => {
            let Some(Authorization::Svm { message }) = found else { panic!("not to be found") };
            assert_eq!(PaymentId::svm(&terms.network, &message), presented.id);
        }
        _ => {}
    }
}

/// The same payment is the same in another spelling, and in the other version.
fn check_spellings(presented: &Presented, text: &str) {
    let id_of = |message: &str| read(codec::encode_bytes(message.as_bytes()).as_bytes()).map(|read| read.id);
    assert_eq!(id_of(text).as_ref(), Ok(&presented.id));
    // Members nobody reads may hold what is no JSON value, as a number beyond all range.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    // A payload that is not read is known by its JSON, and a fraction has more than one.
    if presented.terms.network.family() == Family::Other && has_fraction(&value) {
        return;
    }
    assert_eq!(id_of(&value.to_string()).as_ref(), Ok(&presented.id));
    let pretty = serde_json::to_string_pretty(&value).expect("a JSON value");
    if pretty.len() <= 8 * 1024 {
        assert_eq!(id_of(&pretty).as_ref(), Ok(&presented.id));
    }
    if let (Version::V2, None, Some(network)) = (presented.version, &presented.late, presented.terms.v1_network) {
        let payload = &value["payload"];
        let v1 = format!(r#"{{"x402Version":1,"scheme":"exact","network":"{network}","payload":{payload}}}"#);
        assert_eq!(id_of(&v1).as_ref(), Ok(&presented.id));
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(list) => list.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}
