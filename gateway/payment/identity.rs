//! When two payments are one: [`PaymentId`] follows from the authorization, not from the text around it.

use serde_json::json;

use super::PaymentId;
use super::testing::{
    NOW, SvmWallet, Wallet, base, elsewhere, mint, offer, quoted, read, read_header, usdc, usdc_by_permit2,
    usdc_on_solana, v1, v2, weather,
};
use crate::pricing::OfferKey;
use crate::x402::codec;

#[test]
fn one_authorization_is_one_payment_in_every_wrapping() {
    let (terms, wallet, offer) = (usdc(10_000), Wallet::new(1), weather());
    let payload = wallet.eip3009(&terms, 1);
    let id = PaymentId::eip3009(&base(), &terms.asset.address, &wallet.address(), &[1; 32]);
    let mut spelled = payload.clone();
    for name in ["from", "to"] {
        spelled["authorization"][name] = payload["authorization"][name].as_str().unwrap().to_lowercase().into();
    }
    for (part, name) in [("authorization", "nonce"), ("signature", "")] {
        let field = if name.is_empty() { &mut spelled[part] } else { &mut spelled[part][name] };
        let upper = field.as_str().unwrap().to_uppercase().replacen("0X", "0x", 1);
        *field = upper.into();
    }
    let quote = mint().quote(&offer.key, &terms.digest, NOW, [1; 8]);
    for message in [
        v2(&terms, payload.clone()),
        v1(&terms, payload.clone()),
        v2(&terms, spelled.clone()),
        v1(&terms, spelled),
        quoted(&terms, payload.clone(), &quote),
    ] {
        assert_eq!(read(&message, &offer).unwrap().id, id, "{message}");
    }
    let text = v2(&terms, payload).to_string();
    let reordered = format!("{{ \"other\" : [ ], {}", text.strip_prefix('{').unwrap().replace(',', " ,\n\t"));
    assert_eq!(read_header(codec::encode_bytes(reordered.as_bytes()).as_bytes(), &offer).unwrap().id, id);
    let header = codec::encode_bytes(format!("{text} ").as_bytes());
    assert!(header.ends_with('='), "this text needs padding");
    assert_eq!(read_header(header.trim_end_matches('=').as_bytes(), &offer).unwrap().id, id);
}

#[test]
fn other_authorizations_are_other_payments() {
    let (terms, offer) = (usdc(10_000), weather());
    let id = |wallet: u8, nonce| read(&v2(&terms, Wallet::new(wallet).eip3009(&terms, nonce)), &offer).unwrap().id;
    assert_ne!(id(1, 1), id(1, 2));
    assert_ne!(id(1, 1), id(2, 1));
    let permit2 = super::testing::offer(OfferKey::plan("nano"), [usdc_by_permit2(10_000)]);
    let permitted = |nonce| read(&v2(&permit2.terms[0], Wallet::new(1).permit2(&permit2.terms[0], nonce)), &permit2);
    assert_ne!(permitted(1).unwrap().id, permitted(2).unwrap().id);
    assert_ne!(permitted(1).unwrap().id, id(1, 1));
}

#[test]
fn a_solana_payment_is_its_message() {
    let offer = offer(OfferKey::plan("nano"), [usdc_on_solana(10_000)]);
    let terms = &offer.terms[0];
    let id = |payload| read(&v2(terms, payload), &offer).unwrap().id;
    let wallet = SvmWallet::new(1);
    let message = SvmWallet::draft(terms, 1).message(&wallet.key()).unwrap();
    let first = id(wallet.pay(terms, 1));
    assert_eq!(first, PaymentId::svm(&terms.network, &message));
    assert_eq!(first, id(wallet.pay(terms, 1)));
    assert_ne!(first, id(wallet.pay(terms, 2)));
    assert_ne!(first, id(SvmWallet::new(2).pay(terms, 1)));
    let transaction = wallet.pay(terms, 1)["transaction"].as_str().unwrap().to_owned();
    let mut signed = codec::decode_bytes(&transaction).unwrap();
    signed[1..65].fill(9);
    assert_eq!(first, id(json!({"transaction": codec::encode_bytes(&signed)})), "the fee payer's slot is anybody's");
    assert!(transaction.ends_with('='), "this transaction needs padding");
    assert_eq!(first, id(json!({"transaction": transaction.trim_end_matches('=')})));
}

#[test]
fn an_unread_payment_is_its_json_whatever_the_order() {
    let offer = offer(OfferKey::plan("nano"), [elsewhere()]);
    let text = |payload: &str| {
        let message =
            v2(&offer.terms[0], json!(0)).to_string().replace("\"payload\":0", &format!("\"payload\":{payload}"));
        read_header(codec::encode_bytes(message.as_bytes()).as_bytes(), &offer).unwrap()
    };
    let first = text(r#"{"a":1,"b":[2]}"#);
    assert_eq!(first.payer, None);
    assert_eq!(first.id, text(r#"{ "b" : [2], "a":1 }"#).id);
    assert_ne!(first.id, text(r#"{"a":1,"b":[3]}"#).id);
}
