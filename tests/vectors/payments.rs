//! The reference clients' payments, as we read them and pass them on; and the receipts that go back.

use serde_json::{Value, json};
use tollgate::money::Network;
use tollgate::payment::{PaymentId, Presented};
use tollgate::pricing::Offer;
use tollgate::x402::facilitator::SettleResponse;
use tollgate::x402::{Version, codec};

use crate::file::{challenge_offer, header, offer, read, terms, text, vector};
use crate::signing;

/// The payment of a vector, found good against an offer.
fn presented(vector: &Value, offer: &Offer) -> Presented {
    let header = text(vector, "/header_value");
    let message: Value = serde_json::from_str(&codec::decode(header.as_bytes()).unwrap()).unwrap();
    assert_eq!(message, vector["payment_payload"], "the vector says the same twice");
    read(&header, offer, 0).unwrap()
}

/// What the facilitator is asked.
fn asked(presented: &Presented) -> Value {
    serde_json::to_value(&presented.request).unwrap()
}

fn nonce() -> [u8; 32] {
    [0xab; 32]
}

#[test]
fn a_v2_eip3009_payment_is_read_and_passed_on_as_the_reference_does() {
    let (vector, offer) = (vector("v2-eip3009-payment"), challenge_offer());
    let presented = presented(&vector, &offer);
    let payer = presented.payer.clone().unwrap();
    let terms = &offer.terms[0];
    assert_eq!(presented.version, Version::V2);
    assert_eq!(payer.to_string(), text(&vector, "/payer"));
    assert_eq!(presented.id, PaymentId::eip3009(&terms.network, &terms.asset.address, &payer, &nonce()));
    assert_eq!(asked(&presented), vector["facilitator_verify_body"]);
}

#[test]
fn a_v1_eip3009_payment_is_read_and_passed_on_as_the_reference_does() {
    let (vector, offer) = (vector("v1-eip3009-payment"), challenge_offer());
    let presented = presented(&vector, &offer);
    assert_eq!(presented.version, Version::V1);
    assert_eq!(presented.network_name(), "base-sepolia");
    assert_eq!(presented.payer.as_ref().unwrap().to_string(), text(&vector, "/recovered"));
    assert_eq!(asked(&presented), vector["facilitator_verify_body"]);
}

#[test]
fn one_authorization_is_one_payment_in_both_versions() {
    let offer = challenge_offer();
    let ids = ["v1-eip3009-payment", "v2-eip3009-payment"].map(|id| presented(&vector(id), &offer).id);
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn another_nonce_is_another_payment() {
    let (vector, offer) = (vector("v2-eip3009-payment"), challenge_offer());
    let mut payment = vector["payment_payload"].clone();
    payment["payload"]["authorization"]["nonce"] = alloy_primitives::hex::encode_prefixed([0xcd; 32]).into();
    payment["payload"]["signature"] = signing::sign(&payment["payload"]["authorization"]).into();
    assert_ne!(read(&header(&payment), &offer, 0).unwrap().id, presented(&vector, &offer).id);
}

#[test]
fn a_permit2_payment_is_read_and_passed_on() {
    let vector = vector("v2-permit2-payment");
    assert_eq!(vector["facilitator_verdict"]["isValid"], true);
    let offer = offer([terms(&vector["requirements"], None)]);
    let presented = presented(&vector, &offer);
    let payer = presented.payer.clone().unwrap();
    assert_eq!(payer.to_string(), text(&vector, "/recovered"));
    assert_eq!(presented.id, PaymentId::permit2(&offer.terms[0].network, &payer, &nonce()));
    let body = json!({
        "x402Version": 2,
        "paymentPayload": vector["payment_payload"],
        "paymentRequirements": vector["requirements"],
    });
    assert_eq!(asked(&presented), body);
}

/// The client added hints about the blockhash to its echo; what is passed on is our own offer, without them.
#[test]
fn a_solana_payment_is_read_and_passed_on_with_our_own_terms() {
    let (vector, offer) = (vector("v2-svm-payment"), challenge_offer());
    let presented = presented(&vector, &offer);
    let ours = serde_json::to_value(offer.terms[1].requirements()).unwrap();
    let mut payload = vector["payment_payload"].clone();
    payload["accepted"] = ours.clone();
    assert_eq!(presented.payer.as_ref().unwrap().to_string(), text(&vector, "/client"));
    assert_eq!(asked(&presented), json!({"x402Version": 2, "paymentPayload": payload, "paymentRequirements": ours}));
}

#[test]
fn a_solana_payment_is_its_message_however_it_is_wrapped() {
    let (vector, offer) = (vector("v2-svm-payment"), challenge_offer());
    let message = alloy_primitives::hex::decode(text(&vector, "/layout/message_hex")).unwrap();
    let id = PaymentId::svm(&Network::parse(&text(&vector, "/requirements/network")).unwrap(), &message);
    let transaction = text(&vector, "/payment_payload/payload/transaction");
    let bytes = codec::decode_bytes(&transaction).unwrap();
    assert_eq!(bytes[1..65], [0; 64], "the fee payer has not signed yet");
    let mut signed = bytes.clone();
    signed[1..65].fill(0x5a);
    let unpadded = transaction.trim_end_matches('=').to_owned();
    assert_ne!(unpadded, transaction);
    for wrapped in [transaction.clone(), unpadded, codec::encode_bytes(&signed)] {
        let mut payment = vector["payment_payload"].clone();
        payment["payload"]["transaction"] = wrapped.into();
        assert_eq!(read(&header(&payment), &offer, 0).unwrap().id, id);
    }
    let mut other = message.clone();
    // The last byte of the blockhash.
    let at = other.windows(9).position(|window| window == [7, 7, 7, 7, 7, 7, 7, 4, 4]).unwrap() + 6;
    other[at] ^= 1;
    let mut payment = vector["payment_payload"].clone();
    payment["payload"]["transaction"] = signing::solana_transaction(&other).into();
    assert_ne!(read(&header(&payment), &offer, 0).unwrap().id, id, "another message is another payment");
}

/// An echo of terms that are not on offer is refused whatever is in the transaction.
#[test]
fn solana_terms_that_the_reference_refuses_are_none_of_ours() {
    let vector = vector("v2-svm-payment");
    let edits = [
        ("requirements.amount 10001", "/accepted/amount", json!("10001")),
        ("requirements.payTo = client wallet", "/accepted/payTo", vector["client"].clone()),
        (
            "requirements.asset = devnet USDC mint",
            "/accepted/asset",
            json!("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"),
        ),
        ("extra.memo differs", "/accepted/extra/memo", json!("inv-0002")),
        ("extra.feePayer not managed", "/accepted/extra/feePayer", vector["client"].clone()),
    ];
    for (case, pointer, value) in edits {
        let verdicts = vector["facilitator_verdicts"].as_array().unwrap();
        assert!(verdicts.iter().any(|verdict| verdict["case"] == case && verdict["isValid"] == false), "{case}");
        let mut payment = vector["payment_payload"].clone();
        *payment.pointer_mut(pointer).unwrap() = value;
        let refused = read(&header(&payment), &challenge_offer(), 0).unwrap_err();
        assert_eq!(refused.reason, "no_matching_payment_requirements", "{case}");
    }
}

/// So that a payment which a test signs itself is as good as the reference's.
#[test]
fn the_tests_sign_as_the_reference_does() {
    let vector = vector("v2-eip3009-payment");
    let authorization = &vector["payment_payload"]["payload"]["authorization"];
    assert_eq!(signing::type_string(), text(&vector, "/type_string"));
    assert_eq!(signing::type_hash(), text(&vector, "/type_hash"));
    assert_eq!(signing::domain_separator(), text(&vector, "/domain_separator"));
    assert_eq!(signing::digest(authorization), text(&vector, "/digest"));
    assert_eq!(signing::sign(authorization), text(&vector, "/signature"));
}

#[test]
fn receipts_are_the_references() {
    let (v2, v1) = (vector("v2-payment-response"), vector("v1-eip3009-payment"));
    for (json, header) in [
        (&v2["success_json"], &v2["success_header"]),
        (&v2["failure_json"], &v2["failure_headers"]["PAYMENT-RESPONSE"]),
        (&v1["payment_response"]["json"], &v1["payment_response"]["header_value"]),
    ] {
        let receipt: SettleResponse = serde_json::from_value(json.clone()).unwrap();
        let decoded =
            |header: &str| -> Value { serde_json::from_str(&codec::decode(header.as_bytes()).unwrap()).unwrap() };
        assert_eq!(decoded(&codec::encode(&receipt)), decoded(header.as_str().unwrap()));
        assert_eq!(decoded(header.as_str().unwrap()), *json);
    }
}
