//! x402-axum before a reverse proxy of hyper's pooled client, on one thread. `../start.sh` says what it is told.

use std::env;
use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::ListenerExt as _;
use http::header::{self, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use url::Url;
use x402_axum::X402Middleware;
use x402_chain_eip155::chain::ChecksummedAddress;
use x402_chain_eip155::{KnownNetworkEip155 as _, V2Eip155Exact};
use x402_types::networks::USDC;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a proxy takes out on both ways (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// $0.001 of a token with six decimals.
const PRICE: u64 = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = told("PEER_LISTEN")?;
    let pay_to: ChecksummedAddress = told("PEER_PAY_TO")?.parse()?;
    // It asks `/supported` at the first challenge, and keeps the answer for ten minutes.
    let x402 = X402Middleware::try_new(&told("PEER_FACILITATOR")?)?;
    // The resource is set, as its documentation recommends: it need not be put together for each request.
    let paid = x402
        .with_price_tag(V2Eip155Exact::price_tag(pay_to, USDC::base().amount(PRICE)))
        .with_resource(Url::parse(&format!("http://{listen}/paid"))?);
    let app = Router::new()
        .route("/free", any(forward))
        .route("/paid", get(forward).layer(paid))
        .with_state(Upstream::new(&told("PEER_UPSTREAM")?)?);
    let listener = TcpListener::bind(&listen).await?.tap_io(|stream| drop(stream.set_nodelay(true)));
    println!("axum listens on {listen}");
    axum::serve(listener, app).await?;
    Ok(())
}

fn told(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("{name} is not set"))
}

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    authority: Authority,
    host: HeaderValue,
}

impl Upstream {
    fn new(url: &str) -> Result<Self, Box<dyn Error>> {
        let authority = url.parse::<Uri>()?.into_parts().authority.ok_or("PEER_UPSTREAM has no host")?;
        let host = HeaderValue::from_str(authority.as_str())?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), authority, host })
    }

    fn uri(&self, asked: &Uri) -> Result<Uri, http::Error> {
        let path = asked.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path).build()
    }
}

async fn forward(State(upstream): State<Upstream>, mut request: Request) -> Response {
    let Ok(uri) = upstream.uri(request.uri()) else { return StatusCode::BAD_REQUEST.into_response() };
    *request.uri_mut() = uri;
    strip(request.headers_mut());
    request.headers_mut().insert(header::HOST, upstream.host.clone());
    match upstream.client.request(request).await {
        Ok(mut response) => {
            strip(response.headers_mut());
            response.map(Body::new)
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
