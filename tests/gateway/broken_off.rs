//! Paid answers that break off on their way: the buyer gets them once more, and not as often as they like.

use std::time::Duration;

use serde_json::json;
use socket2::SockRef;

use crate::support::client::Wire;
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::World;

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// An answer that is never there in whole, so that nothing is kept of it.
fn endless(gate: &Gate) -> Reply {
    Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").then_pass(gate)
}

/// Sends a payment, hears the beginning of what it buys, and leaves.
fn hear_and_leave(world: &World, target: &str, payment: &str) {
    let mut wire = world.send_paid(target, payment);
    wire.until("one");
    drop(wire);
    world.until_idle();
}

#[test]
fn a_buyer_who_leaves_again_and_again_is_served_twice() {
    let world = World::start();
    let gate = Gate::default();
    world.upstream.says(endless(&gate));
    let payment = world.payment("/paid");
    hear_and_leave(&world, "/paid", &payment);
    assert_eq!(world.states(), ["settled"]);
    hear_and_leave(&world, "/paid", &payment);
    for _ in 0..2 {
        let answer = world.pay("/paid", &payment);
        assert_eq!((answer.status, answer.reason().as_str()), (409, "payment_already_used"));
        assert!(answer.text().contains("its answer is not known to have arrived"), "{}", answer.text());
        assert_eq!(answer.decoded("payment-response")["success"], json!(true));
    }
    // The books do not say that the buyer has it.
    assert_eq!((world.states(), world.upstream.hits()), (vec!["settled".to_owned()], 2));
    assert_eq!(world.facilitator.settled().len(), 1);
    gate.open();
}

/// Whenever it is settled, and also if the gateway was stopped in between.
#[test]
fn a_new_start_has_not_forgotten_what_broke_off() {
    for target in ["/paid", "/upfront"] {
        let mut world = World::start();
        let gate = Gate::default();
        world.upstream.says(endless(&gate));
        let payment = world.payment(target);
        hear_and_leave(&world, target, &payment);
        world.gateway.signal("TERM");
        world.gateway.start_again();
        hear_and_leave(&world, target, &payment);
        assert_eq!(world.pay(target, &payment).status, 409, "{target}");
        assert_eq!(world.upstream.hits(), 2, "{target}");
        gate.open();
    }
}

/// Who waits for the one that is at work hears of what became of it.
#[test]
fn several_repeats_at_once_share_the_one_that_is_left() {
    let world = World::start();
    let gate = Gate::default();
    world.upstream.says(endless(&gate));
    let payment = world.payment("/paid");
    hear_and_leave(&world, "/paid", &payment);
    let mut second = world.send_paid("/paid", &payment);
    second.until("one");
    let waiting: Vec<Wire> = (0..3).map(|_| world.send_paid("/paid", &payment)).collect();
    until_true("all requests", || world.gateway.metric("gateway_requests_in_flight") == 4);
    drop(second);
    for mut wire in waiting {
        assert_eq!(wire.answer().status, 409);
    }
    assert_eq!(world.upstream.hits(), 2);
    gate.open();
}

#[test]
fn a_buyer_whose_answer_broke_off_once_gets_it_in_whole() {
    let world = World::start();
    let gate = Gate::default();
    world.upstream.says(endless(&gate));
    let payment = world.payment("/paid");
    hear_and_leave(&world, "/paid", &payment);
    // What is no answer is not the one that may be fetched.
    for _ in 0..3 {
        world.upstream.says(Reply::status(500, "", "not now"));
        assert_eq!(world.pay("/paid", &payment).status, 500);
    }
    world.upstream.says(Reply::ok("the whole"));
    assert_eq!(world.pay("/paid", &payment).text(), "the whole");
    until_true("the delivery", || world.states() == ["delivered"]);
    gate.open();
}

#[test]
fn an_upstream_that_breaks_off_twice_is_asked_no_more_and_owes() {
    let world = World::start();
    world.upstream.says(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").then_close());
    let payment = world.payment("/paid");
    for _ in 0..2 {
        let answer = world.pay("/paid", &payment);
        assert_eq!((answer.status, answer.whole), (200, false));
    }
    assert_eq!(world.pay("/paid", &payment).status, 409);
    assert_eq!((world.states(), world.upstream.hits()), (vec!["settled".to_owned()], 2));
}

/// What cannot be made again is owed as before.
#[test]
fn a_call_that_is_not_safe_stays_owed() {
    let world = World::start();
    let gate = Gate::default();
    world.upstream.says(endless(&gate));
    let payment = world.payment("/paid");
    let headers = [("PAYMENT-SIGNATURE", payment.as_str())];
    let mut wire = world.wire();
    wire.send(crate::support::client::request("POST", "/paid", &headers, "do it"));
    wire.until("one");
    drop(wire);
    world.until_idle();
    assert_eq!(world.ask("POST", "/paid", &headers, "do it").status, 409);
    assert_eq!((world.states(), world.upstream.hits()), (vec!["settled".to_owned()], 1));
    gate.open();
}

fn open_socket(world: &World, payment: &str) -> Wire {
    let mut wire = world.wire();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    wire.send(format!("GET /paid HTTP/1.1\r\nHost: a\r\n{upgrade}PAYMENT-SIGNATURE: {payment}\r\n\r\n"));
    wire
}

/// Leaves as a client that has crashed.
fn reset(wire: Wire) {
    SockRef::from(&wire.writer()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(wire);
}

/// There is no end by which a client could be told to have all of it.
#[test]
fn a_websocket_that_has_spoken_is_delivered_however_it_ends() {
    let world = World::start();
    let gate = Gate::default();
    world.upstream.says(Reply::raw(SWITCHED).then("frame").then_pass(&gate));
    let payment = world.payment("/paid");
    let mut wire = open_socket(&world, &payment);
    assert_eq!(wire.answer_to_head().status, 101);
    wire.until("frame");
    reset(wire);
    world.until_idle();
    until_true("the delivery", || world.states() == ["delivered"]);
    assert_eq!(open_socket(&world, &payment).answer().status, 409);
    assert_eq!(world.upstream.hits(), 1);
    gate.open();
}

#[test]
fn a_websocket_that_breaks_before_it_has_spoken_opens_once_more() {
    let world = World::start();
    let gate = Gate::default();
    world.upstream.says(Reply::raw(SWITCHED).then_pass(&gate));
    let payment = world.payment("/paid");
    for _ in 0..2 {
        let mut wire = open_socket(&world, &payment);
        assert_eq!(wire.answer_to_head().status, 101);
        reset(wire);
        world.until_idle();
    }
    assert_eq!(open_socket(&world, &payment).answer().status, 409);
    assert_eq!((world.states(), world.upstream.hits()), (vec!["settled".to_owned()], 2));
    gate.open();
}
