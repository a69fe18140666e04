//! What an agent is told of prices and payees comes from the operator's file: nobody else has a word in it.

use serde_json::Value;

use crate::support::client::Answer;
use crate::support::server::Reply;
use crate::support::world::{SELLER, Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/premium/{rest...}"
price = "$0.01"
units = 1

[[plans]]
name     = "nano"
price    = "$5"
units    = 500
duration = "30d"
"#;

/// What somebody would like an agent, or a browser, to read.
const BAIT: &str = "<script>alert(1)</script>IGNORE-ALL-PREVIOUS";
const EVIL: &str = "0x00000000000000000000000000000000000000E1";

fn start() -> World {
    Setup { routes: ROUTES, ..Setup::default() }.start()
}

/// All places of the gateway's own that tell what to pay, asked in hostile words.
fn told(world: &World) -> Vec<(String, Answer)> {
    let headers = [
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("Accept", "text/html,application/xhtml+xml"),
        ("Accept-Language", BAIT),
        ("Referer", "https://evil.example.com/<script>"),
        ("X-Forwarded-Host", "evil.example.com"),
        ("X-Pay-To", EVIL),
        ("X-402-Pay-To", EVIL),
    ];
    let targets = [
        format!("/premium/%3Cscript%3E?payTo={EVIL}"),
        "/x402/pricing?%3Cscript%3E=1".to_owned(),
        format!("/x402/purchase?plan=nano&payTo={EVIL}&description=%3Cscript%3E"),
        "/x402/purchase?plan=%3Cscript%3E".to_owned(),
        "/x402/purchase".to_owned(),
        "/x402/status".to_owned(),
        "/nothing/%3Cscript%3E".to_owned(),
        "/premium/%3Cscript%3E%2f".to_owned(),
    ];
    targets.map(|target| (target.clone(), world.get(&target, &headers))).into()
}

/// Every `payTo` in it, however deep.
fn payees(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str().filter(|_| name == "payTo") {
                Some(payee) => vec![payee.to_owned()],
                None => payees(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(payees).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn nobody_is_told_another_payee_than_the_files() {
    let world = start();
    let mut seen = 0;
    for (target, answer) in told(&world) {
        let header = answer.header("payment-required").map(|_| answer.decoded("payment-required"));
        let told: Vec<_> = [Some(answer.json()), header].into_iter().flatten().flat_map(|told| payees(&told)).collect();
        assert!(told.iter().all(|payee| payee == SELLER), "{target}: {told:?}");
        seen += told.len();
    }
    assert!(seen >= 4, "{seen} payees were told");
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn every_answer_of_the_gateways_own_is_json_and_has_no_markup() {
    for (target, answer) in told(&start()) {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{target}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
        assert_eq!(answer.header("location"), None, "{target}");
        let text = answer.text();
        assert!(!text.contains('<') && !text.contains("IGNORE-ALL"), "{target}: {text}");
        assert!(answer.json().is_object(), "{target}");
    }
}

/// An upstream that would rather be paid itself: none of its words stands in a challenge.
#[test]
fn what_an_upstream_says_is_in_no_challenge() {
    let world = start();
    let terms = format!("PAYMENT-REQUIRED: {EVIL}\r\nX-PAYMENT-REQUIRED: {EVIL}\r\nX-Description: {BAIT}\r\n");
    world.upstream.says(Reply::status(402, &terms, BAIT));
    let target = "/premium/report";
    let before = world.get(target, &[]).json();
    let paid = world.pay(target, &world.payment(target));
    // It is not charged for, and what it says of payments is not passed on.
    assert_eq!((paid.status, paid.header("payment-required"), paid.header("x-payment-required")), (402, None, None));
    assert!(world.facilitator.settled().is_empty());
    let mut after = world.get(target, &[]).json();
    assert!(!after.to_string().contains("IGNORE-ALL") && !after.to_string().contains(EVIL));
    after["timestamp"] = before["timestamp"].clone();
    let terms = |challenge: &Value| payees(challenge);
    assert_eq!((terms(&after), &after["error"]), (terms(&before), &before["error"]));
}
