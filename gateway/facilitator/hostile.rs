//! The remote facilitator against servers that misbehave, over real sockets.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::value::to_raw_value;

use super::fake::{Fake, Reply, Seen, Then, json, redirect};
use super::{Facilitator, FacilitatorError, RemoteFacilitator, RemoteSettings, SettleOutcome, SetupError, Verdict};
use crate::outbound::TlsError;
use crate::x402::facilitator::FacilitatorRequest;

const BASE: &str = "eip155:8453";
const SETTLED: &str = r#"{"success":true,"transaction":"0x1","network":"eip155:8453","payer":"0x2"}"#;
const VALID: &str = r#"{"isValid":true,"payer":"0x2"}"#;
const PENDING: &str = r#"{"success":false,"errorReason":"settlement_pending","transaction":"0x1"}"#;

fn settings(url: &str) -> RemoteSettings {
    RemoteSettings {
        url: url.into(),
        verify_timeout: Duration::from_secs(10),
        settle_timeout: Duration::from_secs(10),
        headers: vec![(HeaderName::from_static("authorization"), HeaderValue::from_static("Bearer sesame"))],
        cdp: None,
        roots: None,
    }
}

/// A client that waits long enough for an honest answer on a busy machine.
fn patient(url: &str) -> RemoteFacilitator {
    RemoteFacilitator::new(&settings(url)).unwrap()
}

/// A client for servers that never finish.
fn impatient(url: &str) -> RemoteFacilitator {
    let timeout = Duration::from_millis(150);
    RemoteFacilitator::new(&RemoteSettings { verify_timeout: timeout, settle_timeout: timeout, ..settings(url) })
        .unwrap()
}

fn request() -> FacilitatorRequest {
    let payload = serde_json::json!({"x402Version": 2, "payload": {"signature": "0x00"}});
    FacilitatorRequest {
        x402_version: 2,
        payment_payload: to_raw_value(&payload).unwrap(),
        payment_requirements: to_raw_value(&serde_json::json!({"amount": "1"})).unwrap(),
    }
}

async fn verified(client: &RemoteFacilitator) -> &'static str {
    match client.verify(&request()).await {
        Ok(Verdict::Valid { .. }) => "valid",
        Ok(Verdict::Refused(_)) => "refused",
        Err(FacilitatorError::Unreachable(_)) => "unreachable",
        Err(FacilitatorError::Timeout(_)) => "timeout",
        Err(FacilitatorError::Nonsense(_)) => "nonsense",
    }
}

async fn settled(client: &RemoteFacilitator) -> &'static str {
    match client.settle(&request(), BASE).await {
        SettleOutcome::Settled(_) => "settled",
        SettleOutcome::Refused(_) => "refused",
        SettleOutcome::NotSent(_) => "not sent",
        SettleOutcome::Unknown(_) => "unknown",
    }
}

/// The good answer to whatever is asked.
fn honest(seen: &Seen) -> Reply {
    match &*seen.path {
        "/verify" => json(200, VALID),
        "/settle" => json(200, SETTLED),
        "/supported" => json(200, r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:8453"}]}"#),
        _ => json(404, ""),
    }
}

#[tokio::test]
async fn an_honest_facilitator_is_asked_as_the_specification_says() {
    let server = Fake::start(|seen| match seen.path.strip_prefix("/base") {
        Some(path) => honest(&Seen { path: path.to_owned(), ..seen.clone() }),
        None => json(404, ""),
    })
    .await;
    let client = patient(&format!("{}/base/", server.url()));
    assert_eq!(client.verify(&request()).await, Ok(Verdict::Valid { payer: Some("0x2".to_owned()) }));
    let SettleOutcome::Settled(receipt) = client.settle(&request(), BASE).await else { panic!("not settled") };
    assert_eq!(serde_json::to_string(&receipt).unwrap(), SETTLED);
    assert_eq!(client.supported().await.unwrap().kinds[0].network, BASE);

    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(lines, ["POST /base/verify", "POST /base/settle", "GET /base/supported"]);
    let body = r#"{"x402Version":2,"paymentPayload":{"payload":{"signature":"0x00"},"x402Version":2},"paymentRequirements":{"amount":"1"}}"#;
    assert_eq!([&*seen[0].body, &seen[1].body, &seen[2].body], [body, body, ""]);
    for seen in &seen {
        assert_eq!(seen.headers["authorization"], "Bearer sesame");
        assert_eq!(seen.headers["host"], server.addr.to_string());
        assert_eq!(seen.connection, 0, "a connection is kept for the next call");
    }
    assert_eq!(seen[0].headers["content-type"], "application/json");
}

#[tokio::test]
async fn an_answer_that_is_not_an_answer_is_no_verdict_and_an_unknown_outcome() {
    let big = " ".repeat(70 * 1024);
    for (reply, verdict, outcome) in [
        (Reply::Whole(200, "", format!("{big}{SETTLED}")), "nonsense", "unknown"),
        (Reply::Partly("", Then::Flood), "nonsense", "unknown"),
        (Reply::Partly(r#"{"success":true,"isValid":true,"#, Then::Break), "nonsense", "unknown"),
        (json(200, "<html><body>ok</body></html>"), "nonsense", "unknown"),
        (json(200, ""), "nonsense", "unknown"),
        (json(204, ""), "nonsense", "unknown"),
        (json(500, r#"{"error":"boom"}"#), "nonsense", "unknown"),
        (json(502, "<html>bad gateway</html>"), "nonsense", "unknown"),
        (json(401, "<html>who are you</html>"), "nonsense", "not sent"),
        (json(403, r#"{"error":"Bearer sesame"}"#), "nonsense", "not sent"),
        (json(429, ""), "nonsense", "not sent"),
        (json(200, r#"{"success":"true","isValid":"true"}"#), "nonsense", "unknown"),
        (json(200, r#"{"success":true,"isValid":true,"transaction":"","network":"eip155:8453"}"#), "valid", "unknown"),
        (json(200, r#"{"success":true,"isValid":true,"transaction":"0x1","network":"eip155:1"}"#), "valid", "unknown"),
        (json(202, SETTLED), "nonsense", "unknown"),
        (Reply::HangUp, "unreachable", "unknown"),
    ] {
        let name = format!("{reply:.60?}");
        let server = Fake::start(move |_| reply.clone()).await;
        let client = patient(&server.url());
        assert_eq!((verified(&client).await, settled(&client).await), (verdict, outcome), "{name}");
        for text in [
            client.verify(&request()).await.err().map(|error| error.to_string()).unwrap_or_default(),
            format!("{:?} {client:?}", client.settle(&request(), BASE).await),
        ] {
            assert!(!text.contains("sesame"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_never_finishes_runs_into_the_deadline() {
    for reply in
        [Reply::Silence, Reply::Partly("", Then::Drip), Reply::Partly(r#"{"success":true,"isValid":true,"#, Then::Drip)]
    {
        let name = format!("{reply:?}");
        let server = Fake::start(move |_| reply.clone()).await;
        let client = impatient(&server.url());
        assert_eq!((verified(&client).await, settled(&client).await), ("timeout", "unknown"), "{name}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = patient(&format!("http://{closed}"));
    assert_eq!((verified(&client).await, settled(&client).await), ("unreachable", "not sent"));

    // A TLS handshake that never ends: connected, but not far enough to send anything.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", mute.local_addr().unwrap());
    match RemoteFacilitator::new(&settings(&url)) {
        Err(SetupError::Tls(TlsError::Roots(_))) => {} // A machine without certificates has no TLS to try.
        Err(other) => panic!("{other}"),
        Ok(_) => assert_eq!(settled(&impatient(&url)).await, "not sent"),
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_nonsense() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.writable().await.unwrap();
            stream.try_write(b"220 mail.example ESMTP\r\n\r\n").unwrap();
        }
    });
    let client = patient(&url);
    assert_eq!(settled(&client).await, "unknown");
    assert!(matches!(verified(&client).await, "nonsense" | "unreachable"));
    server.abort();
}

/// Closes every connection instead of answering its second request, as a server does whose idle timeout strikes.
fn tired(seen: &Seen) -> Reply {
    if seen.connection == 0 && seen.number > 0 { Reply::HangUp } else { honest(seen) }
}

#[tokio::test]
async fn a_question_that_met_a_closing_connection_is_asked_once_more() {
    let server = Fake::start(tired).await;
    let client = patient(&server.url());
    assert_eq!((verified(&client).await, verified(&client).await), ("valid", "valid"));
    assert_eq!(server.seen().len(), 3);

    let server = Fake::start(tired).await;
    let client = patient(&server.url());
    client.supported().await.unwrap();
    client.supported().await.unwrap();
    assert_eq!(server.seen().len(), 3);

    let server = Fake::start(|_| Reply::HangUp).await;
    assert_eq!(verified(&patient(&server.url())).await, "unreachable");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_settlement_that_met_a_closing_connection_is_not_sent_again() {
    let server = Fake::start(tired).await;
    let client = patient(&server.url());
    assert_eq!((verified(&client).await, settled(&client).await), ("valid", "unknown"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn redirects_within_the_origin_keep_method_body_and_headers() {
    for status in [307, 308] {
        let server = Fake::start(move |seen| match &*seen.path {
            "/old/verify" | "/old/settle" | "/old/supported" => redirect(status, "/older/"),
            "/older/" if seen.method == "GET" => redirect(status, "/supported"),
            "/older/" if seen.number < 2 => redirect(status, "/verify"),
            "/older/" => redirect(status, "/settle"),
            _ => honest(seen),
        })
        .await;
        let client = patient(&format!("{}/old", server.url()));
        assert_eq!((verified(&client).await, settled(&client).await), ("valid", "settled"), "{status}");
        assert!(client.supported().await.is_ok(), "{status}");
        let seen = server.seen();
        assert_eq!(seen.len(), 9);
        for (first, last) in [(0, 2), (3, 5), (6, 8)] {
            assert_eq!((&seen[first].method, &seen[first].body), (&seen[last].method, &seen[last].body));
            assert_eq!(seen[last].headers["authorization"], "Bearer sesame");
        }
    }
}

#[tokio::test]
async fn other_redirects_are_not_followed() {
    for (status, location) in [
        (301, "/ok"),
        (302, "/ok"),
        (303, "/ok"),
        (304, ""),
        (300, "/ok"),
        (308, ""),
        (307, "http://"),
        (308, "/verify"),
    ] {
        let server = Fake::start(move |seen| match &*seen.path {
            "/ok" => honest(&Seen { path: "/settle".to_owned(), ..seen.clone() }),
            _ => redirect(status, location),
        })
        .await;
        let client = patient(&server.url());
        assert_eq!((verified(&client).await, settled(&client).await), ("nonsense", "unknown"), "{status} {location}");
        assert!(server.seen().iter().all(|seen| seen.path != "/ok"));
        assert!(server.seen().len() <= 8, "at most 3 redirects for each call");
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_never_followed() {
    let other = Fake::start(honest).await;
    let location: &'static str = Box::leak(format!("{}/settle", other.url()).into_boxed_str());
    let server = Fake::start(move |_| redirect(308, location)).await;
    let client = patient(&server.url());
    assert_eq!((verified(&client).await, settled(&client).await), ("nonsense", "unknown"));
    assert!(client.supported().await.is_err());
    assert_eq!((other.seen().len(), server.seen().len()), (0, 3));
}

#[tokio::test]
async fn a_pending_settlement_is_asked_for_exactly_once_more() {
    for (second, outcome) in [
        (json(200, SETTLED), "settled"),
        (json(200, PENDING), "unknown"),
        // The first transaction has used the nonce: that is no proof that nothing was paid.
        (json(200, r#"{"success":false,"errorReason":"invalid_exact_evm_nonce_already_used"}"#), "unknown"),
        (json(429, ""), "unknown"),
        (Reply::HangUp, "unknown"),
    ] {
        let name = format!("{second:?}");
        let server = Fake::start(move |seen| if seen.number == 0 { json(200, PENDING) } else { second.clone() }).await;
        assert_eq!(settled(&patient(&server.url())).await, outcome, "{name}");
        let seen = server.seen();
        assert_eq!(seen.len(), 2, "{name}");
        assert_eq!(seen[0].body, seen[1].body);
    }
}

#[tokio::test]
async fn a_large_list_of_kinds_is_read_and_an_endless_one_is_not() {
    let kind = r#"{"x402Version":2,"scheme":"exact","network":"eip155:8453"}"#;
    let list = format!("{{\"kinds\":[{}]}}", vec![kind; 5_000].join(","));
    let server = Fake::start(move |_| json(200, &list)).await;
    assert_eq!(patient(&server.url()).supported().await.unwrap().kinds.len(), 5_000);
    let server = Fake::start(|_| Reply::Partly("", Then::Flood)).await;
    assert!(matches!(patient(&server.url()).supported().await, Err(FacilitatorError::Nonsense(_))));
}

#[test]
fn headers_that_frame_the_message_are_refused() {
    for name in ["host", "content-length", "transfer-encoding", "connection"] {
        let mut settings = settings("https://x402.org/facilitator");
        settings.headers.push((HeaderName::from_static(name), HeaderValue::from_static("1")));
        assert!(
            matches!(
                RemoteFacilitator::new(&settings),
                Err(SetupError::Header(_) | SetupError::Tls(TlsError::Roots(_)))
            ),
            "{name}"
        );
    }
}
