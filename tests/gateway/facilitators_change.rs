//! Facilitators that come and go: by the file, by their networks, and by failing and working again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use crate::support::facilitator::{Facilitator, NETWORK, kinds};
use crate::support::pair::{Pair, section};
use crate::support::server::{Journal, Reply, Server};
use crate::support::wait::until_true;
use crate::support::world::{SELLER, Setup};

const POLYGON: &str = "eip155:137";

impl Pair {
    /// Writes another text into the configuration, and waits until it is in force.
    #[track_caller]
    pub(crate) fn becomes(&self, from: &str, to: &str) {
        let reloads = || self.gateway.metric("gateway_reloads_total{result=\"ok\"}");
        let before = reloads();
        self.edit(from, to);
        until_true("the reload", || reloads() > before);
    }
}

#[test]
fn if_all_fail_nothing_is_sold_and_the_operator_is_told() {
    let hook = Server::start("hook", &Journal::default());
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=\n").unwrap();
    let webhook = format!("[webhook]\nurl = \"http://{}/hook\"\nsecret = {{ file = {secret:?} }}\n", hook.addr());
    let usual = Setup::default();
    let routes = format!("{}{webhook}", usual.routes);
    let pair = Pair::start(&Setup { routes: &routes, ..usual }, ["", ""]);
    let told = |kind: &str, name: &str| {
        hook.heard().iter().any(|heard| heard.json()["type"] == kind && heard.json()["data"]["facilitator"] == name)
    };
    until_true("their first answers", || pair.works("first") && pair.works("second"));

    pair.facilitator.verifies(|_| Reply::reset());
    pair.second.verifies(|_| Reply::reset());
    let payment = pair.payment("/paid");
    for _ in 0..6 {
        let answer = pair.pay("/paid", &payment);
        assert_eq!((answer.status, answer.reason().as_str()), (503, "facilitator_unavailable"));
        assert!(answer.header("retry-after").is_some() && answer.header("payment-required").is_none());
    }
    assert_eq!((pair.upstream.hits(), pair.states(), pair.settlements()), (0, Vec::new(), [0, 0]));
    for name in ["first", "second"] {
        until_true("the failure", || !pair.works(name) && told("facilitator.failing", name));
        assert!(!told("facilitator.working", name));
    }

    // Both are failing, and asked all the same: the first good verdict is the end of it.
    pair.facilitator.heals();
    assert_eq!(pair.pay("/paid", &payment).status, 200);
    until_true("the recovery", || pair.works("first") && told("facilitator.working", "first"));
    assert_eq!((pair.works("second"), told("facilitator.working", "second")), (false, false));
    assert_eq!((pair.upstream.hits(), pair.settlements()), (1, [1, 0]));
}

#[test]
fn a_payment_goes_to_those_that_are_for_its_network() {
    let usual = Setup::default();
    let routes = format!("polygon = \"{SELLER}\"\n{}", usual.routes);
    let journal = Journal::default();
    let both = [Facilitator::start(&journal), Facilitator::start(&journal)];
    let mut all = kinds();
    let polygon = json!({ "x402Version": 2, "scheme": "exact", "network": POLYGON });
    all["kinds"].as_array_mut().unwrap().push(polygon);
    both.iter().for_each(|one| one.supports(Reply::json(200, &all)));
    let (url, lines) = (both[0].url(), ["networks = [\"polygon\"]", "networks = [\"base\"]"]);
    let pair = Pair::between(&Setup { routes: &routes, ..usual }, lines, &journal, both, &url);
    let pay = |network: &str| {
        let challenge = pair.get("/paid", &[]);
        let accepts = challenge.decoded("payment-required")["accepts"].clone();
        let at = accepts.as_array().unwrap().iter().position(|terms| terms["network"] == network).unwrap();
        let now = tollgate::clock::unix_seconds(std::time::SystemTime::now());
        let required = challenge.header("payment-required").unwrap().as_bytes();
        pair.pay("/paid", &pair.wallet.pay_entry(required, at, now).unwrap().header).status
    };
    assert_eq!((pay(NETWORK), pair.verdicts(), pair.settlements()), (200, [0, 1], [0, 1]));
    assert_eq!((pay(POLYGON), pair.verdicts(), pair.settlements()), (200, [1, 1], [1, 1]));
    pair.second.verifies(|_| Reply::status(500, "", ""));
    assert_eq!((pay(NETWORK), pair.verdicts()), (503, [1, 2]), "nobody else is for it");
    assert_eq!((pay(POLYGON), pair.settlements()), (200, [2, 1]));
}

#[test]
fn facilitators_come_and_go_while_payments_run() {
    let pair = Pair::start(&Setup::default(), ["", ""]);
    let [first, second] = [&pair.facilitator, &pair.second].map(Facilitator::url);
    let [first, second] = [section("first", &first, 1, ""), section("second", &second, 2, "")];
    let (done, third) = (AtomicBool::new(false), section("third", &pair.second.url(), 1, "weight = 3"));
    let paid: usize = thread::scope(|scope| {
        let buying = || {
            let mut paid = 0;
            while !done.load(Ordering::SeqCst) {
                assert_eq!(pair.buys(if paid % 2 == 0 { "/paid" } else { "/upfront" }), 200);
                paid += 1;
            }
            paid
        };
        let buyers: Vec<_> = (0..3).map(|_| scope.spawn(buying)).collect();
        for _ in 0..3 {
            pair.becomes(&first, "");
            let before = pair.settlements();
            until_true("sales without the first", || pair.settlements()[1] > before[1] + 5);
            pair.becomes(&second, &format!("{second}{third}"));
            pair.becomes(&third, &first);
            let before = pair.settlements();
            until_true("sales with the first again", || pair.settlements()[0] > before[0] + 5);
            pair.becomes(&format!("{second}{first}"), &format!("{first}{second}"));
        }
        done.store(true, Ordering::SeqCst);
        buyers.into_iter().map(|buyer| buyer.join().unwrap()).sum()
    });
    until_true("the deliveries", || pair.states().iter().all(|state| state == "delivered"));
    let [first, second] = pair.settlements();
    assert_eq!((first + second, pair.upstream.hits(), pair.states().len()), (paid, paid, paid));
}
