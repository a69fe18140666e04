//! How much an address may ask for without a key or a payment.

use crate::support::client::Answer;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path  = "/keyed"
units = 1

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 100
duration = "30d"

[limits]
keyless_per_address = "3/h"
"#;

fn start() -> World {
    Setup { server: "unlisted = \"free\"", routes: ROUTES, ..Setup::default() }.start()
}

#[track_caller]
fn assert_limited(answer: &Answer) {
    assert_eq!((answer.status, answer.reason().as_str()), (429, "address_limit"), "{}", answer.text());
    assert_eq!(answer.json()["details"]["limit"], "3 calls without a key");
    assert_eq!(answer.json()["details"]["window"], "1h");
    let wait: u64 = answer.header("retry-after").expect("a Retry-After").parse().unwrap();
    assert!((1..=1201).contains(&wait), "{wait}");
    assert!(answer.header("payment-required").is_none());
}

#[test]
fn an_address_makes_so_many_calls_without_a_key_free_ones_too() {
    let world = start();
    let key = world.buy("nano");
    let payment = world.payment("/paid");
    let answers = ["/free", "/elsewhere"].map(|target| world.get(target, &[]).status);
    assert_eq!(answers, [200, 200]);
    for target in ["/free", "/elsewhere", "/paid", "/keyed"] {
        assert_limited(&world.get(target, &[]));
    }
    assert_eq!(world.upstream.hits(), 2);
    assert_eq!(world.gateway.metric("gateway_limits_total{limit=\"keyless\"}"), 4);
    assert_eq!(world.gateway.metric("gateway_payments_total{outcome=\"keyless\"}"), 0);
    // Who pays is not held up, and the gateway's own endpoints are for everybody.
    assert_eq!(world.pay("/paid", &payment).status, 200);
    for target in ["/keyed", "/free", "/elsewhere"] {
        assert_eq!(world.get(target, &[("X-API-KEY", &key)]).status, 200, "{target}");
    }
    for _ in 0..5 {
        assert_eq!(world.get("/x402/pricing", &[]).status, 200);
    }
}

#[test]
fn what_is_no_key_and_buys_nothing_is_counted_too() {
    let world = start();
    assert_eq!(world.get("/free", &[("X-API-KEY", "tg_live_nonsense")]).status, 200);
    assert_eq!(world.get("/keyed", &[("X-API-KEY", "tg_live_nonsense")]).status, 402);
    assert_eq!(world.pay("/free", "bm90IGpzb24=").status, 200);
    assert_limited(&world.get("/free", &[("Authorization", "Bearer of.somebody.else")]));
    assert_limited(&world.pay("/free", "bm90IGpzb24="));
    assert_limited(&world.get("/free", &[("SIGN-IN-WITH-X", "bm90IGpzb24=")]));
}
