use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::Metrics;
use crate::facilitator::{Facilitator, FacilitatorError, SettleOutcome, Verdict};
use crate::x402::facilitator::{FacilitatorRequest, SupportedResponse};

/// A facilitator whose calls are timed.
#[derive(Debug)]
pub struct Timed {
    inner: Arc<dyn Facilitator>,
    name: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Timed {
    /// Times the calls of `inner`; `name` is what the operator calls it.
    pub fn new(inner: Arc<dyn Facilitator>, name: Arc<str>, metrics: Arc<Metrics>) -> Self {
        Self { inner, name, metrics }
    }
}

#[async_trait]
impl Facilitator for Timed {
    async fn verify(&self, request: &FacilitatorRequest) -> Result<Verdict, FacilitatorError> {
        let started = Instant::now();
        let verdict = self.inner.verify(request).await;
        let outcome = match &verdict {
            Ok(Verdict::Valid { .. }) => "valid",
            Ok(Verdict::Refused(_)) => "refused",
            Err(_) => "failed",
        };
        self.metrics.facilitator(&self.name, "verify", outcome, started.elapsed());
        verdict
    }

    async fn settle(&self, request: &FacilitatorRequest, network: &str) -> SettleOutcome {
        let started = Instant::now();
        let settled = self.inner.settle(request, network).await;
        let outcome = match &settled {
            SettleOutcome::Settled(_) => "settled",
            SettleOutcome::Refused(_) => "refused",
            SettleOutcome::NotSent(_) => "not_sent",
            SettleOutcome::Unknown(_) => "unknown",
        };
        self.metrics.facilitator(&self.name, "settle", outcome, started.elapsed());
        settled
    }

    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        let started = Instant::now();
        let supported = self.inner.supported().await;
        let outcome = if supported.is_ok() { "answered" } else { "failed" };
        self.metrics.facilitator(&self.name, "supported", outcome, started.elapsed());
        supported
    }
}
