//! Plans: bought once, spent with a key.

use serde_json::{Value, json};
use tollgate::x402::codec;

use crate::support::client::{Answer, request};
use crate::support::facilitator::{good, receipt};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/either"
price = "$0.01"
units = 1

[[routes]]
path  = "/plans-only"
units = 2

[[routes]]
path  = "/half"
units = 0.5

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "five"
price    = "$1"
units    = 5
duration = "30d"

[[plans]]
name     = "endless"
price    = "$2"
duration = "30d"

[[plans]]
name     = "slow"
price    = "$1"
units    = 100
duration = "30d"
rate     = "2/1h"

[[plans]]
name     = "short"
price    = "$1"
duration = "1s"
"#;

fn start() -> World {
    Setup { facilitator: "settle_timeout = \"400ms\"\nresolve_timeout = \"0s\"", routes: ROUTES, ..Setup::default() }
        .start()
}

impl World {
    fn with_key(&self, target: &str, key: &str) -> Answer {
        self.get(target, &[("X-API-KEY", key)])
    }

    fn used(&self, key: &str) -> Value {
        self.with_key("/x402/status", key).json()["quota"]["used"].clone()
    }
}

#[test]
fn a_purchase_is_verified_and_settled_and_answers_with_a_key() {
    let world = start();
    let challenge = world.get("/x402/purchase?plan=five", &[]);
    assert_eq!((challenge.status, challenge.reason().as_str()), (402, "missing_credentials"));
    let required = challenge.decoded("payment-required");
    assert_eq!(required["accepts"][0]["amount"], "1000000");
    assert_eq!(required["resource"]["url"], "https://api.example.com/x402/purchase?plan=five");

    let payment = world.sign(&challenge);
    let sold = world.pay("/x402/purchase?plan=five", &payment);
    assert_eq!(sold.status, 200, "{}", sold.text());
    assert_eq!(world.journal.all(), ["verify", "settle"]);
    assert_eq!(sold.header("cache-control"), Some("private, no-store"));
    assert_eq!(sold.decoded("payment-response")["success"], json!(true));
    let body = sold.json();
    let members = json!({ "status": "ok", "plan": "five", "chain": "evm", "address": world.wallet.address() });
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(&body[name], value);
    }
    assert_eq!(body["txHash"], sold.decoded("payment-response")["transaction"]);
    assert!(body["expiresAt"].as_str().unwrap().ends_with('Z'));
    assert!(body["apiKey"].as_str().unwrap().starts_with("tg_live_"));

    // The answer may have been lost: the same payment gets the same key, and is not charged again.
    assert_eq!(world.pay("/x402/purchase?plan=five", &payment).json()["apiKey"], body["apiKey"]);
    let posted = world.ask("POST", "/x402/purchase?plan=five", &[("PAYMENT-SIGNATURE", &payment)], "");
    assert_eq!(posted.json()["apiKey"], body["apiKey"]);
    assert_eq!(world.facilitator.settled().len(), 1);
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn a_key_opens_what_its_plan_is_for_in_either_header() {
    let world = start();
    let key = world.buy("endless");
    let bearer = format!("Bearer {key}");
    let odd = format!("bearer  {key}");
    for target in ["/either", "/plans-only", "/half"] {
        for header in
            [("X-API-KEY", key.as_str()), ("x-api-key", &key), ("Authorization", &bearer), ("Authorization", &odd)]
        {
            let answer = world.get(target, &[header]);
            assert_eq!(answer.status, 200, "{target} {header:?}");
            assert!(answer.header("cache-control").unwrap().contains("private"));
            let heard = world.upstream.last();
            assert_eq!(heard.head.all("x-tollgate-plan"), ["endless"]);
            assert_eq!(heard.head.all("x-tollgate-payer"), [world.wallet.address()]);
        }
    }
    assert_eq!(world.facilitator.settled().len(), 1);
}

#[test]
fn a_key_that_opens_nothing_is_told_why() {
    let world = start();
    let (key, expired) = (world.buy("five"), world.buy("short"));
    until_true("the plan's end", || world.with_key("/either", &expired).status == 402);
    world.upstream.forget();
    let flipped = key.strip_suffix(['0', '1']).map_or(format!("{}0", &key[..key.len() - 1]), |rest| format!("{rest}2"));
    let other_case = key.replace("tg_live_", "TG_LIVE_");
    for (key, reason) in [
        ("", "missing_credentials"),
        ("made-up", "invalid_api_key"),
        ("tg_live_", "invalid_api_key"),
        (&flipped, "invalid_api_key"),
        (&other_case, "invalid_api_key"),
        (&"x".repeat(5000), "invalid_api_key"),
        (&expired, "expired_api_key"),
    ] {
        for target in ["/either", "/plans-only"] {
            let answer = world.with_key(target, key);
            assert_eq!((answer.status, answer.reason().as_str()), (402, reason), "{target} {key}");
            // What only a plan opens cannot be paid for here.
            assert_eq!(answer.header("payment-required").is_some(), target == "/either", "{target} {key}");
            assert_eq!(answer.json()["purchaseUrl"], "https://api.example.com/x402/purchase", "{target} {key}");
            assert_eq!(answer.json()["plans"][0]["name"], "five", "{target} {key}");
        }
        assert_eq!(world.with_key("/free", key).status, 200);
    }
    assert!(world.upstream.heard().iter().all(|heard| heard.target() == "/free"));
}

#[test]
fn a_payment_decides_over_a_key() {
    let world = start();
    let payment = world.payment("/either");
    assert_eq!(world.get("/either", &[("X-API-KEY", "made-up"), ("PAYMENT-SIGNATURE", &payment)]).status, 200);
    let key = world.buy("five");
    let payment = world.payment("/either");
    assert_eq!(world.get("/either", &[("X-API-KEY", &key), ("PAYMENT-SIGNATURE", &payment)]).status, 200);
    assert_eq!(world.used(&key), json!(0));
}

#[test]
fn a_plans_rate_is_kept() {
    let world = start();
    let key = world.buy("slow");
    assert_eq!([(); 3].map(|()| world.with_key("/either", &key).status), [200, 200, 429]);
    let answer = world.with_key("/either", &key);
    assert_eq!((answer.status, answer.reason().as_str()), (429, "rate_limited"));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1801).contains(&wait), "{wait}");
    assert_eq!(answer.json()["details"]["retryAfter"], json!(wait));
    assert_eq!((world.upstream.hits(), world.used(&key)), (2, json!(2)));
}

#[test]
fn a_plan_is_used_up_to_its_last_unit_and_no_further() {
    let world = start();
    let key = world.buy("five");
    assert_eq!([(); 3].map(|()| world.with_key("/plans-only", &key).status), [200, 200, 402]);
    assert_eq!([(); 3].map(|()| world.with_key("/half", &key).status), [200, 200, 402]);
    let answer = world.with_key("/plans-only", &key);
    assert_eq!((answer.status, answer.reason().as_str()), (402, "quota_exhausted"));
    assert_eq!(world.used(&key), json!(5));
    assert_eq!(world.upstream.hits(), 4);
}

#[test]
fn of_fifty_calls_at_once_five_units_pay_five() {
    let world = start();
    let key = world.buy("five");
    let mut wires: Vec<_> = (0..50).map(|_| world.wire()).collect();
    let text = request("GET", "/either", &[("X-API-KEY", &key)], "");
    std::thread::scope(|scope| wires.iter_mut().for_each(|wire| drop(scope.spawn(|| wire.send(&text)))));
    let mut statuses: Vec<_> = wires.iter_mut().map(|wire| wire.answer().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 5], vec![402; 45]].concat());
    assert_eq!((world.upstream.hits(), world.used(&key)), (5, json!(5)));
}

#[test]
fn a_call_that_the_upstream_fails_gives_its_units_back() {
    let world = start();
    let key = world.buy("five");
    for reply in [Reply::status(500, "", ""), Reply::status(503, "", ""), Reply::reset(), Reply::default().then_close()]
    {
        world.upstream.says(reply);
        assert!(world.with_key("/plans-only", &key).status >= 500);
        assert_eq!(world.used(&key), json!(0));
    }
    // A call that makes no sense is the caller's own doing.
    world.upstream.says(Reply::status(404, "", ""));
    assert_eq!(world.with_key("/plans-only", &key).status, 404);
    assert_eq!(world.used(&key), json!(2));
    world.upstream.says(Reply::ok(""));
    assert_eq!([(); 2].map(|()| world.with_key("/plans-only", &key).status), [200, 402]);
}

#[test]
fn a_keyed_call_goes_upstream_once_even_if_a_kept_connection_dies_under_it() {
    let world = start();
    let key = world.buy("five");
    let mut first = None;
    world.upstream.answers(move |heard| match *first.get_or_insert(heard.connection) {
        connection if connection == heard.connection && heard.target() != "/free" => Reply::reset(),
        _ => Reply::ok(""),
    });
    assert_eq!(world.get("/free", &[]).status, 200);
    assert_eq!(world.with_key("/either", &key).status, 502);
    assert_eq!((world.upstream.hits(), world.used(&key)), (2, json!(0)));
}

#[test]
fn a_status_says_what_is_left() {
    let world = start();
    let key = world.buy("five");
    assert_eq!(world.with_key("/half", &key).status, 200);
    let status = world.with_key("/x402/status", &key);
    assert_eq!((status.status, status.header("cache-control")), (200, Some("private, no-store")));
    let body = status.json();
    assert_eq!((&body["plan"], &body["active"]), (&json!("five"), &json!(true)));
    assert_eq!(body["quota"], json!({ "used": 0.5, "total": 5 }));
    assert!(body["expiresAt"].as_str().unwrap().ends_with('Z'));
    let endless = world.buy("endless");
    assert_eq!(world.with_key("/x402/status", &endless).json()["quota"]["total"], json!(-1));
    let short = world.buy("short");
    until_true("the plan's end", || world.with_key("/x402/status", &short).json()["active"] == json!(false));
    for (headers, reason) in [(vec![], "missing_credentials"), (vec![("X-API-KEY", "made-up")], "invalid_api_key")] {
        let answer = world.get("/x402/status", &headers);
        assert_eq!((answer.status, answer.reason().as_str()), (401, reason));
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
}

#[test]
fn the_gateways_own_endpoints_never_go_upstream() {
    let world = start();
    for (method, target, status) in [
        ("GET", "/x402/pricing", 200),
        ("GET", "/x402/purchase", 400),
        ("GET", "/x402/purchase?plan=", 400),
        ("GET", "/x402/purchase?plan=five&plan=five", 400),
        ("GET", "/x402/purchase?plan=nobody", 404),
        ("PUT", "/x402/purchase?plan=five", 405),
        ("POST", "/x402/pricing", 405),
        ("DELETE", "/x402/status", 405),
        ("GET", "/x402", 404),
        ("GET", "/x402/", 404),
        ("GET", "/x402/metrics", 404),
        ("POST", "/x402/pricing/", 404),
    ] {
        let answer = world.ask(method, target, &[], "");
        assert_eq!(answer.status, status, "{method} {target}");
        assert!(answer.header("payment-required").is_none(), "{method} {target}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {target}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {target}");
    }
    let plans = world.get("/x402/pricing", &[]).json()["plans"].clone();
    let names: Vec<_> = plans.as_array().unwrap().iter().map(|plan| plan["name"].clone()).collect();
    assert_eq!(names, ["five", "endless", "slow", "short"]);
    assert_eq!(world.journal.all(), [""; 0]);
}

#[test]
fn a_purchase_of_unknown_outcome_is_completed_by_the_same_payment() {
    let world = start();
    let target = "/x402/purchase?plan=five";
    let payment = world.payment(target);
    world.facilitator.settles(|_| Reply::reset());
    for _ in 0..2 {
        let answer = world.pay(target, &payment);
        assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"));
        assert!(!answer.text().contains("apiKey"));
    }
    world.facilitator.settles(|heard| Reply::json(200, &receipt(heard)));
    let sold = world.pay(target, &payment);
    assert_eq!(sold.status, 200);
    assert_eq!(world.with_key("/either", sold.json()["apiKey"].as_str().unwrap()).status, 200);
}

#[test]
fn a_purchase_that_is_refused_sells_nothing() {
    let world = start();
    let target = "/x402/purchase?plan=five";
    let payment = world.payment(target);
    let refusal = json!({ "success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "" });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    let answer = world.pay(target, &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (402, "insufficient_funds"));
    assert!(!answer.text().contains("apiKey") && answer.header("payment-required").is_none());
    assert_eq!(answer.decoded("payment-response")["success"], json!(false));
    assert_eq!(world.states(), ["voided"]);
}

#[test]
fn a_buyer_who_leaves_during_a_purchase_gets_the_key_later() {
    let world = start();
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| good(heard).behind(&gate));
    let target = "/x402/purchase?plan=five";
    let payment = world.payment(target);
    let wire = world.send_paid(target, &payment);
    until_true("the settlement", || world.journal.all().contains(&"settle".to_owned()));
    drop(wire);
    settled.open();
    let sold = world.pay(target, &payment);
    assert_eq!(sold.status, 200);
    assert_eq!(world.facilitator.settled().len(), 1);
    assert_eq!(world.with_key("/either", sold.json()["apiKey"].as_str().unwrap()).status, 200);
}

#[test]
fn who_finds_a_purchase_on_the_chain_does_not_get_its_key() {
    let world = start();
    let target = "/x402/purchase?plan=five";
    let payment = world.payment(target);
    assert_eq!(world.pay(target, &payment).status, 200);
    let mut found: Value = serde_json::from_str(&codec::decode(payment.as_bytes()).unwrap()).unwrap();
    let quote = found["accepted"]["extra"].as_object_mut().unwrap().remove("quote").unwrap();
    let other_quote = world.get(target, &[]).decoded("payment-required")["accepts"][0]["extra"]["quote"].clone();
    assert_ne!(quote, other_quote);
    let mut requoted = found.clone();
    requoted["accepted"]["extra"]["quote"] = other_quote;
    let v1 = json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": found["payload"] });
    for stolen in [&found, &requoted, &v1] {
        let answer = world.pay(target, &codec::encode(stolen));
        assert_eq!((answer.status, answer.reason().as_str()), (409, "payment_already_used"));
        assert!(!answer.text().contains("apiKey"));
    }
    // What is bought for one plan is not bought for another, nor for a call.
    for target in ["/x402/purchase?plan=slow", "/either"] {
        assert_eq!(world.pay(target, &payment).status, 402, "{target}");
    }
    assert_eq!(world.facilitator.settled().len(), 1);
}

#[test]
fn a_head_buys_nothing() {
    let world = start();
    let target = "/x402/purchase?plan=five";
    let payment = world.payment(target);
    let mut wire = world.wire();
    wire.send(request("HEAD", target, &[("PAYMENT-SIGNATURE", &payment)], ""));
    assert_eq!(wire.answer_to_head().status, 402);
    assert_eq!(world.journal.all(), [""; 0]);
}

#[test]
fn keys_and_what_was_used_outlive_a_power_cut() {
    let mut world = start();
    let key = world.buy("five");
    assert_eq!(world.with_key("/plans-only", &key).status, 200);
    assert_eq!(world.used(&key), json!(2));
    // Written down every second.
    until_true("the books", || world.units_used() == [2000]);
    world.gateway.crash_and_restart();
    assert_eq!(world.used(&key), json!(2));
    assert_eq!([(); 2].map(|()| world.with_key("/plans-only", &key).status), [200, 402]);
}
