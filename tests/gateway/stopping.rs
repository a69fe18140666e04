//! The gateway is told to stop: what is running ends well, what is new is turned away.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::{Wire, request};
use crate::support::facilitator::good;
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

/// A stop that waits for nothing takes a fraction of this.
const PROMPT: Duration = Duration::from_secs(3);

fn stopping(world: &World) -> bool {
    Wire::to(world.gateway.admin).get("/readyz", &[]).status == 503
}

#[test]
fn a_paid_call_under_way_is_finished_and_settled() {
    let mut world = World::start();
    let answered = Gate::default();
    world.upstream.says(Reply::ok("finished").behind(&answered));
    let payment = world.payment("/paid");
    let mut kept = world.wire();
    assert_eq!(kept.get("/paid", &[]).status, 402);
    let mut wire = world.send_paid("/paid", &payment);
    until_true("the upstream's call", || world.upstream.hits() == 1);

    world.gateway.signal("TERM");
    until_true("the stop", || stopping(&world));
    assert_eq!(Wire::to(world.gateway.admin).get("/healthz", &[]).status, 200);
    for new in [kept.get("/free", &[]), world.get("/free", &[]), world.get("/paid", &[])] {
        assert_eq!((new.status, new.reason().as_str()), (503, "shutting_down"));
        assert!(new.header("retry-after").is_some());
    }
    assert_eq!(world.upstream.hits(), 1);

    answered.open();
    assert_eq!(wire.answer().text(), "finished");
    assert_eq!(world.gateway.exit().code(), Some(0));
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
    assert_eq!(world.states(), ["delivered"]);
    assert!(TcpStream::connect(world.gateway.addr).is_err());
}

#[test]
fn a_settlement_under_way_is_waited_for_and_booked() {
    let mut world = World::start();
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| good(heard).behind(&gate));
    let mut wire = world.send_paid("/paid", &world.payment("/paid"));
    until_true("the settlement", || world.journal.all().contains(&"settle".to_owned()));
    world.gateway.signal("INT");
    until_true("the stop", || stopping(&world));
    settled.open();
    assert_eq!(wire.answer().status, 200);
    assert_eq!(world.gateway.exit().code(), Some(0));
    assert_eq!(world.states(), ["delivered"]);
}

#[test]
fn nothing_under_way_is_nothing_to_wait_for() {
    let mut world = World::start();
    let mut idle = world.wire();
    assert_eq!(idle.get("/free", &[]).status, 200);
    let started = Instant::now();
    world.gateway.signal("TERM");
    assert_eq!(world.gateway.exit().code(), Some(0));
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    assert!(idle.is_closed());
    assert!(world.gateway.output_at_end().contains("stopped"));
}

#[test]
fn a_stop_waits_no_longer_than_it_was_told() {
    let server = "unlisted = \"deny\"\nshutdown_timeout = \"300ms\"";
    let mut world = Setup { server, ..Setup::default() }.start();
    let never = Gate::default();
    world.upstream.says(Reply::silence(&never));
    let payment = world.payment("/paid");
    let mut wire = world.send_paid("/paid", &payment);
    until_true("the upstream's call", || world.upstream.hits() == 1);
    let started = Instant::now();
    world.gateway.signal("TERM");
    assert_eq!(world.gateway.exit().code(), Some(0));
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    assert!(wire.try_answer().is_none());
    assert!(world.gateway.output_at_end().contains("cut off"));
    assert_eq!(world.journal.all(), ["verify", "upstream"]);
    never.open();
}

#[test]
fn a_call_that_a_stop_cuts_off_takes_no_units() {
    let server = "unlisted = \"deny\"\nshutdown_timeout = \"300ms\"";
    let routes = "[[routes]]\npath = \"/keyed\"\nunits = 1\n\
                  [[plans]]\nname = \"ten\"\nprice = \"$1\"\nunits = 10\nduration = \"30d\"\n";
    let long = "e".repeat(4000);
    // The second is served where money moves: its key comes late.
    for before in [&[][..], &[("PAYMENT-SIGNATURE", long.as_str())]] {
        let mut world = Setup { server, routes, ..Setup::default() }.start();
        let key = world.buy("ten");
        let never = Gate::default();
        world.upstream.says(Reply::silence(&never));
        let mut wire = world.wire();
        let headers = [before, &[("X-API-KEY", key.as_str())]].concat();
        wire.send(request("GET", "/keyed", &headers, ""));
        until_true("the upstream's call", || world.upstream.hits() == 1);
        world.gateway.signal("TERM");
        assert_eq!(world.gateway.exit().code(), Some(0));
        assert_eq!((world.units_used(), world.units_leased()), (vec![0], vec![0]));
        never.open();
    }
}

#[test]
fn a_settlement_that_a_stop_cannot_wait_for_is_found_again() {
    let server = "unlisted = \"deny\"\nshutdown_timeout = \"300ms\"";
    let mut world = Setup { server, ..Setup::default() }.start();
    let never = Gate::default();
    let gate = never.clone();
    world.facilitator.settles(move |_| Reply::silence(&gate));
    let payment = world.payment("/paid");
    let wire = world.send_paid("/paid", &payment);
    until_true("the settlement", || world.journal.all().contains(&"settle".to_owned()));
    let started = Instant::now();
    world.gateway.signal("TERM");
    assert_eq!(world.gateway.exit().code(), Some(0));
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    assert_eq!(world.states(), ["settling"]);
    drop(wire);

    world.facilitator.heals();
    world.gateway.start_again();
    assert_eq!(world.pay("/paid", &payment).status, 200);
    let asked = world.facilitator.settled();
    assert_eq!((asked.len(), &asked[0].body), (2, &asked[1].body));
    never.open();
}

#[test]
fn who_asks_twice_is_in_a_hurry() {
    let mut world = World::start();
    let never = Gate::default();
    world.upstream.says(Reply::silence(&never));
    let wire = world.send_paid("/paid", &world.payment("/paid"));
    until_true("the upstream's call", || world.upstream.hits() == 1);
    world.gateway.signal("TERM");
    until_true("the stop", || stopping(&world));
    assert!(world.gateway.is_running());
    let started = Instant::now();
    world.gateway.signal("TERM");
    assert_eq!(world.gateway.exit().code(), Some(0));
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
    drop(wire);
    never.open();
}
