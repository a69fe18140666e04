//! How much a payer may pay, what an address may cost us, and who is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use tempfile::TempDir;
use tollgate::sandbox::DemoWallet;

use crate::support::client::Answer;
use crate::support::server::{Heard, Journal, Reply, Server};
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
"#;

/// 32 bytes.
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

fn start(sections: &str) -> World {
    let routes = format!("{ROUTES}{sections}");
    Setup { routes: &routes, ..Setup::default() }.start()
}

/// A gateway that tells somebody of what happens, and the folder with its secret.
fn start_telling(sections: &str) -> (World, Server, TempDir) {
    let hook = Server::start("hook", &Journal::default());
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("whsec_{SECRET}\n")).unwrap();
    let webhook = format!("[webhook]\nurl = \"http://{}/hook\"\nsecret = {{ file = {secret:?} }}\n", hook.addr());
    (start(&format!("{sections}{webhook}")), hook, folder)
}

impl World {
    /// Pays with a payment made for it.
    fn spends(&self, target: &str) -> Answer {
        self.pay(target, &self.payment(target))
    }

    fn alerts(&self) -> usize {
        self.gateway.output().lines().filter(|line| line.contains(" alert: ")).count()
    }

    /// Writes another text into the configuration, and waits until it is in force.
    fn change(&self, from: &str, to: &str) {
        let (file, before) = (self.gateway.config_file(), self.gateway.metric("gateway_reloads_total{result=\"ok\"}"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        until_true("the reload", || self.gateway.metric("gateway_reloads_total{result=\"ok\"}") > before);
    }
}

#[track_caller]
fn assert_limited(answer: &Answer, reason: &str, limit: &str) {
    assert_eq!((answer.status, answer.reason().as_str()), (429, reason), "{}", answer.text());
    assert_eq!(answer.json()["details"]["limit"], limit);
    let wait: u64 = answer.header("retry-after").expect("a Retry-After").parse().unwrap();
    assert!((1..=86_401).contains(&wait), "{wait}");
    assert!(answer.header("payment-required").is_none());
}

#[track_caller]
fn assert_signed(heard: &Heard) {
    let of = |name| heard.head.get(name).unwrap_or_default().to_owned();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&STANDARD.decode(SECRET).unwrap()).unwrap();
    mac.update(format!("{}.{}.", of("webhook-id"), of("webhook-timestamp")).as_bytes());
    mac.update(&heard.body);
    assert_eq!(of("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
}

#[test]
fn the_eleventh_payment_in_a_minute_is_refused_and_told_once() {
    let (mut world, hook, _folder) = start_telling("[limits]\npayments_per_payer = [{ count = 10, per = \"1m\" }]\n");
    for _ in 0..10 {
        assert_eq!(world.spends("/paid").status, 200);
    }
    world.journal.take();
    for target in ["/paid", "/upfront", "/paid"] {
        let answer = world.spends(target);
        assert_limited(&answer, "payer_limit", "10 payments");
        assert_eq!(answer.json()["details"]["window"], "1m");
    }
    assert_eq!(world.journal.take(), [""; 0]);
    assert_eq!((world.facilitator.settled().len(), world.upstream.hits()), (10, 10));

    until_true("the event", || hook.heard().iter().any(|heard| heard.whole));
    let event = hook.last();
    assert_signed(&event);
    let body = event.json();
    assert_eq!((event.target(), &body["type"]), ("/hook", &json!("payer.limit_exceeded")));
    assert_eq!(body["data"]["payer"], world.wallet.address());
    assert_eq!((&body["data"]["limit"], &body["data"]["window"]), (&json!("10 payments"), &json!("1m")));
    until_true("the line", || world.alerts() == 1);
    assert_eq!(hook.hits(), 1);
    assert_eq!(world.gateway.metric("gateway_alerts_total{kind=\"limit_exceeded\"}"), 1);
    assert_eq!(world.gateway.metric("gateway_limits_total{limit=\"payment_count\"}"), 3);
    until_true("the count", || world.gateway.metric("gateway_webhook_events_total{outcome=\"delivered\"}") == 1);

    // The counts are the process's, whatever the file says of prices or limits.
    world.change("$0.01", "$0.03");
    assert_limited(&world.spends("/paid"), "payer_limit", "10 payments");
    world.change("count = 10, per = \"1m\"", "count = 11, per = \"2m\"");
    assert_eq!(world.spends("/paid").status, 200);
    assert_limited(&world.spends("/paid"), "payer_limit", "11 payments");
    world.wallet = DemoWallet::random().unwrap();
    assert_eq!(world.spends("/paid").status, 200);
}

#[test]
fn payments_at_once_do_not_get_past_a_limit() {
    let world = start("[limits]\npayments_per_payer = [{ amount = \"$0.05\", per = \"1d\" }]\n");
    let verified = Gate::default();
    let gate = verified.clone();
    world.facilitator.verifies(move |heard| crate::support::facilitator::good(heard).behind(&gate));
    let payments: Vec<_> = (0..14).map(|_| world.payment("/paid")).collect();
    let mut wires: Vec<_> = payments.iter().map(|payment| world.send_paid("/paid", payment)).collect();
    until_true("all at the facilitator", || world.facilitator.verified().len() == 14);
    verified.open();
    let answers: Vec<_> = wires.iter_mut().map(|wire| wire.answer()).collect();
    let (good, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((good.len(), refused.len()), (5, 9));
    refused.iter().for_each(|answer| assert_limited(answer, "payer_limit", "$0.05"));
    assert_eq!((world.facilitator.settled().len(), world.upstream.hits()), (5, 5));
}

#[test]
fn what_is_not_settled_is_not_counted() {
    let world = start("[limits]\npayments_per_payer = [{ count = 1, per = \"1h\" }]\n");
    world.upstream.says(Reply::status(500, "", "no"));
    for _ in 0..3 {
        assert_eq!(world.spends("/paid").status, 500);
    }
    world.upstream.says(Reply::ok("yes"));
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 200);
    assert_limited(&world.spends("/paid"), "payer_limit", "1 payments");
    // A repeat of what is counted is not another payment.
    assert_eq!(world.pay("/paid", &payment).status, 200);
}

#[test]
fn one_payer_has_so_many_calls_under_way() {
    let world = start("[limits]\nunsettled_per_payer = 2\n");
    let gate = Gate::default();
    let held = gate.clone();
    world.upstream.answers(move |_| Reply::ok("at last").behind(&held));
    let payments: Vec<_> = (0..2).map(|_| world.payment("/paid")).collect();
    let mut wires: Vec<_> = payments.iter().map(|payment| world.send_paid("/paid", payment)).collect();
    until_true("both upstream", || world.upstream.hits() == 2);
    assert_limited(&world.spends("/paid"), "payer_limit", "2 unsettled payments");
    assert_eq!(world.facilitator.verified().len(), 2);
    gate.open();
    assert!(wires.iter_mut().all(|wire| wire.answer().status == 200));
    assert_eq!(world.spends("/paid").status, 200);
}

#[test]
fn who_fails_to_settle_again_and_again_has_to_wait() {
    let mut world = start("");
    let refusal = json!({ "success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "" });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    // Nobody has found these good before, so they may be anybody's.
    for _ in 0..11 {
        assert_eq!(world.spends("/upfront").status, 402);
    }
    for _ in 0..10 {
        assert_eq!(world.spends("/paid").status, 402);
    }
    world.journal.take();
    world.facilitator.heals();
    for target in ["/paid", "/upfront"] {
        assert_limited(&world.spends(target), "payer_struck", "10 failed settlements");
    }
    assert_eq!(world.journal.take(), [""; 0]);
    assert_eq!(world.gateway.metric("gateway_alerts_total{kind=\"struck\"}"), 1);
    world.wallet = DemoWallet::random().unwrap();
    assert_eq!(world.spends("/paid").status, 200);
}

#[test]
fn an_address_gets_so_many_challenges() {
    let world = start("[limits]\nunpaid_per_address = \"3/h\"\n");
    let payment = world.payment("/paid");
    assert_eq!((world.get("/paid", &[]).status, world.get("/paid", &[]).status), (402, 402));
    for target in ["/paid", "/upfront"] {
        assert_limited(&world.get(target, &[]), "address_limit", "3 unpaid requests");
    }
    // Who pays is not held up by those who do not.
    assert_eq!(world.pay("/paid", &payment).status, 200);
    assert_eq!(world.gateway.metric("gateway_payments_total{outcome=\"unpaid\"}"), 0);
}

#[test]
fn an_address_presents_so_many_bad_payments() {
    let world = start("[limits]\nbad_payments_per_address = \"3/h\"\n");
    assert_eq!(world.pay("/paid", "bm90IGpzb24=").status, 402);
    world.facilitator.verifies(|_| Reply::json(200, &json!({ "isValid": false, "invalidReason": "no" })));
    assert_eq!((world.spends("/paid").status, world.spends("/paid").status), (402, 402));
    world.facilitator.heals();
    world.journal.take();
    assert_limited(&world.spends("/paid"), "address_limit", "3 bad payments");
    assert_eq!(world.journal.take(), [""; 0]);
    assert_eq!(world.get("/paid", &[]).status, 402);
}

#[test]
fn a_threshold_is_told_once_with_totals_until_it_is_heard() {
    let alerts = "[[alerts]]\npayer_amount = \"$0.05\"\nper = \"1d\"\n[[alerts]]\npayer_count = 1000\nper = \"1d\"\n";
    let (world, hook, _folder) = start_telling(alerts);
    let mut attempts = 0;
    hook.answers(move |_| {
        attempts += 1;
        Reply::status(if attempts == 1 { 500 } else { 204 }, "", "")
    });
    for paid in 1..=7 {
        assert_eq!(world.spends("/paid").status, 200);
        assert!(paid >= 5 || world.alerts() == 0, "{paid}");
    }
    until_true("the second attempt", || hook.heard().iter().filter(|heard| heard.whole).count() == 2);
    let heard = hook.heard();
    heard.iter().for_each(assert_signed);
    assert_eq!(heard[0].head.get("webhook-id"), heard[1].head.get("webhook-id"));
    assert_eq!(heard[0].body, heard[1].body);
    let body = heard[0].json();
    assert_eq!(body["type"], "payer.threshold_reached");
    let data = json!({
        "payer": world.wallet.address(), "network": "eip155:8453",
        "threshold": "$0.05", "window": "1day", "count": 5, "amount": "$0.05",
    });
    assert_eq!(body["data"], data);
    assert_eq!(world.alerts(), 1);
    assert_eq!(world.gateway.metric("gateway_alerts_total{kind=\"threshold_reached\"}"), 1);
    until_true("the count", || world.gateway.metric("gateway_webhook_events_total{outcome=\"delivered\"}") == 1);
}

#[test]
fn somebody_is_told_once_that_a_plan_is_nearly_used_up() {
    let plans = "[[routes]]\npath = \"/keyed\"\nunits = 5\n[[plans]]\nname = \"ten\"\nprice = \"$1\"\nunits = 10\n\
                 duration = \"30d\"\n[subscriptions]\nquota_alerts = [40, 50, 100]\n";
    let (world, hook, _folder) = start_telling(plans);
    let key = world.buy("ten");
    for (calls, percent, used) in [(1, 50, 5), (2, 100, 10)] {
        assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).status, 200);
        until_true("the event", || hook.heard().iter().filter(|heard| heard.whole).count() == calls);
        let event = hook.last();
        assert_signed(&event);
        let (body, data) = (event.json(), event.json()["data"].clone());
        assert_eq!(body["type"], "subscription.quota");
        let expected = (&json!("ten"), &json!(used), &json!(10), &json!(percent));
        assert_eq!((&data["plan"], &data["used"], &data["total"], &data["percent"]), expected);
        assert!(data["subscription"].as_str().unwrap().starts_with("sub_"));
        assert!(data["holder"].as_str().unwrap().starts_with("hol_"));
    }
    assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).status, 402);
    until_true("the books", || world.units_used() == [10_000]);
    assert_eq!((hook.hits(), world.gateway.metric("gateway_quota_alerts_total")), (2, 2));
}
