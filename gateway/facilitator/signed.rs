//! The remote facilitator with a key that signs its tokens, against servers that look at them, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::fake::{Fake, Reply, Seen, Then, json, redirect};
use super::{CdpKey, Facilitator, RemoteFacilitator, RemoteSettings, SettleOutcome};
use crate::clock::{Clock, ManualClock};
use crate::x402::facilitator::FacilitatorRequest;

const SECRET: &str = "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY0tNkEMVbLbc8L6wopSbdVnJQNK8ttvoxTqbMCeOOnRg==";
const BASE: &str = "eip155:8453";
const GOOD: &str = r#"{"isValid":true,"success":true,"transaction":"0x1","network":"eip155:8453","kinds":[]}"#;
const NOW: u64 = 1_767_225_600;

/// A client with a key, and its clock.
fn client(server: &Fake) -> (RemoteFacilitator, Arc<ManualClock>) {
    let settings = RemoteSettings {
        url: format!("{}/base", server.url()).into(),
        verify_timeout: Duration::from_secs(10),
        settle_timeout: Duration::from_secs(10),
        headers: vec![(HeaderName::from_static("x-client"), HeaderValue::from_static("tollgate"))],
        cdp: Some(CdpKey::parse("key-1", SECRET).unwrap()),
        roots: None,
    };
    let clock = Arc::new(ManualClock::at(NOW));
    let theirs: Arc<dyn Clock> = clock.clone();
    (RemoteFacilitator::with_clock(&settings, theirs).unwrap(), clock)
}

fn request() -> FacilitatorRequest {
    let empty = || to_raw_value(&serde_json::json!({})).unwrap();
    FacilitatorRequest { x402_version: 2, payment_payload: empty(), payment_requirements: empty() }
}

async fn settled(client: &RemoteFacilitator) -> &'static str {
    match client.settle(&request(), BASE).await {
        SettleOutcome::Settled(_) => "settled",
        SettleOutcome::Refused(_) => "refused",
        SettleOutcome::NotSent(_) => "not sent",
        SettleOutcome::Unknown(_) => "unknown",
    }
}

/// Asks for everything once.
async fn ask_all(client: &RemoteFacilitator) {
    client.verify(&request()).await.unwrap();
    assert_eq!(settled(client).await, "settled");
    client.supported().await.unwrap();
}

fn token(seen: &Seen) -> &str {
    seen.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap()
}

fn claims(seen: &Seen) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token(seen).split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn each_endpoint_gets_its_own_token_until_shortly_before_its_end() {
    let server = Fake::start(|_| json(200, GOOD)).await;
    let (client, clock) = client(&server);
    for later in [0, 89, 1] {
        clock.advance(Duration::from_secs(later));
        ask_all(&client).await;
    }
    let seen = server.seen();
    for (seen, number) in seen.iter().zip(0_u64..) {
        let said = claims(seen);
        assert_eq!(said["uris"], serde_json::json!([format!("{} {}{}", seen.method, server.addr, seen.path)]));
        assert_eq!(said["iat"], if number < 6 { NOW } else { NOW + 90 });
        assert_eq!(seen.headers["x-client"], "tollgate");
        assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
    }
    for (first, kept, renewed) in [(0, 3, 6), (1, 4, 7), (2, 5, 8)] {
        assert_eq!(token(&seen[first]), token(&seen[kept]));
        assert_ne!(token(&seen[first]), token(&seen[renewed]));
    }
}

#[tokio::test]
async fn a_kept_token_that_is_refused_is_replaced_and_the_call_repeated() {
    for turned_away in [json(401, ""), json(401, r#"{"error":"unauthorized"}"#)] {
        // The first three calls are good; then the server has forgotten their tokens.
        let server = Fake::start(move |seen| match seen.number {
            3 | 5 | 7 => turned_away.clone(),
            _ => json(200, GOOD),
        })
        .await;
        let (client, _) = client(&server);
        ask_all(&client).await;
        ask_all(&client).await;
        ask_all(&client).await;
        let seen = server.seen();
        assert_eq!(seen.len(), 12);
        for (kept, refused, new, next) in [(0, 3, 4, 9), (1, 5, 6, 10), (2, 7, 8, 11)] {
            assert_eq!((token(&seen[refused]), &seen[refused].path), (token(&seen[kept]), &seen[kept].path));
            assert_eq!((&seen[refused].path, &seen[refused].body), (&seen[new].path, &seen[new].body));
            assert_ne!(token(&seen[refused]), token(&seen[new]));
            assert_eq!(token(&seen[new]), token(&seen[next]), "the new one is kept");
        }
    }
}

#[tokio::test]
async fn a_key_that_opens_nothing_is_tried_once_for_each_call() {
    let server = Fake::start(|_| json(401, "who are you")).await;
    let (client, _) = client(&server);
    for calls in 1..=2 {
        let error = client.verify(&request()).await.unwrap_err().to_string();
        assert!(error.contains("HTTP 401"), "{error}");
        assert_eq!(settled(&client).await, "not sent");
        let error = client.supported().await.unwrap_err().to_string();
        assert!(error.contains("HTTP 401"), "{error}");
        assert_eq!(server.seen().len(), 3 * calls);
    }
    let seen = server.seen();
    assert_ne!(token(&seen[0]), token(&seen[3]), "a refused token is not kept");
}

#[tokio::test]
async fn a_settlement_is_repeated_only_if_nothing_was_done() {
    const AWAY: fn() -> Reply = || json(401, "");
    for (first, second, outcome, calls) in [
        (AWAY(), json(200, GOOD), "settled", 2),
        (AWAY(), AWAY(), "not sent", 2),
        (AWAY(), Reply::HangUp, "unknown", 2),
        (AWAY(), json(500, ""), "unknown", 2),
        (AWAY(), Reply::Partly("", Then::Break), "unknown", 2),
        (json(401, r#"{"success":true,"transaction":"0x1","network":"eip155:8453"}"#), AWAY(), "unknown", 1),
        (json(401, r#"{"success":false,"errorReason":"invalid_payload"}"#), AWAY(), "refused", 1),
        (json(401, r#"{"success":false,"errorReason":"nonce_already_used"}"#), AWAY(), "unknown", 1),
        (json(401, r#"{"error":"unexpected_settle_error"}"#), AWAY(), "unknown", 1),
        (json(401, r#"{"status":"pending"}"#), AWAY(), "unknown", 1),
        (json(403, ""), AWAY(), "not sent", 1),
        (json(500, ""), AWAY(), "unknown", 1),
        (Reply::HangUp, AWAY(), "unknown", 1),
    ] {
        let name = format!("{first:?} {second:?}");
        let server = Fake::start(move |seen| match seen.number {
            0 => json(200, GOOD),
            1 => first.clone(),
            _ => second.clone(),
        })
        .await;
        let (client, _) = client(&server);
        // The token of the second settlement is a kept one.
        assert_eq!(settled(&client).await, "settled");
        assert_eq!(settled(&client).await, outcome, "{name}");
        assert_eq!(server.seen().len(), 1 + calls, "{name}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_with_a_token() {
    let other = Fake::start(|_| json(200, GOOD)).await;
    let elsewhere: &'static str = Box::leak(format!("{}/base/settle", other.url()).into_boxed_str());
    for location in [elsewhere, "/base/settle/", "/platform/v2/evm/accounts/transfer"] {
        for status in [307, 308] {
            let server = Fake::start(move |_| redirect(status, location)).await;
            let (client, _) = client(&server);
            assert_eq!(settled(&client).await, "unknown", "{status} {location}");
            let error = client.verify(&request()).await.unwrap_err().to_string();
            assert!(error.contains("redirects") && error.contains("configured url only"), "{error}");
            assert!(client.supported().await.is_err());
            assert_eq!((server.seen().len(), other.seen().len()), (3, 0), "{status} {location}");
        }
    }
}

#[tokio::test]
async fn no_error_and_no_debug_form_shows_a_token() {
    for reply in [json(401, ""), json(200, "nonsense"), redirect(308, "/else"), Reply::HangUp] {
        let server = Fake::start(move |_| reply.clone()).await;
        let (client, _) = client(&server);
        let mut texts = format!("{client:?} {:?}", client.settle(&request(), BASE).await);
        texts += &format!("{:?} {:?}", client.verify(&request()).await, client.supported().await);
        for seen in server.seen() {
            let signature = token(&seen).rsplit('.').next().unwrap().to_owned();
            assert!(!texts.contains(&signature) && !texts.contains("ey"), "{texts}");
        }
        assert!(!texts.contains(SECRET), "{texts}");
    }
}
