//! The HTTP client for what the gateway asks of other machines: one request, one answer, a deadline, a size limit.
//!
//! Used for a chain's RPC, a screener and a webhook. The facilitator's client has a transport of its own on the same
//! [`connector`], since it must know whether a request has left this machine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Node's servers close idle connections after 5 s; one that is reused at that moment fails.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// An unreachable machine is known as such after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A client with its idle connections. Follows no redirect: what is sent to one machine is meant for no other.
#[derive(Debug, Clone)]
pub struct Outbound {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A whole answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// No answer. The texts hold neither URL nor header, since both may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// No connection, or one that failed.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The deadline passed.
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    /// The answer broke off or is too large.
    #[error("its answer cannot be read: {0}")]
    Unreadable(String),
}

/// The certificates that alone are trusted, in place of the machine's.
#[derive(Debug, Clone)]
pub struct Roots(Arc<RootCertStore>);

/// Why certificates are of no use as roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// Not PEM, or cut off.
    #[error("is not PEM that can be read: {0}")]
    Pem(String),
    /// PEM of something else.
    #[error("has no certificate in PEM, \"-----BEGIN CERTIFICATE-----\" and so on would be right")]
    Empty,
    /// A certificate that cannot be a root.
    #[error("has a certificate that cannot be trusted: {0}")]
    Certificate(String),
}

impl Roots {
    /// Reads certificates in PEM, one at least.
    ///
    /// # Errors
    /// [`RootsError`] if one of them is none.
    pub fn parse(pem: &[u8]) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| RootsError::Pem(error.to_string()))?;
            store.add(certificate).map_err(|error| RootsError::Certificate(error.to_string()))?;
        }
        if store.is_empty() { Err(RootsError::Empty) } else { Ok(Self(Arc::new(store))) }
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

/// Why TLS cannot be spoken here.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// This machine has no root certificates, so no `https` server can be trusted.
    #[error("no root certificates were found on this machine")]
    Roots(#[source] std::io::Error),
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
}

impl Outbound {
    /// Makes one. `https` is whether any of its URLs is.
    ///
    /// # Errors
    /// [`TlsError`] if this machine cannot speak TLS.
    pub fn new(https: bool) -> Result<Self, TlsError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector(https, None)?);
        Ok(Self { client })
    }

    /// Posts a JSON body. `headers` are added to our own.
    ///
    /// # Errors
    /// [`OutboundError`]; the request may have arrived all the same.
    pub async fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, OutboundError> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.exchange(request, timeout).await
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>, timeout: Duration) -> Result<Answer, OutboundError> {
        const AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let exchange = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| OutboundError::Unreachable(explain(&error)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| OutboundError::Unreadable(error.to_string()))?.to_bytes();
            Ok(Answer { status, body })
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(OutboundError::Timeout(timeout)))
    }
}

/// Connects by TCP, and by TLS where the URL says so, to servers whose certificates come from `only`, or else from a root of
/// this machine.
///
/// # Errors
/// [`TlsError`] if this machine cannot speak TLS.
pub fn connector(https: bool, only: Option<&Roots>) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // The provider is named, so that nothing depends on what the process has installed as its default.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?;
    // A server on this machine needs no certificates, and a bare container has none.
    let tls = match only {
        Some(Roots(roots)) => tls.with_root_certificates(Arc::clone(roots)),
        None if https => tls.with_native_roots().map_err(TlsError::Roots)?,
        None => tls.with_root_certificates(RootCertStore::empty()),
    };
    let tls = tls.with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http))
}

/// An error with all its causes, in one line.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
