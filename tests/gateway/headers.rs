//! Which headers pass, which never do, and which make a request ambiguous.

use serde_json::json;
use tollgate::x402::codec;

use crate::support::client::request;
use crate::support::server::Reply;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"
units = 1

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 1000
duration = "30d"
"#;

fn start() -> World {
    Setup { server: "unlisted = \"free\"", routes: ROUTES, ..Setup::default() }.start()
}

/// A payment of version 1 from one of version 2: the same authorization in the other envelope.
pub(crate) fn as_v1(payment: &str) -> String {
    let v2: serde_json::Value = serde_json::from_str(&codec::decode(payment.as_bytes()).unwrap()).unwrap();
    codec::encode(&json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": v2["payload"] }))
}

#[test]
fn two_payments_in_one_request_are_refused() {
    let world = start();
    let (one, other) = (world.payment("/paid"), world.payment("/paid"));
    let (one, other) = (one.as_str(), other.as_str());
    for headers in [
        [("PAYMENT-SIGNATURE", one), ("PAYMENT-SIGNATURE", other)],
        [("PAYMENT-SIGNATURE", one), ("Payment-Signature", one)],
        [("X-PAYMENT", one), ("X-PAYMENT", one)],
        [("PAYMENT-SIGNATURE", one), ("X-PAYMENT", other)],
        [("PAYMENT-SIGNATURE", one), ("X-PAYMENT", &as_v1(one))],
        [("PAYMENT-SIGNATURE", ""), ("PAYMENT-SIGNATURE", one)],
    ] {
        for target in ["/paid", "/free"] {
            let answer = world.get(target, &headers);
            assert_eq!((answer.status, answer.reason().as_str()), (400, "ambiguous_payment"), "{headers:?}");
        }
    }
    assert_eq!(world.journal.all(), [""; 0]);
}

#[test]
fn the_same_payment_under_both_names_is_one_payment() {
    let world = start();
    let payment = world.payment("/paid");
    assert_eq!(world.get("/paid", &[("PAYMENT-SIGNATURE", &payment), ("X-PAYMENT", &payment)]).status, 200);
    let payment = world.payment("/paid");
    assert_eq!(world.get("/paid", &[("PAYMENT-SIGNATURE", &payment), ("X-PAYMENT", "")]).status, 200);
    let payment = world.payment("/paid");
    assert_eq!(world.get("/paid", &[("PAYMENT-SIGNATURE", ""), ("X-PAYMENT", &payment)]).status, 200);
    assert_eq!(world.facilitator.settled().len(), 3);
}

#[test]
fn one_authorization_is_one_payment_in_either_version() {
    let world = start();
    let payment = world.payment("/paid");
    assert_eq!(world.get("/paid", &[("X-PAYMENT", &as_v1(&payment))]).status, 200);
    assert_eq!(world.get("/paid", &[("PAYMENT-SIGNATURE", &payment)]).status, 409);
    assert_eq!(world.get("/paid", &[("X-PAYMENT", &as_v1(&payment))]).status, 409);
    let spaced = codec::encode_bytes(codec::decode(payment.as_bytes()).unwrap().replace(',', ", ").as_bytes());
    assert_eq!(world.get("/paid", &[("PAYMENT-SIGNATURE", &spaced)]).status, 409);
    assert_eq!(world.get("/paid", &[("PAYMENT-SIGNATURE", payment.trim_end_matches('='))]).status, 409);
    assert_eq!(world.facilitator.settled().len(), 1);
    assert_eq!(world.facilitator.settled()[0].json()["x402Version"], 1);
}

#[test]
fn a_payment_of_more_than_sixteen_kilobytes_is_refused() {
    let world = start();
    for (name, length, status) in [
        ("PAYMENT-SIGNATURE", 16 * 1024, 402),
        ("PAYMENT-SIGNATURE", 16 * 1024 + 1, 431),
        ("X-PAYMENT", 16 * 1024 + 1, 431),
        ("PAYMENT-SIGNATURE", 300_000, 431),
    ] {
        assert_eq!(world.get("/paid", &[(name, &"A".repeat(length))]).status, status, "{name} {length}");
    }
    assert_eq!(world.journal.all(), [""; 0]);
}

#[test]
fn a_payment_that_cannot_be_read_is_challenged_anew_and_goes_nowhere() {
    let world = start();
    for (payment, reason) in [
        ("%", "invalid_payment_header"),
        ("e30", "invalid_x402_version"),
        ("bnVsbA==", "invalid_payload"),
        (&codec::encode(&json!([])), "invalid_payload"),
        (&codec::encode(&json!({ "x402Version": 3 })), "invalid_x402_version"),
        (&codec::encode(&json!({ "x402Version": 2, "accepted": {}, "payload": {} })), "invalid_payload"),
    ] {
        let answer = world.pay("/paid", payment);
        assert_eq!((answer.status, answer.reason().as_str()), (402, reason), "{payment}");
        assert!(answer.header("payment-required").is_some(), "{payment}");
    }
    assert_eq!(world.journal.all(), [""; 0]);
}

#[test]
fn an_underscore_in_place_of_a_dash_is_refused() {
    let world = start();
    for name in [
        "X_PAYMENT",
        "PAYMENT_SIGNATURE",
        "Payment_Signature",
        "PAYMENT_RESPONSE",
        "X_Tollgate_Payer",
        "X-Tollgate_Payment-Id",
        "X_HTTP_Method_Override",
        "X_Original_URL",
        "SCRIPT_NAME",
        "Path_Info",
        "X_API_KEY",
        "X_Forwarded_For",
        "X_Forwarded_Host",
        "X-Forwarded_Proto",
        "Content_Length",
        "Transfer_Encoding",
        "X.Tollgate.Payer",
        "X-Tollgate~Plan",
        "X.API_KEY",
    ] {
        for target in ["/paid", "/free"] {
            let answer = world.get(target, &[(name, "1")]);
            assert_eq!((answer.status, answer.reason().as_str()), (400, "ambiguous_header"), "{name} {target}");
        }
    }
    assert_eq!(world.upstream.hits(), 0);
    // What is nobody's business here passes.
    assert_eq!(world.get("/free", &[("X_Trace", "1")]).status, 200);
    assert_eq!(world.upstream.last().head.get("x_trace"), Some("1"));
}

#[test]
fn a_payment_cannot_be_dropped_by_naming_it_a_matter_of_the_connection() {
    let world = start();
    for nominated in ["PAYMENT-SIGNATURE", "payment-signature, close", "X-Tollgate-Payer, X-Tollgate-Payment-Id"] {
        let payment = world.payment("/paid");
        let answer = world.get("/paid", &[("Connection", nominated), ("PAYMENT-SIGNATURE", &payment)]);
        assert_eq!(answer.status, 200, "{nominated}");
        let heard = world.upstream.last();
        assert_eq!(heard.head.all("x-tollgate-payer"), [world.wallet.address()], "{nominated}");
        assert!(heard.head.has("x-tollgate-payment-id") && !heard.head.has("payment-signature"), "{nominated}");
    }
    assert_eq!(world.facilitator.settled().len(), 3);
}

/// The framework refuses these itself, but only when the call is on its way, and what is settled first is settled then.
#[test]
fn what_may_not_be_a_matter_of_the_connection_is_refused_before_anything_is_settled() {
    const UPFRONT: &str = "[[routes]]\npath = \"/upfront\"\nprice = \"$0.02\"\nsettle = \"before\"\n";
    let routes = format!("{UPFRONT}{ROUTES}");
    let world = Setup { server: "unlisted = \"free\"", routes: &routes, ..Setup::default() }.start();
    let payment = world.payment("/upfront");
    let many = (0..10).map(|number| format!("x-{number}")).collect::<Vec<_>>().join(",");
    let few = (0..9).map(|number| format!("x-{number}")).collect::<Vec<_>>().join(",,");
    for nominated in [
        "X-Forwarded-For",
        "close, x-forwarded-HOST",
        "X-Forwarded-Proto",
        "Host",
        "Content-Length",
        "transfer-encoding",
        ":authority",
        ":path",
        "\"X-Forwarded-For\"",
        "X-Forwarded For",
        "a/b",
        "keep-alive;x",
        many.as_str(),
    ] {
        for target in ["/upfront", "/paid", "/free"] {
            let answer = world.get(target, &[("Connection", nominated), ("PAYMENT-SIGNATURE", &payment)]);
            let refused = (answer.status, answer.reason(), world.facilitator.settled().len());
            assert_eq!(refused, (400, "ambiguous_connection".to_owned(), 0), "{nominated} {target}");
        }
    }
    assert_eq!(world.journal.all(), [""; 0]);
    // The payment is as good as before.
    let answer = world.get("/upfront", &[("Connection", &few), ("PAYMENT-SIGNATURE", &payment)]);
    assert_eq!((answer.status, world.facilitator.settled().len()), (200, 1), "{}", answer.text());
}

#[test]
fn what_only_the_gateway_may_say_is_not_taken_from_a_client() {
    let world = start();
    let forged = [
        ("X-Tollgate-Payer", "0xforged"),
        ("x-tollgate-payment-id", "forged"),
        ("X-Tollgate-Plan", "forged"),
        ("X-Tollgate-Anything", "forged"),
        ("PAYMENT-RESPONSE", "forged"),
        ("X-PAYMENT-RESPONSE", "forged"),
        ("PAYMENT-REQUIRED", "forged"),
        ("Settlement-Overrides", "forged"),
        ("SIGN-IN-WITH-X", "forged"),
        ("Forwarded", "for=forged"),
        ("X-Forwarded-For", "forged"),
        ("X-Forwarded-Host", "forged"),
        ("X-Forwarded-Proto", "forged"),
    ];
    assert_eq!(world.get("/free", &forged).status, 200);
    let payment = world.payment("/paid");
    assert_eq!(world.get("/paid", &[forged.as_slice(), &[("PAYMENT-SIGNATURE", &payment)]].concat()).status, 200);
    for heard in world.upstream.heard() {
        assert!(!String::from_utf8_lossy(&heard.head.raw).contains("forged"), "{}", heard.head.start);
        assert_eq!(heard.head.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(heard.head.all("x-forwarded-host"), ["api.example.com"]);
        assert_eq!(heard.head.all("x-forwarded-proto"), ["http"]);
        assert_eq!(heard.head.all("host"), [world.upstream.addr().to_string()]);
    }
    assert_eq!(world.upstream.hits(), 2);
}

#[test]
fn what_only_the_gateway_may_say_is_not_taken_from_an_upstream() {
    const FORGED: &str = "PAYMENT-RESPONSE: forged\r\nX-PAYMENT-RESPONSE: forged\r\nPAYMENT-REQUIRED: forged\r\n\
                          X-PAYMENT-REQUIRED: forged\r\nSettlement-Overrides: forged\r\nEXTENSION-RESPONSES: forged\r\n";
    let world = start();
    for status in [200, 302, 402, 404, 500] {
        world.upstream.says(Reply::status(status, FORGED, ""));
        let payment = world.payment("/paid");
        for (target, headers) in [("/free", vec![]), ("/paid", vec![("PAYMENT-SIGNATURE", payment.as_str())])] {
            let answer = world.get(target, &headers);
            assert_eq!(answer.status, status, "{target}");
            assert!(!String::from_utf8_lossy(&answer.head.raw).contains("forged"), "{target} {status}");
        }
    }
}

#[test]
fn a_paid_answer_is_for_nobody_elses_cache() {
    let world = start();
    world.upstream.says(Reply::status(
        200,
        "Cache-Control: public, max-age=60\r\nCache-Control: s-maxage=600\r\nCDN-Cache-Control: max-age=9\r\n\
         Surrogate-Control: max-age=9\r\nVary: Accept\r\n",
        "",
    ));
    let answer = world.pay("/paid", &world.payment("/paid"));
    assert_eq!(answer.head.all("cache-control"), ["max-age=60, private"]);
    assert!(answer.header("cdn-cache-control").is_none() && answer.header("surrogate-control").is_none());
    assert_eq!(
        answer.head.all("vary"),
        ["Accept", "PAYMENT-SIGNATURE, X-PAYMENT, X-API-KEY, Authorization, SIGN-IN-WITH-X"]
    );
    for headers in [vec![("If-None-Match", "\"x\"")], vec![("Range", "bytes=0-1")]] {
        let answer = world.get("/paid", &headers);
        assert_eq!((answer.status, answer.header("cache-control")), (402, Some("no-store")));
    }
}

/// A cache in front that keeps a failure keeps the next buyer from buying.
#[test]
fn a_failure_that_a_payer_is_told_is_for_nobody_elses_cache() {
    let world = start();
    for status in [404, 410, 500] {
        world.upstream.says(Reply::status(
            status,
            "Cache-Control: public, max-age=60\r\nX-Accel-Expires: 600\r\nSurrogate-Control: max-age=9\r\n",
            "",
        ));
        let answer = world.pay("/paid", &world.payment("/paid"));
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("max-age=60, private")));
        assert!(answer.header("x-accel-expires").is_none() && answer.header("surrogate-control").is_none());
        assert!(answer.header("payment-response").is_none(), "{status} is not charged");
        // What is free is kept as the upstream says.
        let answer = world.get("/free", &[]);
        assert_eq!(answer.head.all("cache-control"), ["public, max-age=60"]);
        assert_eq!(answer.head.all("surrogate-control"), ["max-age=9"]);
    }
    assert_eq!(world.facilitator.settled().len(), 0);
}

#[test]
fn a_refusal_differs_by_credentials_for_caches_that_keep_it_all_the_same() {
    let world = start();
    let answer = world.get("/paid", &[]);
    assert_eq!((answer.status, answer.header("cache-control")), (402, Some("no-store")));
    let vary = answer.header("vary").unwrap().to_lowercase();
    for name in ["payment-signature", "x-payment", "x-api-key", "authorization", "sign-in-with-x"] {
        assert!(vary.split(", ").any(|varies| varies == name), "{name} is not in {vary}");
    }
}

#[test]
fn our_keys_stay_here_and_other_peoples_pass() {
    let world = start();
    let key = world.buy("nano");
    let bearer = format!("Bearer {key}");
    for headers in [
        vec![("X-API-KEY", key.as_str())],
        vec![("Authorization", bearer.as_str())],
        vec![("X-API-KEY", key.as_str()), ("Authorization", bearer.as_str())],
        vec![("X-API-KEY", "foreign"), ("Authorization", bearer.as_str())],
        vec![("X-API-KEY", key.as_str()), ("Authorization", "Bearer foreign")],
    ] {
        for target in ["/free", "/paid", "/unlisted"] {
            assert_eq!(world.get(target, &headers).status, 200, "{target} {headers:?}");
            let heard = String::from_utf8_lossy(&world.upstream.last().head.raw).into_owned();
            assert!(!heard.contains(&key), "{target} {headers:?}: {heard}");
            let foreign = headers.iter().filter(|(_, value)| value.contains("foreign")).count();
            assert_eq!(heard.matches("foreign").count(), foreign, "{target} {headers:?}");
        }
    }
    let foreign = [("X-API-KEY", "foreign"), ("Authorization", "Basic Zm9yZWlnbg=="), ("Cookie", "a=b")];
    assert_eq!(world.get("/free", &foreign).status, 200);
    for (name, value) in foreign {
        assert_eq!(world.upstream.last().head.all(name), [value]);
    }
}

#[test]
fn two_different_keys_are_refused() {
    let world = start();
    let (one, other) = (world.buy("nano"), world.buy("nano"));
    assert_ne!(one, other);
    let bearer = format!("Bearer {other}");
    for headers in
        [[("X-API-KEY", one.as_str()), ("Authorization", &bearer)], [("X-API-KEY", &one), ("X-API-KEY", &one)]]
    {
        let answer = world.get("/paid", &headers);
        assert_eq!((answer.status, answer.reason().as_str()), (400, "ambiguous_credentials"), "{headers:?}");
    }
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn headers_without_number_or_end_are_refused() {
    let world = start();
    let mut wire = world.wire();
    let many: Vec<_> = (0..300).map(|number| format!("X-{number}: x\r\n")).collect();
    wire.send(format!("GET /free HTTP/1.1\r\nHost: api.example.com\r\n{}\r\n", many.concat()));
    assert_eq!(wire.try_answer().map_or(400, |answer| answer.status), 400);
    for bad in ["A : b", "A\0: b", " A: b", "A: b\r\n c", "A: \0", "no colon", ": empty"] {
        let mut wire = world.wire();
        wire.send(format!("GET /free HTTP/1.1\r\nHost: api.example.com\r\n{bad}\r\n\r\n"));
        assert_eq!(wire.try_answer().map_or(400, |answer| answer.status), 400, "{bad:?}");
        assert!(wire.is_closed(), "{bad:?}");
    }
    assert_eq!(world.upstream.hits(), 0);
    let mut wire = world.wire();
    wire.send(request("GET", "/free", &[("X-Long", &"x".repeat(30_000))], ""));
    assert_eq!(wire.answer().status, 200);
}
