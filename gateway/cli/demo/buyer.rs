use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::clock::unix_seconds;
use crate::sandbox::{DemoWallet, WalletError};
use crate::x402::codec;

/// How long the buyer waits for the gateway to start, or to take over a new price.
const PATIENCE: Duration = Duration::from_secs(10);

/// A buyer with a wallet and an HTTP client.
pub(super) struct Buyer {
    client: Client<HttpConnector, Full<Bytes>>,
    gateway: SocketAddr,
    pub(super) wallet: DemoWallet,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why the buyer gave up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Http(#[from] hyper_util::client::legacy::Error),
    #[error("{0}")]
    Body(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Wallet(#[from] WalletError),
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("{0} was not answered as it should be")]
    Unexpected(&'static str),
}

impl Buyer {
    pub(super) fn new(gateway: SocketAddr) -> Result<Self, Trouble> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { client, gateway, wallet: DemoWallet::random()? })
    }

    /// Asks for a path of the gateway.
    pub(super) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Reply, Trouble> {
        self.fetch(&format!("http://{}{path}", self.gateway), headers).await
    }

    /// Signs a payment for a challenge, as every x402 client does.
    pub(super) fn sign(&self, challenge: &Reply) -> Result<String, Trouble> {
        let required = challenge.headers.get("payment-required").ok_or(Trouble::Unexpected("a request"))?;
        Ok(self.wallet.pay(required.as_bytes(), unix_seconds(SystemTime::now()))?.header)
    }

    /// Asks until the answer is 200.
    pub(super) async fn wait_for(&self, url: &str) -> Result<(), Trouble> {
        let ready = async {
            loop {
                if self.fetch(url, &[]).await.is_ok_and(|reply| reply.status == StatusCode::OK) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.map_err(|_| Trouble::Unexpected("the gateway's readiness"))
    }

    /// Asks for a path until its price is another one.
    pub(super) async fn wait_for_price(&self, path: &str, earlier: &Value) -> Result<Reply, Trouble> {
        let changed = async {
            loop {
                let reply = self.get(path, &[]).await?;
                if reply.price() != *earlier {
                    return Ok(reply);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, changed).await.map_err(|_| Trouble::Unexpected("the new price"))?
    }

    async fn fetch(&self, url: &str, headers: &[(&str, &str)]) -> Result<Reply, Trouble> {
        let mut request = Request::builder().method(Method::GET).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = self.client.request(request.body(Full::default())?).await?.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }
}

impl Reply {
    /// A header that is base64 of JSON.
    pub(super) fn decoded(&self, name: &str) -> Option<Value> {
        serde_json::from_str(&codec::decode(self.headers.get(name)?.as_bytes()).ok()?).ok()
    }

    /// The amount that the challenge asks for first.
    pub(super) fn price(&self) -> Value {
        self.decoded("payment-required")
            .and_then(|challenge| challenge.pointer("/accepts/0/amount").cloned())
            .unwrap_or_default()
    }

    /// A text of the JSON body.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.json().get(name)?.as_str().map(str::to_owned)
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}
