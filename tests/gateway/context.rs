//! The token that an upstream is shown, so that it can refuse whoever goes around the gateway.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use tollgate::clock::unix_seconds;

use crate::support::client::request;
use crate::support::server::{Heard, Reply};
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

pub(crate) const ROUTES: &str = r#"
[[routes]]
path  = "/paid/{rest...}"
price = "$0.01"

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path       = "/either"
price      = "$0.01"
units      = 1
free_calls = "1/d"

[[routes]]
path = "/free/{rest...}"
free = true

[[plans]]
name     = "nano"
price    = "$1"
units    = 1000
duration = "30d"
"#;

const CONTEXT: &str = "context = { audience = \"https://upstream.internal\" }";
const JWKS: &str = "/x402/jwks.json";
const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

fn start() -> World {
    Setup { server: "unlisted = \"free\"", upstream: CONTEXT, routes: ROUTES, ..Setup::default() }.start()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The only token of a request.
#[track_caller]
fn token(heard: &Heard) -> &str {
    let tokens = heard.head.all("x-tollgate-context");
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    tokens[0]
}

impl World {
    /// What a request's token claims, after a look at everything that is the same for each.
    #[track_caller]
    pub(crate) fn claims(&self, heard: &Heard, ttl: u64) -> Value {
        let token = token(heard);
        let keys = self.get(JWKS, &[]).json();
        let key = &keys["keys"][0];
        assert_eq!(part(token, 0), json!({ "alg": "EdDSA", "kid": key["kid"], "typ": "JWT" }));
        let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &signature).unwrap();

        let mut claims = part(token, 1);
        let object = claims.as_object_mut().unwrap();
        let mut take = |name: &str| object.remove(name).unwrap_or_else(|| panic!("no {name}"));
        let (issued_at, expires_at) = (take("iat").as_u64().unwrap(), take("exp").as_u64().unwrap());
        let now = unix_seconds(SystemTime::now());
        assert!((now - 20..=now).contains(&issued_at) && expires_at == issued_at + ttl, "{issued_at} {expires_at}");
        assert_eq!(URL_SAFE_NO_PAD.decode(take("jti").as_str().unwrap()).unwrap().len(), 16);
        assert_eq!(take("iss"), "https://api.example.com");
        assert_eq!((take("method"), take("path")), (json!(heard.method()), json!(heard.target())));
        claims
    }

    #[track_caller]
    fn last_claims(&self) -> Value {
        self.claims(&self.upstream.last(), 60)
    }

    /// What the upstream that the claims name was told beside that.
    #[track_caller]
    fn assert_told(&self, more: &Value) {
        let mut expected = json!({ "aud": "https://upstream.internal" });
        expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(self.last_claims(), expected);
    }
}

#[test]
fn the_upstream_is_told_how_each_call_was_opened() {
    let world = start();
    let key = world.buy("nano");
    let payer = world.wallet.address();

    assert_eq!(world.get("/free/a?b=c&d=%20", &[]).status, 200);
    world.assert_told(&json!({ "route": "/free/{rest...}", "access": "free" }));
    assert_eq!(world.ask("POST", "/elsewhere", &[], "body").status, 200);
    world.assert_told(&json!({ "access": "free" }));
    assert_eq!(world.get("/either", &[]).status, 200);
    world.assert_told(&json!({ "route": "/either", "access": "trial" }));
    assert_eq!(world.get("/either", &[("X-API-KEY", &key)]).status, 200);
    world.assert_told(&json!({ "route": "/either", "access": "plan", "plan": "nano", "payer": payer }));

    for (target, route, amount, settled) in
        [("/paid/a?b=c", "/paid/{rest...}", "10000", false), ("/upfront", "/upfront", "20000", true)]
    {
        assert_eq!(world.pay(target, &world.payment(target)).status, 200);
        let id = world.upstream.last().head.get("x-tollgate-payment-id").unwrap().to_owned();
        world.assert_told(&json!({
            "route": route, "access": "paid", "settled": settled, "payer": payer, "network": "eip155:8453",
            "asset": USDC, "amount": amount, "payment_id": id,
        }));
    }
    let hits = world.upstream.hits();
    assert_eq!(world.get("/paid/a", &[]).status, 402);
    assert_eq!(world.get("/either", &[("X-API-KEY", "tg_live_made-up")]).status, 402);
    assert_eq!(world.upstream.hits(), hits, "who is refused is not told of");
}

#[test]
fn a_plan_that_nobody_paid_for_has_no_payer() {
    let world = start();
    let key = world.buy("nano");
    world.write("UPDATE subscriptions SET payer = ''");
    assert_eq!(world.get("/either", &[("X-API-KEY", &key)]).status, 200);
    world.assert_told(&json!({ "route": "/either", "access": "plan", "plan": "nano" }));
}

#[test]
fn a_token_names_the_call_as_it_is_forwarded() {
    let world = Setup {
        server: "unlisted = \"free\"",
        upstream: CONTEXT,
        routes: &format!("{ROUTES}\n[keys]\nquery = \"token\""),
        ..Setup::default()
    };
    let world = world.start();
    let key = world.buy("nano");
    let mut wire = world.wire();
    wire.send(request("HEAD", "/free/%7Ea/b?x=%7E", &[], ""));
    assert_eq!(wire.answer_to_head().status, 200);
    // The comparison with what the upstream heard is in `claims`.
    assert_eq!((world.last_claims()["access"].as_str(), world.upstream.last().method()), (Some("free"), "HEAD"));

    world
        .upstream
        .says(Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    let handshake = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let target = format!("/either?token={key}&x=1");
    assert_eq!(world.get(&target, &handshake).status, 101);
    assert_eq!(world.upstream.last().target(), "/either?x=1");
    assert_eq!(world.last_claims()["access"], "plan");
}

#[test]
fn no_two_calls_have_the_same_token() {
    let world = start();
    for _ in 0..3 {
        assert_eq!(world.get("/free/a", &[]).status, 200);
    }
    let heard = world.upstream.heard();
    let ids: Vec<_> = heard.iter().map(|heard| part(token(heard), 1)["jti"].clone()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

#[test]
fn what_a_client_says_under_the_name_of_the_token_is_not_heard() {
    let world = start();
    for forged in [
        &[("X-Tollgate-Context", "forged")][..],
        &[("x-tollgate-context", "forged"), ("X-TOLLGATE-CONTEXT", "forged")],
        &[("X-Tollgate-Context", "forged"), ("Connection", "X-Tollgate-Context")],
        &[("X-Tollgate-Context", "")],
    ] {
        for target in ["/free/a", "/paid/a"] {
            let payment = if target == "/paid/a" { world.payment(target) } else { String::new() };
            let answer = world.get(target, &[forged, &[("PAYMENT-SIGNATURE", &payment)]].concat());
            assert_eq!(answer.status, 200, "{forged:?}");
            world.last_claims();
        }
    }
    let hits = world.upstream.hits();
    for name in ["X_Tollgate_Context", "X-Tollgate_Context", "x_tollgate-context"] {
        let answer = world.get("/free/a", &[(name, "forged")]);
        assert_eq!((answer.status, answer.reason().as_str()), (400, "ambiguous_header"), "{name}");
    }
    assert_eq!(world.upstream.hits(), hits);
}

#[test]
fn nobody_but_the_upstream_sees_a_token() {
    let mut world = start();
    let reply = "X-Tollgate-Context: from-upstream\r\n";
    world.upstream.says(Reply::status(200, reply, "yes"));
    let payment = world.payment("/paid/a");
    let answers = [world.get("/free/a", &[]), world.pay("/paid/a", &payment)];
    until_true("the delivery", || world.states() == ["delivered"]);
    // The repeat is answered from the store.
    let hits = world.upstream.hits();
    let repeated = world.pay("/paid/a", &payment);
    assert_eq!((repeated.status, world.upstream.hits()), (200, hits));
    for answer in answers.iter().chain([&repeated]) {
        assert!(!answer.head.has("x-tollgate-context"), "{:?}", answer.head.headers);
    }
    let tokens: Vec<_> = world.upstream.heard().iter().map(|heard| token(heard).to_owned()).collect();
    world.gateway.signal("TERM");
    world.gateway.exit();
    let mut written = world.gateway.output_at_end().into_bytes();
    for file in std::fs::read_dir(world.gateway.config_file().parent().unwrap()).unwrap() {
        written.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let written = String::from_utf8_lossy(&written);
    assert!(written.contains("payment_id") && written.contains(&world.wallet.address()), "there is something to find");
    for token in tokens {
        assert!(token.split('.').skip(1).all(|part| !written.contains(part)), "{token}");
    }
}

#[test]
fn the_key_is_published_where_some_upstream_asks_for_tokens() {
    let world = start();
    let answer = world.get(JWKS, &[]);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("public, max-age=300")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let keys = answer.json();
    let key = &keys["keys"][0];
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    for (name, value) in [("kty", "OKP"), ("crv", "Ed25519"), ("use", "sig"), ("alg", "EdDSA")] {
        assert_eq!(key[name], value);
    }
    assert!(key.get("d").is_none(), "the private half stays here");
    let mut wire = world.wire();
    wire.send(request("HEAD", JWKS, &[], ""));
    let head = wire.answer_to_head();
    assert_eq!((head.status, head.header("cache-control")), (200, Some("public, max-age=300")));
    let posted = world.ask("POST", JWKS, &[], "a");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    for target in ["/x402/jwks", "/x402/jwks.json/", "/x402/JWKS.json"] {
        assert_eq!(world.get(target, &[]).status, 404, "{target}");
    }
    assert_eq!(world.upstream.hits(), 0);

    let elsewhere =
        Setup { server: "unlisted = \"free\"\nendpoints = \"/pay\"", upstream: CONTEXT, ..Setup::default() };
    let elsewhere = elsewhere.start();
    assert_eq!(elsewhere.get("/pay/jwks.json", &[]).status, 200);
    assert_ne!(elsewhere.get("/pay/jwks.json", &[]).json(), keys, "each secret has a key of its own");

    let silent = World::start();
    assert_eq!(silent.get(JWKS, &[]).status, 404);
    assert_eq!(silent.ask("POST", JWKS, &[], "a").status, 404);
    assert_eq!(silent.get("/free", &[]).status, 200);
    assert!(!silent.upstream.last().head.has("x-tollgate-context"));
}

#[test]
fn the_key_outlives_a_crash() {
    let mut world = start();
    let keys = world.get(JWKS, &[]).json();
    world.gateway.crash_and_restart();
    assert_eq!(world.get(JWKS, &[]).json(), keys);
}

#[test]
fn a_reload_turns_tokens_on_and_off_and_changes_what_they_say() {
    let world = start();
    let free = || world.get("/free/a", &[]).status;
    world.edit("audience = \"https://upstream.internal\"", "audience = \"other\", ttl = \"5s\"");
    until_true("the other audience", || free() == 200 && part(token(&world.upstream.last()), 1)["aud"] == "other");
    assert_eq!(world.claims(&world.upstream.last(), 5)["aud"], "other");
    world.edit("context = ", "# context = ");
    until_true("the end of tokens", || free() == 200 && !world.upstream.last().head.has("x-tollgate-context"));
    assert_eq!(world.get(JWKS, &[]).status, 404);
    world.edit("# context = ", "context = ");
    until_true("tokens", || free() == 200 && world.upstream.last().head.has("x-tollgate-context"));
    assert_eq!(world.claims(&world.upstream.last(), 5)["aud"], "other");
}
