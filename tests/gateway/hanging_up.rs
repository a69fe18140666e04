//! Clients that leave before their answer: what their upstream has got is paid for.

use serde_json::{Value, json};

use crate::support::client::{Wire, request};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/keyed"
units = 2

[[routes]]
path         = "/reported"
units        = 1
units_header = "X-Units"
units_max    = 5

[[routes]]
path       = "/some-free"
price      = "$0.01"
free_calls = "2/h"

[[plans]]
name     = "ten"
price    = "$1"
units    = 10
duration = "30d"
"#;

fn start() -> World {
    Setup { upstream: "read_timeout = \"2s\"", routes: ROUTES, ..Setup::default() }.start()
}

impl World {
    fn sends(&self, text: &str) -> Wire {
        let mut wire = self.wire();
        wire.send(text);
        wire
    }

    fn units_of(&self, key: &str) -> Value {
        self.get("/x402/status", &[("X-API-KEY", key)]).json()["quota"]["used"].clone()
    }
}

#[test]
fn a_client_that_hangs_up_pays_for_the_call_that_its_upstream_has() {
    let world = start();
    let key = world.buy("ten");
    let headers = [("X-API-KEY", key.as_str())];
    let gate = Gate::default();
    world.upstream.says(Reply::ok("").behind(&gate));
    for (calls, text, used) in [
        (1, request("GET", "/keyed", &headers, ""), json!(2)),
        (2, request("POST", "/keyed", &headers, "do it"), json!(4)),
        // Nothing is reported of it.
        (3, request("GET", "/reported", &headers, ""), json!(5)),
    ] {
        let wire = world.sends(&text);
        until_true("the upstream's call", || world.upstream.hits() == calls);
        drop(wire);
        world.until_idle();
        assert_eq!(world.units_of(&key), used);
    }
    assert_eq!(world.gateway.metric("gateway_requests_total{outcome=\"keyed\"}"), 3);
    gate.open();
}

#[test]
fn a_client_that_leaves_before_its_request_is_whole_pays_nothing() {
    let world = start();
    let key = world.buy("ten");
    let whole = request("POST", "/keyed", &[("X-API-KEY", &key)], "half of it");
    let wire = world.sends(&whole[..whole.len() - 5]);
    until_true("the request", || world.gateway.metric("gateway_requests_in_flight") == 1);
    drop(wire);
    world.until_idle();
    assert_eq!(world.units_of(&key), json!(0));
}

#[test]
fn what_the_upstream_fails_at_is_given_back_and_whoever_waits_is_told() {
    let world = start();
    let key = world.buy("ten");
    let gate = Gate::default();
    world.upstream.says(Reply::silence(&gate));
    let mut wire = world.sends(&request("GET", "/keyed", &[("X-API-KEY", &key)], ""));
    assert_eq!(wire.answer().status, 504);
    assert_eq!(world.units_of(&key), json!(0));
    gate.open();
    world.upstream.says(Reply::reset());
    assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).status, 502);
    assert_eq!(world.units_of(&key), json!(0));
}

#[test]
fn a_free_call_that_is_hung_up_on_is_used() {
    let world = start();
    let gate = Gate::default();
    world.upstream.says(Reply::ok("").behind(&gate));
    let wire = world.sends(&request("GET", "/some-free", &[], ""));
    until_true("the upstream's call", || world.upstream.hits() == 1);
    drop(wire);
    world.until_idle();
    gate.open();
    world.upstream.says(Reply::ok(""));
    let statuses = [(); 2].map(|()| world.get("/some-free", &[]).status);
    assert_eq!(statuses, [200, 402]);
}
