//! The sandbox's servers over real sockets, asked by the gateway's own client.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::vectors::{NOW, sandbox, vector};
use super::{DemoWallet, SampleUpstream, Sandbox, SandboxError};
use crate::facilitator::{Facilitator, RemoteFacilitator, RemoteSettings, SettleOutcome, Verdict};
use crate::money::AtomicAmount;
use crate::x402::codec;
use crate::x402::facilitator::FacilitatorRequest;

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn client(sandbox: &Sandbox) -> RemoteFacilitator {
    let timeout = std::time::Duration::from_secs(10);
    let url = sandbox.url().into();
    RemoteFacilitator::new(&RemoteSettings {
        url,
        verify_timeout: timeout,
        settle_timeout: timeout,
        headers: vec![],
        cdp: None,
        roots: None,
    })
    .unwrap()
}

fn request(body: &Value) -> FacilitatorRequest {
    serde_json::from_str(&body.to_string()).unwrap()
}

async fn ask(request: Request<Full<Bytes>>) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

async fn get(url: String) -> Response<Bytes> {
    ask(Request::get(url).body(Full::default()).unwrap()).await
}

async fn post(url: String, body: &str) -> Response<Bytes> {
    ask(Request::post(url).body(Full::from(body.to_owned())).unwrap()).await
}

fn read(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn a_payment_settles_once_and_moves_play_money() {
    for (id, network) in [("v2-eip3009-payment", "eip155:84532"), ("v1-eip3009-payment", "base-sepolia")] {
        let sandbox = sandbox(0).start(loopback()).await.unwrap();
        let client = client(&sandbox);
        let vector = vector(id);
        let request = request(&vector["facilitator_verify_body"]);
        assert!(matches!(client.verify(&request).await, Ok(Verdict::Valid { .. })), "{id}");
        let SettleOutcome::Settled(receipt) = client.settle(&request, network).await else { panic!("{id}") };
        assert_eq!((receipt.transaction.len(), receipt.payer.as_deref()), (66, vector["recovered"].as_str()));

        let SettleOutcome::Unknown(again) = client.settle(&request, network).await else { panic!("{id}") };
        assert!(again.used && again.why.starts_with("invalid_exact_evm_nonce_already_used"), "{again:?}");
        let Ok(Verdict::Refused(again)) = client.verify(&request).await else { panic!("{id}") };
        assert_eq!(again.reason, "invalid_exact_evm_nonce_already_used");
        assert_eq!((sandbox.settled(), sandbox.verified()), (1, 2));

        let buyer = vector["recovered"].as_str().unwrap().to_lowercase();
        let purses = read(&get(format!("{}/balances/{buyer}", sandbox.url())).await)["purses"].clone();
        assert_eq!(purses[0]["left"], "999990000");
        assert_eq!(purses[0]["spent"], "10000");
        let seller = sandbox.purses("0x1563915e194D8CfBA1943570603F7606A3115508");
        assert_eq!(seller[0].left, AtomicAmount::new(10_000));
    }
}

#[tokio::test]
async fn nobody_spends_more_than_the_play_balance() {
    let sandbox = sandbox(0).with_balance(AtomicAmount::new(9_999)).start(loopback()).await.unwrap();
    let client = client(&sandbox);
    let request = request(&vector("v2-eip3009-payment")["facilitator_verify_body"]);
    let Ok(Verdict::Refused(refusal)) = client.verify(&request).await else { panic!("not refused") };
    assert_eq!(refusal.reason, "invalid_exact_evm_insufficient_balance");
    assert!(matches!(client.settle(&request, "eip155:84532").await, SettleOutcome::Refused(_)));
    assert_eq!(sandbox.settled(), 0);
}

#[tokio::test]
async fn supported_lists_both_versions_and_the_fee_payer() {
    let sandbox = sandbox(0).start(loopback()).await.unwrap();
    let supported = client(&sandbox).supported().await.unwrap();
    let kinds: Vec<_> = supported.kinds.iter().map(|kind| (kind.x402_version, &*kind.network)).collect();
    let solana = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
    let evm = [(2, "eip155:84532"), (1, "base-sepolia"), (2, "eip155:8453"), (1, "base")];
    assert_eq!(kinds, [evm.as_slice(), &[(2, solana), (1, "solana")]].concat());
    let fee_payer = vector("v2-svm-payment")["fee_payer"].clone();
    assert_eq!(supported.kinds[4].extra.as_ref().unwrap()["feePayer"], fee_payer);
    assert_eq!(json!(supported.signers["solana:*"]), json!([fee_payer]));
    assert_eq!(supported.signers["eip155:*"].len(), 1);
}

#[tokio::test]
async fn a_wallets_payment_is_good() {
    let sandbox = sandbox(0).start(loopback()).await.unwrap();
    let wallet = DemoWallet::random().unwrap();
    let challenge = vector("v2-challenge");
    let payment = wallet.pay(challenge["headers"]["PAYMENT-REQUIRED"].as_str().unwrap().as_bytes(), NOW).unwrap();
    let payload: Value = serde_json::from_str(&codec::decode(payment.header.as_bytes()).unwrap()).unwrap();
    let terms = &challenge["payment_required"]["accepts"][0];
    let body = json!({"x402Version": 2, "paymentPayload": payload, "paymentRequirements": terms});
    let verdict = client(&sandbox).verify(&request(&body)).await;
    assert_eq!(verdict, Ok(Verdict::Valid { payer: Some(wallet.address()) }));
}

#[tokio::test]
async fn what_is_no_payment_is_refused_with_a_reason() {
    let sandbox = sandbox(0).start(loopback()).await.unwrap();
    let good = vector("v2-eip3009-payment")["facilitator_verify_body"].clone();
    for (at, value, reason) in [
        ("/paymentPayload/payload", json!({}), "unsupported_payload_type"),
        ("/paymentPayload/payload", json!({"permit2Authorization": {}, "signature": "0x"}), "unsupported_payload_type"),
        ("/paymentPayload/payload/authorization", json!({}), "invalid_payload"),
        ("/paymentPayload/payload/authorization/nonce", json!("0xab"), "invalid_payload"),
        ("/paymentPayload/payload/authorization/value", json!("-1"), "invalid_payload"),
        ("/paymentPayload/payload/signature", json!("0xzz"), "invalid_exact_evm_failed_to_parse_signature"),
        ("/paymentPayload/payload/signature", json!("0x"), "invalid_exact_evm_signature"),
        ("/paymentPayload", json!(null), "invalid_payload"),
        ("/paymentPayload/x402Version", json!(1), "invalid_x402_version"),
        ("/x402Version", json!(3), "invalid_x402_version"),
        ("/paymentRequirements/amount", json!(10000), "invalid_payment_requirements"),
        ("/paymentRequirements/scheme", json!("upto"), "invalid_exact_evm_scheme"),
        ("/paymentRequirements/network", json!("eip155:1"), "invalid_network"),
        ("/paymentRequirements/network", json!("base"), "invalid_network"),
        ("/paymentRequirements/asset", json!("0x1"), "invalid_payment_requirements"),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(at).unwrap() = value;
        let answer = read(&post(format!("{}/verify", sandbox.url()), &body.to_string()).await);
        assert_eq!((&answer["isValid"], &answer["invalidReason"]), (&json!(false), &json!(reason)), "{at}");
        let answer = read(&post(format!("{}/settle", sandbox.url()), &body.to_string()).await);
        assert_eq!((&answer["success"], &answer["errorReason"]), (&json!(false), &json!(reason)), "{at}");
    }
    for body in ["", "{}", "[]", r#"{"x402Version":2,"paymentPayload":{}}"#] {
        assert_eq!(post(format!("{}/verify", sandbox.url()), body).await.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(post(format!("{}/settle", sandbox.url()), body).await.status(), StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(sandbox.settled(), 0);
}

#[tokio::test]
async fn every_answer_says_that_it_is_play() {
    let sandbox = sandbox(0).start(loopback()).await.unwrap();
    let url = sandbox.url();
    for (answer, status) in [
        (get(format!("{url}/supported")).await, 200),
        (get(format!("{url}/balances/nobody")).await, 200),
        (get(format!("{url}/verify")).await, 405),
        (get(format!("{url}/")).await, 404),
        (post(format!("{url}/settle"), "{}").await, 400),
        (post(format!("{url}/verify"), &" ".repeat(300 * 1024)).await, 413),
    ] {
        assert_eq!(answer.headers()["x-tollgate-sandbox"], "play money, no chain");
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn only_loopback_is_listened_on_and_only_while_it_is_wanted() {
    for public in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "[::ffff:127.0.0.1]:0"] {
        let addr = public.parse().unwrap();
        assert!(matches!(sandbox(0).start(addr).await, Err(SandboxError::NotLoopback(_))), "{public}");
        assert!(matches!(SampleUpstream::start(addr).await, Err(SandboxError::NotLoopback(_))), "{public}");
    }
    let sandbox = sandbox(0).start(loopback()).await.unwrap();
    let client = client(&sandbox);
    client.supported().await.unwrap();
    drop(sandbox);
    assert!(client.supported().await.is_err(), "kept connections end as well");
}

#[tokio::test]
async fn the_sample_upstream_answers_and_counts() {
    let upstream = SampleUpstream::start(loopback()).await.unwrap();
    let url = upstream.url();
    let weather = get(format!("{url}/weather?city=S%C3%A3o+Paulo&x=1")).await;
    assert_eq!(read(&weather)["city"], "São Paulo");
    assert_eq!(read(&weather), read(&get(format!("{url}/weather?city=S%c3%a3o%20Paulo")).await));
    assert_eq!(read(&get(format!("{url}/weather?city=%zz%")).await)["city"], "%zz%");
    assert_eq!(read(&get(format!("{url}/premium-forecast")).await)["days"].as_array().unwrap().len(), 5);
    assert_eq!(read(&get(format!("{url}/v1/status")).await)["status"], "up");
    let analysis = read(&post(format!("{url}/v1/analyze"), r#"{"a":1,"b":[2]}"#).await);
    assert_eq!(analysis, json!({"bytes": 15, "members": 2, "input": {"a": 1, "b": [2]}}));
    assert_eq!(post(format!("{url}/v1/analyze"), "{").await.status(), 400);
    let wrong = get(format!("{url}/v1/analyze")).await;
    assert_eq!((wrong.status().as_u16(), &wrong.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(get(format!("{url}/weather/")).await.status(), 404);
    let stream = get(format!("{url}/v1/stream")).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(String::from_utf8_lossy(stream.body()).matches("event: tick\ndata: ").count(), 3);

    let counts = upstream.requests();
    assert_eq!((counts["/weather"], counts["/v1/analyze"], counts["/v1/stream"], counts["other"]), (3, 3, 1, 1));
}
