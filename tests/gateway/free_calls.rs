//! What an address has free of a route that costs something.

use crate::support::client::{Answer, Wire, request};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[upstreams.nobody]
url = "http://127.0.0.1:1"

[[routes]]
path       = "/paid"
methods    = ["GET"]
price      = "$0.01"
free_calls = "3/d"

[[routes]]
path       = "/paid"
methods    = ["POST"]
price      = "$0.01"
free_calls = "1/d"

[[routes]]
path       = "/either"
price      = "$0.01"
units      = 1
free_calls = "1/d"

[[routes]]
path       = "/nobody"
price      = "$0.01"
free_calls = "1/d"
upstream   = "nobody"

[[plans]]
name     = "nano"
price    = "$1"
units    = 100
duration = "30d"
"#;

fn start() -> World {
    Setup { routes: ROUTES, ..Setup::default() }.start()
}

#[track_caller]
fn assert_free(answer: &Answer, policy: &str, left: u32) {
    assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, Some(policy)), "{}", answer.text());
    let state = answer.header("ratelimit").expect("a RateLimit");
    let resets_in: u64 = state.strip_prefix(&format!("\"free\";r={left};t=")).expect(state).parse().unwrap();
    assert!((86_300..=86_400).contains(&resets_in), "{state}");
    assert_eq!(answer.header("cache-control"), Some("private"));
    assert!(answer.header("vary").is_some_and(|vary| vary.contains("X-API-KEY")));
    assert!(answer.header("payment-response").is_none());
}

#[track_caller]
fn assert_challenged(answer: &Answer, reason: &str) {
    assert_eq!((answer.status, answer.reason().as_str()), (402, reason), "{}", answer.text());
    assert!(answer.header("ratelimit").is_none());
}

#[test]
fn an_address_has_so_many_calls_of_each_route_and_pays_for_the_next() {
    let world = start();
    world.upstream.says(Reply::status(200, "RateLimit: \"free\";r=999\r\nCache-Control: public\r\n", "yes"));
    for left in [2, 1] {
        assert_free(&world.get("/paid", &[]), "\"free\";q=3;w=86400", left);
    }
    // HEAD is priced as GET, so it is counted as GET.
    let mut wire = world.wire();
    wire.send(request("HEAD", "/paid", &[], ""));
    assert_free(&wire.answer_to_head(), "\"free\";q=3;w=86400", 0);
    for _ in 0..2 {
        let answer = world.get("/paid", &[]);
        assert_challenged(&answer, "missing_credentials");
        assert_eq!(world.pay("/paid", &world.sign(&answer)).status, 200);
    }
    assert_free(&world.ask("POST", "/paid", &[], "a"), "\"free\";q=1;w=86400", 0);
    assert_free(&world.get("/either", &[]), "\"free\";q=1;w=86400", 0);
    assert_challenged(&world.get("/either", &[]), "missing_credentials");
    assert_eq!((world.upstream.hits(), world.facilitator.settled().len()), (7, 2));
    assert_eq!(world.gateway.metric("gateway_requests_total{outcome=\"free\"}"), 5);
}

#[test]
fn an_upstreams_failure_costs_no_free_call() {
    let world = start();
    for (reply, status) in [
        (Reply::status(500, "", "no"), 500),
        (Reply::status(503, "", "no"), 503),
        (Reply::reset(), 502),
        (Reply::raw("HTTP/1.1 200 OK\r\nContent-Le").then_close(), 502),
    ] {
        world.upstream.says(reply);
        let answer = world.ask("POST", "/paid", &[], "a");
        assert_eq!(answer.status, status);
        // All of them are left, where anything is said of it.
        assert!(answer.header("ratelimit").is_none_or(|state| state.starts_with("\"free\";r=1;")));
    }
    for _ in 0..3 {
        let answer = world.get("/nobody", &[]);
        assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unavailable"));
    }
    world.upstream.says(Reply::status(404, "", "nothing here"));
    assert_eq!(world.ask("POST", "/paid", &[], "a").status, 404);
    assert_challenged(&world.ask("POST", "/paid", &[], "a"), "missing_credentials");
}

#[test]
fn of_many_at_once_only_so_many_are_free() {
    let world = start();
    let gate = Gate::default();
    let held = gate.clone();
    world.upstream.answers(move |_| Reply::ok("at last").behind(&held));
    let mut wires: Vec<_> = (0..12).map(|_| world.wire()).collect();
    wires.iter_mut().for_each(|wire| wire.send(request("GET", "/paid", &[], "")));
    until_true("the challenges", || world.gateway.metric("gateway_requests_total{outcome=\"challenged\"}") == 9);
    until_true("the free ones", || world.upstream.hits() == 3);
    gate.open();
    let served = wires.iter_mut().map(Wire::answer).filter(|answer| answer.status == 200).count();
    assert_eq!((served, world.upstream.hits()), (3, 3));
}

#[test]
fn whoever_sends_something_to_pay_with_has_no_free_call() {
    let world = start();
    let key = world.buy("nano");
    for (name, value, reason) in [
        ("X-API-KEY", "tg_live_nonsense", "invalid_api_key"),
        ("Authorization", "Bearer of.somebody.else", "invalid_api_key"),
        ("PAYMENT-SIGNATURE", "bm90IGpzb24=", "invalid_payload"),
    ] {
        assert_challenged(&world.get("/either", &[(name, value)]), reason);
    }
    let answer = world.get("/either", &[("SIGN-IN-WITH-X", "bm90IGpzb24=")]);
    assert_eq!((answer.status, answer.reason().as_str()), (401, "invalid_siwx_payload"));
    let answer = world.get("/either", &[("X-API-KEY", &key)]);
    assert_eq!(answer.status, 200);
    assert!(answer.header("ratelimit").is_some_and(|state| state.starts_with("\"plan\"")));
    assert_eq!(world.upstream.hits(), 1);
    assert_free(&world.get("/either", &[]), "\"free\";q=1;w=86400", 0);
    assert_challenged(&world.get("/either", &[]), "missing_credentials");
}

#[test]
fn a_reload_keeps_the_count() {
    let world = start();
    let change = |from: &str, to: &str| {
        let reloads = || world.gateway.metric("gateway_reloads_total{result=\"ok\"}");
        let (file, before) = (world.gateway.config_file(), reloads());
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        until_true("the reload", || reloads() > before);
    };
    for left in [2, 1, 0] {
        assert_free(&world.get("/paid", &[]), "\"free\";q=3;w=86400", left);
    }
    change("$0.01", "$0.02");
    assert_challenged(&world.get("/paid", &[]), "missing_credentials");
    change("\"3/d\"", "\"5/d\"");
    assert_free(&world.get("/paid", &[]), "\"free\";q=5;w=86400", 1);
    change("\"5/d\"", "\"2/d\"");
    assert_challenged(&world.get("/paid", &[]), "missing_credentials");
}
