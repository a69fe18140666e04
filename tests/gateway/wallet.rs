//! Wallets that sign in: a key that was lost is got again, without a charge, by whoever bought it.

use std::time::SystemTime;

use alloy_primitives::{eip191_hash_message, hex};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};
use serde_json::{Value, json};
use tollgate::clock::iso_millis;
use tollgate::sandbox::DemoWallet;
use tollgate::x402::codec;

use crate::support::client::Answer;
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"
units = 1

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "two"
price    = "$1"
units    = 2
duration = "30d"

[[plans]]
name     = "endless"
price    = "$1"
duration = "30d"

[[plans]]
name     = "short"
price    = "$1"
duration = "1s"
"#;

const TWO: &str = "/x402/purchase?plan=two";
const STATUS: &str = "/x402/status";
const BUYER: [u8; 32] = [0x51; 32];
const STRANGER: [u8; 32] = [0x52; 32];

/// A world whose wallet can sign in.
fn start() -> World {
    let mut world = Setup { routes: ROUTES, ..Setup::default() }.start();
    world.wallet = DemoWallet::from_key(BUYER).unwrap();
    world
}

pub(crate) fn address(key: [u8; 32]) -> String {
    DemoWallet::from_key(key).unwrap().address()
}

/// Seconds from now, as messages have them.
fn time(seconds: i64) -> String {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap();
    (now + jiff::SignedDuration::from_secs(seconds)).to_string()
}

fn sign(message: &str, key: [u8; 32]) -> String {
    let digest = Message::from_digest(eip191_hash_message(message.as_bytes()).0);
    let key = SecretKey::from_secret_bytes(key).unwrap();
    let (recovery, rs) = RecoverableSignature::sign_ecdsa_recoverable(digest, &key).serialize_compact();
    hex::encode_prefixed([&rs[..], &[27 + recovery.to_u8()]].concat())
}

/// The text of EIP-4361, written here by hand.
fn text(info: &Value, key: [u8; 32]) -> String {
    let said = |name: &str| info[name].as_str().unwrap().to_owned();
    format!(
        "{} wants you to sign in with your Ethereum account:\n{}\n\n{}\n\nURI: {}\nVersion: 1\nChain ID: 8453\nNonce: {}\n\
         Issued At: {}\nResources:\n- {}",
        said("domain"),
        address(key),
        said("statement"),
        said("uri"),
        said("nonce"),
        said("issuedAt"),
        info["resources"][0].as_str().unwrap(),
    )
}

/// What a client of the reference makes of a challenge's `info`.
fn proof_of(info: &Value, key: [u8; 32]) -> String {
    let mut payload = info.clone();
    payload["address"] = address(key).into();
    payload["chainId"] = "eip155:8453".into();
    payload["type"] = "eip191".into();
    payload["signature"] = sign(&text(info, key), key).into();
    codec::encode(&payload)
}

/// A token of the other form, good for some seconds.
pub(crate) fn token(domain: &str, key: [u8; 32], seconds: i64) -> String {
    let (issued, expires) = (time(-1), time(seconds));
    let message = format!(
        "{domain} wants you to sign in with your Ethereum account:\n{}\n\nSign in\n\nURI: https://{domain}\nVersion: 1\n\
         Chain ID: 8453\nNonce: abcdefgh\nIssued At: {issued}\nExpiration Time: {expires}",
        address(key),
    );
    format!("SIWX {}.{}", codec::encode_bytes(message.as_bytes()), sign(&message, key))
}

impl World {
    /// A challenge's own words to sign.
    fn info(&self) -> Value {
        let required = self.get(TWO, &[]).decoded("payment-required");
        let declared = &required["extensions"]["sign-in-with-x"];
        assert_eq!(declared["supportedChains"], json!([{ "chainId": "eip155:8453", "type": "eip191" }]));
        declared["info"].clone()
    }

    pub(crate) fn proof(&self, key: [u8; 32]) -> String {
        proof_of(&self.info(), key)
    }

    fn signed_in(&self, target: &str, proof: &str) -> Answer {
        self.get(target, &[("SIGN-IN-WITH-X", proof)])
    }
}

#[test]
fn a_lost_key_is_got_again_by_the_wallet_that_bought_it() {
    let world = start();
    let sold = world.pay(TWO, &world.payment(TWO));
    assert_eq!(sold.status, 200, "{}", sold.text());
    let proof = world.proof(BUYER);
    let token = token("api.example.com", BUYER, 3600);
    for header in [("SIGN-IN-WITH-X", proof.as_str()), ("Authorization", &token)] {
        // A proof may be sent again as long as it is good.
        for method in ["GET", "POST", "GET"] {
            let again = world.ask(method, TWO, &[header], "");
            assert_eq!((again.status, again.json()), (200, sold.json()), "{method} {header:?}");
            assert_eq!(again.header("cache-control"), Some("private, no-store"));
            assert!(again.header("payment-response").is_none(), "nothing was paid");
        }
        let status = world.get(STATUS, &[header]);
        assert_eq!((status.status, status.header("cache-control")), (200, Some("private, no-store")));
        let body = status.json();
        assert_eq!((&body["plan"], &body["active"]), (&json!("two"), &json!(true)));
        assert_eq!((&body["apiKey"], &body["expiresAt"]), (&sold.json()["apiKey"], &sold.json()["expiresAt"]));
        assert_eq!(body["quota"], json!({ "used": 0, "total": 2 }));
    }
    let key = sold.json()["apiKey"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/paid", &[("X-API-KEY", &key)]).status, 200);
    assert_eq!(world.signed_in(STATUS, &proof).json()["quota"]["used"], json!(1));
    assert_eq!((world.facilitator.verified().len(), world.facilitator.settled().len()), (1, 1));
    assert_eq!(world.states(), ["delivered"]);
}

#[test]
fn another_wallet_gets_nothing() {
    let world = start();
    world.buy("two");
    let proof = world.proof(STRANGER);
    let answer = world.signed_in(TWO, &proof);
    assert_eq!((answer.status, answer.reason().as_str()), (402, "missing_credentials"));
    assert!(answer.header("payment-required").is_some() && !answer.text().contains("tg_live_"));
    let status = world.signed_in(STATUS, &proof);
    let none =
        json!({ "plan": null, "quota": { "used": 0, "total": 0 }, "expiresAt": null, "active": false, "apiKey": null });
    assert_eq!((status.status, status.json()), (200, none));
    // The buyer's name under the stranger's signature.
    let mut forged: Value = serde_json::from_str(&codec::decode(proof.as_bytes()).unwrap()).unwrap();
    forged["address"] = address(BUYER).into();
    let answer = world.signed_in(STATUS, &codec::encode(&forged));
    assert_eq!((answer.status, answer.reason().as_str()), (401, "invalid_siwx_signature"));
}

#[test]
fn a_proof_that_is_not_good_is_told_why() {
    let world = start();
    world.buy("two");
    let info = world.info();
    let with = |name: &str, value: &str| {
        let mut info = info.clone();
        info[name] = value.into();
        proof_of(&info, BUYER)
    };
    for (proof, reason) in [
        (with("issuedAt", &time(-301)), "invalid_siwx_issued_at_too_old"),
        (with("issuedAt", &time(120)), "invalid_siwx_issued_at_in_future"),
        (with("domain", "evil.example"), "invalid_siwx_domain_mismatch"),
        // What the request calls us does not matter, what the configuration calls us does.
        (with("domain", &world.gateway.addr.to_string()), "invalid_siwx_domain_mismatch"),
        (with("uri", "https://evil.example/"), "invalid_siwx_uri_mismatch"),
        (with("nonce", "short"), "invalid_siwx_nonce"),
        ("e30=".to_owned(), "invalid_siwx_payload"),
    ] {
        let answer = world.signed_in(TWO, &proof);
        assert_eq!((answer.status, answer.reason().as_str()), (402, reason));
        assert_eq!(answer.decoded("payment-required")["error"], reason);
        let status = world.signed_in(STATUS, &proof);
        assert_eq!((status.status, status.reason().as_str()), (401, reason));
        assert_eq!(status.header("www-authenticate"), Some("SIWX"));
        assert!(!answer.text().contains("tg_live_") && !status.text().contains("tg_live_"));
    }
    let expired = token("api.example.com", BUYER, 0);
    assert_eq!(world.get(STATUS, &[("Authorization", &expired)]).reason(), "invalid_siwx_expired");
}

#[test]
fn what_the_wallet_does_not_hold_is_for_sale() {
    let world = start();
    let proof = world.proof(BUYER);
    assert_eq!(world.signed_in(TWO, &proof).status, 402, "nothing was bought yet");
    let key = world.buy("two");
    assert_eq!(world.signed_in("/x402/purchase?plan=endless", &proof).reason(), "missing_credentials");
    assert_eq!(world.signed_in(STATUS, &proof).json()["apiKey"], key.as_str());
    // Whoever sends a payment means to pay.
    let payment = world.payment("/x402/purchase?plan=endless");
    let headers = [("PAYMENT-SIGNATURE", payment.as_str()), ("SIGN-IN-WITH-X", &proof)];
    let newer = world.get("/x402/purchase?plan=endless", &headers).json()["apiKey"].clone();
    assert!(newer.is_string() && newer != key.as_str());
    assert_eq!(world.signed_in(STATUS, &proof).json()["apiKey"], newer);
    assert_eq!(world.signed_in(TWO, &proof).status, 402, "it was replaced");
    assert_eq!(world.facilitator.settled().len(), 2);
}

#[test]
fn what_is_used_up_or_over_is_for_sale_again() {
    let world = start();
    let proof = world.proof(BUYER);
    let key = world.buy("two");
    assert_eq!([(); 3].map(|()| world.get("/paid", &[("X-API-KEY", &key)]).status), [200, 200, 402]);
    assert_eq!(world.signed_in(TWO, &proof).status, 402);
    assert_eq!(world.signed_in(STATUS, &proof).json()["quota"], json!({ "used": 2, "total": 2 }));
    let world = start();
    let proof = world.proof(BUYER);
    world.buy("short");
    until_true("the plan's end", || world.signed_in(STATUS, &proof).json()["plan"].is_null());
    assert_eq!(world.signed_in("/x402/purchase?plan=short", &proof).status, 402);
}

#[test]
fn a_key_decides_over_a_sign_in_at_the_status() {
    let world = start();
    let key = world.buy("two");
    let proof = world.proof(STRANGER);
    let status = world.get(STATUS, &[("X-API-KEY", &key), ("SIGN-IN-WITH-X", &proof)]).json();
    assert_eq!((&status["plan"], status.get("apiKey")), (&json!("two"), None));
}

#[test]
fn two_sign_ins_are_nobodys_and_a_huge_one_is_refused() {
    let world = start();
    let (proof, token) = (world.proof(BUYER), token("api.example.com", BUYER, 60));
    for headers in [
        [("SIGN-IN-WITH-X", proof.as_str()), ("sign-in-with-x", &proof)],
        [("SIGN-IN-WITH-X", &proof), ("Authorization", &token)],
    ] {
        for target in [TWO, STATUS, "/free"] {
            let answer = world.get(target, &headers);
            assert_eq!((answer.status, answer.reason().as_str()), (400, "ambiguous_sign_in"), "{target}");
        }
    }
    let huge = "A".repeat(16 * 1024 + 1);
    let answer = world.signed_in(STATUS, &huge);
    assert_eq!((answer.status, answer.reason().as_str()), (431, "sign_in_too_large"));
    assert_eq!(world.signed_in("/free", "").status, 200);
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn no_upstream_sees_a_sign_in_at_the_gateway() {
    let world = start();
    let (ours, theirs) = (token("api.example.com", BUYER, 60), token("upstream.example", BUYER, 60));
    let proof = world.proof(BUYER);
    world.signed_in("/free", &proof);
    assert!(world.upstream.last().head.all("sign-in-with-x").is_empty());
    world.get("/free", &[("Authorization", &ours)]);
    assert!(world.upstream.last().head.all("authorization").is_empty());
    for passed in [theirs.as_str(), "SIWX opaque", "Bearer token"] {
        world.get("/free", &[("Authorization", passed)]);
        assert_eq!(world.upstream.last().head.all("authorization"), [passed]);
    }
    // It buys no call either.
    assert_eq!(world.signed_in("/paid", &proof).status, 402);
}

#[test]
fn a_head_shows_the_challenge_and_a_call_has_no_extensions() {
    let world = start();
    world.buy("two");
    let proof = world.proof(BUYER);
    let mut wire = world.wire();
    wire.send(crate::support::client::request("HEAD", TWO, &[("SIGN-IN-WITH-X", &proof)], ""));
    assert_eq!(wire.answer_to_head().status, 402);
    assert_eq!(world.get("/paid", &[]).decoded("payment-required").get("extensions"), None);
    let (issued_at, now) = (world.info()["issuedAt"].clone(), iso_millis(SystemTime::now()));
    assert!(issued_at.as_str().unwrap() <= now.as_str(), "{issued_at}");
}
