//! However a path is written: what reaches the upstream is what was priced.

use http::Method;
use serde_json::Value;
use tollgate::config;
use tollgate::pricing::{Found, Kinds, PriceTable, Target};

use crate::support::client::{Answer, Wire};
use crate::support::server::Heard;
use crate::support::upstreams::readings;
use crate::support::world::{Setup, World};

pub(crate) const ROUTES: &str = r#"
[[routes]]
path  = "/weather"
price = "$0.01"

[[routes]]
path  = "/market"
price = "$0.01"

[[routes]]
path  = "/premium/{rest...}"
price = "$0.01"

[[routes]]
path = "/free"
free = true

[[routes]]
path = "/public/{rest...}"
free = true
"#;

/// The paths of the priced routes.
const GOODS: [&str; 3] = ["/weather", "/market", "/premium"];

/// What becomes of a target where paths that no route names are free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not read at all.
    Refused,
    /// It costs what this path costs.
    Priced(String),
    /// It goes upstream in this form.
    Free(String),
    /// The same, but no route names it.
    Unlisted(String),
}
use Fate::{Free, Priced, Refused, Unlisted};

/// The request targets that are tried here and against real servers behind the gateway.
pub(crate) fn targets() -> Vec<(Vec<u8>, Fate)> {
    let file: Value = serde_json::from_str(include_str!("../vectors/targets.json")).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let read = |row: &Value| {
        let fate = match row["fate"].as_str().unwrap() {
            "refused" => Refused,
            "priced" => Priced(text(row, "as")),
            "free" => Free(text(row, "as")),
            "unlisted" => Unlisted(text(row, "as")),
            other => panic!("{other}"),
        };
        (text(row, "target").chars().map(|c| u8::try_from(c).unwrap()).collect(), fate)
    };
    file["targets"].as_array().unwrap().iter().map(read).collect()
}

fn start(unlisted: &str) -> World {
    let server = format!("unlisted = \"{unlisted}\"");
    Setup { server: &server, routes: ROUTES, ..Setup::default() }.start()
}

fn prices(world: &World) -> PriceTable {
    config::load(&world.gateway.config_file()).unwrap().config.price_table(&Kinds::unknown()).0
}

/// The pattern of a path's route.
fn route(prices: &PriceTable, path: &str) -> Option<String> {
    match prices.find(&Method::GET, path) {
        Found::Route(route) => Some(route.pattern.to_string()),
        _ => None,
    }
}

fn send(world: &World, target: &[u8], header: &str) -> Option<Answer> {
    let mut wire = Wire::to(world.gateway.addr);
    wire.send([b"GET ", target, b" HTTP/1.1\r\nHost: api.example.com\r\n", header.as_bytes(), b"\r\n"].concat());
    wire.try_answer()
}

pub(crate) fn shown(target: &[u8]) -> String {
    target.escape_ascii().to_string()
}

/// What has gone upstream is in the canonical form, and no upstream in the field would take it for the priced route.
fn assert_free(prices: &PriceTable, heard: &Heard, from: &str) {
    let target = Target::parse(heard.target().as_bytes()).unwrap_or_else(|error| panic!("{from}: {error}"));
    assert_eq!(target.as_str(), heard.target(), "{from}");
    if let Found::Route(route) = prices.find(&Method::GET, target.path()) {
        assert!(route.access.is_free(), "{from}");
    }
    for reading in readings(heard.target()) {
        let priced = GOODS.iter().any(|goods| reading == *goods) || reading.starts_with("/premium/");
        assert!(!priced, "{from}: {} may be read as {reading}", heard.target());
    }
}

#[test]
fn no_spelling_of_a_priced_path_is_free() {
    let world = start("free");
    let prices = prices(&world);
    for (target, fate) in targets() {
        let from = shown(&target);
        world.upstream.forget();
        let answer = send(&world, &target, "");
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        match &fate {
            Refused => assert!([0, 400].contains(&status), "{from}: {status}"),
            Priced(_) => assert_eq!(status, 402, "{from}"),
            Free(_) | Unlisted(_) => assert_eq!(status, 200, "{from}"),
        }
        match fate {
            Refused | Priced(_) => assert_eq!(world.upstream.hits(), 0, "{from}"),
            Free(form) | Unlisted(form) => {
                assert_eq!(world.upstream.last().target(), form, "{from}");
                assert_free(&prices, &world.upstream.last(), &from);
            }
        }
    }
}

#[test]
fn whatever_is_paid_for_arrives_as_what_was_priced() {
    let world = start("free");
    let prices = prices(&world);
    for (target, fate) in targets() {
        let from = shown(&target);
        let paid = if let Priced(path) = &fate { path } else { "/weather" };
        let payment = format!("PAYMENT-SIGNATURE: {}\r\n", world.payment(paid));
        world.upstream.forget();
        let answer = send(&world, &target, &payment);
        match fate {
            Priced(path) => {
                assert_eq!(answer.unwrap().status, 200, "{from}");
                let heard = world.upstream.last();
                let received = Target::parse(heard.target().as_bytes()).unwrap();
                assert_eq!(received.as_str(), heard.target(), "{from}");
                assert_eq!(route(&prices, received.path()), route(&prices, &path), "{from}");
            }
            Refused => assert_eq!(world.upstream.hits(), 0, "{from}"),
            Free(form) | Unlisted(form) => assert_eq!(world.upstream.last().target(), form, "{from}"),
        }
    }
    assert_eq!(
        world.facilitator.settled().len(),
        targets().iter().filter(|(_, fate)| matches!(fate, Priced(_))).count()
    );
}

#[test]
fn where_unlisted_paths_are_denied_only_what_a_route_names_goes_upstream() {
    let world = start("deny");
    for (target, fate) in targets() {
        let from = shown(&target);
        world.upstream.forget();
        let status = send(&world, &target, "").map_or(0, |answer| answer.status);
        let (right, hits): (&[u16], _) = match fate {
            Refused => (&[0, 400], 0),
            Priced(_) => (&[402], 0),
            Free(_) => (&[200], 1),
            Unlisted(_) => (&[404], 0),
        };
        assert!(right.contains(&status), "{from}: {status}");
        assert_eq!(world.upstream.hits(), hits, "{from}");
    }
}

#[test]
fn a_target_of_nine_kilobytes_is_refused() {
    let world = start("free");
    for target in [format!("/{}", "a".repeat(9000)), format!("/free?{}", "a".repeat(9000))] {
        assert_eq!(send(&world, target.as_bytes(), "").unwrap().status, 400);
    }
    assert_eq!(world.upstream.hits(), 0);
    let target = format!("/free?{}", "a".repeat(8000));
    assert_eq!(send(&world, target.as_bytes(), "").unwrap().status, 200);
}

#[test]
fn a_request_without_one_good_host_is_refused() {
    let world = start("free");
    for hosts in [
        "",
        "Host:\r\n",
        "Host: api.example.com\r\nHost: api.example.com\r\n",
        "Host: api.example.com\r\nHost: evil.example.com\r\n",
        "Host: user@api.example.com\r\n",
        "Host: user:word@api.example.com\r\n",
        "Host: api.example.com:99999\r\n",
        "Host: api.example.com:\r\n",
        "Host: api.example.com:80:80\r\n",
        "Host: api example.com\r\n",
        "Host: api.example.com/weather\r\n",
        "Host: api.example.com, evil.example.com\r\n",
        "Host: [::1\r\n",
        "Host: :80\r\n",
        "Host: http://api.example.com\r\n",
    ] {
        for target in ["/free", "/weather"] {
            let mut wire = Wire::to(world.gateway.addr);
            wire.send(format!("GET {target} HTTP/1.1\r\nAccept: */*\r\n{hosts}\r\n"));
            assert_eq!(wire.answer().status, 400, "{target} {hosts:?}");
            assert!(wire.is_closed(), "{target} {hosts:?}");
        }
    }
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn a_host_changes_neither_the_route_nor_what_buyers_are_told() {
    const PLAN: &str = "[[plans]]\nname = \"nano\"\nprice = \"$1\"\nduration = \"30d\"\n";
    let routes = format!("{ROUTES}\n{PLAN}");
    // Even whoever is believed on its client is not believed on what we are called.
    let server = "unlisted = \"free\"\ntrusted_proxies = [\"127.0.0.1\"]";
    let world = Setup { server, routes: &routes, ..Setup::default() }.start();
    for host in [
        "evil.example.com",
        "API.EXAMPLE.COM",
        "api.example.com.",
        "api.example.com:8080",
        "api.example.com.evil.example.com",
        "1.2.3.4",
        "[::1]:1",
    ] {
        let forwarded = format!(
            "X-Forwarded-Host: {host}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\n\
             X-Original-Host: {host}\r\nForwarded: host={host};proto=http\r\n"
        );
        let ask = |target: &str| {
            let mut wire = Wire::to(world.gateway.addr);
            wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{forwarded}\r\n"));
            let answer = wire.answer();
            let whole = [answer.head.raw.as_slice(), &answer.body].concat();
            let told = String::from_utf8_lossy(&whole).into_owned() + &answer.decoded("payment-required").to_string();
            let urls = told.split("http").skip(1).filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
            for url in urls.filter(|url| !url.starts_with("s://x402.org") && !url.contains("json-schema.org")) {
                assert!(url.starts_with("s://api.example.com/"), "{host} {target}: http{url}");
            }
            assert!(!told.contains("evil"), "{host} {target}: {told}");
            answer
        };
        for target in ["/weather?x".to_owned(), format!("http://{host}/weather?x"), format!("https://{host}/weather?x")]
        {
            // An absolute form in other letters, or with other ports than a URI's, may be refused.
            let answer = ask(&target);
            assert!(answer.status == 402 || answer.status == 400 && target.starts_with("http"), "{host} {target}");
            if answer.status == 402 {
                let challenge = answer.decoded("payment-required");
                assert_eq!(challenge["resource"]["url"], "https://api.example.com/weather?x", "{host} {target}");
                assert_eq!(answer.json()["resource"], "https://api.example.com/weather?x", "{host} {target}");
            }
        }
        let sold = ask("/x402/pricing").json();
        assert_eq!(sold["purchaseUrl"], "https://api.example.com/x402/purchase", "{host}");
        let purchase = ask("/x402/purchase?plan=nano").decoded("payment-required");
        assert_eq!(purchase["resource"]["url"], "https://api.example.com/x402/purchase?plan=nano", "{host}");
        assert_eq!(ask("/x402/status").status, 401, "{host}");
    }
    assert_eq!(world.upstream.hits(), 0);
}
