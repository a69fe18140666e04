//! The disk is full: the books can be read and not written.

use crate::support::client::Answer;
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path  = "/keyed"
units = 1

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 100
duration = "30d"
"#;

const PURCHASE: &str = "/x402/purchase?plan=nano";

fn start() -> World {
    Setup { routes: ROUTES, ..Setup::default() }.start()
}

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.reason().as_str()), (503, "store_unavailable"), "{}", answer.text());
    assert!(answer.header("retry-after").is_some() && answer.header("payment-required").is_none());
}

#[test]
fn nothing_reaches_the_upstream_while_the_books_cannot_be_written() {
    let world = start();
    let key = world.buy("nano");
    let payments: Vec<_> = (0..4).map(|_| world.payment("/paid")).collect();
    let (upfront, purchase) = (world.payment("/upfront"), world.payment(PURCHASE));
    let settled = world.facilitator.settled().len();
    world.gateway.disk_is_full(true);
    // The first to find out is one that is settled before its work is done.
    assert_unavailable(&world.pay("/upfront", &upfront));
    world.journal.take();
    for payment in &payments {
        assert_unavailable(&world.pay("/paid", payment));
    }
    assert_unavailable(&world.pay("/upfront", &upfront));
    assert_unavailable(&world.pay(PURCHASE, &purchase));
    assert_unavailable(&world.get("/keyed", &[("X-API-KEY", &key)]));
    assert_eq!(world.journal.take(), [""; 0], "nobody was asked for anything");
    assert_eq!((world.upstream.hits(), world.facilitator.settled().len()), (0, settled));
    assert_eq!((world.get("/free", &[]).status, world.get("/paid", &[]).status), (200, 402));

    world.gateway.disk_is_full(false);
    until_true("room", || world.pay("/paid", &payments[0]).status == 200);
    for payment in &payments[1..] {
        assert_eq!(world.pay("/paid", payment).status, 200);
    }
    assert_eq!((world.pay("/upfront", &upfront).status, world.pay(PURCHASE, &purchase).status), (200, 200));
    assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).status, 200);
    assert_eq!(world.upstream.hits(), 1 + payments.len() + 2);
    assert_eq!(world.facilitator.settled().len(), settled + payments.len() + 2);
    until_true("the books", || world.states() == ["delivered"; 7]);
}

#[test]
fn a_call_that_finds_the_disk_full_is_not_charged_and_its_answer_stays_here() {
    let world = start();
    let (first, second) = (world.payment("/paid"), world.payment("/paid"));
    world.gateway.disk_is_full(true);
    assert_unavailable(&world.pay("/paid", &first));
    assert_unavailable(&world.pay("/paid", &second));
    assert_eq!(world.journal.take(), ["verify", "upstream"]);
    world.gateway.disk_is_full(false);
    until_true("room", || world.pay("/paid", &first).status == 200);
    assert_eq!(world.pay("/paid", &second).status, 200);
    assert_eq!(world.facilitator.settled().len(), 2);
}
