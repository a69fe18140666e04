//! An HTTP server that only this machine can reach: what the sandbox's servers have in common.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::SandboxError;

/// Says on every answer that nothing here is real.
const STAMP: &str = "x-tollgate-sandbox";
/// The largest request body that is read. A payment is a few KiB.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Open connections; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Between attempts to accept, when the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What an answer's body may be: whole or streamed.
pub(super) type Body = BoxBody<Bytes, Infallible>;

/// What a server answers.
pub(super) trait Answers: Send + Sync + 'static {
    fn answer(&self, request: &Request<Bytes>) -> Response<Body>;
}

/// A running server. It ends, connections included, when this is dropped.
#[derive(Debug)]
pub(super) struct LoopbackServer {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl LoopbackServer {
    /// Starts a server on the current runtime. `stamp` says in a header of every answer what it is.
    pub(super) async fn start(
        addr: SocketAddr,
        stamp: &'static str,
        service: Arc<impl Answers>,
    ) -> Result<Self, SandboxError> {
        if !addr.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(addr));
        }
        let listen = |source| SandboxError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        Ok(Self { addr, task: tokio::spawn(accept(listener, stamp, service)) })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, stamp: &'static str, service: Arc<impl Answers>) {
    // Connections end with this set, and the set with this task.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, stamp, Arc::clone(&service)))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, stamp: &'static str, service: Arc<impl Answers>) {
    let service = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(answer(request, stamp, &*service).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away in the middle is no concern of the demo.
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, stamp: &'static str, service: &impl Answers) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut response = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => service.answer(&Request::from_parts(head, body.to_bytes())),
        Err(_) => json(StatusCode::PAYLOAD_TOO_LARGE, &serde_json::json!({"error": "the body is too large"})),
    };
    response.headers_mut().insert(STAMP, HeaderValue::from_static(stamp));
    response
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Full::from(body.to_string()).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
