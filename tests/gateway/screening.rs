//! Who may pay: lists, and a screener that may fail.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::sandbox::DemoWallet;

use crate::support::client::Answer;
use crate::support::gateway::run_to_end;
use crate::support::server::{Journal, Reply, Server};
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[plans]]
name     = "nano"
price    = "$1"
duration = "30d"
"#;

const PURCHASE: &str = "/x402/purchase?plan=nano";

/// A file of addresses that can be written anew.
struct List {
    _folder: TempDir,
    file: PathBuf,
}

impl List {
    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.txt");
        std::fs::write(&file, text).unwrap();
        Self { _folder: folder, file }
    }

    fn becomes(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    fn start(&self, kind: &str) -> World {
        start(&format!("[screening]\n{kind} = [{:?}]\n", self.file.display().to_string()))
    }
}

fn start(sections: &str) -> World {
    let routes = format!("{ROUTES}{sections}");
    Setup { routes: &routes, ..Setup::default() }.start()
}

fn with_screener(more: &str) -> (World, Server) {
    let screener = Server::start("screener", &Journal::default());
    let world = start(&format!("[screening.http]\nurl = \"http://{}/check\"\n{more}", screener.addr()));
    (world, screener)
}

fn allowed(allowed: impl Into<Value>) -> Reply {
    Reply::json(200, &json!({ "allowed": allowed.into() }))
}

impl World {
    /// Pays with a payment made for it.
    fn buys(&self, target: &str) -> Answer {
        self.pay(target, &self.payment(target))
    }

    fn audit_lines(&self) -> Vec<String> {
        self.gateway.output().lines().filter(|line| line.contains(" audit: ")).map(str::to_owned).collect()
    }
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.reason().as_str()), (403, "payer_refused"), "{}", answer.text());
    assert!(answer.header("payment-required").is_none() && answer.header("payment-response").is_none());
}

#[test]
fn a_listed_payer_is_refused_in_any_letter_case_and_pays_nothing() {
    let wallet = DemoWallet::random().unwrap();
    let address = wallet.address();
    for spelled in [address.to_lowercase(), address.to_uppercase().replacen("0X", "0x", 1)] {
        let list = List::of(&format!("# sanctioned\n\n{spelled}, Somebody\n"));
        let mut world = list.start("deny");
        world.wallet = DemoWallet::from_key([7; 32]).unwrap();
        assert_eq!(world.buys("/paid").status, 200);
        world.wallet = DemoWallet::random().unwrap();
        assert_eq!(world.buys(PURCHASE).status, 200);
        assert_eq!(world.audit_lines(), [""; 0]);
    }
    let list = List::of(&address.to_lowercase());
    let mut world = list.start("deny");
    world.wallet = wallet;
    let payment = world.payment("/paid");
    assert_refused(&world.pay("/paid", &payment));
    assert_eq!(world.journal.take(), ["verify"]);
    until_true("the audit line", || world.audit_lines().len() == 1);
    let line = world.audit_lines().remove(0);
    for fact in [address.as_str(), "network=eip155:8453", "payment_id=pay_", "reason=\"on the list"] {
        assert!(line.contains(fact), "{fact} is not in {line}");
    }
    assert!(!world.gateway.output().contains(&payment[..40]), "the payload is in the log");

    assert_refused(&world.buys("/upfront"));
    assert_refused(&world.buys(PURCHASE));
    assert_eq!(world.journal.take(), ["verify"]);
    assert_eq!((world.facilitator.settled().len(), world.upstream.hits(), world.states().len()), (0, 0, 0));
    assert_eq!(world.gateway.metric("gateway_screenings_total{outcome=\"refused\"}"), 3);
    assert_eq!(world.gateway.metric("gateway_payments_total{outcome=\"payer_refused\"}"), 3);
}

#[test]
fn only_who_is_allowed_may_pay() {
    let list = List::of("0x0000000000000000000000000000000000000001");
    let world = list.start("allow");
    assert_refused(&world.buys("/paid"));
    list.becomes(&world.wallet.address());
    until_true("the new list", || world.buys("/paid").status == 200);
}

#[test]
fn a_list_is_read_anew_when_it_changes_and_a_broken_one_is_not() {
    let list = List::of("# nobody yet\n");
    let world = list.start("deny");
    // A list counts as changed when it is first watched.
    until_true("the first look", || world.gateway.metric("gateway_reloads_total{result=\"ok\"}") == 1);
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 200);
    list.becomes(&format!("{}\n", world.wallet.address()));
    until_true("the new list", || world.buys("/paid").status == 403);
    // What is in the books is not screened again: it gets what it paid for.
    assert_eq!(world.pay("/paid", &payment).status, 200);

    list.becomes("# nobody\n0x12\n");
    until_true("the refusal", || world.gateway.metric("gateway_reloads_total{result=\"refused\"}") >= 1);
    assert_refused(&world.buys("/paid"));
    assert_eq!(world.gateway.metric("gateway_config_ok"), 0);
    let output = world.gateway.output();
    assert!(output.contains("screening.deny[0]") && output.contains("line 2: \"0x12\""), "{output}");

    std::fs::remove_file(&list.file).unwrap();
    until_true("the refusal", || world.gateway.metric("gateway_reloads_total{result=\"refused\"}") >= 2);
    assert_refused(&world.buys("/paid"));
    list.becomes("# nobody\n");
    until_true("the new list", || world.buys("/paid").status == 200);
    assert_eq!(world.gateway.metric("gateway_config_ok"), 1);
}

#[test]
fn a_list_that_is_missing_or_broken_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "[server]\nunlisted = \"deny\"\n[upstream]\nurl = \"http://127.0.0.1:1\"\n[screening]\ndeny = [\"a.txt\"]\n";
    std::fs::write(folder.path().join("tollgate.toml"), config).unwrap();
    for (text, said) in
        [(None, "tollgate.toml:6:9 screening.deny[0]: \"a.txt\" cannot be read"), (Some("x\n"), "line 1: \"x\"")]
    {
        if let Some(text) = text {
            std::fs::write(folder.path().join("a.txt"), text).unwrap();
        }
        let (code, _, errors) = run_to_end(folder.path(), &["run", "tollgate.toml"]);
        assert_ne!(code, Some(0));
        assert!(errors.contains(said), "{errors}");
    }
}

#[test]
fn the_screener_is_asked_once_for_a_payer_and_its_word_counts() {
    let (mut world, screener) = with_screener("headers = { X-Client = \"us\" }");
    screener.says(allowed(true));
    assert_eq!(world.buys("/paid").status, 200);
    assert_eq!((world.buys("/paid").status, world.buys("/upfront").status), (200, 200));
    assert_eq!(screener.hits(), 1);
    let asked = screener.last();
    assert_eq!((asked.method(), asked.target(), asked.head.get("x-client")), ("POST", "/check", Some("us")));
    assert_eq!(asked.json(), json!({ "address": world.wallet.address(), "network": "eip155:8453" }));

    world.wallet = DemoWallet::random().unwrap();
    world.journal.take();
    screener.says(Reply::json(200, &json!({ "allowed": false, "reason": "mixer" })));
    for _ in 0..2 {
        let answer = world.buys("/paid");
        assert_refused(&answer);
        assert!(!answer.text().contains("mixer"));
    }
    assert_refused(&world.buys("/upfront"));
    assert_eq!((screener.hits(), world.journal.take()), (2, vec!["verify".to_owned(); 2]));
    until_true("the audit lines", || world.audit_lines().len() == 3);
    assert!(world.audit_lines()[0].contains("reason=\"mixer\""), "{:?}", world.audit_lines());
}

#[test]
fn without_a_verdict_of_the_screener_nothing_is_sold() {
    let (world, screener) = with_screener("timeout = \"300ms\"");
    let never = Gate::default();
    for (what, reply) in [
        ("silence", Reply::silence(&never)),
        ("a reset", Reply::reset()),
        ("500", Reply::json(500, &json!({ "allowed": true }))),
        ("201", Reply::json(201, &json!({ "allowed": true }))),
        ("a redirect", Reply::status(307, "Location: https://example.com/\r\n", "")),
        ("a page", Reply::ok("<html>allowed: true</html>")),
        ("a text", allowed("true")),
        ("a number", allowed(1)),
        ("nothing", Reply::json(200, &json!({}))),
    ] {
        screener.says(reply);
        for target in ["/paid", "/upfront", PURCHASE] {
            let answer = world.buys(target);
            assert_eq!((answer.status, answer.reason().as_str()), (503, "screening_unavailable"), "{what}");
            assert!(answer.header("retry-after").is_some() && answer.header("payment-required").is_none(), "{what}");
        }
        assert_eq!(world.journal.take(), ["verify", "verify"], "{what}");
    }
    assert_eq!((world.facilitator.settled().len(), world.upstream.hits(), world.states().len()), (0, 0, 0));
    // No verdict is not remembered.
    screener.says(allowed(true));
    assert_eq!(world.buys("/paid").status, 200);
    never.open();
}

#[test]
fn questions_about_one_payer_share_a_request() {
    let (world, screener) = with_screener("timeout = \"10s\"");
    let gate = Gate::default();
    let held = gate.clone();
    screener.answers(move |_| allowed(true).behind(&held));
    let payments: Vec<_> = (0..8).map(|_| world.payment("/paid")).collect();
    let mut wires: Vec<_> = payments.iter().map(|payment| world.send_paid("/paid", payment)).collect();
    until_true("all verified", || world.facilitator.verified().len() == 8 && screener.hits() > 0);
    gate.open();
    assert!(wires.iter_mut().all(|wire| wire.answer().status == 200));
    assert_eq!(screener.hits(), 1);
}

#[test]
fn an_answer_that_was_paid_for_is_fetched_by_who_was_listed_since() {
    let list = List::of("# nobody yet\n");
    let world = list.start("deny");
    world.upstream.says(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").then_close());
    let payment = world.payment("/paid");
    assert!(!world.pay("/paid", &payment).whole);
    list.becomes(&world.wallet.address());
    world.upstream.says(Reply::ok("the whole"));
    until_true("the new list", || world.buys("/upfront").status == 403);
    assert_eq!(world.pay("/paid", &payment).text(), "the whole");
}
