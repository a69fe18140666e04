//! What a 402 carries.

use serde_json::Value;
use tollgate::payment::{Challenge, Hints, Refused, Shortfall, Unserved};
use tollgate::pricing::{PriceTable, Router, Unlisted};
use tollgate::x402::codec;

use crate::file::{NOW, challenge_offer, mint, read, text, vector, without};

fn challenge(shortfall: &Shortfall) -> Challenge {
    let table = PriceTable {
        router: Router::default(),
        plans: Vec::new(),
        unlisted: Unlisted::Deny,
        endpoints: "/x402".into(),
        public_url: "https://api.example.com".into(),
    };
    let resource = "https://api.example.com/v1/weather/oslo";
    let timestamp = "2026-01-01T00:00:00.000Z";
    let (table, hints) = (&table, &Hints::default());
    let request = Unserved { resource, shortfall, plans: false, table, hints, now: NOW, timestamp };
    Challenge::of_offer(&challenge_offer(), request, &mint(), [3; 8])
}

/// The message in the header, with quotes and error taken out.
fn required(challenge: &Challenge) -> Value {
    let header = challenge.header.as_ref().unwrap();
    let mut required: Value = serde_json::from_str(&codec::decode(header.as_bytes()).unwrap()).unwrap();
    for terms in required["accepts"].as_array_mut().unwrap() {
        let quote = terms["extra"].as_object_mut().unwrap().remove("quote").unwrap();
        assert_eq!(quote.as_str().unwrap().len(), 39);
    }
    without(&required, "error")
}

#[test]
fn the_v2_challenge_is_the_references_but_for_the_quote() {
    let vector = vector("v2-challenge");
    let challenge = challenge(&Shortfall::MissingCredentials);
    assert_eq!(required(&challenge), without(&vector["payment_required"], "error"));
    let stored: Value = serde_json::from_str(&text(&vector, "/payment_required_json")).unwrap();
    assert_eq!(stored, vector["payment_required"], "the vector says the same twice");
}

#[test]
fn the_header_is_standard_base64_with_padding_as_the_references() {
    let header = challenge(&Shortfall::MissingCredentials).header.unwrap();
    let header = header.to_str().unwrap();
    assert_eq!(header.len() % 4, 0);
    let data = header.trim_end_matches('=');
    assert!(header.len() - data.len() <= 2, "{header}");
    assert!(data.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/'), "{header}");
    let vector = vector("v2-challenge");
    let theirs = text(&vector, "/headers/PAYMENT-REQUIRED");
    assert_eq!(codec::encode_bytes(text(&vector, "/payment_required_json").as_bytes()), theirs);
}

#[test]
fn the_v1_challenge_is_the_references_but_for_the_error() {
    let body: Value = serde_json::from_str(&challenge(&Shortfall::MissingCredentials).body).unwrap();
    let theirs = &vector("v1-eip3009-payment")["challenge_body"];
    assert_eq!(body["x402Version"], theirs["x402Version"]);
    assert_eq!(body["accepts"], theirs["accepts"]);
    assert!(body["error"].is_string() && theirs["error"].is_string());
}

/// The vector's other half, a page for browsers, has no counterpart: everybody gets the JSON body.
#[test]
fn an_undecodable_header_is_refused_with_the_same_challenge() {
    let theirs = &vector("v2-challenge-variants")["malformed_header"];
    assert_eq!(theirs["status"], 402);
    for header in ["not base64!", "", "e30=", "bnVsbA==", "W10=", "eyJ4NDAy", "/////w=="] {
        let refused: Refused = read(header, &challenge_offer(), 0).unwrap_err();
        let again = challenge(&Shortfall::Payment(refused));
        assert_eq!(required(&again), required(&challenge(&Shortfall::MissingCredentials)), "{header}");
    }
}
