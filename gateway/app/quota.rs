//! Writes spent units down, and tells whose plan is nearly used up.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::IntCounter;
use serde_json::json;

use super::StartError;
use super::turn::turn;
use crate::proxy::Snapshot;
use crate::resource_server::{ResourceServer, Written};
use crate::telemetry::Metrics;
use crate::webhook::Events;

/// How often spent units are written down.
const WRITE_DOWN_EVERY: Duration = Duration::from_secs(1);

/// Whoever keeps the books of spent units.
pub(super) struct Bookkeeper {
    server: Arc<ResourceServer>,
    live: Arc<ArcSwap<Snapshot>>,
    events: Events,
    alerts: IntCounter,
}

impl Bookkeeper {
    pub(super) fn new(
        server: Arc<ResourceServer>,
        live: Arc<ArcSwap<Snapshot>>,
        events: Events,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let alerts = IntCounter::new("gateway_quota_alerts_total", "Plans whose use has crossed one of the percents")?;
        metrics.add(Box::new(alerts.clone()))?;
        Ok(Self { server, live, events, alerts })
    }

    /// Keeps them for as long as the process runs.
    pub(super) async fn keep(self) {
        let mut every = tokio::time::interval(WRITE_DOWN_EVERY);
        loop {
            every.tick().await;
            if let Some(Err(error)) = turn("writing down", self.server.accounts().write_down()).await {
                tracing::error!(%error, "spent units could not be written down");
            }
            let percents = &self.live.load().market.quota_alerts;
            self.server.accounts().take_written().iter().for_each(|written| self.tell(written, percents));
        }
    }

    fn tell(&self, written: &Written, percents: &[u8]) {
        let Some((percent, total)) = written.crossed(percents) else { return };
        self.alerts.inc();
        let bought = written.subscription();
        let data = json!({
            "subscription": bought.id.as_str(),
            "holder": bought.holder.as_str(),
            "plan": &*bought.plan.name,
            "used": written.used().to_json(),
            "total": total.to_json(),
            "percent": percent,
        });
        self.events.send("subscription.quota", data);
    }
}
