//! The order in which a call is verified, served and settled, and that nothing leaves before it is settled.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Wire, request};
use crate::support::facilitator::{NETWORK, good};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::World;

/// Long enough for a byte that may not leave to show itself.
const SILENCE: Duration = Duration::from_millis(300);

#[test]
fn a_call_is_verified_then_served_then_settled() {
    let world = World::start();
    let answer = world.pay("/paid", &world.payment("/paid"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "from upstream"));
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);

    let receipt = answer.decoded("payment-response");
    let buyer = world.wallet.address();
    assert_eq!((&receipt["success"], &receipt["network"]), (&json!(true), &json!(NETWORK)));
    assert_eq!(receipt["payer"], json!(buyer));
    assert_eq!(answer.header("x-payment-response"), answer.header("payment-response"));
    assert!(answer.header("cache-control").unwrap().contains("private"));
    until_true("the delivery", || world.states() == ["delivered"]);
    assert_eq!(world.gateway.metric("gateway_payments_total{outcome=\"settled\"}"), 1);
}

#[test]
fn the_facilitator_is_told_our_terms_and_not_the_quote() {
    let world = World::start();
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
    let (verified, settled) = (world.facilitator.verified(), world.facilitator.settled());
    assert_eq!((verified.len(), settled.len()), (1, 1));
    assert_eq!(verified[0].body, settled[0].body);
    let asked = settled[0].json();
    assert_eq!(asked["paymentRequirements"]["amount"], "10000");
    assert_eq!(asked["paymentRequirements"], asked["paymentPayload"]["accepted"]);
    assert!(!String::from_utf8_lossy(&settled[0].body).contains("quote"));
}

#[test]
fn the_upstream_is_told_who_paid_and_not_with_what() {
    let world = World::start();
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 200);
    let heard = world.upstream.last();
    assert_eq!(heard.head.all("x-tollgate-payer"), [world.wallet.address()]);
    assert!(heard.head.get("x-tollgate-payment-id").unwrap().starts_with("pay_"));
    assert!(!String::from_utf8_lossy(&heard.head.raw).contains(&payment));
}

#[test]
fn nothing_of_an_answer_leaves_before_it_is_settled() {
    let world = World::start();
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| good(heard).behind(&gate));

    let mut wire = world.send_paid("/paid", &world.payment("/paid"));
    until_true("the settlement", || world.journal.all().contains(&"settle".to_owned()));
    assert!(wire.is_silent_for(SILENCE));

    settled.open();
    assert_eq!(wire.answer().text(), "from upstream");
    // The connection is as good as before.
    assert_eq!(wire.get("/free", &[]).status, 200);
}

#[test]
fn early_hints_of_a_paid_answer_do_not_leave() {
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </secret.css>; rel=preload\r\n\r\n";
    let world = World::start();
    let hinted = Gate::default();
    world.upstream.says(Reply::raw(HINTS).then_pass(&hinted).then("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"));

    let mut wire = world.send_paid("/paid", &world.payment("/paid"));
    until_true("the hints", || world.upstream.sent() > 0);
    assert!(wire.is_silent_for(SILENCE));
    assert_eq!(world.journal.all(), ["verify", "upstream"]);
    hinted.open();
    let answer = wire.answer();
    assert_eq!((answer.status, answer.interim.as_slice()), (200, [].as_slice()));
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);

    let free = world.get("/free", &[]);
    assert_eq!((free.status, free.interim.as_slice()), (200, [103].as_slice()));
}

#[test]
fn a_route_that_settles_first_asks_the_upstream_afterwards() {
    let world = World::start();
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| good(heard).behind(&gate));
    let mut wire = world.send_paid("/upfront", &world.payment("/upfront"));
    until_true("the settlement", || world.journal.all() == ["settle"]);
    assert!(wire.is_silent_for(SILENCE));
    assert_eq!(world.upstream.hits(), 0);
    settled.open();
    let answer = wire.answer();
    assert_eq!((answer.status, &answer.decoded("payment-response")["success"]), (200, &json!(true)));
    assert_eq!(world.journal.all(), ["settle", "upstream"]);
}

#[test]
fn the_failure_of_an_upstream_that_was_paid_first_passes_with_the_receipt() {
    let world = World::start();
    world.upstream.says(Reply::status(500, "", "sorry"));
    let payment = world.payment("/upfront");
    let answer = world.pay("/upfront", &payment);
    assert_eq!((answer.status, answer.text().as_str()), (500, "sorry"));
    assert_eq!(answer.decoded("payment-response")["success"], json!(true));

    world.upstream.says(Reply::reset());
    let answer = world.pay("/upfront", &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unavailable"));
    assert_eq!(answer.decoded("payment-response")["success"], json!(true));

    // What was paid for was never given, so the same payment gets it, and is not charged again.
    world.upstream.says(Reply::ok("at last"));
    assert_eq!(world.pay("/upfront", &payment).text(), "at last");
    until_true("the delivery", || world.states() == ["delivered"]);
    world.upstream.says(Reply::ok("not asked"));
    assert_eq!(world.pay("/upfront", &payment).text(), "at last");
    assert_eq!(world.facilitator.settled().len(), 1);
}

#[test]
fn of_twenty_copies_of_a_payment_one_is_served_and_settled() {
    let world = World::start();
    let payment = world.payment("/paid");
    let mut wires: Vec<_> = (0..20).map(|_| world.wire()).collect();
    let text = request("GET", "/paid", &[("PAYMENT-SIGNATURE", &payment)], "");
    std::thread::scope(|scope| wires.iter_mut().for_each(|wire| drop(scope.spawn(|| wire.send(&text)))));
    let answers: Vec<_> = wires.iter_mut().map(Wire::answer).collect();
    // Those that come when the first one is over get its answer again.
    let (again, first): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.header("idempotent-replayed").is_some());
    assert!(again.iter().all(|answer| answer.status == 200));
    assert_eq!(first.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(first.iter().all(|answer| [200, 409].contains(&answer.status)));
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
}

#[test]
fn a_payment_buys_one_thing_only() {
    let world = World::start();
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 200);
    for (target, status) in [("/paid", 200), ("/paid?other", 409), ("/upfront", 402)] {
        assert_eq!(world.pay(target, &payment).status, status, "{target}");
    }
    assert_eq!(world.ask("POST", "/paid", &[("PAYMENT-SIGNATURE", &payment)], "").status, 409);
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
}

#[test]
fn a_buyer_who_leaves_during_the_settlement_is_settled_once_and_served_on_return() {
    let world = World::start();
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| good(heard).behind(&gate));
    let payment = world.payment("/paid");
    let wire = world.send_paid("/paid", &payment);
    until_true("the settlement", || world.journal.all().contains(&"settle".to_owned()));
    drop(wire);
    settled.open();
    until_true("the booking", || world.states().iter().all(|state| state == "settled" || state == "delivered"));
    until_true("the request's end", || world.gateway.metric("gateway_requests_in_flight") == 0);
    assert_eq!(world.pay("/paid", &payment).text(), "from upstream");
    assert_eq!(world.facilitator.settled().len(), 1);
}

#[test]
fn a_buyer_who_leaves_before_the_answer_is_not_charged() {
    let world = World::start();
    let answered = Gate::default();
    world.upstream.says(Reply::ok("too late").behind(&answered));
    let payment = world.payment("/paid");
    let wire = world.send_paid("/paid", &payment);
    until_true("the upstream's call", || world.upstream.hits() == 1);
    drop(wire);
    until_true("the request's end", || world.gateway.metric("gateway_requests_in_flight") == 0);
    answered.open();
    world.upstream.says(Reply::ok("again"));
    assert_eq!(world.pay("/paid", &payment).text(), "again");
    assert_eq!(world.journal.all(), ["verify", "upstream", "verify", "upstream", "settle"]);
}

#[test]
fn a_power_cut_during_the_settlement_does_not_charge_twice() {
    let mut world = World::start();
    let never = Gate::default();
    let gate = never.clone();
    world.facilitator.settles(move |_| Reply::silence(&gate));
    let payment = world.payment("/paid");
    let wire = world.send_paid("/paid", &payment);
    until_true("the settlement", || world.journal.all().contains(&"settle".to_owned()));
    assert_eq!(world.states(), ["settling"]);
    world.facilitator.heals();
    world.gateway.crash_and_restart();
    drop(wire);
    // The reconciler asks as soon as the gateway is there again.
    until_true("the reconciler", || world.states() == ["settled"]);
    let answer = world.pay("/paid", &payment);
    assert_eq!((answer.status, &answer.decoded("payment-response")["success"]), (200, &json!(true)));
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle", "settle", "upstream"]);
    let asked = world.facilitator.settled();
    assert_eq!(asked[0].body, asked[1].body);
    until_true("the delivery", || world.states() == ["delivered"]);
    never.open();
}
