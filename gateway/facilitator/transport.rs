//! One HTTP exchange with a facilitator: deadline, size limit, redirects, and what a failure says about the request.
//!
//! Not for what an answer means: that is `answers`.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::SetupError;
use super::answers::is_turned_away;
use super::auth::{Auth, Pass};
use super::base_url::BaseUrl;
use crate::outbound::{IDLE_TIMEOUT, Roots, connector, explain};

/// Idle connections kept: as many as there usually may be calls at a time. Fewer would be closed and opened anew whenever many
/// payments end together; those that stay idle go after [`IDLE_TIMEOUT`].
const IDLE_MAX: usize = 1024;
/// Public facilitators answer with one 308 at most.
const REDIRECTS_MAX: usize = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `POST /verify`.
    Verify,
    /// `POST /settle`.
    Settle,
    /// `GET /supported`.
    Supported,
}

impl Endpoint {
    pub(super) fn method_and_path(self) -> (Method, &'static str) {
        match self {
            Self::Verify => (Method::POST, "/verify"),
            Self::Settle => (Method::POST, "/settle"),
            Self::Supported => (Method::GET, "/supported"),
        }
    }

    /// The longest answer that is read, in bytes.
    fn answer_bytes_max(self) -> usize {
        match self {
            Self::Verify | Self::Settle => 64 * 1024,
            // A facilitator of many networks lists hundreds of kinds.
            Self::Supported => 1024 * 1024,
        }
    }

    /// Whether asking twice is as good as asking once.
    fn is_repeatable(self) -> bool {
        match self {
            Self::Verify | Self::Supported => true,
            Self::Settle => false,
        }
    }
}

/// One exchange.
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
}

/// A whole answer, with any status but a redirect's.
#[derive(Debug)]
pub struct Answer {
    /// Of HTTP.
    pub status: StatusCode,
    /// As it came, of bounded size.
    pub body: Bytes,
}

/// No answer. The texts are for the operator and hold no header value and no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There was no connection, so not one byte of the request has left.
    #[error("{0}")]
    NotSent(String),
    /// The connection failed before the answer began. The request may have arrived.
    #[error("{0}")]
    Broken(String),
    /// The deadline passed. The request may have arrived.
    #[error("no answer in time")]
    TimedOut,
    /// The answer broke off, is too large, or sends us somewhere else. The request has arrived.
    #[error("{0}")]
    Unusable(String),
}

/// The connections to one facilitator.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: BaseUrl,
    auth: Auth,
}

impl Transport {
    pub(super) fn new(base: BaseUrl, auth: Auth, roots: Option<&Roots>) -> Result<Self, SetupError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector(base.is_https(), roots)?);
        Ok(Self { client, base, auth })
    }

    /// Does one exchange, from connecting to the answer's last byte, within its timeout.
    pub(super) async fn call(&self, call: &Call) -> Result<Answer, Failure> {
        let url = self.base.join(call.endpoint.method_and_path().1);
        let url = url.ok_or_else(|| Failure::NotSent("the facilitator's url cannot be used".to_owned()))?;
        let pass = self.auth.pass(call.endpoint);
        let mut request = self.request(call, &url, &pass);
        let connection = capture_connection(&mut request);
        match tokio::time::timeout(call.timeout, self.exchange(call, &url, request, &pass)).await {
            Ok(result) => result,
            // Without a connection nothing was sent, and that is worth knowing when money is at stake.
            Err(_) if connection.connection_metadata().is_none() => {
                Err(Failure::NotSent(format!("no connection within {:?}", call.timeout)))
            }
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// Asks, and once more with a new token if a kept one was not taken: what was turned away was not processed.
    async fn exchange(
        &self,
        call: &Call,
        url: &Uri,
        first: Request<Full<Bytes>>,
        pass: &Pass,
    ) -> Result<Answer, Failure> {
        let answer = self.ask(call, url.clone(), first, pass).await?;
        if !is_turned_away(&answer) {
            return Ok(answer);
        }
        match self.auth.renewed(call.endpoint, pass) {
            Some(pass) => self.ask(call, url.clone(), self.request(call, url, &pass), &pass).await,
            None => Ok(answer),
        }
    }

    async fn ask(
        &self,
        call: &Call,
        mut url: Uri,
        first: Request<Full<Bytes>>,
        pass: &Pass,
    ) -> Result<Answer, Failure> {
        let mut response = self.send(call, &url, first, pass).await?;
        for _ in 0..REDIRECTS_MAX {
            if !is_repeating_redirect(response.status()) || pass.is_bound() {
                break;
            }
            url = self.base.redirected(&url, response.headers()).map_err(Failure::Unusable)?;
            let again = self.client.request(self.request(call, &url, pass)).await;
            response = again.map_err(|error| broken(&error))?;
        }
        if response.status().is_redirection() {
            let why = if pass.is_bound() { ", and a token is good for the configured url only" } else { "" };
            return Err(Failure::Unusable(format!("it redirects with HTTP {}{why}", response.status().as_u16())));
        }
        read(response, call.endpoint.answer_bytes_max()).await
    }

    /// Sends the first request of an exchange, and once more if that can do no harm.
    async fn send(
        &self,
        call: &Call,
        url: &Uri,
        first: Request<Full<Bytes>>,
        pass: &Pass,
    ) -> Result<Response<Incoming>, Failure> {
        let error = match self.client.request(first).await {
            Ok(response) => return Ok(response),
            Err(error) if error.is_connect() => return Err(Failure::NotSent(explain(&error))),
            Err(error) => error,
        };
        // Most often an idle connection that the other side closed at this very moment.
        if call.endpoint.is_repeatable() && !is_garbled(&error) {
            let again = self.client.request(self.request(call, url, pass)).await;
            return again.map_err(|error| broken(&error));
        }
        Err(broken(&error))
    }

    fn request(&self, call: &Call, url: &Uri, pass: &Pass) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.endpoint.method_and_path().0;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = self.auth.headers(pass);
        if request.method() == Method::POST {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }
}

/// The two that ask for the same method and body again.
fn is_repeating_redirect(status: StatusCode) -> bool {
    matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
}

async fn read(response: Response<Incoming>, bytes_max: usize) -> Result<Answer, Failure> {
    let status = response.status();
    match Limited::new(response.into_body(), bytes_max).collect().await {
        Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::Unusable(format!("its answer (HTTP {}) is longer than {bytes_max} bytes", status.as_u16())))
        }
        Err(error) => Err(Failure::Unusable(format!("its answer (HTTP {}) broke off: {error}", status.as_u16()))),
    }
}

fn broken(error: &ClientError) -> Failure {
    if is_garbled(error) {
        return Failure::Unusable(format!("its answer is not HTTP: {}", explain(error)));
    }
    Failure::Broken(format!("the connection failed before an answer: {}", explain(error)))
}

/// Whether an answer came, but not in HTTP.
fn is_garbled(error: &ClientError) -> bool {
    error.source().and_then(|source| source.downcast_ref::<hyper::Error>()).is_some_and(hyper::Error::is_parse)
}
