//! An API that answers with little, with much, and bit by bit.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Result;

/// What most calls are answered with.
const SMALL: &[u8] = &[b'.'; 200];
/// What `/large` is answered with.
pub(super) const LARGE: &[u8] = &[b'.'; 100_000];
/// How often `/stream` sends a small piece.
const PIECES: usize = 16;

/// Starts it in a thread of its own, as long as the process lives.
pub(super) fn start() -> Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    thread::spawn(move || runtime.block_on(async { serve(TcpListener::from_std(listener)?).await }));
    Ok(addr)
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> std::result::Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    // All of it: what is left unread would end the connection.
    let _ = request.into_body().collect().await;
    let body = match path.rsplit('/').next() {
        Some("large") => Full::new(Bytes::from_static(LARGE)).boxed(),
        Some("stream") => {
            let piece = |_| Ok(Frame::data(Bytes::from_static(SMALL)));
            StreamBody::new(stream::iter((0..PIECES).map(piece))).boxed()
        }
        _ => Full::new(Bytes::from_static(SMALL)).boxed(),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
