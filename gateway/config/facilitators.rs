use std::sync::Arc;
use std::time::Duration;

use super::Secret;
use crate::outbound::Roots;
use crate::payment::Unproven;
use crate::pricing::Reach;

/// `[facilitator]` and `[[facilitators]]`: who checks and settles payments.
#[derive(Debug, Clone, PartialEq)]
pub struct FacilitatorsConfig {
    /// All of them, in the order of the file; at least one.
    pub list: Vec<FacilitatorConfig>,
    /// The longest wait for a verdict on a payment, whoever is asked; 20 s unless said otherwise, and not shorter than
    /// the longest `verify_timeout`.
    pub verify_budget: Duration,
    /// After so long without a verdict the next facilitator is asked too. None unless said otherwise.
    pub hedge_after: Option<Duration>,
    /// How long a request asks for the outcome of its settlement if the first answer was none; 10 s unless said
    /// otherwise.
    pub resolve_timeout: Duration,
    /// What "already used" means where no chain can be asked; held unless said otherwise.
    pub unproven_settlement: Unproven,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct FacilitatorConfig {
    /// What it is called in the books, in logs and in metrics: `facilitator` if there is only `[facilitator]`, else the
    /// host and port of its URL unless said otherwise.
    pub name: Arc<str>,
    /// Base URL without a slash at its end.
    pub url: Arc<str>,
    /// For the whole of a `/verify` call; 10 s unless said otherwise.
    pub verify_timeout: Duration,
    /// For the whole of a `/settle` call; 60 s unless said otherwise.
    pub settle_timeout: Duration,
    /// The most calls at a time, a quarter of them kept for work that is done; 1024 unless said otherwise.
    pub concurrency: usize,
    /// Sent with each call.
    pub headers: Vec<(http::HeaderName, Secret)>,
    /// Signs a token for each call, in place of a fixed `Authorization`.
    pub cdp: Option<CdpConfig>,
    /// Who alone may vouch for its server; this machine's roots unless said otherwise.
    pub ca: Option<Roots>,
    /// The networks that it is asked for; all unless said otherwise.
    pub reach: Reach,
    /// Those with a lower number are asked first; 1 unless said otherwise.
    pub order: u32,
    /// How often it is asked first among those of its order; 1 unless said otherwise.
    pub weight: u32,
    /// A verdict that takes longer counts as a failure. None unless said otherwise.
    pub latency_budget: Option<Duration>,
}

/// A key of the Coinbase Developer Platform, which can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdpConfig {
    /// Its id; not secret, and nobody else's business.
    pub key_id: Secret,
    /// What signs: base64 or PEM.
    pub secret: Secret,
}

impl FacilitatorsConfig {
    /// The longest that a settlement may take, whoever is asked.
    pub fn settle_timeout(&self) -> Duration {
        self.list.iter().map(|facilitator| facilitator.settle_timeout).max().unwrap_or_default()
    }
}
