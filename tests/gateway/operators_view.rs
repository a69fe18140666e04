//! What the operator sees: log lines, counters, health; and what nobody sees.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::client::Wire;
use crate::support::server::Reply;
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"
units = 1

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 3
duration = "30d"
"#;

/// The names that facts have in every line.
const FIELDS: [&str; 18] = [
    "request_id",
    "route_id",
    "payment_id",
    "payer",
    "network",
    "asset",
    "amount_atomic",
    "scheme",
    "step",
    "outcome",
    "reason",
    "plan_id",
    "key_prefix",
    "status",
    "upstream_ms",
    "verify_ms",
    "settle_ms",
    "transaction",
];

fn start(log: &str) -> World {
    let server = format!("unlisted = \"deny\"\nlog = \"{log}\"");
    Setup {
        server: &server,
        facilitator: "settle_timeout = \"400ms\"\nresolve_timeout = \"0s\"",
        routes: ROUTES,
        ..Setup::default()
    }
    .start()
}

/// What went through a gateway, and what it must not say about it.
struct Traffic {
    secrets: Vec<String>,
    /// The outcome of each payment that was sent, by target.
    outcomes: Vec<(&'static str, &'static str)>,
}

/// A bit of everything.
fn traffic(world: &World) -> Traffic {
    let mut secrets = Vec::new();
    let mut sent = |payment: String| {
        let json = tollgate::x402::codec::decode(payment.as_bytes()).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        secrets.push(value["payload"]["signature"].as_str().unwrap().trim_start_matches("0x").to_owned());
        secrets.push(value["accepted"]["extra"]["quote"].as_str().unwrap().to_owned());
        secrets.push(payment.clone());
        payment
    };
    assert_eq!(world.get("/free", &[]).status, 200);
    assert_eq!(world.get("/nothing", &[]).status, 404);
    assert_eq!(world.get("/free/../paid", &[]).status, 400);
    assert_eq!(world.get("/paid", &[]).status, 402);
    assert_eq!(world.pay("/paid", "bm90IGEgcGF5bWVudA==").status, 402);

    assert_eq!(world.pay("/paid", &sent(world.payment("/paid"))).status, 200);
    assert_eq!(world.pay("/upfront", &sent(world.payment("/upfront"))).status, 200);
    world.upstream.says(Reply::status(500, "", "BODY-OF-THE-UPSTREAM"));
    assert_eq!(world.pay("/paid", &sent(world.payment("/paid"))).status, 500);
    world.upstream.says(Reply::ok("BODY-OF-THE-UPSTREAM"));
    let refusal = json!({ "success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "" });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    assert_eq!(world.pay("/paid", &sent(world.payment("/paid"))).status, 402);
    world.facilitator.settles(|_| Reply::reset());
    assert_eq!(world.pay("/paid", &sent(world.payment("/paid"))).status, 503);
    world.facilitator.heals();

    let key = world.buy("nano");
    assert_eq!(world.get("/paid", &[("X-API-KEY", &key)]).status, 200);
    assert_eq!(world.get("/paid", &[("Authorization", &format!("Bearer {key}"))]).status, 200);
    assert_eq!(world.ask("POST", "/paid", &[("X-API-KEY", &key)], "BODY-OF-THE-CLIENT").status, 200);
    assert_eq!(world.get("/paid", &[("X-API-KEY", &key)]).status, 402);
    assert_eq!(world.get("/paid", &[("X-API-KEY", "tg_live_0123456789")]).status, 402);
    until_true("the last request's end", || world.gateway.metric("gateway_requests_in_flight") == 0);
    secrets.extend([key, "tg_live_0123456789".into(), "BODY-OF-THE".into(), "bm90IGEgcGF5bWVudA==".into()]);
    let secret = std::fs::read_to_string(world.gateway.store_file().with_file_name("tollgate.secret")).unwrap();
    secrets.push(secret.trim().to_owned());
    let outcomes = vec![
        ("/paid", "settled"),
        ("/upfront", "settled"),
        ("/paid", "not_charged"),
        ("/paid", "not_settled"),
        ("/paid", "unknown"),
        // The plan.
        ("", "settled"),
    ];
    Traffic { secrets, outcomes }
}

#[test]
fn every_line_of_a_json_log_is_json_and_each_paid_call_has_one_event() {
    let mut world = start("json");
    let traffic = traffic(&world);
    world.gateway.signal("TERM");
    world.gateway.exit();
    let output = world.gateway.output_at_end();
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));

    let events: Vec<_> = lines.iter().filter(|line| line["target"] == "payment").collect();
    let outcomes: Vec<_> =
        events.iter().map(|event| (event["route_id"].as_str().unwrap(), event["outcome"].as_str().unwrap())).collect();
    assert_eq!(outcomes, traffic.outcomes);
    for event in events {
        assert_eq!(event["message"], "payment");
        for name in event.as_object().unwrap().keys() {
            let usual = ["timestamp", "level", "message", "target"].contains(&name.as_str());
            assert!(usual || FIELDS.contains(&name.as_str()), "{name} is not among the names of fields");
        }
        assert!(event["payment_id"].as_str().unwrap().starts_with("pay_"));
        assert_eq!(event["payer"], json!(world.wallet.address()));
        assert_eq!((&event["network"], &event["scheme"]), (&json!("eip155:8453"), &json!("exact")));
        let price = match event["route_id"].as_str().unwrap() {
            "/upfront" => "20000",
            "/paid" => "10000",
            _ => "1000000",
        };
        assert_eq!(event["amount_atomic"], price);
        assert!(["status", "verify_ms", "upstream_ms", "settle_ms"].iter().all(|name| event[name].is_u64()), "{event}");
        let refused = event["outcome"] == "not_settled";
        assert_eq!(event["reason"], if refused { "insufficient_funds" } else { "" });
        let settled = event["outcome"] == "settled";
        assert_eq!(event["transaction"].as_str().is_some_and(|text| !text.is_empty()), settled, "{event}");
    }
}

#[test]
fn nothing_secret_is_ever_written() {
    for log in ["text", "json"] {
        let mut world = start(log);
        let traffic = traffic(&world);
        let metrics = Wire::to(world.gateway.admin).get("/metrics", &[]).text();
        world.gateway.signal("TERM");
        world.gateway.exit();
        let output = world.gateway.output_at_end();
        for secret in traffic.secrets {
            assert!(!output.contains(&secret) && !metrics.contains(&secret), "{log}: {secret} in\n{output}");
        }
    }
}

#[test]
fn counters_count_what_went_through() {
    let world = start("text");
    traffic(&world);
    let page = Wire::to(world.gateway.admin).get("/metrics", &[]);
    assert!(page.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let metrics = parse(&page.text());
    for (name, count) in [
        ("gateway_requests_total{outcome=\"free\"}", 1.0),
        ("gateway_requests_total{outcome=\"paid\"}", 2.0),
        ("gateway_requests_total{outcome=\"keyed\"}", 3.0),
        ("gateway_requests_total{outcome=\"upstream_failed\"}", 1.0),
        ("gateway_requests_total{outcome=\"unavailable\"}", 1.0),
        ("gateway_payments_total{outcome=\"not_charged\"}", 1.0),
        ("gateway_payments_total{outcome=\"not_settled\"}", 1.0),
        ("gateway_payments_total{outcome=\"unknown\"}", 1.0),
        ("gateway_payments_total{outcome=\"refused\"}", 1.0),
        ("gateway_facilitator_seconds_count{call=\"settle\",facilitator=\"facilitator\",outcome=\"settled\"}", 3.0),
        ("gateway_facilitator_seconds_count{call=\"settle\",facilitator=\"facilitator\",outcome=\"unknown\"}", 1.0),
        ("gateway_facilitator_seconds_count{call=\"verify\",facilitator=\"facilitator\",outcome=\"valid\"}", 5.0),
        ("gateway_keys_cached", 1.0),
        ("gateway_open_payments", 1.0),
        ("gateway_config_ok", 1.0),
        ("gateway_requests_in_flight", 0.0),
    ] {
        assert_eq!(metrics.get(name), Some(&count), "{name} in {metrics:#?}");
    }
    let buyer = world.wallet.address();
    assert!(metrics.keys().all(|name| !name.contains(&buyer) && !name.contains("pay_")));
    // What is sold is named by the file, and so often only.
    let is_of_offers = |name: &String| name.starts_with("gateway_facilitator_refusals_total{");
    assert!(metrics.keys().all(|name| is_of_offers(name) || !name.contains("/paid")));
}

/// A page in the text format of Prometheus; panics if it is none.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let mut typed = Vec::new();
    let mut metrics = BTreeMap::new();
    for line in page.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(["HELP", "TYPE"].contains(&kind) && !rest.is_empty(), "{line}");
            typed.push(name.to_owned());
            continue;
        }
        let (name, number) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        assert!(bare.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        assert!(typed.iter().any(|typed| bare.starts_with(typed)), "{line}");
        assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
        assert!(metrics.insert(name.to_owned(), number.parse().unwrap()).is_none(), "{line}");
    }
    metrics
}

#[test]
fn a_sale_of_a_plan_is_counted_and_told() {
    let mut world = start("json");
    let target = "/x402/purchase?plan=nano";
    let payment = world.payment(target);
    assert_eq!(world.pay(target, &payment).status, 200);
    assert_eq!(world.pay(target, &payment).status, 200);
    assert_eq!(world.gateway.metric("gateway_payments_total{outcome=\"settled\"}"), 1);
    world.gateway.signal("TERM");
    world.gateway.exit();
    let output = world.gateway.output_at_end();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events: Vec<_> = lines.filter(|line| line["target"] == "payment" && line["outcome"] == "settled").collect();
    assert_eq!(events.len(), 1, "{output}");
    assert_eq!(events[0]["plan_id"], "nano");
    assert_eq!(events[0]["amount_atomic"], "1000000");
}

#[test]
fn what_is_the_operators_is_not_public() {
    for (unlisted, status) in [("deny", 404), ("free", 200)] {
        let server = format!("unlisted = \"{unlisted}\"");
        let world = Setup { server: &server, ..Setup::default() }.start();
        for target in ["/metrics", "/readyz", "/healthz"] {
            let answer = world.get(target, &[]);
            assert_eq!(answer.status, status, "{target}");
            assert!(unlisted == "deny" || answer.text() == "from upstream", "{target}");
        }
        let admin = |method, target| {
            let mut wire = Wire::to(world.gateway.admin);
            wire.send(crate::support::client::request(method, target, &[], ""));
            wire.answer().status
        };
        for (method, target, status) in [
            ("GET", "/healthz", 200),
            ("GET", "/readyz", 200),
            ("GET", "/metrics", 200),
            ("GET", "/paid", 404),
            ("GET", "/x402/pricing", 404),
            ("GET", "/", 404),
            ("POST", "/metrics", 405),
            ("DELETE", "/healthz", 405),
        ] {
            assert_eq!(admin(method, target), status, "{method} {target}");
        }
    }
}
