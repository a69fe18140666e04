//! What stands around the gateway: an API with one constant answer, and a facilitator that believes everything.
//!
//! The sandbox's facilitator checks signatures and balances, which takes it longer than the gateway takes for a call.
//! This one answers at once, or after a delay, and remembers what it has settled. No real one is as fast.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::gateway::Neighbours;
use super::{Result, aside};

/// 200 bytes.
const BODY: &[u8] = &[b'.'; 200];

const SUPPORTED: &[u8] =
    br#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:8453"}],"extensions":[],"signers":{}}"#;

/// What they have been asked for.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Calls of the route that costs something.
    pub(super) sold: AtomicU64,
    pub(super) verified: AtomicU64,
    /// How often each payment was settled, by its nonce.
    settled: Mutex<HashMap<Bytes, u32>>,
    /// How long a settlement takes, in milliseconds.
    delay_ms: AtomicU64,
}

impl Seen {
    /// How many payments were settled; none, if one of them was settled twice.
    pub(super) fn settled_once(&self) -> Option<usize> {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.values().all(|&times| times == 1).then(|| settled.len())
    }

    /// Settlements take so long from now on.
    pub(super) fn delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Starts them, each in a thread of its own: a keyed request's upstream has nothing to do with a wave of settlements.
pub(super) fn start() -> Result<(Neighbours, Arc<Seen>)> {
    let seen = Arc::<Seen>::default();
    let upstream = stand(Arc::clone(&seen), false)?;
    let facilitator = stand(Arc::clone(&seen), true)?;
    Ok((Neighbours { upstream, facilitator: format!("http://{facilitator}") }, seen))
}

/// One of them.
fn stand(seen: Arc<Seen>, is_aside: bool) -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        if is_aside {
            aside::step();
        }
        runtime.block_on(serve(listener, seen, is_aside))
    });
    Ok(addr)
}

async fn serve(listener: std::net::TcpListener, seen: Arc<Seen>, is_aside: bool) -> std::io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let seen = Arc::clone(&seen);
        let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        match is_aside {
            true => drop(tokio::spawn(aside::giving_way(connection))),
            false => drop(tokio::spawn(connection)),
        }
    }
}

/// Both of them: their paths tell them apart.
async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let is_settlement = path == "/settle";
    let (kind, body) = match path {
        "/verify" | "/settle" => {
            let asked =
                request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let (payer, nonce) = (member(&asked, br#""from":""#, 42), member(&asked, br#""nonce":""#, 66));
            let answered = if is_settlement { seen.settle(&payer, nonce).await } else { seen.verify(&payer) };
            ("application/json", Bytes::from(answered))
        }
        "/supported" => ("application/json", Bytes::from_static(SUPPORTED)),
        path => {
            if path == "/paid" {
                seen.sold.fetch_add(1, Ordering::Relaxed);
            }
            ("text/plain", Bytes::from_static(BODY))
        }
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

impl Seen {
    fn verify(&self, payer: &Bytes) -> String {
        self.verified.fetch_add(1, Ordering::Relaxed);
        format!(r#"{{"isValid":true,"payer":"{}"}}"#, String::from_utf8_lossy(payer))
    }

    /// The transaction has the payment's nonce for a hash: no two have the same.
    async fn settle(&self, payer: &Bytes, nonce: Bytes) -> String {
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let (payer, hash) = (String::from_utf8_lossy(payer), String::from_utf8_lossy(&nonce));
        let answer = format!(r#"{{"success":true,"transaction":"{hash}","network":"eip155:8453","payer":"{payer}"}}"#);
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner).entry(nonce).or_default() += 1;
        answer
    }
}

/// The text behind a member's name, of a body that is known to be written without spaces.
fn member(body: &Bytes, name: &[u8], length: usize) -> Bytes {
    let at = body.windows(name.len()).position(|window| window == name);
    let from = at.map_or(body.len(), |at| at + name.len());
    body.slice(from..(from + length).min(body.len()))
}
