//! The file changes while the gateway runs.

use std::time::SystemTime;

use tollgate::clock::unix_seconds;

use crate::support::server::{Journal, Server};
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

const PLANS: &str = r#"
[[routes]]
path  = "/work"
units = 1

[[plans]]
name     = "trial"
price    = "$1"
units    = 100
duration = "30d"
"#;

const TRIAL: &str = "/x402/purchase?plan=trial";

impl World {
    fn price(&self) -> String {
        let challenge = self.get("/paid", &[]).decoded("payment-required");
        challenge["accepts"][0]["amount"].as_str().unwrap_or("none").to_owned()
    }

    pub(crate) fn edit(&self, from: &str, to: &str) {
        let file = self.gateway.config_file();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        // As editors do it: written beside, and moved into its place.
        let beside = file.with_extension("new");
        std::fs::write(&beside, text.replacen(from, to, 1)).unwrap();
        std::fs::rename(&beside, &file).unwrap();
    }

    fn reloads(&self, result: &str) -> u64 {
        self.gateway.metric(&format!("gateway_reloads_total{{result=\"{result}\"}}"))
    }
}

#[test]
fn a_new_price_is_asked_without_a_restart() {
    let mut world = World::start();
    assert_eq!(world.price(), "10000");
    world.edit("$0.01", "$0.03");
    until_true("the new price", || world.price() == "30000");
    assert_eq!((world.reloads("ok"), world.reloads("refused")), (1, 0));
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
    let settled = world.facilitator.settled();
    assert_eq!(settled[0].json()["paymentRequirements"]["amount"], "30000");
    assert!(world.gateway.is_running());
}

#[test]
fn a_hangup_makes_it_read_the_file() {
    let world = World::start();
    assert_eq!(world.reloads("ok"), 0);
    world.gateway.signal("HUP");
    until_true("the reload", || world.reloads("ok") == 1);
    assert_eq!(world.price(), "10000");
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_with_its_line() {
    let mut world = World::start();
    let text = std::fs::read_to_string(world.gateway.config_file()).unwrap();
    let line = text.lines().position(|line| line.contains("$0.01")).unwrap() + 1;
    world.edit("\"$0.01\"", "\"$0.00000001\"\nmethods = [\"get\"]");
    until_true("the refusal", || world.reloads("refused") == 1);
    assert_eq!(world.gateway.metric("gateway_config_ok"), 0);
    assert_eq!(world.price(), "10000");
    let output = world.gateway.output();
    assert!(output.contains(&format!("tollgate.toml:{line}:")), "{output}");
    assert!(output.contains(&format!("tollgate.toml:{}:", line + 1)), "{output}");
    assert!(output.contains("routes[0].price") && output.contains("routes[0].methods"), "{output}");

    std::fs::remove_file(world.gateway.config_file()).unwrap();
    world.gateway.signal("HUP");
    until_true("the refusal", || world.reloads("refused") >= 2);
    assert_eq!(world.price(), "10000");

    std::fs::write(world.gateway.config_file(), text.replace("$0.01", "$0.05")).unwrap();
    until_true("the new price", || world.price() == "50000");
    assert_eq!(world.gateway.metric("gateway_config_ok"), 1);
    assert!(world.gateway.is_running());
}

#[test]
fn a_quoted_price_is_honoured_after_it_was_raised() {
    let world = World::start();
    let payment = world.payment("/paid");
    world.edit("$0.01", "$0.03");
    until_true("the new price", || world.price() == "30000");
    assert_eq!(world.pay("/paid", &payment).status, 200);
    assert_eq!(world.facilitator.settled()[0].json()["paymentRequirements"]["amount"], "10000");
}

#[test]
fn a_quoted_price_is_not_honoured_for_ever() {
    let server = "unlisted = \"deny\"\nquote_ttl = \"1s\"";
    let world = Setup { server, ..Setup::default() }.start();
    let payment = world.payment("/paid");
    let quoted = unix_seconds(SystemTime::now());
    world.edit("$0.01", "$0.03");
    until_true("the new price", || world.price() == "30000");
    until_true("the quote's end", || unix_seconds(SystemTime::now()) > quoted + 1);
    let answer = world.pay("/paid", &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (402, "no_matching_payment_requirements"));
    assert_eq!(world.journal.all(), [""; 0]);
}

impl World {
    /// What the plan has now.
    fn becomes_smaller(&self) {
        self.edit("units    = 100", "units    = 50");
        let offered = || self.get("/x402/pricing", &[]).json()["plans"][0]["quotaTotal"].clone();
        until_true("the new plan", || offered() == 50);
    }
}

#[test]
fn a_quoted_plan_is_sold_with_what_was_quoted_for_the_same_price() {
    let world = Setup { routes: PLANS, ..Setup::default() }.start();
    let payment = world.payment(TRIAL);
    world.becomes_smaller();
    let sold = world.pay(TRIAL, &payment);
    assert_eq!(sold.status, 200, "{}", sold.text());
    let bought = sold.json()["apiKey"].as_str().unwrap().to_owned();
    let total = |key: &str| world.get("/x402/status", &[("X-API-KEY", key)]).json()["quota"]["total"].clone();
    assert_eq!((total(&bought), total(&world.buy("trial"))), (100.into(), 50.into()));
}

#[test]
fn a_quoted_plan_is_not_sold_for_ever_and_not_with_less_either() {
    let server = "unlisted = \"deny\"\nquote_ttl = \"1s\"";
    let world = Setup { server, routes: PLANS, ..Setup::default() }.start();
    let payment = world.payment(TRIAL);
    let quoted = unix_seconds(SystemTime::now());
    world.becomes_smaller();
    until_true("the quote's end", || unix_seconds(SystemTime::now()) > quoted + 1);
    let answer = world.pay(TRIAL, &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (402, "no_matching_payment_requirements"));
    assert_eq!(world.journal.all(), [""; 0]);
}

#[test]
fn a_quoted_plan_is_sold_though_it_was_taken_from_the_file() {
    let world = Setup { routes: PLANS, ..Setup::default() }.start();
    let quoted = world.payment(TRIAL);
    world.edit("name     = \"trial\"", "name     = \"other\"");
    until_true("the plan's end", || world.get(TRIAL, &[]).status == 404);
    let sold = world.pay(TRIAL, &quoted);
    assert_eq!((sold.status, &sold.json()["plan"]), (200, &"trial".into()), "{}", sold.text());
    let again = world.pay(TRIAL, &quoted);
    assert_eq!((again.status, &again.json()["apiKey"]), (200, &sold.json()["apiKey"]), "who has paid may ask again");
    assert_eq!(world.facilitator.settled().len(), 1);
    for (target, payment) in [(TRIAL, "bm90IGpzb24="), ("/x402/purchase?plan=never", quoted.as_str())] {
        let answer = world.pay(target, payment);
        assert_eq!((answer.status, answer.reason().as_str()), (404, "unknown_plan"), "{}", answer.text());
    }
}

#[test]
fn routes_and_upstreams_come_and_go() {
    let world = World::start();
    let second = Server::start("second", &Journal::default());
    assert_eq!(world.get("/free", &[]).status, 200);
    world.edit(&world.upstream.addr().to_string(), &second.addr().to_string());
    until_true("the other upstream", || world.get("/free", &[]).status == 200 && second.hits() > 0);
    world.edit("path = \"/free\"", "path = \"/gratis\"");
    until_true("the other route", || world.get("/gratis", &[]).status == 200);
    assert_eq!(world.get("/free", &[]).status, 404);
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
    assert_eq!(second.last().target(), "/paid");
}

#[test]
fn what_cannot_change_while_it_runs_is_named() {
    let world = World::start();
    world.edit("threads = 2", "threads = 3\nlog = \"json\"");
    until_true("the reload", || world.reloads("ok") == 1);
    let output = world.gateway.output();
    for setting in ["server.threads", "server.log"] {
        let line = output.lines().find(|line| line.contains(setting)).unwrap_or_else(|| panic!("{setting}: {output}"));
        assert!(line.contains("next start"), "{line}");
    }
    assert_eq!(world.get("/free", &[]).status, 200);
}
