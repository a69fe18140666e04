//! Connections to the upstream that rest between two requests: used again as long as they are good, and for nothing else.

use serde_json::json;

use crate::support::client::request;
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path = "/free"
free = true

[[routes]]
path  = "/keyed"
units = 1

[[plans]]
name     = "ten"
price    = "$1"
units    = 10
duration = "30d"
"#;

/// Long enough that only the upstream ends a connection.
fn start() -> World {
    Setup { upstream: "idle_timeout = \"60s\"", routes: ROUTES, ..Setup::default() }.start()
}

impl World {
    /// Over which connections the upstream was asked.
    fn asked_over(&self) -> Vec<usize> {
        self.upstream.heard().iter().map(|heard| heard.connection).collect()
    }
}

#[test]
fn one_connection_serves_request_after_request() {
    let world = start();
    let key = world.buy("ten");
    for (method, target, body) in [
        ("GET", "/free", ""),
        ("GET", "/keyed", ""),
        ("HEAD", "/free", ""),
        ("DELETE", "/keyed", ""),
        ("POST", "/keyed", "what to do"),
        ("GET", "/free", ""),
    ] {
        world.upstream.says(if method == "HEAD" {
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
        } else {
            Reply::ok("x")
        });
        let mut wire = world.wire();
        wire.send(request(method, target, &[("X-API-KEY", &key)], body));
        let answer = if method == "HEAD" { wire.answer_to_head() } else { wire.answer() };
        assert_eq!(answer.status, 200, "{method} {target}");
        world.until_idle();
    }
    assert_eq!(world.asked_over(), [0; 6]);
    assert_eq!(world.upstream.heard()[4].body, b"what to do");
}

#[test]
fn a_connection_that_the_upstream_has_ended_is_used_no_more() {
    let world = start();
    let key = world.buy("ten");
    // It says that it keeps the connection, and does not.
    world.upstream.says(Reply::ok("x").then_close());
    for _ in 0..3 {
        // What has units is never sent twice: it fails if it goes out on a connection that is dead.
        assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).status, 200);
        until_true("the connection's end", || world.upstream.connections() == 0);
        // The news has to arrive here, too.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(world.asked_over(), [0, 1, 2]);
}

#[test]
fn what_an_upstream_says_unasked_answers_nobody() {
    let world = start();
    let key = world.buy("ten");
    let said = Gate::default();
    let unasked = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfor somebody";
    let mut first = Some(Reply::ok("mine").then_pass(&said).then(unasked));
    world.upstream.answers(move |_| first.take().unwrap_or_else(|| Reply::ok("mine, too")));
    assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).text(), "mine");
    said.open();
    until_true("what nobody asked for", || world.upstream.sent() > unasked.len());
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).text(), "mine, too");
    assert_eq!(world.asked_over(), [0, 1]);
}

#[test]
fn an_answer_with_more_than_its_length_leaves_a_connection_that_nobody_uses() {
    let world = start();
    world.upstream.says(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nminefor somebody"));
    for _ in 0..2 {
        assert_eq!(world.get("/free", &[]).text(), "mine");
        world.until_idle();
    }
    assert_eq!(world.asked_over(), [0, 1]);
}

#[test]
fn a_connection_that_nobody_uses_is_ended_in_time() {
    let world = Setup { upstream: "idle_timeout = \"1s\"", routes: ROUTES, ..Setup::default() }.start();
    assert_eq!(world.get("/free", &[]).status, 200);
    until_true("the connection's end", || world.upstream.connections() == 0);
    assert_eq!(world.get("/free", &[]).status, 200);
    assert_eq!(world.asked_over(), [0, 1]);
}

#[test]
fn only_what_costs_nothing_is_asked_again_when_an_old_connection_dies() {
    let world = start();
    let key = world.buy("ten");
    let headers = [("X-API-KEY", key.as_str())];
    for (method, target, status, times) in
        [("GET", "/free", 200, 2), ("POST", "/free", 502, 1), ("GET", "/keyed", 502, 1), ("PATCH", "/keyed", 502, 1)]
    {
        world.upstream.says(Reply::ok("x"));
        assert_eq!(world.get("/free", &[]).status, 200);
        world.until_idle();
        let used = world.upstream.last().connection;
        world.upstream.forget();
        world.upstream.answers(move |heard| match heard.connection == used {
            true => Reply::default().then_close(),
            false => Reply::ok("x"),
        });
        let answer = world.ask(method, target, &headers, "");
        assert_eq!((answer.status, world.upstream.hits()), (status, times), "{method} {target}");
    }
    // An upstream that has failed has earned nothing.
    assert_eq!(world.get("/x402/status", &headers).json()["quota"]["used"], json!(0));
}

#[test]
fn a_new_connection_that_dies_is_no_reason_to_ask_again() {
    let world = start();
    world.upstream.says(Reply::default().then_close());
    assert_eq!(world.get("/free", &[]).status, 502);
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn a_body_goes_again_with_a_call_that_is_asked_again() {
    let world = start();
    assert_eq!(world.get("/free", &[]).status, 200);
    world.until_idle();
    world.upstream.answers(|heard| if heard.connection == 0 { Reply::reset() } else { Reply::ok("put") });
    let body = "p".repeat(60_000);
    let answer = world.ask("PUT", "/free", &[], &body);
    assert_eq!((answer.status, answer.text().as_str()), (200, "put"));
    let bodies: Vec<_> = world.upstream.heard().into_iter().skip(1).map(|heard| heard.body).collect();
    assert_eq!(bodies, [body.as_bytes(), body.as_bytes()]);
}

#[test]
fn an_upstream_is_asked_nothing_before_a_small_body_is_here() {
    let world = start();
    let whole = request("POST", "/free", &[], "do it");
    let mut wire = world.wire();
    wire.send(&whole[..whole.len() - 2]);
    until_true("the request", || world.gateway.metric("gateway_requests_in_flight") == 1);
    assert!(wire.is_silent_for(std::time::Duration::from_millis(100)));
    assert_eq!((world.upstream.hits(), world.upstream.connections()), (0, 0));
    wire.send(&whole[whole.len() - 2..]);
    assert_eq!(wire.answer().status, 200);
    assert_eq!(world.upstream.last().body, b"do it");
}

#[test]
fn an_upstream_is_let_go_when_its_client_leaves() {
    let world = start();
    let gate = Gate::default();
    world.upstream.says(Reply::ok("").behind(&gate));
    let mut wire = world.wire();
    wire.send(request("GET", "/free", &[], ""));
    until_true("the upstream's call", || world.upstream.hits() == 1);
    drop(wire);
    world.until_idle();
    gate.open();
    until_true("the connection's end", || world.upstream.connections() == 0);
}

#[test]
fn what_a_client_says_of_its_connection_ends_here() {
    let world = start();
    let headers = [
        ("Connection", "keep-alive, X-Mine, x-other"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eA=="),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("X-Mine", "1"),
        ("X-OTHER", "2"),
        ("X-Kept", "3"),
        ("Accept", "a/b"),
        ("Accept", "c/d"),
    ];
    assert_eq!(world.get("/free", &headers).status, 200);
    let head = world.upstream.last().head;
    let gone =
        ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "x-mine", "x-other"];
    gone.iter().for_each(|name| assert!(!head.has(name), "{name}"));
    assert_eq!((head.get("x-kept"), head.all("accept")), (Some("3"), vec!["a/b", "c/d"]));
}

#[test]
fn many_at_once_get_their_own_answers() {
    let world = start();
    world.upstream.answers(|heard| Reply::ok(heard.target()));
    std::thread::scope(|scope| {
        for client in 0..16 {
            let world = &world;
            scope.spawn(move || {
                let mut wire = world.wire();
                for call in 0..50 {
                    let target = format!("/free?{client}.{call}");
                    assert_eq!(wire.get(&target, &[]).text(), target);
                }
            });
        }
    });
    assert!(world.upstream.connections() <= 16);
}
