//! What opens a plan at the socket, what its holder is told with every answer, and what the upstream never sees.

use serde_json::json;
use sfv::{BareItem, KeyRef, List, ListEntry, Parser};
use tollgate::sandbox::DemoWallet;

use crate::support::client::{Answer, Wire, request};
use crate::support::server::Reply;
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};
use crate::wallet::{address, token};

const ROUTES: &str = r#"
[[routes]]
path  = "/keyed"
units = 0.75

[[routes]]
path  = "/big"
units = 100

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "ten"
price    = "$1"
units    = 10
duration = "30d"

[[plans]]
name     = "slow"
price    = "$1"
units    = 100
duration = "30d"
rate     = "2/1h"

[[plans]]
name     = "endless"
price    = "$1"
duration = "30d"

[[plans]]
name     = "vast"
price    = "$1"
units    = 9000000000000000
duration = "30d"

[keys]
query = "token"
"#;

const BUYER: [u8; 32] = [0x71; 32];

fn start() -> World {
    start_with("")
}

fn start_with(subscriptions: &str) -> World {
    let routes = format!("{ROUTES}\n[subscriptions]\n{subscriptions}");
    let mut world = Setup { routes: &routes, ..Setup::default() }.start();
    world.wallet = DemoWallet::from_key(BUYER).unwrap();
    world
}

impl World {
    fn opened(&self, target: &str, key: &str) -> Answer {
        self.get(target, &[("X-API-KEY", key)])
    }

    fn handshake(&self, target: &str, headers: &[(&str, &str)]) -> Wire {
        let mut wire = self.wire();
        let websocket = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        wire.send(request("GET", target, &[&websocket, headers].concat(), ""));
        wire
    }
}

/// A header as a list of named items with numbers (RFC 9651), read by somebody else's parser.
fn list(answer: &Answer, name: &str) -> Vec<(String, Vec<i64>)> {
    let text = answer.header(name).unwrap_or_else(|| panic!("no {name}"));
    let list: List = Parser::new(text).parse().unwrap_or_else(|error| panic!("{name}: {text}: {error}"));
    let item = |entry: ListEntry| {
        let ListEntry::Item(item) = entry else { panic!("{text}") };
        let BareItem::String(policy) = item.bare_item else { panic!("{text}") };
        let number = |parameter: &str| match item.params.get(KeyRef::from_str(parameter).unwrap()) {
            Some(BareItem::Integer(number)) => Some(i64::from(*number)),
            None => None,
            other => panic!("{other:?}"),
        };
        let numbers = ["q", "w", "r", "t"].into_iter().filter_map(number).collect();
        (policy.as_str().to_owned(), numbers)
    };
    list.into_iter().map(item).collect()
}

const MONTH_S: i64 = 30 * 86_400;

/// What an answer says of a plan of ten units.
#[track_caller]
fn assert_told(answer: &Answer, left: &str, whole: i64, cost: &str) {
    assert_eq!(list(answer, "ratelimit-policy"), [("plan".to_owned(), vec![10, MONTH_S])]);
    let state = list(answer, "ratelimit");
    let [(policy, numbers)] = &state[..] else { panic!("{state:?}") };
    assert_eq!((policy.as_str(), numbers[0]), ("plan", whole));
    assert!((MONTH_S - 60..=MONTH_S).contains(&numbers[1]), "{numbers:?}");
    assert_eq!((answer.header("x-quota-limit"), answer.header("x-quota-remaining")), (Some("10"), Some(left)));
    assert_eq!(answer.header("x-units-cost"), Some(cost));
    let reset: i64 = answer.header("x-quota-reset").unwrap().parse().unwrap();
    assert!(reset > 1_700_000_000, "{reset}");
}

#[test]
fn every_answer_says_how_the_plan_stands() {
    for (subscriptions, status) in [("", 402), ("exhausted_status = 403", 403)] {
        let world = start_with(subscriptions);
        let key = world.buy("ten");
        // What the upstream says of its own limits is not what the buyer's are.
        world.upstream.says(Reply::status(200, "RateLimit: \"theirs\";r=1\r\nX-Quota-Remaining: 7\r\n", ""));
        assert_told(&world.opened("/keyed", &key), "9.25", 9, "0.75");
        let exhausted = world.opened("/big", &key);
        assert_eq!((exhausted.status, exhausted.reason().as_str()), (status, "quota_exhausted"));
        assert_told(&exhausted, "9.25", 9, "0");
        assert_eq!(exhausted.header("payment-required"), None);
        let text = exhausted.text();
        assert!(text.contains("https://api.example.com/x402/purchase"), "{text}");
        let from_browser = world.get("/keyed", &[("X-API-KEY", &key), ("Origin", "https://app.example")]);
        let exposed = from_browser.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("X-Quota-Remaining") && exposed.contains("RateLimit"), "{exposed}");
    }
}

#[test]
fn who_is_too_fast_is_told_how_long_to_wait() {
    let world = start();
    let key = world.buy("slow");
    let first = world.opened("/keyed", &key);
    let policies = vec![("plan".to_owned(), vec![100, MONTH_S]), ("rate".to_owned(), vec![2, 3600])];
    assert_eq!(list(&first, "ratelimit-policy"), policies);
    let (name, numbers) = list(&first, "ratelimit")[1].clone();
    assert_eq!((name.as_str(), numbers[0]), ("rate", 1));
    assert_eq!(world.opened("/keyed", &key).status, 200);
    let refused = world.opened("/keyed", &key);
    assert_eq!((refused.status, refused.reason().as_str()), (429, "rate_limited"));
    assert_eq!(list(&refused, "ratelimit-policy"), policies);
    assert_eq!(list(&refused, "ratelimit")[1].1[0], 0);
    let (details, wait) = (&refused.json()["details"], refused.header("retry-after").unwrap().parse::<u64>().unwrap());
    assert_eq!((&details["limit"], &details["remaining"]), (&json!("2/h"), &json!(0)));
    assert_eq!(details["retryAfter"], json!(wait));
    let reset_at = details["reset_at"].as_u64().unwrap();
    assert!(reset_at > wait && reset_at > 1_700_000_000, "{reset_at}");
    assert_eq!(refused.header("x-units-cost"), Some("0"));
}

#[test]
fn fields_are_well_formed_however_large_the_plan() {
    let world = start();
    let vast = world.opened("/keyed", &world.buy("vast"));
    assert_eq!(list(&vast, "ratelimit-policy")[0].1[0], 999_999_999_999_999);
    assert_eq!(vast.header("x-quota-remaining"), Some("8999999999999999.25"));
    let endless = world.opened("/keyed", &world.buy("endless"));
    assert_eq!(endless.status, 200);
    for absent in ["ratelimit", "ratelimit-policy", "x-quota-limit", "x-quota-remaining"] {
        assert_eq!(endless.header(absent), None);
    }
    assert_eq!(endless.header("x-units-cost"), Some("0.75"));
}

#[test]
fn the_status_of_an_address_is_told_if_the_operator_says_so() {
    for shown in [false, true] {
        let world = start_with(&format!("status_by_address = {shown}"));
        let key = world.buy("ten");
        let by_key = world.opened("/x402/status", &key).json();
        let target = format!("/x402/status?chain=evm&address={}", address(BUYER));
        let answer = world.get(&target, &[]);
        if !shown {
            assert_eq!((answer.status, answer.reason().as_str()), (401, "missing_credentials"));
            continue;
        }
        assert_eq!((answer.status, answer.json()), (200, by_key.clone()));
        assert!(!answer.text().contains(&key));
        assert_eq!(world.get(&target.to_lowercase(), &[]).json(), by_key);
        for nobody in [target.replace("evm", "solana"), target.replace("0x", "0xff"), target[..40].to_owned()] {
            let answer = world.get(&nobody, &[]);
            assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(false)), "{nobody}");
        }
        let by_wallet = world.get("/x402/status", &[("Authorization", &token("api.example.com", BUYER, 60))]);
        assert_eq!((by_wallet.status, &by_wallet.json()["apiKey"]), (200, &json!(key)));
    }
}

#[test]
fn a_wallet_opens_a_route_and_says_why_if_not() {
    let world = start();
    let call = |token: &str| world.get("/keyed", &[("Authorization", token)]);
    let good = token("api.example.com", BUYER, 600);
    assert_eq!((call(&good).status, call(&good).reason().as_str()), (402, "no_subscription"));
    let key = world.buy("ten");
    for _ in 0..2 {
        assert_eq!(call(&good).status, 200);
    }
    let heard = world.upstream.last();
    assert_eq!(heard.head.all("x-tollgate-payer"), [address(BUYER)]);
    let expired = token("api.example.com", BUYER, 0);
    let [message, signature] = [0, 1]
        .map(|half| move |token: &str| token.trim_start_matches("SIWX ").split('.').nth(half).unwrap().to_owned());
    for (token, reason) in [
        (token("evil.example", BUYER, 600), "invalid_siwx_domain_mismatch"),
        (expired.clone(), "invalid_siwx_expired"),
        (format!("SIWX {}.{}", message(&good), signature(&expired)), "invalid_siwx_signature"),
        (good[..good.len() - 3].to_owned(), "invalid_siwx_malformed_signature"),
    ] {
        let answer = call(&token);
        assert_eq!((answer.status, answer.reason().as_str()), (401, reason));
        assert!(answer.header("www-authenticate").unwrap().starts_with("SIWX"));
        // A good key beside it opens the route.
        assert_eq!(world.get("/keyed", &[("Authorization", &token), ("X-API-KEY", &key)]).status, 200);
    }
    assert_eq!(world.upstream.hits(), 6);
}

#[test]
fn the_upstream_never_sees_what_opened_the_plan() {
    let world = start();
    let key = world.buy("endless");
    let siwx = token("api.example.com", BUYER, 600);
    let bearer = format!("Bearer {key}");
    let secrets = [key.as_str(), siwx.trim_start_matches("SIWX ")];
    for headers in [
        vec![("X-API-KEY", key.as_str())],
        vec![("Authorization", bearer.as_str())],
        vec![("Authorization", siwx.as_str())],
        vec![("Authorization", siwx.as_str()), ("X-API-KEY", key.as_str())],
        vec![("SIGN-IN-WITH-X", siwx.as_str()), ("X-API-KEY", key.as_str())],
    ] {
        for target in ["/keyed", "/free"] {
            assert_eq!(world.get(target, &headers).status, 200, "{target} {headers:?}");
            let head = String::from_utf8(world.upstream.last().head.raw).unwrap();
            assert!(secrets.iter().all(|secret| !head.contains(secret)), "{target}: {head}");
            assert!(!head.to_lowercase().contains("sign-in-with-x"), "{target}: {head}");
        }
    }
}

#[test]
fn a_key_that_was_brought_along_is_not_shown_to_the_upstream_either() {
    let world = start();
    world.buy("endless");
    let imported = "sk-brought+along/=";
    assert_eq!(world.opened("/free", imported).status, 200);
    assert_eq!(world.upstream.last().head.all("x-api-key"), [imported], "it is the upstream's own business");
    let hash = alloy_primitives::hex::encode(tollgate::plans::KeyHash::of(imported).0);
    let statement = format!(
        "INSERT INTO keys SELECT 'key_imported', x'{hash}', holder_id, 'imported', NULL, 'sk-', created_at, NULL \
         FROM keys LIMIT 1; INSERT INTO changes (holder_id, at) VALUES ('', 1777777777777);"
    );
    world.write(statement.leak());
    until_true("the change", || world.opened("/keyed", imported).status == 200);
    for target in ["/keyed", "/free"] {
        assert_eq!(world.opened(target, imported).status, 200);
        assert!(world.upstream.last().head.all("x-api-key").is_empty(), "{target}");
        assert_eq!(world.get(target, &[("Authorization", &format!("Bearer {imported}"))]).status, 200);
        assert!(world.upstream.last().head.all("authorization").is_empty(), "{target}");
    }
    let mut socket = world.handshake("/keyed?token=sk-brought%2Balong%2F%3D", &[]);
    assert_eq!((socket.answer().status, world.upstream.last().target()), (200, "/keyed"));
}

#[test]
fn a_handshake_may_have_its_key_in_the_query() {
    let world = start();
    let key = world.buy("endless");
    world.upstream.says(Reply::ok("no upgrade today"));
    for (target, forwarded) in [
        (format!("/keyed?token={key}"), "/keyed"),
        (format!("/keyed?a=1&token={key}&b=2"), "/keyed?a=1&b=2"),
        (format!("/keyed?token={key}&token=theirs"), "/keyed?token=theirs"),
    ] {
        assert_eq!(world.handshake(&target, &[]).answer().status, 200, "{target}");
        let heard = world.upstream.last();
        assert_eq!(heard.target(), forwarded);
        assert!(!String::from_utf8(heard.head.raw).unwrap().contains(&key));
    }
    let answer = world.handshake(&format!("/keyed?token={key}"), &[("X-API-KEY", &key)]).answer();
    assert_eq!((answer.status, world.upstream.last().target()), (200, "/keyed"), "the same twice is one");
    world.upstream.says(Reply::reset());
    assert_eq!(world.handshake(&format!("/keyed?token={key}"), &[]).answer().status, 502);
    assert!(!world.gateway.output().contains(&key), "nor is it in the log");
}

#[test]
fn what_is_no_key_in_a_query_is_the_upstreams_own() {
    let world = start();
    let (key, other) = (world.buy("endless"), world.buy("ten"));
    for target in ["/free?token=theirs", "/free?token=", "/free?token=a.b.c"] {
        assert_eq!(world.handshake(target, &[]).answer().status, 200, "{target}");
        assert_eq!(world.upstream.last().target(), target);
    }
    // Not a handshake.
    let target = format!("/free?token={key}");
    assert_eq!(world.get(&target, &[]).status, 200);
    assert_eq!(world.upstream.last().target(), target);
    assert_eq!(world.get(&format!("/keyed?token={key}"), &[]).reason(), "missing_credentials");
    let hits = world.upstream.hits();
    for (target, headers) in [
        (format!("/keyed?token={key}"), vec![("X-API-KEY", other.as_str())]),
        (format!("/keyed?token={key}&token={other}"), vec![]),
    ] {
        let answer = world.handshake(&target, &headers).answer();
        assert_eq!((answer.status, answer.reason().as_str()), (400, "ambiguous_credentials"), "{target}");
    }
    let made_up = world.handshake("/keyed?token=tg_live_made-up", &[]).answer();
    assert_eq!((made_up.status, made_up.reason().as_str()), (402, "invalid_api_key"));
    assert_eq!(world.upstream.hits(), hits);
}
