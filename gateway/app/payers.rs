use std::sync::Arc;

use prometheus::{IntCounterVec, Opts};
use tokio::runtime::Handle;

use super::StartError;
use crate::clock::SystemClock;
use crate::config::PayersConfig;
use crate::drift::{self, Drift};
use crate::outbound::TlsError;
use crate::screening::{Counters, HttpScreener, Screening, Tallies};
use crate::telemetry::Metrics;
use crate::webhook::{Events, Webhook};

/// What outlives a reload of the rules about payers: the counts, the screener's verdicts, the events under way; and what
/// was seen of facilitators, which is told by the same way.
pub(super) struct Doorkeeper {
    tallies: Arc<Tallies>,
    drift: Arc<Drift>,
    events: Events,
    screener: Option<Arc<HttpScreener>>,
    webhook: Option<Webhook>,
}

impl Doorkeeper {
    /// Begins with nothing counted. Events are delivered on `runtime`.
    pub(super) fn new(metrics: &Metrics, runtime: Handle) -> Result<Self, StartError> {
        let events = Opts::new("gateway_webhook_events_total", "Events for the webhook by what became of them");
        let (counters, outcomes) = (Counters::new()?, IntCounterVec::new(events, &["outcome"])?);
        counters.collectors().into_iter().try_for_each(|counter| metrics.add(counter))?;
        metrics.add(Box::new(outcomes.clone()))?;
        let events = Events::new(runtime, outcomes);
        let tallies = Arc::new(Tallies::new(events.clone(), counters));
        let refusals = drift::Counters::new()?;
        refusals.collectors().into_iter().try_for_each(|counter| metrics.add(counter))?;
        let drift = Arc::new(Drift::new(events.clone(), refusals, Arc::new(SystemClock)));
        Ok(Self { tallies, drift, events, screener: None, webhook: None })
    }

    /// Makes the clients of a configuration; those that did not change are kept, with what they know.
    pub(super) fn prepare(&mut self, config: &PayersConfig) -> Result<(), TlsError> {
        let kept = self.screener.as_ref().filter(|screener| Some(screener.settings()) == config.screener.as_ref());
        let screener = match (kept, &config.screener) {
            (Some(kept), _) => Some(Arc::clone(kept)),
            (None, Some(settings)) => Some(Arc::new(HttpScreener::new(settings.clone())?)),
            (None, None) => None,
        };
        if config.webhook != self.webhook {
            self.events.deliver_to(config.webhook.as_ref())?;
            self.webhook.clone_from(&config.webhook);
        }
        self.screener = screener;
        Ok(())
    }

    /// A handle for whoever has something to tell; it outlives reloads.
    pub(super) fn events(&self) -> Events {
        self.events.clone()
    }

    /// What is seen of facilitators; it outlives reloads.
    pub(super) fn drift(&self) -> Arc<Drift> {
        Arc::clone(&self.drift)
    }

    /// The rules of a configuration that was prepared.
    pub(super) fn screening(&self, config: &PayersConfig) -> Arc<Screening> {
        Arc::new(Screening::new(config.rules.clone(), self.screener.clone(), Arc::clone(&self.tallies)))
    }
}
