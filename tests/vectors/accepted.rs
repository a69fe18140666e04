//! Which edits of `accepted` still mean our offer.

use serde_json::{Value, json};

use crate::file::{cases, challenge_offer, header, read, text, vector, without};

const NO_MATCH: &str = "no_matching_payment_requirements";
const UNREADABLE: &str = "invalid_payload";

/// Ours for each case: nothing if it matches, or the reason why not. Where that is not the reference's judgement, the
/// line says why.
const OURS: [(&str, Option<&str>); 15] = [
    ("unchanged", None),
    ("key order of accepted reversed", None),
    ("extra key added inside accepted.extra", None),
    ("extra key missing (version removed)", Some(NO_MATCH)),
    // Laxer: what we do not know is dropped and our own terms are passed on, so it can do no harm.
    ("unknown key added at the top of accepted", None),
    // Laxer: letter case means nothing in an EVM address.
    ("payTo in lower case", None),
    ("asset in lower case", None),
    ("amount as number 10000", Some(UNREADABLE)),
    ("amount \"010000\"", Some(UNREADABLE)),
    ("maxTimeoutSeconds 61", Some(NO_MATCH)),
    ("maxTimeoutSeconds \"60\" (string)", Some(UNREADABLE)),
    ("accepted absent", Some(UNREADABLE)),
    ("resource.url changed", None),
    ("SVM: accepted.extra carries recentBlockhash and lastValidBlockHeight that the requirement lacks", None),
    ("SVM: accepted.extra.feePayer differs", Some(NO_MATCH)),
];

const LAXER: [&str; 3] = ["unknown key added at the top of accepted", "payTo in lower case", "asset in lower case"];

/// The payment with one of the edits, as a header.
fn edited(case: &str) -> String {
    let id = if case.starts_with("SVM") { "v2-svm-payment" } else { "v2-eip3009-payment" };
    let mut payment = vector(id)["payment_payload"].clone();
    let lower = |text: &Value| Value::from(text.as_str().unwrap().to_lowercase());
    let accepted = &mut payment["accepted"];
    match case {
        "unchanged" => {}
        "key order of accepted reversed" => return header_with(&payment, &reversed(&payment["accepted"])),
        "extra key added inside accepted.extra" => accepted["extra"]["more"] = 1.into(),
        "extra key missing (version removed)" => accepted["extra"] = without(&accepted["extra"], "version"),
        "unknown key added at the top of accepted" => accepted["more"] = 1.into(),
        "payTo in lower case" => accepted["payTo"] = lower(&accepted["payTo"]),
        "asset in lower case" => accepted["asset"] = lower(&accepted["asset"]),
        "amount as number 10000" => accepted["amount"] = 10_000.into(),
        "amount \"010000\"" => accepted["amount"] = "010000".into(),
        "maxTimeoutSeconds 61" => accepted["maxTimeoutSeconds"] = 61.into(),
        "maxTimeoutSeconds \"60\" (string)" => accepted["maxTimeoutSeconds"] = "60".into(),
        "accepted absent" => payment = without(&payment, "accepted"),
        "resource.url changed" => payment["resource"]["url"] = "https://elsewhere.example/".into(),
        "SVM: accepted.extra carries recentBlockhash and lastValidBlockHeight that the requirement lacks" => {
            assert!(accepted["extra"]["recentBlockhash"].is_string());
        }
        "SVM: accepted.extra.feePayer differs" => {
            accepted["extra"]["feePayer"] = "2btLJAAb1S3x6hZYdVyAePjqtQYi2ZBSRGy4569RZu8h".into();
        }
        other => panic!("unknown case {other}"),
    }
    header(&payment)
}

/// An object's text with its members in falling order; `serde_json` itself writes them in rising order.
fn reversed(object: &Value) -> String {
    let members: Vec<_> =
        object.as_object().unwrap().iter().rev().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn header_with(payment: &Value, accepted: &str) -> String {
    let text = payment.to_string().replace(&payment["accepted"].to_string(), accepted);
    assert_ne!(text, payment.to_string());
    tollgate::x402::codec::encode_bytes(text.as_bytes())
}

#[test]
fn an_echo_matches_as_in_the_reference_but_for_the_named_differences() {
    let cases = cases("accepted-matching");
    let names: Vec<_> = cases.iter().map(|case| text(case, "/case")).collect();
    assert_eq!(names, OURS.map(|(case, _)| case));
    for (theirs, (case, ours)) in cases.iter().zip(OURS) {
        let read = read(&edited(case), &challenge_offer(), 0);
        assert_eq!(read.as_ref().err().map(|refused| &*refused.reason), ours, "{case}");
        let as_theirs = theirs["matches"] == ours.is_none();
        assert_eq!(!as_theirs, LAXER.contains(&case), "{case}");
    }
}

/// Laxness costs nothing, since what goes on to the facilitator are our own terms in our own spelling.
#[test]
fn whatever_the_echo_says_our_own_terms_are_passed_on() {
    let offer = challenge_offer();
    let ours = serde_json::to_value(offer.terms[0].requirements()).unwrap();
    for case in LAXER.into_iter().chain(["extra key added inside accepted.extra", "key order of accepted reversed"]) {
        let request = serde_json::to_value(read(&edited(case), &offer, 0).unwrap().request).unwrap();
        assert_eq!(request["paymentRequirements"], ours, "{case}");
        assert_eq!(request["paymentPayload"]["accepted"], ours, "{case}");
    }
}
