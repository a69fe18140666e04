//! Answers of the gateway's own that go out in one piece: the same as those that do not, and on the same connections.

use crate::support::client::{Answer, Wire, request};
use crate::support::wait::until_true;
use crate::support::world::World;

/// Requests that the gateway answers itself: method, target, and a header.
const REQUESTS: [(&str, &str, (&str, &str)); 12] = [
    ("GET", "/paid", ("Accept", "*/*")),
    ("HEAD", "/paid", ("Accept", "*/*")),
    ("DELETE", "/paid", ("X-API-KEY", "tg_live_none")),
    ("GET", "/paid", ("Authorization", "Bearer none")),
    ("GET", "/paid", ("PAYMENT-SIGNATURE", "none")),
    ("POST", "/paid", ("Content-Length", "0")),
    ("OPTIONS", "/paid", ("Access-Control-Request-Method", "GET")),
    ("GET", "/x402/pricing", ("Accept", "*/*")),
    ("HEAD", "/x402/jwks.json", ("Accept", "*/*")),
    ("GET", "/x402/status", ("Accept", "*/*")),
    ("PUT", "/x402/purchase", ("Accept", "*/*")),
    ("GET", "/x402/none", ("Accept", "*/*")),
];

/// The framework takes an empty line before a request for nothing, and then the request is its own.
const FRAMEWORKS_WAY: &str = "\r\n";

fn ask(wire: &mut Wire, before: &str, (method, target, header): (&str, &str, (&str, &str))) -> Answer {
    let origin = ("Origin", "https://app.example.com");
    wire.send(format!("{before}{}", request(method, target, &[origin, header], "")));
    if method == "HEAD" { wire.answer_to_head() } else { wire.answer() }
}

/// What must not differ: of what is new in each answer, the length.
fn said(answer: &Answer) -> (u16, String, Vec<(String, String)>, usize) {
    let fixed = |(name, value): &(String, String)| {
        let name = name.to_ascii_lowercase();
        let is_new = ["date", "payment-required", "x-payment-required"].contains(&name.as_str());
        let value = if is_new { value.len().to_string() } else { value.clone() };
        (name, value)
    };
    let mut headers: Vec<_> = answer.head.headers.iter().map(fixed).collect();
    headers.sort();
    (answer.status, answer.head.start.clone(), headers, answer.body.len())
}

#[test]
fn they_say_the_same_as_any_other() {
    let world = World::start();
    let (mut brief, mut other) = (world.wire(), world.wire());
    for asked in REQUESTS {
        let (ours, theirs) = (ask(&mut brief, "", asked), ask(&mut other, FRAMEWORKS_WAY, asked));
        assert!(ours.whole && theirs.whole, "{asked:?}");
        assert_eq!(said(&ours), said(&theirs), "{asked:?}");
        assert_eq!(ours.head.get("connection"), Some("keep-alive"), "{asked:?}");
    }
    assert_eq!(world.upstream.hits(), 0);
    assert_eq!((brief.get("/free", &[]).status, other.get("/free", &[]).status), (200, 200));
}

#[test]
fn they_leave_the_connection_to_whom_it_was_left_before() {
    let world = World::start();
    for (version, connection, is_kept) in [
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "", false),
    ] {
        let mut wire = world.wire();
        wire.send(format!("GET /paid HTTP/{version}\r\nHost: api.example.com\r\n{connection}\r\n"));
        let answer = wire.answer();
        let expected = if is_kept { "keep-alive" } else { "close" };
        assert_eq!((answer.status, answer.header("connection")), (402, Some(expected)), "{version} {connection:?}");
        match is_kept {
            true => assert_eq!(wire.get("/free", &[]).status, 200, "{version} {connection:?}"),
            false => assert!(wire.is_closed(), "{version} {connection:?}"),
        }
    }
}

#[test]
fn nothing_behind_a_request_is_taken_for_the_next_one() {
    let world = World::start();
    let get = "GET /paid HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    for behind in ["G", "GET /free HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "\r\n"] {
        let mut wire = world.wire();
        wire.send(format!("{get}{behind}"));
        assert_eq!(wire.answer().status, 402, "{behind:?}");
        assert!(wire.is_closed(), "{behind:?}");
    }
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn they_are_counted_like_all_others() {
    let world = World::start();
    let mut wire = world.wire();
    for _ in 0..3 {
        assert_eq!(wire.get("/paid", &[]).status, 402);
    }
    until_true("the challenges", || world.gateway.metric("gateway_requests_total{outcome=\"challenged\"}") == 3);
    world.until_idle();
}
