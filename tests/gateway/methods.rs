//! What each method costs, and which never go anywhere.

use crate::support::client::request;
use crate::support::server::Reply;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path    = "/read"
methods = ["GET"]
price   = "$0.01"

[[routes]]
path = "/free"
free = true
"#;

fn start(unlisted: &str) -> World {
    let server = format!("unlisted = \"{unlisted}\"");
    Setup { server: &server, routes: ROUTES, ..Setup::default() }.start()
}

#[test]
fn every_method_of_a_priced_path_is_priced() {
    let world = start("deny");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "M-SEARCH", "GETTER"] {
        let answer = world.ask(method, "/paid", &[], "");
        assert_eq!(answer.status, 402, "{method}");
        assert!(answer.header("payment-required").is_some(), "{method}");
        assert_eq!(world.upstream.hits(), 0, "{method}");
        assert_eq!(world.ask(method, "/free", &[], "").status, 200, "{method}");
        assert_eq!(world.upstream.last().method(), method);
        world.upstream.forget();
    }
}

#[test]
fn methods_that_show_or_tunnel_are_refused_everywhere() {
    let world = start("free");
    for method in ["TRACE", "CONNECT", "get", "Get", "gET", "post", "trace", "G3T", "GET!"] {
        for target in ["/paid", "/free", "/unlisted"] {
            let mut wire = world.wire();
            wire.send(request(method, target, &[], ""));
            let status = wire.try_answer().map_or(0, |answer| answer.status);
            assert!([0, 400, 405].contains(&status), "{method} {target}: {status}");
        }
    }
    let mut wire = world.wire();
    wire.send("CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n");
    assert_eq!(wire.answer().status, 405);
    let mut wire = world.wire();
    wire.send("OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    assert_eq!(wire.answer().status, 400);
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn a_head_costs_what_its_get_costs_and_has_no_body() {
    let world = start("deny");
    for target in ["/paid", "/read"] {
        let mut wire = world.wire();
        wire.send(request("HEAD", target, &[], ""));
        let answer = wire.answer_to_head();
        assert_eq!(answer.status, 402, "{target}");
        assert!(answer.header("payment-required").is_some(), "{target}");
        // The length is that of the GET; not a byte of it follows, or this would not be an answer.
        assert!(answer.header("content-length").unwrap().parse::<usize>().unwrap() > 100);
        wire.send(request("GET", "/free", &[], ""));
        assert_eq!(wire.answer().status, 200, "{target}");
        assert_eq!(world.upstream.hits(), 1);
        world.upstream.forget();
    }
    world.upstream.says(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"));
    let payment = world.payment("/read");
    let mut wire = world.wire();
    wire.send(request("HEAD", "/read", &[("PAYMENT-SIGNATURE", &payment)], ""));
    let answer = wire.answer_to_head();
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("1000")));
    assert!(answer.header("payment-response").is_some());
    assert_eq!(world.upstream.last().method(), "HEAD");
}

#[test]
fn a_price_for_one_method_leaves_the_others_unlisted() {
    for (unlisted, status) in [("deny", 404), ("free", 200)] {
        let world = start(unlisted);
        assert_eq!(world.ask("GET", "/read", &[], "").status, 402);
        assert_eq!(world.ask("POST", "/read", &[], "").status, status, "{unlisted}");
    }
}

#[test]
fn a_get_with_a_body_is_priced_and_its_body_arrives() {
    let world = start("deny");
    assert_eq!(world.ask("GET", "/paid", &[], "with a body").status, 402);
    let payment = world.payment("/paid");
    let answer = world.ask("GET", "/paid", &[("PAYMENT-SIGNATURE", &payment)], "with a body");
    assert_eq!((answer.status, world.upstream.last().body.as_slice()), (200, b"with a body".as_slice()));
}

#[test]
fn what_would_change_the_method_or_the_path_behind_the_gateway_is_taken_out() {
    let world = start("deny");
    let tricks = [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Original-URL", "/paid"),
        ("X-Rewrite-URL", "/paid"),
        ("Script-Name", "/free"),
        ("X-Script-Name", "/free"),
        ("Path-Info", "/paid"),
        ("X-Sendfile-Type", "X-Accel-Redirect"),
        ("X-Accel-Mapping", "/free=/paid"),
    ];
    assert_eq!(world.get("/free", &tricks).status, 200);
    let payment = world.payment("/paid");
    assert_eq!(world.get("/paid", &[tricks.as_slice(), &[("PAYMENT-SIGNATURE", &payment)]].concat()).status, 200);
    for heard in world.upstream.heard() {
        for (name, _) in tricks {
            assert!(!heard.head.has(name), "{} {name}", heard.target());
        }
    }
    assert_eq!(world.upstream.hits(), 2);
}

#[test]
fn a_browsers_preflight_of_a_priced_path_is_answered_here_and_free() {
    let world = start("deny");
    let wanted = "payment-signature, content-type, x-of-this-api";
    let headers = [
        ("Origin", "https://shop.example.com"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", wanted),
    ];
    for target in ["/paid", "/x402/purchase", "/x402/pricing"] {
        let mut wire = world.wire();
        wire.send(request("OPTIONS", target, &headers, ""));
        let answer = wire.answer();
        assert_eq!(answer.status, 204, "{target}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{target}");
        let methods = answer.header("access-control-allow-methods").unwrap().to_owned();
        assert!(["GET", "POST", "PUT", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
        let allowed = answer.header("access-control-allow-headers").unwrap().to_lowercase();
        let listed: Vec<_> = allowed.split(',').map(str::trim).collect();
        for name in wanted.split(", ").chain(["x-payment", "x-api-key", "authorization"]) {
            assert!(listed.contains(&name), "{target}: {name} is not in {allowed}");
        }
        assert!(answer.header("access-control-max-age").is_some(), "{target}");
        assert_eq!(wire.get("/free", &[]).status, 200, "the connection is kept");
        assert_eq!(world.upstream.hits(), 1);
        world.upstream.forget();
    }
}

#[test]
fn a_preflight_that_is_none_is_priced() {
    let world = start("deny");
    for headers in
        [vec![], vec![("Origin", "https://shop.example.com")], vec![("Access-Control-Request-Method", "POST")]]
    {
        assert_eq!(world.ask("OPTIONS", "/paid", &headers, "").status, 402, "{headers:?}");
    }
    let headers = [("Origin", "https://shop.example.com"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(world.ask("GET", "/paid", &headers, "").status, 402);
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn a_preflight_of_a_free_path_is_the_upstreams_to_answer() {
    let world = start("free");
    world.upstream.says(Reply::status(204, "Access-Control-Allow-Origin: https://shop.example.com\r\n", ""));
    let headers = [("Origin", "https://shop.example.com"), ("Access-Control-Request-Method", "POST")];
    for target in ["/free", "/unlisted"] {
        let answer = world.ask("OPTIONS", target, &headers, "");
        assert_eq!(answer.status, 204, "{target}");
        assert_eq!(answer.head.all("access-control-allow-origin"), ["https://shop.example.com"], "{target}");
    }
    assert_eq!(world.upstream.hits(), 2);
}

#[test]
fn a_browser_may_read_a_challenge_and_a_paid_answer_from_another_origin() {
    let world = start("deny");
    let origin = ("Origin", "https://shop.example.com");
    let challenge = world.get("/paid", &[origin]);
    assert_eq!(challenge.status, 402);
    assert_eq!(challenge.header("access-control-allow-origin"), Some("*"));
    assert!(challenge.header("access-control-expose-headers").unwrap().contains("PAYMENT-REQUIRED"));

    let payment = world.sign(&challenge);
    let answer = world.get("/paid", &[origin, ("PAYMENT-SIGNATURE", &payment)]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("PAYMENT-RESPONSE"));

    // Where the upstream has its own word on origins, it stands.
    world.upstream.says(Reply::status(200, "Access-Control-Allow-Origin: https://shop.example.com\r\n", ""));
    let answer = world.get("/paid", &[origin, ("PAYMENT-SIGNATURE", &world.payment("/paid"))]);
    assert_eq!(answer.head.all("access-control-allow-origin"), ["https://shop.example.com"]);
}
