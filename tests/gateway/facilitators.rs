//! Two facilitators, one of which fails: a verdict may come from either, and money is moved by one of them only.

use serde_json::{Value, json};

use crate::support::facilitator::{Facilitator, NETWORK};
use crate::support::gateway::free_port;
use crate::support::pair::{Pair, start_fleeting};
use crate::support::server::{Heard, Journal, Reply, Server};
use crate::support::wait::{Gate, until_true};
use crate::support::world::Setup;

/// What does not answer is given up soon, and what was not answered is not asked for again at once.
const IMPATIENT: Setup<'_> = Setup {
    server: "unlisted = \"deny\"",
    upstream: "",
    facilitator: "verify_timeout = \"500ms\"\nsettle_timeout = \"500ms\"\nresolve_timeout = \"0s\"",
    routes: ROUTES,
};
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

[[plans]]
name     = "trial"
price    = "$1"
units    = 100
duration = "30d"
"#;
const PLAN: &str = "/x402/purchase?plan=trial";
/// What is verified before it is settled.
const VERIFIED: [&str; 2] = ["/paid", PLAN];
/// Everything that is sold.
const GOODS: [&str; 3] = ["/paid", "/upfront", PLAN];

/// Answers that say neither yes nor no.
fn failures(never: &Gate) -> Vec<(&'static str, Reply)> {
    vec![
        ("a reset", Reply::reset()),
        ("500", Reply::json(500, &json!({ "isValid": true, "success": true }))),
        ("429", Reply::status(429, "Retry-After: 60\r\n", "slow down")),
        ("a page", Reply::status(200, "Content-Type: text/html\r\n", "<html>isValid: true</html>")),
        ("silence", Reply::silence(never)),
        ("an empty object", Reply::json(200, &json!({}))),
        ("a redirect", Reply::status(308, "Location: https://example.com/\r\n", "")),
    ]
}

/// Of these, nobody can say that the money has not moved.
fn open_failures(never: &Gate) -> Vec<(&'static str, Reply)> {
    failures(never).into_iter().filter(|(what, _)| *what != "429").collect()
}

#[test]
fn a_verdict_that_one_does_not_give_is_given_by_the_next() {
    let never = Gate::default();
    let pair = Pair::start(&IMPATIENT, ["", ""]);
    for ((what, reply), target) in failures(&never).into_iter().zip(VERIFIED.into_iter().cycle()) {
        pair.facilitator.verifies(move |_| reply.clone());
        let before = (pair.settlements(), pair.upstream.hits());
        assert_eq!(pair.buys(target), 200, "{what}");
        assert_eq!(pair.settlements(), [before.0[0], before.0[1] + 1], "{what}");
        assert_eq!(pair.upstream.hits(), before.1 + usize::from(target == "/paid"), "{what}");
        // Whoever is asked first again: what was before is forgotten with each success.
        pair.facilitator.heals();
        assert_eq!(pair.buys("/paid"), 200, "{what}");
        assert_eq!(pair.settlements(), [before.0[0] + 1, before.0[1] + 1], "{what}");
    }
    until_true("the deliveries", || pair.states().iter().all(|state| state == "delivered"));
    never.open();
}

#[test]
fn one_that_nobody_listens_for_is_left_out() {
    let pair = Pair::with_first_at(&IMPATIENT, &format!("http://{}", free_port()));
    for target in GOODS {
        assert_eq!(pair.buys(target), 200, "{target}");
    }
    assert_eq!((pair.verdicts(), pair.settlements(), pair.upstream.hits()), ([0, 2], [0, 3], 2));
}

#[test]
fn a_settlement_that_cannot_be_sent_is_made_by_the_next() {
    for target in VERIFIED {
        let pair = Pair::with_first_at(&IMPATIENT, &start_fleeting());
        assert_eq!(pair.buys(target), 200, "{target}");
        assert_eq!((pair.verdicts(), pair.settlements()), ([0, 0], [0, 1]), "{target}");
        let listed = pair.payments("list", &["--json"]);
        let row: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
        assert_eq!((&row["outcome"], &row["facilitator"]), (&"paid".into(), &"second".into()), "{target}");
        let shown = pair.payments("show", &[row["id"].as_str().unwrap()]);
        assert!(shown.contains("\nfacilitator    second\n"), "{shown}");
        let csv = pair.payments("export", &["--format", "csv"]);
        assert!(csv.lines().next().unwrap().ends_with(",facilitator") && csv.contains(",second\r\n"), "{csv}");
    }
}

#[test]
fn what_may_be_settled_is_asked_of_nobody_else() {
    let never = Gate::default();
    for (what, reply) in open_failures(&never) {
        let mut pair = Pair::start(&IMPATIENT, ["", ""]);
        let payments = GOODS.map(|target| (target, pair.payment(target)));
        let ask_in_vain = |pair: &Pair| {
            for (target, payment) in &payments {
                let answer = pair.pay(target, payment);
                assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"), "{what} {target}");
                assert!(answer.header("retry-after").is_some() && answer.header("payment-required").is_none());
            }
            assert_eq!(pair.settlements()[1], 0, "{what}");
        };
        pair.facilitator.settles(move |_| reply.clone());
        ask_in_vain(&pair);
        pair.crash_and_restart();
        ask_in_vain(&pair);

        // Not even if the one that was asked is in the file no more: it may have the money.
        let asked = pair.settlements()[0];
        let first = format!("name = \"first\"\nurl = \"{}\"", pair.facilitator.url());
        pair.becomes(&first, &first.replace("\"first\"", "\"other\""));
        ask_in_vain(&pair);
        assert_eq!(pair.settlements()[0], asked, "{what}: by another name it is another one");

        pair.becomes(&first.replace("\"first\"", "\"other\""), &first);
        pair.facilitator.heals();
        for (target, payment) in &payments {
            assert_eq!(pair.pay(target, payment).status, 200, "{what} {target}");
        }
        assert_eq!((pair.settlements()[1], pair.upstream.hits()), (0, 2), "{what}");
    }
    never.open();
}

/// Turned away before anybody has looked at it, it has not moved the money.
#[test]
fn a_settlement_that_is_turned_away_is_made_by_the_next() {
    let pair = Pair::start(&IMPATIENT, ["", ""]);
    pair.facilitator.settles(|_| Reply::status(429, "Retry-After: 60\r\n", "slow down"));
    for target in GOODS {
        assert_eq!(pair.buys(target), 200, "{target}");
    }
    assert_eq!((pair.verdicts(), pair.settlements()), ([2, 0], [3, 3]));
}

#[test]
fn a_clear_no_is_asked_of_nobody_else() {
    let pair = Pair::start(&IMPATIENT, ["", ""]);
    let no = json!({ "isValid": false, "invalidReason": "insufficient_funds" });
    pair.facilitator.verifies(move |_| Reply::json(200, &no));
    assert_eq!(pair.buys("/paid"), 402);
    let no = json!({ "success": false, "errorReason": "insufficient_funds", "network": NETWORK });
    pair.facilitator.settles(move |_| Reply::json(200, &no));
    assert_eq!(pair.buys("/paid"), 402);
    assert_eq!((pair.verdicts(), pair.settlements()), ([2, 0], [1, 0]));
    assert_eq!(pair.states(), ["voided"]);
}

/// It may have been used for somebody else, whatever another facilitator would say.
#[test]
fn a_nonce_that_was_used_elsewhere_buys_nothing_of_either() {
    let pair = Pair::start(&IMPATIENT, ["", ""]);
    pair.upstream.says(Reply::ok("SECRET"));
    let used = "invalid_exact_evm_nonce_already_used";
    let no = json!({ "isValid": false, "invalidReason": used });
    pair.facilitator.verifies(move |_| Reply::json(200, &no));
    for target in VERIFIED {
        let answer = pair.pay(target, &pair.payment(target));
        assert_eq!((answer.status, answer.reason().as_str()), (402, used), "{target}");
        assert!(!answer.text().contains("SECRET") && !answer.text().contains("apiKey"), "{target}");
    }
    assert_eq!((pair.upstream.hits(), pair.settlements(), pair.states()), (0, [0, 0], Vec::new()));
    // Found out only when it is settled, it may have been ourselves: the buyer is not told to pay anew.
    let no = json!({ "success": false, "errorReason": used, "network": NETWORK });
    pair.facilitator.settles(move |_| Reply::json(200, &no));
    for target in GOODS {
        let answer = pair.pay(target, &pair.payment(target));
        assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"), "{target}");
        assert!(!answer.text().contains("SECRET") && !answer.text().contains("apiKey"), "{target}");
    }
    assert_eq!((pair.settlements(), pair.verdicts()[1]), ([3, 0], 0));
}

#[test]
fn a_redirect_to_somebody_else_is_no_way_to_be_asked() {
    let stranger = Facilitator::start(&Journal::default());
    let pair = Pair::start(&IMPATIENT, ["", ""]);
    for target in ["/verify", "/settle"] {
        let away = format!("Location: {}{target}\r\n", stranger.url());
        let answer = move |_: &Heard| Reply::status(308, &away, "");
        if target == "/verify" {
            pair.facilitator.verifies(answer);
        } else {
            pair.facilitator.settles(answer);
        }
        let expected = if target == "/verify" { 200 } else { 503 };
        assert_eq!(pair.buys("/paid"), expected, "{target}");
    }
    assert_eq!((stranger.verified().len(), stranger.settled().len()), (0, 0));
    assert_eq!(pair.settlements(), [1, 1]);
}

#[test]
fn one_that_does_not_say_what_it_settles_is_asked_all_the_same() {
    let stranger = Server::start("stranger", &Journal::default());
    let away = format!("Location: http://{}/supported\r\n", stranger.addr());
    for reply in [Reply::status(429, "", "slow down"), Reply::status(308, &away, ""), Reply::status(200, "", "<html>")]
    {
        let journal = Journal::default();
        let both = [Facilitator::start(&journal), Facilitator::start(&journal)];
        both[0].supports(reply);
        let url = both[0].url();
        let pair = Pair::between(&IMPATIENT, ["", ""], &journal, both, &url);
        until_true("the refusal", || pair.gateway.output().contains("does not say what it settles"));
        assert_eq!(pair.buys("/paid"), 200);
        assert_eq!(pair.settlements(), [1, 0]);
        pair.facilitator.verifies(|_| Reply::reset());
        assert_eq!(pair.buys("/paid"), 200);
        assert_eq!(pair.settlements(), [1, 1]);
    }
    assert_eq!(stranger.hits(), 0);
}

#[test]
fn one_that_is_silent_is_overtaken_and_the_money_moves_once() {
    let never = Gate::default();
    let facilitator = "verify_timeout = \"10s\"\nhedge_after = \"100ms\"\nresolve_timeout = \"0s\"";
    let pair = Pair::start(&Setup { facilitator, ..IMPATIENT }, ["", ""]);
    let silent = Reply::silence(&never);
    pair.facilitator.verifies(move |_| silent.clone());
    for target in GOODS {
        assert_eq!(pair.buys(target), 200, "{target}");
    }
    // What is settled first needs no verdict.
    assert_eq!((pair.verdicts(), pair.settlements()), ([2, 2], [1, 2]));
    never.open();
}
