//! Calls whose client left before the answer came.

use pingora::prelude::{Error, ErrorSource};
use pingora::proxy::Session;

use super::exchange::Exchange;
use crate::resource_server::Pass;
use crate::telemetry::Outcome;

impl Exchange {
    /// Charges a call whose client left after its whole request had gone to the upstream: else work could be had for
    /// nothing by hanging up. What the upstream has not got, or has failed at, is given back.
    pub(super) fn charge_abandoned(&mut self, session: &mut Session, error: Option<&Error>) {
        let left = error.is_some_and(|error| *error.esource() == ErrorSource::Downstream);
        let whole = self.body_forwarded || session.is_body_empty() || session.is_upgrade_req();
        if !left || !self.forwarded || !whole {
            return;
        }
        match self.pass.take() {
            Some(Pass::Plan(reservation)) => {
                self.outcome = Some(Outcome::Keyed);
                // Nothing was reported and no byte has left, so it is what the call takes by itself.
                match self.metering().map(|metering| metering.units) {
                    Some(own) => drop(reservation.commit_at(own)),
                    None => drop(reservation.commit()),
                }
            }
            Some(Pass::Trial(call)) => {
                self.outcome = Some(Outcome::Free);
                call.keep();
            }
            pass => self.pass = pass,
        }
    }
}
