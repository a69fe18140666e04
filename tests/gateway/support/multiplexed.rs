//! A client of HTTP/2, with or without TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::wait::PATIENCE;

/// A connection.
#[derive(Debug)]
pub(crate) struct Multiplexed {
    runtime: Runtime,
    client: SendRequest<Bytes>,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) response: Response<()>,
    pub(crate) body: Vec<u8>,
    /// How the body ended, if not well.
    pub(crate) error: Option<h2::Error>,
}

impl Multiplexed {
    /// Over a cleartext connection, with prior knowledge.
    pub(crate) fn cleartext(addr: SocketAddr) -> Self {
        let runtime = runtime();
        let client = runtime.block_on(async { connect(TcpStream::connect(addr).await.unwrap()).await });
        Self { runtime, client }
    }

    /// Over TLS; the server must choose it by ALPN.
    pub(crate) fn tls(addr: SocketAddr, config: ClientConfig) -> Self {
        let runtime = runtime();
        let client = runtime.block_on(async {
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, TcpStream::connect(addr).await.unwrap()).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
            connect(stream).await
        });
        Self { runtime, client }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&self, request: Request<Vec<u8>>) -> Result<Stream, h2::Error> {
        self.runtime.block_on(self.begin(request)).unwrap()
    }

    /// Sends a request that has headers behind its body too.
    pub(crate) fn ask_with_trailer(
        &self,
        request: Request<Vec<u8>>,
        trailer: &[(&'static str, &str)],
    ) -> Result<Stream, h2::Error> {
        let (head, body) = request.into_parts();
        let trailer = trailer.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let trailer: HeaderMap = trailer.collect();
        self.runtime.block_on(async {
            let (response, mut sending) =
                self.client.clone().ready().await?.send_request(Request::from_parts(head, ()), false)?;
            sending.send_data(body.into(), false)?;
            sending.send_trailers(trailer)?;
            let response = tokio::time::timeout(PATIENCE, response).await.expect("an answer in time")?;
            Ok(Stream { response: response.map(drop), body: Vec::new(), error: None })
        })
    }

    /// Sends requests at once, and waits for all answers.
    pub(crate) fn ask_all(&self, requests: Vec<Request<Vec<u8>>>) -> Vec<Result<Stream, h2::Error>> {
        let running: Vec<_> = requests.into_iter().map(|request| self.begin(request)).collect();
        running.into_iter().map(|running| self.runtime.block_on(running).unwrap()).collect()
    }

    /// Sends a request; its answer may be waited for later.
    pub(crate) fn begin(&self, request: Request<Vec<u8>>) -> tokio::task::JoinHandle<Result<Stream, h2::Error>> {
        let client = self.client.clone();
        self.runtime.spawn(async move {
            tokio::time::timeout(PATIENCE, exchange(client, request)).await.expect("an answer in time")
        })
    }

    /// Waits for an answer.
    pub(crate) fn wait(
        &self,
        running: tokio::task::JoinHandle<Result<Stream, h2::Error>>,
    ) -> Result<Stream, h2::Error> {
        self.runtime.block_on(running).unwrap()
    }
}

impl Stream {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A request for a target of the gateway.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Vec<u8>> {
    let mut request = Request::builder().method(method).uri(format!("http://api.example.com{target}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_vec()).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn connect(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn exchange(client: SendRequest<Bytes>, request: Request<Vec<u8>>) -> Result<Stream, h2::Error> {
    let (head, body) = request.into_parts();
    let (response, mut sending) = client.ready().await?.send_request(Request::from_parts(head, ()), body.is_empty())?;
    if !body.is_empty() {
        // The other side may want none of it.
        let _ = sending.send_data(body.into(), true);
    }
    let (head, mut receiving) = response.await?.into_parts();
    let mut stream = Stream { response: Response::from_parts(head, ()), body: Vec::new(), error: None };
    while let Some(part) = receiving.data().await {
        match part {
            Ok(part) => {
                receiving.flow_control().release_capacity(part.len())?;
                stream.body.extend_from_slice(&part);
            }
            Err(error) => {
                stream.error = Some(error);
                break;
            }
        }
    }
    Ok(stream)
}
