//! A facilitator behind HTTP, as the x402 specification describes its API (§7).

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::answers::{Settlement, settlement, verdict};
use super::auth::{Auth, Tokens};
use super::base_url::BaseUrl;
use super::cdp::{CdpKey, CdpKeyError};
use super::supported::supported;
use super::transport::{Answer, Call, Endpoint, Failure, Transport};
use super::{Facilitator, FacilitatorError, SettleOutcome, Unclear, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::outbound::{Roots, TlsError};
use crate::x402::facilitator::{FacilitatorRequest, SupportedResponse};

/// For the whole of a `/supported` call. It is asked at start and in the background, so nobody's request waits for it.
const SUPPORTED_TIMEOUT: Duration = Duration::from_secs(10);

/// What a [`RemoteFacilitator`] is made of.
#[derive(Clone)]
pub struct RemoteSettings {
    /// Base URL, `http` or `https`, without query; a slash at its end makes no difference.
    pub url: Arc<str>,
    /// For the whole of a `/verify` call: connecting, sending, and reading the answer.
    pub verify_timeout: Duration,
    /// For the whole of a `/settle` call, its repeat included.
    pub settle_timeout: Duration,
    /// Sent with each call, for example `Authorization`. Never printed.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Signs a bearer token for each endpoint, in place of a fixed `Authorization`.
    pub cdp: Option<CdpKey>,
    /// Who may vouch for its server, in place of this machine's roots.
    pub roots: Option<Roots>,
}

/// Why a [`RemoteFacilitator`] cannot be made. All of them are the operator's to fix.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base URL is of no use.
    #[error("the facilitator's url {0}")]
    Url(&'static str),
    /// A header that frames the message, or that says whom it is for.
    #[error("the header {0} belongs to the connection and cannot be set for the facilitator")]
    Header(HeaderName),
    /// A key that signs nothing.
    #[error("the facilitator's key {0}")]
    Key(#[from] CdpKeyError),
    /// This machine cannot speak TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A facilitator behind HTTP.
///
/// It keeps connections for reuse, follows redirects only within its own origin, and asks for a settlement a second
/// time in one case: when the facilitator itself says that the transaction is sent but not confirmed.
#[derive(Debug)]
pub struct RemoteFacilitator {
    transport: Transport,
    verify_timeout: Duration,
    settle_timeout: Duration,
}

impl RemoteFacilitator {
    /// Makes one. Connects to nothing yet.
    ///
    /// # Errors
    /// [`SetupError`] if a setting is of no use, or this machine cannot speak TLS.
    pub fn new(settings: &RemoteSettings) -> Result<Self, SetupError> {
        Self::with_clock(settings, Arc::new(SystemClock))
    }

    /// The same with another time in its tokens.
    ///
    /// # Errors
    /// As those of [`RemoteFacilitator::new`].
    pub(super) fn with_clock(settings: &RemoteSettings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let base = BaseUrl::parse(&settings.url)?;
        let tokens = settings.cdp.clone().map(|key| Tokens::new(key, &base, clock));
        Ok(Self {
            transport: Transport::new(base, Auth::new(&settings.headers, tokens)?, settings.roots.as_ref())?,
            verify_timeout: settings.verify_timeout,
            settle_timeout: settings.settle_timeout,
        })
    }

    async fn settle_once(&self, body: Bytes, timeout: Duration, network: &str) -> Settlement {
        let call = Call { endpoint: Endpoint::Settle, body, timeout };
        match self.transport.call(&call).await {
            Ok(answer) => settlement(&answer, network),
            Err(Failure::NotSent(why)) => Settlement::Final(SettleOutcome::NotSent(why)),
            Err(failure) => Settlement::Final(SettleOutcome::Unknown(Unclear::new(failure.to_string()))),
        }
    }

    async fn ask(&self, endpoint: Endpoint, body: Bytes, timeout: Duration) -> Result<Answer, FacilitatorError> {
        let call = Call { endpoint, body, timeout };
        self.transport.call(&call).await.map_err(|failure| match failure {
            Failure::NotSent(why) | Failure::Broken(why) => FacilitatorError::Unreachable(why),
            Failure::TimedOut => FacilitatorError::Timeout(timeout),
            Failure::Unusable(why) => FacilitatorError::Nonsense(why),
        })
    }
}

#[async_trait]
impl Facilitator for RemoteFacilitator {
    async fn verify(&self, request: &FacilitatorRequest) -> Result<Verdict, FacilitatorError> {
        let answer = self.ask(Endpoint::Verify, envelope(request), self.verify_timeout).await?;
        verdict(&answer)
    }

    async fn settle(&self, request: &FacilitatorRequest, network: &str) -> SettleOutcome {
        let (started, body) = (Instant::now(), envelope(request));
        let transaction = match self.settle_once(body.clone(), self.settle_timeout, network).await {
            Settlement::Final(outcome) => return outcome,
            Settlement::Pending { transaction } => transaction,
        };
        let rest = self.settle_timeout.saturating_sub(started.elapsed());
        match self.settle_once(body, rest, network).await {
            Settlement::Final(SettleOutcome::Settled(receipt)) => SettleOutcome::Settled(receipt),
            // Also if this answer is a refusal: "nonce already used" now means the first one's transaction.
            _ => SettleOutcome::Unknown(Unclear {
                why: "the transaction is sent and not yet confirmed".to_owned(),
                transaction: Some(transaction),
                used: false,
            }),
        }
    }

    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        supported(&self.ask(Endpoint::Supported, Bytes::new(), SUPPORTED_TIMEOUT).await?)
    }
}

/// The body of `/verify` and `/settle`. The same request gives the same bytes.
fn envelope(request: &FacilitatorRequest) -> Bytes {
    // A number and two texts that are JSON already always have a JSON form.
    serde_json::to_vec(request).unwrap_or_default().into()
}
