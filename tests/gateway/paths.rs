//! However a path is written: what reaches the upstream is what was priced.

use http::Method;
use tollgate::config;
use tollgate::pricing::{Found, Kinds, PriceTable, Target};

use crate::support::client::{Answer, Wire};
use crate::support::server::Heard;
use crate::support::upstreams::readings;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/weather"
price = "$0.01"

[[routes]]
path = "/free"
free = true
"#;

/// What becomes of a target where paths that no route names are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is not read at all.
    Refused,
    /// It costs what `/weather` costs.
    Priced,
    /// It goes upstream in this form.
    Free(&'static str),
    /// The same, but no route names it.
    Unlisted(&'static str),
}
use Fate::{Free, Priced, Refused, Unlisted};

const TARGETS: [(&[u8], Fate); 93] = [
    (b"/weather", Priced),
    (b"/weather?", Priced),
    (b"/weather?city=oslo", Priced),
    (b"/weather?a=/../free&b=%2f;//", Priced),
    (b"/weather??", Priced),
    (b"/%77eather", Priced),
    (b"/w%65athe%72", Priced),
    (b"/WEATHER", Priced),
    (b"/%57eather", Priced),
    (b"/weather/", Priced),
    (b"/Weather/", Priced),
    (b"http://api.example.com/weather", Priced),
    (b"https://api.example.com/weather", Priced),
    // RFC 9110 would have these two equal; the framework refuses them, which is as good.
    (b"http://API.example.com/weather", Refused),
    (b"/free", Free("/free")),
    (b"/%66ree", Free("/free")),
    (b"/free?", Free("/free?")),
    (b"/free?/weather", Free("/free?/weather")),
    (b"/free?x=%2f..%2fweather", Free("/free?x=%2f..%2fweather")),
    (b"http://api.example.com/free", Free("/free")),
    (b"/", Unlisted("/")),
    (b"http://api.example.com", Unlisted("/")),
    (b"http://api.example.com?/weather", Refused),
    (b"/weatherx", Unlisted("/weatherx")),
    (b"/weather/x", Unlisted("/weather/x")),
    (b"/free/weather", Unlisted("/free/weather")),
    (b"/weather.", Unlisted("/weather.")),
    (b"/weather%20", Unlisted("/weather%20")),
    (b"/weather%3Fa", Unlisted("/weather%3Fa")),
    (b"/weather%23a", Unlisted("/weather%23a")),
    (b"/{weather}", Unlisted("/%7Bweather%7D")),
    ("/w\u{e9}ather".as_bytes(), Unlisted("/w%C3%A9ather")),
    (b"/free/../weather", Refused),
    (b"/free/%2e%2e/weather", Refused),
    (b"/free/%2E./weather", Refused),
    (b"/free/.%2e/weather", Refused),
    (b"/free/..", Refused),
    (b"/./weather", Refused),
    (b"/%2e/weather", Refused),
    (b"/weather/.", Refused),
    (b"/weather/..", Refused),
    (b"/weather/%2e", Refused),
    (b"/..", Refused),
    (b"//weather", Refused),
    (b"///weather", Refused),
    (b"/free//weather", Refused),
    (b"/weather//", Refused),
    (b"//", Refused),
    (b"//evil.example.com/weather", Refused),
    (b"/\\weather", Refused),
    (b"\\weather", Refused),
    (b"/free\\..\\weather", Refused),
    (b"/free%2fweather", Refused),
    (b"/free%2F..%2Fweather", Refused),
    (b"/%2fweather", Refused),
    (b"/weather%2f", Refused),
    (b"/free%5cweather", Refused),
    (b"/free%5C..%5Cweather", Refused),
    (b"/weather%00", Refused),
    (b"/weather%00.html", Refused),
    (b"/weather%0d%0a", Refused),
    (b"/weather%0aX", Refused),
    (b"/weather%09", Refused),
    (b"/weather%7f", Refused),
    (b"/free%252fweather", Refused),
    (b"/free/%252e%252e/weather", Refused),
    (b"/%2577eather", Refused),
    (b"/%25%37%37eather", Refused),
    (b"/free/%25%32%65%25%32%65/weather", Refused),
    (b"/weather%2500", Refused),
    (b"/weather;x", Refused),
    (b"/weather;x=1?y", Refused),
    (b"/;x/weather", Refused),
    (b"/free;/../weather", Refused),
    (b"/weather%", Refused),
    (b"/weather%2", Refused),
    (b"/weather%zz", Refused),
    (b"/weather%u0041", Refused),
    (b"/%c0%afweather", Refused),
    (b"/free/%c0%ae%c0%ae/weather", Refused),
    (b"/weather%ff", Refused),
    (b"/weather\xff", Refused),
    // What a fragment hides is dropped before anybody looks at the path.
    (b"/weather#x", Priced),
    (b"/free#/../weather", Free("/free")),
    (b"/free?x#/weather", Free("/free?x")),
    (b"weather", Refused),
    (b"*", Refused),
    (b"?/weather", Refused),
    (b"http://evil.example.com/free", Refused),
    (b"http://user@api.example.com/free", Refused),
    (b"ftp://api.example.com/free", Refused),
    (b"/free\tweather", Refused),
    (b"/weather\x01", Refused),
];

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

fn shown(target: &[u8]) -> String {
    target.escape_ascii().to_string()
}

/// What has gone upstream is in the canonical form, and no upstream in the field would take it for the priced route.
fn assert_free(prices: &PriceTable, heard: &Heard, from: &str) {
    let target = Target::parse(heard.target().as_bytes()).unwrap_or_else(|error| panic!("{from}: {error}"));
    assert_eq!(target.as_str(), heard.target(), "{from}");
    assert_ne!(route(prices, target.path()).as_deref(), Some("/weather"), "{from}");
    let readings = readings(heard.target());
    assert!(!readings.contains("/weather"), "{from}: {} may be read as /weather", heard.target());
}

#[test]
fn no_spelling_of_a_priced_path_is_free() {
    let world = start("free");
    let prices = prices(&world);
    for (target, fate) in TARGETS {
        let from = shown(target);
        world.upstream.forget();
        let answer = send(&world, target, "");
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        match fate {
            Refused => assert!([0, 400].contains(&status), "{from}: {status}"),
            Priced => assert_eq!(status, 402, "{from}"),
            Free(_) | Unlisted(_) => assert_eq!(status, 200, "{from}"),
        }
        match fate {
            Refused | Priced => assert_eq!(world.upstream.hits(), 0, "{from}"),
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
    for (target, fate) in TARGETS {
        let from = shown(target);
        let payment = format!("PAYMENT-SIGNATURE: {}\r\n", world.payment("/weather"));
        world.upstream.forget();
        let answer = send(&world, target, &payment);
        match fate {
            Priced => {
                assert_eq!(answer.unwrap().status, 200, "{from}");
                let heard = world.upstream.last();
                let received = Target::parse(heard.target().as_bytes()).unwrap();
                assert_eq!(received.as_str(), heard.target(), "{from}");
                assert_eq!(route(&prices, received.path()).as_deref(), Some("/weather"), "{from}");
            }
            Refused => assert_eq!(world.upstream.hits(), 0, "{from}"),
            Free(form) | Unlisted(form) => assert_eq!(world.upstream.last().target(), form, "{from}"),
        }
    }
    assert_eq!(world.facilitator.settled().len(), TARGETS.iter().filter(|(_, fate)| *fate == Priced).count());
}

#[test]
fn where_unlisted_paths_are_denied_only_what_a_route_names_goes_upstream() {
    let world = start("deny");
    for (target, fate) in TARGETS {
        let from = shown(target);
        world.upstream.forget();
        let status = send(&world, target, "").map_or(0, |answer| answer.status);
        let (right, hits): (&[u16], _) = match fate {
            Refused => (&[0, 400], 0),
            Priced => (&[402], 0),
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
