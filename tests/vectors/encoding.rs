//! Base64 of JSON.

use serde_json::Value;
use tollgate::x402::codec;

use crate::file::{cases, challenge_offer, read, text};

fn decoded(header: &str) -> Option<Value> {
    serde_json::from_str(&codec::decode(header.as_bytes()).ok()?).ok()
}

#[test]
fn headers_are_encoded_and_decoded_as_in_the_reference() {
    for case in cases("encoding") {
        match case.get("base64") {
            Some(base64) => {
                let (text, base64) = (text(&case, "/text"), base64.as_str().unwrap());
                assert_eq!(codec::encode_bytes(text.as_bytes()), base64);
                assert_eq!(codec::decode(base64.as_bytes()).unwrap(), text);
            }
            None => {
                let header = text(&case, "/header");
                assert_eq!(decoded(&header).as_ref(), case.get("decoded"), "{header}");
                assert_eq!(case.get("decoded").is_none(), case["error"].is_string(), "{header}");
            }
        }
    }
}

#[test]
fn what_cannot_be_decoded_is_no_payment() {
    for case in cases("encoding").iter().filter(|case| case["error"].is_string()) {
        let header = text(case, "/header");
        assert!(read(&header, &challenge_offer(), 0).is_err(), "{header}");
    }
}
