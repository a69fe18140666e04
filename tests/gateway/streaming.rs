//! Bodies that come bit by bit, bodies that are large, and connections that become something else.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::client::{Wire, request};
use crate::support::facilitator::good;
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_still, until_true};
use crate::support::world::World;

const MEGABYTE: usize = 1024 * 1024;
const LARGE: usize = 48 * MEGABYTE;
/// What a gateway may grow by, whatever passes through it. The system gives memory in pieces of two megabytes, to
/// each thread its own: ten or so are usual.
const GROWTH_MAX: usize = 20 * MEGABYTE;

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn websocket(target: &str, payment: &str) -> String {
    let payment = if payment.is_empty() { String::new() } else { format!("PAYMENT-SIGNATURE: {payment}\r\n") };
    format!("GET {target} HTTP/1.1\r\nHost: api.example.com\r\n{HANDSHAKE}{payment}\r\n")
}

fn assert_echo(wire: &mut Wire) {
    for text in ["one frame", "and another"] {
        wire.send(text);
        assert_eq!(wire.until(text), text);
    }
}

#[test]
fn events_arrive_one_by_one() {
    let world = World::start();
    for target in ["/free", "/paid", "/upfront"] {
        let gates = [Gate::default(), Gate::default()];
        let event = |number| format!("d\r\nid: {number}\ndata: x\r\n");
        let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.upstream.says(
            Reply::raw(stream)
                .then(event(1))
                .then_pass(&gates[0])
                .then(event(2))
                .then_pass(&gates[1])
                .then(event(3))
                .then("0\r\n\r\n"),
        );
        let mut wire = match target {
            "/free" => world.wire(),
            target => world.send_paid(target, &world.payment(target)),
        };
        if target == "/free" {
            wire.send(request("GET", target, &[], ""));
        }
        wire.until("id: 1\ndata: x");
        gates[0].open();
        wire.until("id: 2\ndata: x");
        gates[1].open();
        wire.until("id: 3\ndata: x");
        wire.until("0\r\n\r\n");
        assert_eq!(wire.get("/free?pricing", &[]).status, 200, "{target}");
    }
    until_true("the deliveries", || world.states() == ["delivered", "delivered"]);
}

#[test]
fn a_stream_that_the_buyer_leaves_is_settled_and_the_upstream_is_let_go() {
    let world = World::start();
    let more = Gate::default();
    world.upstream.says(
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .then_pass(&more)
            .then("3\r\ntwo\r\n"),
    );
    let mut wire = world.send_paid("/paid", &world.payment("/paid"));
    wire.until("one");
    drop(wire);
    until_true("the request's end", || world.gateway.metric("gateway_requests_in_flight") == 0);
    more.open();
    until_true("the upstream's release", || world.upstream.connections() == 0);
    assert_eq!(world.facilitator.settled().len(), 1);
    // What was paid for did not arrive in whole, so it may be fetched again.
    assert_eq!(world.states(), ["settled"]);
}

#[test]
fn a_large_answer_passes_through_little_memory() {
    let world = World::start();
    let part = vec![b'x'; MEGABYTE];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.upstream.says(Reply::raw(head).then_repeat(&part, LARGE / MEGABYTE));
    for paid in [false, true] {
        let mut wire = if paid { world.send_paid("/paid", &world.payment("/paid")) } else { world.wire() };
        if !paid {
            wire.send(request("GET", "/free", &[], ""));
        }
        let before = world.gateway.resident();
        until_still("the stream", || world.upstream.sent());
        let growth = world.gateway.resident().saturating_sub(before);

        assert!(growth < GROWTH_MAX, "{growth}");
        let answer = wire.answer();
        assert_eq!((answer.body.len(), answer.whole), (LARGE, true));
        let growth = world.gateway.resident().saturating_sub(before);

        assert!(growth < GROWTH_MAX, "{growth}");
    }
}

#[test]
fn a_large_answer_waits_for_its_settlement_in_little_memory() {
    let world = World::start();
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| good(heard).behind(&gate));
    let part = vec![b'x'; MEGABYTE];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.upstream.says(Reply::raw(head).then_repeat(&part, LARGE / MEGABYTE));
    let before = world.gateway.resident();
    let mut wire = world.send_paid("/paid", &world.payment("/paid"));
    until_still("the stream", || world.upstream.sent());
    let growth = world.gateway.resident().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    assert!(wire.is_silent_for(Duration::from_millis(100)));
    settled.open();
    assert_eq!(wire.answer().body.len(), LARGE);
}

#[test]
fn a_large_upload_passes_through_little_memory() {
    let world = World::start();
    for paid in [false, true] {
        let reading = Gate::default();
        world.upstream.holds_bodies(&reading);
        let payment = if paid { format!("PAYMENT-SIGNATURE: {}\r\n", world.payment("/paid")) } else { String::new() };
        let target = if paid { "/paid" } else { "/free" };
        let before = world.gateway.resident();
        let mut wire = world.wire();
        wire.send(format!("POST {target} HTTP/1.1\r\nHost: a.example\r\n{payment}Content-Length: {LARGE}\r\n\r\n"));
        let mut writer = wire.writer();
        let sent = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&sent);
        let sending = std::thread::spawn(move || {
            while counting.load(Ordering::SeqCst) < LARGE && writer.write_all(&[b'y'; 4096]).is_ok() {
                counting.fetch_add(4096, Ordering::SeqCst);
            }
        });
        let hits = usize::from(paid) + 1;
        until_true("the upstream's call", || world.upstream.hits() == hits);
        // Nobody reads: what is on its way waits in sockets, not in the gateway.
        until_still("the upload", || sent.load(Ordering::SeqCst));
        assert!(sent.load(Ordering::SeqCst) < LARGE, "{LARGE} bytes went where nobody reads");
        let growth = world.gateway.resident().saturating_sub(before);

        assert!(growth < GROWTH_MAX, "{growth}");
        reading.open();
        assert_eq!(wire.answer().status, 200);
        sending.join().unwrap();
        let heard = world.upstream.last();
        assert!(heard.whole && heard.body.len() == LARGE && heard.body.iter().all(|&byte| byte == b'y'));
    }
}

#[test]
fn a_websocket_is_paid_before_it_opens() {
    let world = World::start();
    world.upstream.says(Reply::raw(SWITCHED).then_echo());
    for target in ["/paid", "/upfront"] {
        let mut wire = world.wire();
        wire.send(websocket(target, ""));
        let challenge = wire.answer();
        assert_eq!((challenge.status, world.upstream.hits()), (402, 0), "{target}");

        let mut wire = world.wire();
        wire.send(websocket(target, &world.sign(&challenge)));
        let answer = wire.answer();
        assert_eq!(answer.status, 101, "{target}");
        assert_eq!(answer.decoded("payment-response")["success"], json!(true), "{target}");
        assert_echo(&mut wire);
        let order = if target == "/paid" { vec!["verify", "upstream", "settle"] } else { vec!["settle", "upstream"] };
        assert_eq!(world.journal.take(), order);
        world.upstream.forget();
    }
}

#[test]
fn a_free_websocket_opens_at_once() {
    let world = World::start();
    world.upstream.says(Reply::raw(SWITCHED).then_echo());
    let mut wire = world.wire();
    wire.send(websocket("/free", ""));
    assert_eq!(wire.answer().status, 101);
    assert_echo(&mut wire);
    drop(wire);
    until_true("the upstream's release", || world.upstream.connections() == 0);
}

#[test]
fn an_upstream_may_agree_to_a_websocket_at_once() {
    let world = World::start();
    world.upstream.greets(SWITCHED);
    world.upstream.says(Reply::default().then_echo());
    // Often, since what is read first when both are here is up to chance.
    for target in ["/free", "/paid"].repeat(10) {
        let payment = if target == "/paid" { world.payment(target) } else { String::new() };
        let mut wire = world.wire();
        wire.send(websocket(target, &payment));
        assert_eq!(wire.answer().status, 101, "{target}");
        assert_echo(&mut wire);
    }
}

#[test]
fn the_last_words_of_an_upstream_are_heard_by_who_still_speaks() {
    let world = World::start();
    let block = [b'x'; 16 * 1024];
    for _ in 0..10 {
        let gate = Gate::default();
        world.upstream.says(Reply::raw(SWITCHED).then_pass(&gate).then("LAST WORDS").then_close());
        let mut wire = world.wire();
        wire.send(websocket("/free", ""));
        assert_eq!(wire.answer().status, 101);
        let mut writer = wire.writer();
        let speaking = std::thread::spawn(move || {
            for number in 0.. {
                if writer.write_all(&block).is_err() {
                    return;
                }
                if number == 8 {
                    gate.open();
                }
            }
        });
        wire.until("LAST WORDS");
        drop(wire);
        speaking.join().unwrap();
    }
}

#[test]
fn a_websocket_whose_settlement_is_refused_does_not_open() {
    let world = World::start();
    world.upstream.says(Reply::raw(SWITCHED).then("SECRET").then_echo());
    let refusal = json!({ "success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "" });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    let payment = world.payment("/paid");
    let mut wire = world.wire();
    wire.send(websocket("/paid", &payment) + "frame");
    let answer = wire.answer();
    assert_eq!((answer.status, answer.reason().as_str()), (402, "insufficient_funds"));
    assert!(!format!("{answer:?}").contains("SECRET"));
    assert!(wire.is_closed());
}

#[test]
fn what_hides_behind_an_upgrade_that_fails_is_no_request() {
    let world = World::start();
    for upgrade in [
        websocket("/free", ""),
        websocket("/free", "").replace("websocket", "foo"),
        websocket("/free", "").replace("websocket", "h2c"),
    ] {
        world.upstream.forget();
        let mut wire = world.wire();
        wire.send(upgrade + &request("GET", "/paid?smuggled", &[], ""));
        assert_eq!(wire.answer().status, 200);
        if let Some(second) = wire.try_answer() {
            assert_eq!(second.status, 402);
        }
        let targets: Vec<_> = world.upstream.heard().iter().map(|heard| heard.target().to_owned()).collect();
        assert_eq!(targets, ["/free"]);
    }
}
