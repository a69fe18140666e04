//! A buyer's own keys and addresses, after the sale.

use serde_json::{Value, json};
use tollgate::sandbox::DemoWallet;

use crate::support::client::{Answer, Wire, request};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};
use crate::wallet::{address, token};

const ROUTES: &str = r#"
[[routes]]
path  = "/keyed"
units = 1

[[plans]]
name     = "ten"
price    = "$1"
units    = 10
duration = "30d"

[subscriptions]
keys_max = 3
"#;

const BUYER: [u8; 32] = [0x61; 32];
const STRANGER: [u8; 32] = [0x62; 32];

fn start() -> World {
    let mut world = Setup { routes: ROUTES, ..Setup::default() }.start();
    world.wallet = DemoWallet::from_key(BUYER).unwrap();
    world
}

impl World {
    fn manage(&self, method: &str, target: &str, key: &str) -> Answer {
        self.ask(method, target, &[("X-API-KEY", key)], "")
    }

    fn status_with(&self, key: &str) -> u16 {
        self.get("/keyed", &[("X-API-KEY", key)]).status
    }

    /// Makes a key; its id and its text.
    fn issue(&self, key: &str) -> (String, String) {
        let made = self.manage("POST", "/x402/keys", key);
        assert_eq!(made.status, 201, "{}", made.text());
        (word(&made.json(), "id"), word(&made.json(), "apiKey"))
    }

    fn keys_of(&self, key: &str) -> Vec<Value> {
        self.manage("GET", "/x402/keys", key).json()["keys"].as_array().unwrap().clone()
    }

    fn link(&self, key: &str, body: &str) -> Answer {
        self.ask("POST", "/x402/link-address", &[("X-API-KEY", key)], body)
    }
}

fn word(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_owned()
}

fn siwx(key: [u8; 32]) -> String {
    token("api.example.com", key, 600)
}

/// What a wallet sends to be linked.
fn link_body(key: [u8; 32]) -> Value {
    let token = siwx(key);
    let (message, signature) = token.strip_prefix("SIWX ").unwrap().split_once('.').unwrap();
    let message = tollgate::x402::codec::decode(message.as_bytes()).unwrap();
    json!({ "chain": "evm", "address": address(key), "message": message, "signature": signature })
}

#[test]
fn a_holder_sees_the_keys_and_nobody_sees_their_texts() {
    let world = start();
    let key = world.buy("ten");
    let answer = world.manage("GET", "/x402/keys", &key);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert!(word(&answer.json(), "holder").starts_with("hol_"));
    let [sold] = &world.keys_of(&key)[..] else { panic!("{}", answer.text()) };
    assert_eq!((&sold["origin"], &sold["active"], &sold["revokedAt"]), (&json!("sold"), &json!(true), &Value::Null));
    assert!(key.starts_with(word(sold, "hint").trim_end_matches('…')) && !answer.text().contains(&key));
    let by_wallet = world.get("/x402/keys", &[("Authorization", &siwx(BUYER))]);
    assert_eq!(by_wallet.json(), answer.json());
    let mut wire = world.wire();
    wire.send(request("HEAD", "/x402/keys", &[("X-API-KEY", &key)], ""));
    assert_eq!(wire.answer_to_head().status, 200);
    assert_eq!(wire.get("/x402/pricing", &[]).status, 200, "nothing follows a HEAD");
}

#[test]
fn whoever_shows_nothing_good_manages_nothing() {
    let world = start();
    world.buy("ten");
    let siwx = siwx(STRANGER);
    for (headers, reason) in [
        (vec![], "missing_credentials"),
        (vec![("X-API-KEY", "tg_live_made-up")], "invalid_api_key"),
        (vec![("Authorization", "Bearer a.b.c")], "invalid_api_key"),
        (vec![("Authorization", siwx.as_str())], "no_subscription"),
        (vec![("SIGN-IN-WITH-X", "e30=")], "invalid_siwx_payload"),
    ] {
        for (method, target) in [
            ("GET", "/x402/keys"),
            ("POST", "/x402/keys"),
            ("POST", "/x402/keys/rotate"),
            ("DELETE", "/x402/keys/key_1"),
        ] {
            let answer = world.ask(method, target, &headers, "");
            assert_eq!((answer.status, answer.reason().as_str()), (401, reason), "{method} {target} {headers:?}");
            assert!(answer.header("www-authenticate").is_some(), "{method} {target}");
            assert!(answer.header("payment-required").is_none(), "nothing is sold here");
        }
        let linked = world.ask("POST", "/x402/link-address", &headers, &link_body(STRANGER).to_string());
        assert_eq!((linked.status, linked.reason().as_str()), (401, reason));
    }
}

#[test]
fn a_key_that_was_made_opens_the_plan_at_once_and_there_are_so_many() {
    let world = start();
    let key = world.buy("ten");
    let made = world.manage("POST", "/x402/keys", &key);
    assert_eq!((made.status, made.header("cache-control")), (201, Some("private, no-store")));
    let second = word(&made.json(), "apiKey");
    assert_eq!((world.status_with(&second), world.status_with(&key)), (200, 200));
    let status = world.get("/x402/status", &[("X-API-KEY", &second)]).json();
    assert_eq!(status["quota"], json!({ "used": 2, "total": 10 }), "one plan");
    let by_wallet = world.ask("POST", "/x402/keys", &[("Authorization", &siwx(BUYER))], "");
    assert_eq!(by_wallet.status, 201);
    let full = world.manage("POST", "/x402/keys", &key);
    assert_eq!((full.status, full.reason().as_str()), (409, "too_many_keys"));
    assert_eq!(full.json()["details"]["limit"], json!(3));
    assert_eq!(world.keys_of(&key).len(), 3);
}

#[test]
fn a_rotated_key_ends_where_the_new_one_begins() {
    let world = start();
    let key = world.buy("ten");
    let rotated = world.manage("POST", "/x402/keys/rotate", &key);
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    let new = word(&rotated.json(), "apiKey");
    assert_eq!((world.status_with(&key), world.status_with(&new)), (402, 200));
    assert_eq!(world.manage("POST", "/x402/keys/rotate", &key).status, 401);
    let (id, other) = world.issue(&new);
    let named = world.manage("POST", &format!("/x402/keys/rotate?id={id}"), &new);
    assert_eq!((named.status, word(&named.json(), "replaces")), (201, id.clone()));
    assert_eq!(
        [world.status_with(&other), world.status_with(&new), world.status_with(&word(&named.json(), "apiKey"))],
        [402, 200, 200]
    );
    for gone in [id.as_str(), "key_never", ""] {
        let answer = world.manage("POST", &format!("/x402/keys/rotate?id={gone}"), &new);
        assert_eq!((answer.status, answer.reason().as_str()), (404, "unknown_key"), "{gone}");
    }
    let which = world.ask("POST", "/x402/keys/rotate", &[("Authorization", &siwx(BUYER))], "");
    assert_eq!((which.status, which.reason().as_str()), (400, "missing_key_id"));
}

#[test]
fn a_revoked_key_is_refused_and_its_call_under_way_finishes() {
    let world = start();
    let key = world.buy("ten");
    let (id, other) = world.issue(&key);
    let gate = Gate::default();
    world.upstream.says(Reply::ok("late").behind(&gate));
    let mut under_way = world.wire();
    under_way.send(request("GET", "/keyed", &[("X-API-KEY", &other)], ""));
    until_true("the upstream's call", || world.upstream.hits() == 1);
    let revoked = world.manage("DELETE", &format!("/x402/keys/{id}"), &key);
    assert_eq!((revoked.status, revoked.json()), (200, json!({ "status": "ok", "id": id, "revoked": true })));
    let refused = world.get("/keyed", &[("X-API-KEY", &other)]);
    assert_eq!((refused.status, refused.reason().as_str()), (402, "invalid_api_key"));
    gate.open();
    assert_eq!(under_way.answer().status, 200);
    assert_eq!(world.upstream.hits(), 1);
    let again = world.manage("DELETE", &format!("/x402/keys/{id}"), &key);
    assert_eq!((again.status, again.reason().as_str()), (404, "unknown_key"));
    let working: Vec<_> = world.keys_of(&key).iter().map(|key| key["active"] == json!(true)).collect();
    assert_eq!(working.iter().filter(|working| **working).count(), 1);
}

#[test]
fn the_key_of_somebody_else_is_not_there() {
    let mut world = start();
    let key = world.buy("ten");
    let (id, _) = world.issue(&key);
    world.wallet = DemoWallet::from_key(STRANGER).unwrap();
    let stranger = world.buy("ten");
    for (method, target) in [("DELETE", format!("/x402/keys/{id}")), ("POST", format!("/x402/keys/rotate?id={id}"))] {
        let answer = world.manage(method, &target, &stranger);
        assert_eq!((answer.status, answer.reason().as_str()), (404, "unknown_key"), "{method}");
    }
    assert_eq!((world.keys_of(&key).len(), world.keys_of(&stranger).len()), (2, 1));
}

#[test]
fn a_key_that_another_process_revokes_is_refused_within_a_moment() {
    let world = start();
    let key = world.buy("ten");
    assert_eq!(world.status_with(&key), 200);
    world.write(
        "UPDATE keys SET revoked_at = 1; INSERT INTO changes (holder_id, at) SELECT holder_id, 1777777777777 FROM keys;",
    );
    until_true("the change", || world.status_with(&key) == 402);
}

#[test]
fn an_endpoint_says_which_methods_it_has() {
    let world = start();
    let key = world.buy("ten");
    for (target, allowed, others) in [
        ("/x402/keys", "GET, HEAD, POST", ["PUT", "DELETE", "PATCH"]),
        ("/x402/keys/rotate", "POST", ["GET", "PUT", "DELETE"]),
        ("/x402/keys/key_1", "DELETE", ["GET", "POST", "PUT"]),
        ("/x402/link-address", "POST", ["GET", "PUT", "DELETE"]),
        ("/x402/status", "GET, HEAD", ["POST", "PUT", "DELETE"]),
    ] {
        for method in others {
            let answer = world.manage(method, target, &key);
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {target}");
        }
    }
    assert_eq!(world.status_with(&key), 200, "nothing was done");
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn a_linked_wallet_spends_the_plan() {
    let mut world = start();
    let key = world.buy("ten");
    let by_stranger = |world: &World| world.get("/keyed", &[("Authorization", &siwx(STRANGER))]);
    assert_eq!(by_stranger(&world).reason(), "no_subscription");
    let linked = world.link(&key, &link_body(STRANGER).to_string());
    assert_eq!((linked.status, linked.json()["address"].as_str()), (200, Some(&*address(STRANGER))));
    assert_eq!((by_stranger(&world).status, world.status_with(&key)), (200, 200));
    assert_eq!(world.link(&key, &link_body(STRANGER).to_string()).status, 200, "once more changes nothing");
    // What the linked wallet buys is the holder's too.
    world.wallet = DemoWallet::from_key(STRANGER).unwrap();
    world.buy("ten");
    assert_eq!(world.get("/x402/status", &[("X-API-KEY", &key)]).json()["quota"]["used"], json!(0));
}

#[test]
fn a_wallet_is_linked_on_its_own_word_and_not_away_from_a_plan_of_its_own() {
    let mut world = start();
    let key = world.buy("ten");
    let with = |member: &str, value: Value| {
        let mut body = link_body(STRANGER);
        body[member] = value;
        body.to_string()
    };
    for (body, reason) in [
        (with("address", address(BUYER).into()), "invalid_siwx_address"),
        (with("chain", "solana".into()), "invalid_siwx_address"),
        (with("message", link_body(BUYER)["message"].clone()), "invalid_siwx_address"),
        (with("signature", link_body(BUYER)["signature"].clone()), "invalid_siwx_signature"),
        (with("message", "I am me".into()), "invalid_siwx_payload"),
    ] {
        let answer = world.link(&key, &body);
        assert_eq!((answer.status, answer.reason().as_str()), (401, reason));
        assert!(answer.header("www-authenticate").unwrap().starts_with("SIWX"));
    }
    world.wallet = DemoWallet::from_key(STRANGER).unwrap();
    world.buy("ten");
    let taken = world.link(&key, &link_body(STRANGER).to_string());
    assert_eq!((taken.status, taken.reason().as_str()), (409, "address_taken"));
}

#[test]
fn a_body_that_cannot_be_read_is_refused() {
    let world = start();
    let key = world.buy("ten");
    let huge = format!("{{\"chain\":\"{}\"}}", "x".repeat(17 * 1024));
    let missing = json!({ "chain": "evm", "address": address(STRANGER), "message": "x" }).to_string();
    let wrong = json!({ "chain": 1, "address": [], "message": {}, "signature": null }).to_string();
    for body in ["", "{", "[]", "null", "\u{fffd}", &missing, &wrong, &huge] {
        let answer = world.link(&key, body);
        assert_eq!((answer.status, answer.reason().as_str()), (400, "invalid_body"), "{body:.40}");
    }
}

#[test]
fn a_body_that_does_not_come_keeps_nobody_waiting() {
    let world = start();
    let key = world.buy("ten");
    let body = link_body(STRANGER).to_string();
    let whole = request("POST", "/x402/link-address", &[("X-API-KEY", &key)], &body);
    let mut slow: Wire = world.wire();
    slow.send(&whole[..whole.len() - 1]);
    assert_eq!(world.status_with(&key), 200, "others go on");
    let answer = slow.answer();
    assert_eq!((answer.status, answer.reason().as_str()), (400, "invalid_body"));
    assert!(slow.is_closed());
}
