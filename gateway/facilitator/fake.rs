//! A facilitator on loopback that behaves as badly as a test wants.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// Which connection it came over, and as which of all requests; both from 0.
    pub(super) connection: usize,
    pub(super) number: usize,
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Answers with status, `Location` and body.
    Whole(u16, &'static str, String),
    /// Sends a head and these bytes, and then goes on like that.
    Partly(&'static str, Then),
    /// Closes the connection without a byte.
    HangUp,
    /// Says nothing.
    Silence,
}

/// How a body goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    /// The connection breaks.
    Break,
    /// A byte now and then, for ever.
    Drip,
    /// As many bytes as the other side takes.
    Flood,
}

/// An answer with a JSON body.
pub(super) fn json(status: u16, body: &str) -> Reply {
    Reply::Whole(status, "", body.to_owned())
}

/// A redirect.
pub(super) fn redirect(status: u16, location: &'static str) -> Reply {
    Reply::Whole(status, location, String::new())
}

/// The server; it ends with this value.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts one that answers by `reply`.
    pub(super) async fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, reply) = (Arc::clone(&seen), Arc::new(reply));
        let task = tokio::spawn(async move {
            // Connections die with the set, and the set with this task.
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
                let service =
                    service_fn(move |request| answer(request, connection, Arc::clone(&log), Arc::clone(&reply)));
                connections.spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { addr, seen, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    log: Arc<Mutex<Vec<Seen>>>,
    reply: Arc<impl Fn(&Seen) -> Reply>,
) -> Result<Response<Scripted>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = {
        let mut log = log.lock().unwrap();
        let number = log.len();
        log.push(Seen {
            method: head.method,
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
            connection,
            number,
        });
        log.last().unwrap().clone()
    };
    match reply(&seen) {
        Reply::Whole(status, location, body) => {
            let mut response = Response::builder().status(status);
            if !location.is_empty() {
                response = response.header("location", location);
            }
            Ok(response.body(Scripted::new(body.into(), None)).unwrap())
        }
        Reply::Partly(first, then) => Ok(Response::new(Scripted::new(first.into(), Some(then)))),
        Reply::HangUp => Err(std::io::Error::other("hangs up")),
        Reply::Silence => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

/// A body that goes on as told.
struct Scripted {
    first: Option<Bytes>,
    then: Option<Then>,
    pause: tokio::time::Interval,
}

impl Scripted {
    fn new(first: Bytes, then: Option<Then>) -> Self {
        // The pause before a break lets the head reach the other side.
        let pause = Duration::from_millis(10);
        let pause = tokio::time::interval_at(tokio::time::Instant::now() + pause, pause);
        Self { first: Some(first), then, pause }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(then) = this.then else { return Poll::Ready(None) };
        if !matches!(then, Then::Flood) {
            std::task::ready!(this.pause.poll_tick(cx));
        }
        Poll::Ready(Some(match then {
            Then::Break => Err(std::io::Error::other("breaks")),
            Then::Drip => Ok(Frame::data(Bytes::from_static(b" "))),
            Then::Flood => Ok(Frame::data(Bytes::from_static(&[b' '; 65536]))),
        }))
    }
}
