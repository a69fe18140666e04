//! A facilitator that looks at nothing and answers at once, as no real one does: what a seller's own work costs is seen
//! beside it. It knows how often each payment was settled.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Result;

const SUPPORTED: &str = r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:8453"},
{"x402Version":1,"scheme":"exact","network":"base"}],"extensions":[],"signers":{"eip155:*":[]}}"#;

/// Where it is, and what it has done. It lives as long as the process.
#[derive(Debug)]
pub(super) struct InstantFacilitator {
    pub(super) addr: SocketAddr,
    books: Books,
}

/// How often each nonce was settled.
type Books = Arc<Mutex<HashMap<String, u64>>>;

impl InstantFacilitator {
    /// Starts it in a thread of its own, apart from the load.
    pub(super) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (addr, books) = (listener.local_addr()?, Books::default());
        let kept = Arc::clone(&books);
        thread::spawn(move || runtime.block_on(async { serve(TcpListener::from_std(listener)?, kept).await }));
        Ok(Self { addr, books })
    }

    /// How many payments it has settled.
    ///
    /// # Errors
    /// One of them was settled more than once.
    pub(super) fn settled(&self) -> Result<u64> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        match books.iter().find(|(_, times)| **times > 1) {
            Some((nonce, times)) => Err(format!("the payment {nonce} was settled {times} times").into()),
            None => Ok(u64::try_from(books.len())?),
        }
    }
}

async fn serve(listener: TcpListener, books: Books) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let books = Arc::clone(&books);
        let answers = service_fn(move |request| answer(request, Arc::clone(&books)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answers));
    }
}

async fn answer(request: Request<Incoming>, books: Books) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    // A body that cannot be read is answered as one that names nobody.
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = str::from_utf8(&body).unwrap_or_default();
    let text = match path.as_str() {
        "/verify" => format!(r#"{{"isValid":true,"payer":"{}"}}"#, text_of(body, "from")),
        "/settle" => {
            // It is as long as the hash of a transaction, and as unique.
            let nonce = text_of(body, "nonce");
            *books.lock().unwrap_or_else(PoisonError::into_inner).entry(nonce.to_owned()).or_default() += 1;
            let payer = text_of(body, "from");
            format!(r#"{{"success":true,"transaction":"{nonce}","network":"eip155:8453","payer":"{payer}"}}"#)
        }
        _ => SUPPORTED.to_owned(),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The first text with this name in a compact JSON.
fn text_of<'a>(json: &'a str, name: &str) -> &'a str {
    let found = json.split_once(&format!("\"{name}\":\"")).and_then(|(_, rest)| rest.split_once('"'));
    found.map_or("", |(text, _)| text)
}
