//! [`Presented::read`] on everything that may stand in a payment header.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{
    NOW, PAY_TO, SvmWallet, Wallet, elsewhere, header, mint, offer, quoted, read, read_header, reason, usdc,
    usdc_by_permit2, usdc_on_solana, v1, v2, weather,
};
use super::{Presented, Refused};
use crate::money::AtomicAmount;
use crate::pricing::{OfferKey, Terms};
use crate::x402::headers::PAYMENT_BYTES_MAX;
use crate::x402::{Version, codec};

/// A good payment for [`weather`].
fn payment() -> Value {
    v2(&usdc(10_000), Wallet::new(1).eip3009(&usdc(10_000), 1))
}

fn read_text(text: &str) -> Result<Presented, Refused> {
    read_header(codec::encode_bytes(text.as_bytes()).as_bytes(), &weather())
}

fn reason_of_text(text: &str) -> String {
    read_text(text).map_or_else(|refused| refused.reason.into_owned(), |_| String::new())
}

/// The payment's text with a piece of it replaced.
fn edited(from: &str, to: &str) -> String {
    let text = payment().to_string();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

#[test]
fn a_good_payment_is_read() {
    let presented = read(&payment(), &weather()).unwrap();
    assert_eq!(presented.payer, Some(Wallet::new(1).address()));
    assert_eq!((presented.version, presented.network_name()), (Version::V2, "eip155:8453"));
    assert_eq!((presented.amount(), presented.window.valid_before), (AtomicAmount::new(10_000), NOW + 60));
    assert_eq!((presented.offer, presented.quote), (weather().key, None));
}

#[test]
fn what_is_no_header_of_json_is_refused() {
    for header in ["", "=", "%%%", "e30", "bnVsbA==", "W10=", "MQ==", "IiI=", "e30=e30=", "////"] {
        assert!(read_header(header.as_bytes(), &weather()).is_err(), "{header}");
    }
    assert_eq!(read_header(b"e30 =", &weather()).unwrap_err().reason, "invalid_payment_header");
    assert_eq!(read_header(&[0xff; 8], &weather()).unwrap_err().reason, "invalid_payment_header");
}

#[test]
fn a_header_may_have_sixteen_kibibytes_and_not_one_more() {
    // Three bytes of spaces are four of the header: the JSON stays good.
    let mut text = payment().to_string();
    text.push_str(&" ".repeat(PAYMENT_BYTES_MAX / 4 * 3 - text.len()));
    assert_eq!(codec::encode_bytes(text.as_bytes()).len(), PAYMENT_BYTES_MAX);
    assert!(read_text(&text).is_ok());
    text.push(' ');
    let refused = read_text(&text).unwrap_err();
    assert_eq!(refused.reason, "invalid_payment_header");
    assert!(refused.message.contains("16384 bytes"), "{refused}");
}

#[test]
fn the_version_is_one_or_two() {
    for version in ["0", "3", "20", "18446744073709551615"] {
        assert_eq!(
            reason_of_text(&edited("\"x402Version\":2", &format!("\"x402Version\":{version}"))),
            "invalid_x402_version"
        );
    }
    for version in ["\"2\"", "2.0", "-2", "[2]", "1e0"] {
        assert_eq!(
            reason_of_text(&edited("\"x402Version\":2", &format!("\"x402Version\":{version}"))),
            "invalid_payload"
        );
    }
    assert_eq!(reason_of_text(&edited("\"x402Version\":2", "\"x402Version\":null")), "", "what is accepted tells");
    assert_eq!(reason_of_text(&edited("\"x402Version\":2", "\"other\":2")), "", "what is accepted tells");
    assert_eq!(reason_of_text("{}"), "invalid_x402_version");
    assert_eq!(reason_of_text(&edited("\"x402Version\":2", "\"x402Version\":1")), "invalid_payload");
}

#[test]
fn a_member_that_is_missing_is_refused() {
    for name in ["accepted", "payload"] {
        let mut message = payment();
        message.as_object_mut().unwrap().remove(name).unwrap();
        assert_eq!(reason(&message, &weather()), "invalid_payload", "{name}");
    }
    for name in ["scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds"] {
        let mut message = payment();
        message["accepted"].as_object_mut().unwrap().remove(name).unwrap();
        assert_eq!(reason(&message, &weather()), "invalid_payload", "{name}");
    }
    let mut message = payment();
    message["accepted"].as_object_mut().unwrap().remove("extra").unwrap();
    assert_eq!(reason(&message, &weather()), "no_matching_payment_requirements");
    for name in ["scheme", "network", "payload"] {
        let mut message = v1(&usdc(10_000), Wallet::new(1).eip3009(&usdc(10_000), 1));
        message.as_object_mut().unwrap().remove(name).unwrap();
        assert_eq!(reason(&message, &weather()), "invalid_payload", "v1 {name}");
    }
}

#[test]
fn a_null_in_place_of_an_object_is_refused() {
    for pointer in ["/accepted", "/accepted/extra", "/accepted/amount"] {
        let mut message = payment();
        *message.pointer_mut(pointer).unwrap() = Value::Null;
        assert_eq!(reason(&message, &weather()), "invalid_payload", "{pointer}");
    }
    for pointer in ["/payload", "/payload/authorization", "/payload/signature", "/payload/authorization/nonce"] {
        let mut message = payment();
        *message.pointer_mut(pointer).unwrap() = Value::Null;
        assert_eq!(reason(&message, &weather()), "unsupported_payload_type", "{pointer}");
    }
    let mut message = payment();
    message["resource"] = Value::Null;
    message["extensions"] = Value::Null;
    assert_eq!(reason(&message, &weather()), "", "what may be absent may be null");
}

/// Parsers disagree on which of two members counts: a facilitator might settle another one than we checked.
#[test]
fn a_member_that_comes_twice_is_refused() {
    for (from, to) in [
        ("\"x402Version\":2", "\"x402Version\":2,\"x402Version\":2"),
        ("\"accepted\":", "\"accepted\":{},\"accepted\":"),
        ("\"payload\":", "\"payload\":{},\"payload\":"),
        ("\"payload\":", "\"p\\u0061yload\":{},\"payload\":"),
        ("\"amount\":", "\"amount\":\"1\",\"amount\":"),
        ("\"extra\":", "\"extra\":{},\"extra\":"),
    ] {
        assert_eq!(reason_of_text(&edited(from, to)), "invalid_payload", "{to}");
    }
    for (from, to) in [
        ("\"authorization\":", "\"authorization\":{},\"authorization\":"),
        ("\"signature\":", "\"signature\":\"0x\",\"signature\":"),
        ("\"value\":", "\"value\":\"1\",\"value\":"),
        ("\"value\":", "\"v\\u0061lue\":\"1\",\"value\":"),
    ] {
        assert_eq!(reason_of_text(&edited(from, to)), "unsupported_payload_type", "{to}");
    }
}

#[test]
fn deep_nesting_is_no_way_to_the_end_of_the_stack() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let extra = edited("\"extra\":{", &format!("\"extra\":{{\"deep\":{},", deep(5_000)));
    assert_eq!(reason_of_text(&extra), "invalid_payload");
    let extensions = edited("\"x402Version\":2", &format!("\"x402Version\":2,\"extensions\":{}", deep(5_000)));
    assert_eq!(reason_of_text(&extensions), "", "what is passed on unread does no harm");
    assert_eq!(reason_of_text(&deep(6_000)), "invalid_payload");
    let other = offer(OfferKey::plan("nano"), [elsewhere()]);
    let message =
        v2(&elsewhere(), json!(0)).to_string().replace("\"payload\":0", &format!("\"payload\":{}", deep(5_000)));
    let refused = read_header(codec::encode_bytes(message.as_bytes()).as_bytes(), &other).unwrap_err();
    assert_eq!(refused.reason, "invalid_payload");
}

#[test]
fn other_terms_than_ours_are_refused() {
    for (name, value) in [
        ("scheme", json!("upto")),
        ("network", json!("eip155:84532")),
        ("network", json!("base")),
        ("amount", json!("9999")),
        ("amount", json!("10001")),
        ("asset", json!("0x036CbD53842c5426634e7929541eC2318f3dCF7e")),
        ("asset", json!("USDC")),
        ("payTo", json!(Wallet::new(1).address())),
        ("maxTimeoutSeconds", json!(3600)),
        ("extra", json!({"name": "USD Coin", "version": "1"})),
        ("extra", json!({"name": ["USD Coin"], "version": "2"})),
    ] {
        let mut message = payment();
        message["accepted"][name] = value.clone();
        assert_eq!(reason(&message, &weather()), "no_matching_payment_requirements", "{name} {value}");
    }
    for (name, value) in [("scheme", "upto"), ("network", "base-sepolia"), ("network", "eip155:8453"), ("network", "")]
    {
        let mut message = v1(&usdc(10_000), Wallet::new(1).eip3009(&usdc(10_000), 1));
        message[name] = value.into();
        assert_eq!(reason(&message, &weather()), "no_matching_payment_requirements", "v1 {name} {value}");
    }
}

/// The payer would only pay the gas, and the ledger would book a sale.
#[test]
fn a_payment_to_oneself_is_refused() {
    let wallet = Wallet::new(1);
    let mut terms = usdc(10_000);
    terms = Terms::new(terms.network, terms.asset, terms.amount, wallet.address(), 60, None, serde_json::Map::new());
    let message = v2(&terms, wallet.eip3009(&terms, 1));
    assert_eq!(reason(&message, &offer(OfferKey::plan("nano"), [terms])), "invalid_payload");
}

#[test]
fn a_payload_of_another_transfer_method_is_refused() {
    let wallet = Wallet::new(1);
    let (native, permit2, solana_terms) = (usdc(10_000), usdc_by_permit2(10_000), usdc_on_solana(10_000));
    for (terms, payload) in [
        (&native, wallet.permit2(&permit2, 1)),
        (&native, SvmWallet::new(1).pay(&solana_terms, 1)),
        (&native, json!({})),
        (&native, json!([])),
        (&permit2, wallet.eip3009(&native, 1)),
        (&solana_terms, wallet.eip3009(&native, 1)),
    ] {
        let offer = offer(OfferKey::plan("nano"), [terms.clone()]);
        assert_eq!(reason(&v2(terms, payload), &offer), "unsupported_payload_type");
    }
}

#[test]
fn a_solana_transaction_of_another_form_is_refused() {
    let offer = offer(OfferKey::plan("nano"), [usdc_on_solana(10_000)]);
    let with = |bytes: &[u8]| v2(&offer.terms[0], json!({"transaction": codec::encode_bytes(bytes)}));
    assert!(read(&v2(&offer.terms[0], SvmWallet::new(1).pay(&offer.terms[0], 1)), &offer).is_ok());
    let undecodable = "invalid_exact_svm_payload_transaction_could_not_be_decoded";
    for bytes in [
        vec![],
        vec![0; 100],
        vec![1; 64],
        [vec![1], vec![0; 64], vec![9; 4]].concat(),
        vec![13; 1232],
        vec![0x82; 1232],
        vec![1; 1232],
        vec![1; 1233],
    ] {
        assert_eq!(reason(&with(&bytes), &offer), undecodable, "{} bytes of {:?}", bytes.len(), bytes.first());
    }
    let message = v2(&offer.terms[0], json!({"transaction": "not base64"}));
    assert_eq!(reason(&message, &offer), "invalid_payload");
}

/// A facilitator goes by what it finds first, which need not be what was checked and claimed here: one permit with a
/// hundred authorizations beside it would be a hundred payments to us and one to the chain.
#[test]
fn a_payload_of_two_transfer_methods_is_refused() {
    let wallet = Wallet::new(1);
    let (native, permit2) = (usdc(10_000), usdc_by_permit2(10_000));
    let mut both = wallet.eip3009(&native, 1);
    both["permit2Authorization"] = wallet.permit2(&permit2, 1)["permit2Authorization"].clone();
    for terms in [native.clone(), permit2] {
        let offer = offer(OfferKey::plan("nano"), [terms]);
        assert_eq!(reason(&v2(&offer.terms[0], both.clone()), &offer), "unsupported_payload_type");
    }
    let mut delegated = wallet.eip3009(&native, 1);
    delegated["delegationManager"] = json!(wallet.address());
    for message in [v2(&native, delegated.clone()), v1(&native, delegated)] {
        assert_eq!(reason(&message, &weather()), "unsupported_payload_type");
    }
}

#[test]
fn what_the_facilitator_is_asked_has_our_terms_and_no_quote() {
    let (terms, offer) = (usdc(10_000), weather());
    let quote = mint().quote(&offer.key, &terms.digest, NOW, [1; 8]);
    let mut message = quoted(&terms, Wallet::new(1).eip3009(&terms, 1), &quote);
    message["accepted"]["payTo"] = PAY_TO.to_lowercase().into();
    message["accepted"]["extra"]["more"] = json!("theirs");
    message["resource"] = json!({"url": "https://elsewhere.example/"});
    message["extensions"] = json!({"eip2612GasSponsoring": {"info": {}}});
    message["more"] = json!("theirs");
    let presented = read(&message, &offer).unwrap();
    assert_eq!(presented.quote.unwrap().token, quote);
    let request = serde_json::to_value(&presented.request).unwrap();
    let ours = serde_json::to_value(terms.requirements()).unwrap();
    let payment = json!({
        "x402Version": 2,
        "accepted": ours,
        "payload": message["payload"],
        "resource": message["resource"],
        "extensions": message["extensions"],
    });
    assert_eq!(request, json!({"x402Version": 2, "paymentPayload": payment, "paymentRequirements": ours}));
}

proptest! {
    #[test]
    fn reading_never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_header(&bytes, &weather());
        let _ = read_header(codec::encode_bytes(&bytes).as_bytes(), &weather());
    }

    #[test]
    fn reading_never_panics_on_a_payment_with_other_bytes_in_it(
        at in 0usize..1000,
        bytes in proptest::collection::vec(any::<u8>(), 0..6),
        removed in 0usize..6,
        rail in 0usize..3,
    ) {
        let terms = vec![usdc(10_000), usdc_by_permit2(10_000), usdc_on_solana(10_000)].swap_remove(rail);
        let payload = match rail {
            0 => Wallet::new(1).eip3009(&terms, 1),
            1 => Wallet::new(1).permit2(&terms, 1),
            _ => SvmWallet::new(1).pay(&terms, 1),
        };
        let mut text = v2(&terms, payload).to_string().into_bytes();
        let at = at % text.len();
        let end = (at + removed).min(text.len());
        text.splice(at..end, bytes);
        let offer = offer(OfferKey::plan("nano"), [terms]);
        // Whatever is still read as a payment is one on our terms.
        if let Ok(presented) = read_header(codec::encode_bytes(&text).as_bytes(), &offer) {
            prop_assert_eq!(presented.amount(), AtomicAmount::new(10_000));
            prop_assert_eq!(&presented.terms.pay_to, &offer.terms[0].pay_to);
        }
    }

    #[test]
    fn reading_never_panics_on_a_payment_with_another_value_in_it(member in 0usize..14, value in json_value()) {
        let mut message = payment();
        let pointers = [
            "/x402Version", "/accepted", "/payload", "/accepted/extra", "/accepted/amount", "/accepted/payTo",
            "/accepted/asset", "/payload/signature", "/payload/authorization", "/payload/authorization/from",
            "/payload/authorization/to", "/payload/authorization/value", "/payload/authorization/validBefore",
            "/payload/authorization/nonce",
        ];
        *message.pointer_mut(pointers[member]).unwrap() = value;
        let _ = read_header(header(&message).as_bytes(), &weather());
    }
}

/// JSON values that are near what is expected.
fn json_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "(0x)?[0-9a-fA-F]{0,140}".prop_map(Value::from),
        "[0-9]{0,90}".prop_map(Value::from),
        Just(json!({})),
        Just(json!([[]])),
    ]
}
