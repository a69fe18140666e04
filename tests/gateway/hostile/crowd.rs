//! Many buyers whose settlements hang, beside honest ones: who has earned an answer gets it.

use std::time::{Duration, Instant, SystemTime};

use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::behaviours::SETTLE;
use super::books::{Account, Moves, Tells};
use super::field::{Field, SECRET};
use crate::support::client::{Answer, Wire, request};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};

const ATTACKERS: usize = 60;
const HONEST: usize = 10;
/// The hanging settlements last so long.
const CROWDED: &str = "settle_timeout = \"4s\"\nresolve_timeout = \"0s\"\nconcurrency = 16";

impl Field {
    /// A payment of somebody who has not paid before.
    fn newcomers_payment(&self, target: &str, honest: bool) -> String {
        let wallet = DemoWallet::random().unwrap();
        let account = Account::new(&SETTLE[0], Moves::Never, Tells::Receipt);
        assert_eq!(account.behaviour.name, "hang");
        if honest {
            account.heals();
        }
        self.double.open(wallet.address(), account);
        let challenge = self.world.get(target, &[]);
        let required = challenge.header("payment-required").expect("a challenge");
        wallet.pay(required.as_bytes(), unix_seconds(SystemTime::now())).unwrap().header
    }

    fn sends(&self, target: &str, payments: &[String]) -> Vec<Wire> {
        let send = |payment: &String| {
            let mut wire = self.world.wire();
            wire.send(request("GET", target, &[("PAYMENT-SIGNATURE", payment.as_str())], ""));
            wire
        };
        payments.iter().map(send).collect()
    }

    fn payments(&self, target: &str, count: usize, honest: bool) -> Vec<String> {
        (0..count).map(|_| self.newcomers_payment(target, honest)).collect()
    }
}

fn longest(begun: Instant, wires: &mut [Wire]) -> (Vec<Answer>, Duration) {
    let answers = wires.iter_mut().map(Wire::answer).collect();
    (answers, begun.elapsed())
}

/// The attackers buy `target`, which is settled first; the honest ones' work is done by then.
fn crowd(target: &str) {
    let field = Field::start(CROWDED, None);
    let honest = field.payments("/paid", HONEST, true);
    let hostile = field.payments(target, ATTACKERS, false);
    let late = field.payments("/paid", 1, true);
    let gate = Gate::default();
    field.world.upstream.says(Reply::ok(SECRET).behind(&gate));
    let mut wires = field.sends("/paid", &honest);
    until_true("the honest ones' work", || field.world.upstream.hits() == HONEST);

    let mut attackers = field.sends(target, &hostile);
    until_true("the crowd", || field.double.hanging() >= 4);
    let begun = Instant::now();
    gate.open();
    let (answers, elapsed) = longest(begun, &mut wires);
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == SECRET), "{answers:?}");
    println!("{target}: {HONEST} honest ones beside {ATTACKERS} that hang: served after {elapsed:?}");
    assert!(elapsed < Duration::from_secs(3), "as slow as the attackers: {elapsed:?}");
    assert!(field.double.hanging() >= 4, "the crowd was gone by then");

    // Who comes now is verified beside them, and settled in a place that is kept for work that is done.
    let begun = Instant::now();
    let (answers, elapsed) = longest(begun, &mut field.sends("/paid", &late));
    println!("{target}: one who came later: {} {} after {elapsed:?}", answers[0].status, answers[0].reason());
    assert_eq!((answers[0].status, answers[0].text().as_str()), (200, SECRET));
    let (answers, _) = longest(begun, &mut attackers);
    assert!(answers.iter().all(|answer| answer.status == 503 && !answer.text().contains(SECRET)), "{answers:?}");
}

#[test]
fn honest_calls_are_settled_beside_purchases_that_hang() {
    crowd("/x402/purchase?plan=five");
}

#[test]
fn honest_calls_are_settled_beside_advance_payments_that_hang() {
    crowd("/upfront");
}
