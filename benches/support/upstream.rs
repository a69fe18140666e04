//! What stands around the gateway: an API with one constant answer, and the facilitator of the key's sale.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tollgate::money::Network;
use tollgate::sandbox::{Sandbox, SandboxFacilitator};

use super::Result;
use super::gateway::Neighbours;

/// Any port that is free.
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// 200 bytes.
const BODY: &[u8] = &[b'.'; 200];

/// Starts them in a thread of their own, apart from the load.
pub(super) fn start() -> Result<Neighbours> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, started) = mpsc::channel();
    thread::spawn(move || runtime.block_on(serve(&ready)));
    started.recv()?.map_err(Into::into)
}

async fn serve(ready: &mpsc::Sender<std::result::Result<Neighbours, String>>) {
    let (listener, _facilitator) = match open().await {
        Ok((listener, upstream, facilitator)) => {
            let url = facilitator.url();
            let _ = ready.send(Ok(Neighbours { upstream, facilitator: url }));
            (listener, facilitator)
        }
        Err(error) => return drop(ready.send(Err(error.to_string()))),
    };
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(|_| answer())));
    }
}

async fn open() -> Result<(TcpListener, SocketAddr, Sandbox)> {
    let listener = TcpListener::bind(ANYWHERE).await?;
    let upstream = listener.local_addr()?;
    let facilitator = SandboxFacilitator::new(vec![Network::parse("eip155:8453")?]).start(ANYWHERE).await?;
    Ok((listener, upstream, facilitator))
}

async fn answer() -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}
