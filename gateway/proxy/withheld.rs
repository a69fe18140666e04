//! The answer in place of an upstream's that may not leave.

use std::sync::Arc;
use std::time::Instant;

use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorSource, ErrorType};
use serde_json::json;

use super::answer::Answer;
use super::exchange::Exchange;
use super::kept::Kept;
use super::wording::Wording;
use super::{Gateway, headers};
use crate::resource_server::{Denial, Pass, Settled, Unsettled, Verified};
use crate::telemetry::Outcome;

/// Marks our own reason for not letting an upstream's answer out; the reason itself is in the [`Exchange`].
pub(super) const WITHHELD: ErrorType = ErrorType::new("answer withheld");

impl Gateway {
    /// Settles a call that the upstream has answered well; without success its answer does not leave.
    pub(super) async fn settle(&self, verified: Verified, exchange: &mut Exchange) -> pingora::Result<Box<Settled>> {
        let withheld = || Error::explain(WITHHELD, "the payment of this answer was not settled");
        let market = exchange.snapshot.as_ref().map(|snapshot| Arc::clone(&snapshot.market)).ok_or_else(withheld)?;
        let started = Instant::now();
        let outcome = self.server.settle_call(&market, verified).await;
        if let Some(payment) = &mut exchange.payment {
            payment.settle = started.elapsed();
            payment.transaction = outcome.as_ref().ok().map(|settled| settled.receipt.transaction.clone());
        }
        outcome.map(Box::new).map_err(|Unsettled { denial, claim }| {
            exchange.outcome = Some(denial.outcome());
            (exchange.denial, exchange.claim) = (Some(denial), claim);
            withheld()
        })
    }

    /// Answers in the place of an upstream whose answer may not leave. If the payment's outcome is unknown, what it said
    /// is kept meanwhile: it may turn out to be paid.
    pub(super) async fn withhold(
        &self,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
        error: Box<Error>,
    ) -> pingora::Result<()> {
        let browser = exchange.facts.as_ref().is_some_and(|facts| facts.from_browser);
        if !matches!(exchange.denial, Some(Denial::Unresolved(_))) {
            return Err(error);
        }
        headers::change(response, |headers| headers::make_private(headers, browser))?;
        exchange.keep(response);
        if exchange.kept.as_ref().is_some_and(Kept::is_bodiless) {
            self.keep_unresolved(exchange);
            exchange.until_kept().await;
        }
        let Some(answer) = exchange.kept.as_ref().and_then(|_| self.denied(exchange)) else { return Err(error) };
        *response = answer.head();
        exchange.instead = Some(Some(answer.body));
        Ok(())
    }

    /// The answer that says why the upstream's may not leave.
    fn denied(&self, exchange: &Exchange) -> Option<Answer> {
        let market = exchange.snapshot.as_ref().map(|snapshot| &snapshot.market)?;
        let (denial, route, facts) = (exchange.denial.as_ref()?, exchange.route.as_ref()?, exchange.facts.as_ref()?);
        Some(self.deny(market, denial, route, facts))
    }

    /// The answer in place of one that may not leave, or that never came. None if nobody is there to read it.
    pub(super) fn failure(&self, error: &Error, exchange: &mut Exchange) -> Option<Answer> {
        if let Some(answer) = self.denied(exchange) {
            return Some(answer);
        }
        let market = exchange.snapshot.as_ref().map(|snapshot| Arc::clone(&snapshot.market))?;
        let (status, reason, message) = match (error.etype(), error.esource()) {
            (ErrorType::HTTPStatus(413), _) => (413, "body_too_large", "The request's body is too large."),
            (ErrorType::HTTPStatus(status), _) => (*status, "request_refused", "The request was refused."),
            (
                ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout,
                ErrorSource::Upstream,
            ) => (504, "upstream_timeout", "The upstream did not answer in time."),
            (_, ErrorSource::Upstream) => (502, "upstream_unavailable", "The upstream cannot be reached."),
            (ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed, ErrorSource::Downstream) => {
                return None;
            }
            (_, ErrorSource::Downstream) => (400, "bad_request", "The request cannot be read."),
            _ => (500, "internal_error", "The gateway failed."),
        };
        exchange.outcome = Some(Outcome::UpstreamFailed);
        let answer = Wording::new(&market, &self.server).problem(status, reason, message, json!({ "reason": reason }));
        // A call that was paid in advance keeps its receipt: the buyer can prove the payment, and repeat it.
        if let Some(Pass::Settled(settled)) = exchange.pass.take() {
            exchange.settled = Some(settled);
        }
        match &exchange.settled {
            Some(settled) => {
                Some(answer.with_all(headers::receipt(&settled.receipt)).with("Cache-Control", "private, no-store"))
            }
            None => Some(answer),
        }
    }
}
