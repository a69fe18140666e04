//! What is put down of a request when it has come to its end: how it ended, what became of its payment, and the answer
//! that was paid for.

use super::Gateway;
use super::exchange::{Exchange, reason};
use super::kept::Kept;
use crate::crash::crash_point;
use crate::resource_server::Denial;
use crate::store::StoredResponse;
use crate::telemetry::Outcome;

impl Gateway {
    /// Books a request that has come to its end; `has_left` says whether its answer has left in whole.
    pub(super) fn book(&self, exchange: &mut Exchange, status: u16, has_left: bool) {
        crash_point!("request.ending");
        self.metrics.request(exchange.outcome.unwrap_or(Outcome::UpstreamFailed));
        // An answer that is here in whole is the buyer's, who may fetch it by the same payment.
        let is_there = has_left || exchange.kept.as_ref().is_some_and(Kept::is_whole);
        let delivered = exchange.earned && is_there;
        if let Some(payment) = exchange.payment.take() {
            let outcome = match (&exchange.denial, &payment.plan, &exchange.settled) {
                (Some(denial), ..) => denial.as_str(),
                (None, Some((.., false)), _) => "settled",
                (None, Some((.., true)), _) => "repeated",
                (None, None, Some(_)) if delivered => "settled",
                (None, None, Some(_)) => "settled_undelivered",
                (None, None, None) => "not_charged",
            };
            self.metrics.payment(outcome);
            let (route, reason) = (exchange.route.clone(), reason(exchange.denial.as_ref()));
            self.server.aside(move || payment.event(route.as_deref(), outcome, &reason, status));
        }
        match exchange.settled.take().filter(|_| exchange.earned) {
            Some(settled) if delivered => self.server.deliver(*settled, self.stored(exchange)),
            Some(settled) if exchange.is_safe() => self.server.broke_off(*settled),
            _ => {}
        }
    }

    /// Begins to keep the upstream's whole answer to a call whose payment has an unknown outcome. Wherever a hook can wait,
    /// the client's own leaves when the disk has it: a gateway that is killed between the two would have lost it.
    pub(super) fn keep_unresolved(&self, exchange: &mut Exchange) {
        if let Some(Denial::Unresolved(id)) = &exchange.denial
            && let id = id.clone()
            && let Some(response) = self.stored(exchange)
        {
            exchange.keeping = Some(self.server.keep(id, exchange.claim.take(), response));
        }
    }

    /// What the store keeps of the answer.
    fn stored(&self, exchange: &mut Exchange) -> Option<StoredResponse> {
        exchange.kept.take().map(|kept| kept.finish(self.server.clock().now() + exchange.replay_ttl()))
    }
}
