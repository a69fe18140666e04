//! A facilitator that begins to refuse what it took before: the operator hears of it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::sandbox::DemoWallet;

use crate::support::server::{Heard, Journal, Reply, Server};
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

/// `whsec_` and this in base64.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SECRET_TEXT: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const ROUTES: &str = "[[routes]]\npath = \"/paid\"\nprice = \"$0.01\"\n\
                      [[routes]]\npath = \"/other\"\nprice = \"$0.01\"\n[limits.strikes]\ncount = 1000\nper = \"1m\"\n";

/// A world whose operator is told of things.
fn start(more: &str) -> (World, Server, TempDir) {
    let operator = Server::start("operator", &Journal::default());
    operator.says(Reply::ok(""));
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET_TEXT).unwrap();
    let webhook = format!("[webhook]\nurl = \"http://{}/hook\"\nsecret = {{ file = {secret:?} }}\n", operator.addr());
    let world = Setup { routes: &format!("{ROUTES}{more}{webhook}"), ..Setup::default() }.start();
    (world, operator, folder)
}

/// What the operator was told, with good signatures.
fn told(operator: &Server) -> Vec<(String, Value)> {
    operator.heard().iter().map(event).filter(|(kind, _)| kind.starts_with("facilitator.drift")).collect()
}

fn event(heard: &Heard) -> (String, Value) {
    let header = |name| heard.head.get(name).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&heard.body);
    let signature = header("webhook-signature").strip_prefix("v1,").unwrap().to_owned();
    mac.verify_slice(&tollgate::x402::codec::decode_bytes(&signature).unwrap()).unwrap();
    let mut body = heard.json();
    (body["type"].as_str().unwrap().to_owned(), body["data"].take())
}

/// Pays so many times with three wallets in turn, each time anew.
fn pays(world: &mut World, wallets: &mut [DemoWallet], target: &str, times: usize, status: u16) {
    let count = wallets.len();
    for number in 0..times {
        std::mem::swap(&mut world.wallet, &mut wallets[number % count]);
        assert_eq!(world.pay(target, &world.payment(target)).status, status);
        std::mem::swap(&mut world.wallet, &mut wallets[number % count]);
    }
}

fn wallets() -> [DemoWallet; 3] {
    [(); 3].map(|()| DemoWallet::random().unwrap())
}

fn refuses(world: &World, reason: &'static str) {
    world.facilitator.verifies(move |_| Reply::json(200, &json!({ "isValid": false, "invalidReason": reason })));
}

fn drift(world: &World, call: &str, reason: &str) -> u64 {
    let labels = format!("{{call=\"{call}\",facilitator=\"facilitator\",reason=\"{reason}\"}}");
    world.gateway.metric(&format!("gateway_facilitator_drift{labels}"))
}

#[test]
fn a_facilitator_that_begins_to_refuse_is_told_of_once_and_again_when_it_is_over() {
    let ((mut world, operator, _folder), mut wallets) = (start(""), wallets());
    pays(&mut world, &mut wallets, "/paid", 6, 200);
    refuses(&world, "invalid_payload");
    pays(&mut world, &mut wallets, "/paid", 19, 402);
    assert_eq!((drift(&world, "verify", "invalid_payload"), told(&operator).len()), (0, 0));
    pays(&mut world, &mut wallets, "/other", 6, 402);
    until_true("the alarm", || told(&operator).len() == 1);
    assert_eq!(drift(&world, "verify", "invalid_payload"), 1);
    let (kind, data) = told(&operator).remove(0);
    assert_eq!(kind, "facilitator.drift");
    assert_eq!((&data["facilitator"], &data["call"]), (&json!("facilitator"), &json!("verify")));
    assert_eq!((&data["reason"], &data["count"], &data["of"]), (&json!("invalid_payload"), &json!(20), &json!(26)));
    assert_eq!((&data["percent"], &data["percentBefore"]), (&json!(76), &Value::Null));
    assert_eq!(data["offers"], json!(["call:* /paid", "call:* /other"]));
    assert!(data["since"].as_str().unwrap().ends_with('Z'));
    assert!(world.gateway.output().contains("a facilitator has begun to refuse payments"));

    // Half of the threshold, which is a half without a history: 25 of more than 100.
    world.facilitator.heals();
    pays(&mut world, &mut wallets, "/paid", 70, 200);
    until_true("the end of the alarm", || told(&operator).len() == 2);
    let (kind, data) = told(&operator).remove(1);
    assert_eq!((kind.as_str(), &data["reason"]), ("facilitator.drift_over", &json!("invalid_payload")));
    assert!(data["until"].is_string());
    assert_eq!(drift(&world, "verify", "invalid_payload"), 0);
    let counted = "{call=\"verify\",facilitator=\"facilitator\",offer=\"call:* /other\",reason=\"invalid_payload\"}";
    assert_eq!(world.gateway.metric(&format!("gateway_facilitator_refusals_total{counted}")), 6);
}

#[test]
fn a_facilitator_that_begins_to_fail_is_told_of_at_each_of_its_calls() {
    let ((mut world, operator, _folder), mut wallets) = (start("[drift]\nleast = 3\n"), wallets());
    world.facilitator.verifies(|_| Reply::json(400, &json!({ "error": "resource is not allowed" })));
    pays(&mut world, &mut wallets, "/paid", 3, 503);
    until_true("the first alarm", || told(&operator).len() == 1);
    assert_eq!(drift(&world, "verify", "no_verdict"), 1);
    let refusal = json!({ "success": false, "errorReason": "invalid_network", "transaction": "", "network": "" });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    pays(&mut world, &mut wallets, "/paid", 3, 402);
    until_true("the second alarm", || drift(&world, "settle", "invalid_network") == 1);
    until_true("what is told of it", || told(&operator).iter().any(|(_, data)| data["call"] == "settle"));
}

#[test]
fn a_thousand_rubbish_payments_raise_nothing() {
    let (mut world, operator, _folder) = start("");
    refuses(&world, "insufficient_funds");
    for number in 0..1000 {
        if number % 50 == 0 {
            world.wallet = DemoWallet::random().unwrap();
        }
        if number == 500 {
            // A reason that would be the facilitator's fault, for payments with words of a stranger's own.
            refuses(&world, "invalid_payload");
        }
        let payment = world.payment("/paid");
        let payment = if number < 500 { payment } else { with_rubbish(&payment) };
        assert_eq!(world.pay("/paid", &payment).status, 402);
    }
    let counted = |reason| {
        let labels = "call=\"verify\",facilitator=\"facilitator\",offer=\"call:* /paid\"";
        world.gateway.metric(&format!("gateway_facilitator_refusals_total{{{labels},reason=\"{reason}\"}}"))
    };
    assert_eq!((counted("insufficient_funds"), counted("invalid_payload")), (500, 500));
    assert_eq!((drift(&world, "verify", "insufficient_funds"), drift(&world, "verify", "invalid_payload")), (0, 0));
    assert!(told(&operator).is_empty() && !world.gateway.output().contains("begun to refuse"));
}

fn with_rubbish(payment: &str) -> String {
    let mut payment: Value = serde_json::from_str(&tollgate::x402::codec::decode(payment.as_bytes()).unwrap()).unwrap();
    payment["extensions"] = json!({ "rubbish": { "info": 1 } });
    tollgate::x402::codec::encode_bytes(payment.to_string().as_bytes())
}

#[test]
fn the_rules_are_reloaded_and_what_was_seen_is_kept() {
    let ((mut world, operator, _folder), mut wallets) = (start("[drift]\nalarm = false\n"), wallets());
    refuses(&world, "invalid_payload");
    pays(&mut world, &mut wallets, "/paid", 20, 402);
    let file = world.gateway.config_file();
    let text = std::fs::read_to_string(&file).unwrap().replace("alarm = false", "alarm = true");
    std::fs::write(&file, text).unwrap();
    until_true("the reload", || world.gateway.output().contains("configuration reloaded"));
    assert_eq!(drift(&world, "verify", "invalid_payload"), 0);
    pays(&mut world, &mut wallets, "/paid", 1, 402);
    until_true("the alarm", || told(&operator).len() == 1);
    assert_eq!(told(&operator)[0].1["count"], json!(21));
}
