//! A defect of ours that ends one request must end no other, let nothing through, and tell nobody's secrets.

use std::sync::Arc;

use serde_json::json;

use super::answer::Answer;
use super::wording::Wording;
use super::{Exchange, Gateway};
use crate::telemetry::{Metrics, Outcome};

/// Counts panics from now on, and logs where they happen. What they say is left out: it may be a client's data.
pub fn watch_panics(metrics: Arc<Metrics>) {
    std::panic::set_hook(Box::new(move |panic| {
        metrics.connections.panics.inc();
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "a defect of the gateway has ended a request or a task; please report it");
    }));
}

impl Gateway {
    /// The answer to a request whose work has panicked: whatever it held is given back, and nothing goes upstream.
    pub(super) fn give_up(&self, exchange: &mut Exchange) -> Answer {
        exchange.pass = None;
        exchange.outcome = Some(Outcome::Unavailable);
        let market = Arc::clone(&self.live.load().market);
        let details = json!({ "reason": "internal_error" });
        Wording::new(&market, &self.server).problem(500, "internal_error", "The gateway failed.", details).last()
    }
}
