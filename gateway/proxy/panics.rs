//! A defect of ours that ends one request must end no other, let nothing through, and tell nobody's secrets.

use std::sync::Arc;

use pingora::prelude::{Error, ErrorType};
use pingora::proxy::Session;
use serde_json::json;

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
    /// Answers a request whose work has panicked: whatever it held is given back, and nothing goes upstream.
    pub(super) async fn give_up(&self, session: &mut Session, exchange: &mut Exchange) -> pingora::Result<()> {
        exchange.pass = None;
        exchange.outcome = Some(Outcome::Unavailable);
        session.set_keepalive(None);
        if session.response_written().is_some() {
            return Error::e_explain(ErrorType::InternalError, "the gateway failed within an answer");
        }
        let market = Arc::clone(&self.live.load().market);
        let details = json!({ "reason": "internal_error" });
        let answer = Wording::new(&market, &self.server).problem(500, "internal_error", "The gateway failed.", details);
        answer.write(session, false).await
    }
}
