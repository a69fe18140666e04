//! The reconciler: ends payments of an unknown outcome without their buyers.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::resolve::Ending;
use super::{Denial, Market, ResourceServer};
use crate::crash::crash_point;
use crate::payment::{PaymentId, State};
use crate::store::{ClaimOutcome, Stage};

/// Payments that are asked for in one round; the next round follows at once if there are more.
const ROUND: u32 = 32;

/// What a round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Payments that are settled now.
    pub settled: u64,
    /// Payments that are voided now.
    pub voided: u64,
    /// Payments that are still unknown.
    pub open: u64,
}

impl ResourceServer {
    /// Asks for the payments whose time has come.
    ///
    /// If the future is dropped, what was being asked for is asked for again later.
    ///
    /// # Errors
    /// [`Denial::StoreFailed`].
    pub async fn reconcile(self: &Arc<Self>, market: &Arc<Market>) -> Result<Reconciled, Denial> {
        let due = self.ledger.due(self.clock.now(), ROUND).await?;
        let mut asking = JoinSet::new();
        for id in due {
            let (server, market) = (Arc::clone(self), Arc::clone(market));
            // What is due and settling has been so for minutes, so nobody is at it.
            asking.spawn(async move { server.end(&market, &id, &[State::Unknown, State::Settling]).await });
        }
        let mut all = Reconciled::default();
        while let Some(done) = asking.join_next().await {
            match done {
                Ok(Ok(Some(State::Settled))) => all.settled += 1,
                Ok(Ok(Some(State::Voided))) => all.voided += 1,
                Ok(Ok(Some(_))) => all.open += 1,
                Ok(Ok(None)) => {}
                Ok(Err(denial)) => tracing::warn!(?denial, "a payment could not be reconciled"),
                Err(error) => tracing::error!(%error, "the reconciler's task panicked"),
            }
        }
        Ok(all)
    }

    /// Asks for one payment; says how it stands now. None if it is not unknown, or somebody else is at it.
    ///
    /// # Errors
    /// [`Denial::StoreFailed`].
    pub async fn reconcile_one(&self, market: &Market, id: &PaymentId) -> Result<Option<State>, Denial> {
        self.end(market, id, &[State::Unknown]).await
    }

    async fn end(&self, market: &Market, id: &PaymentId, from: &[State]) -> Result<Option<State>, Denial> {
        let ClaimOutcome::Recorded(claim, record) = self.ledger.claim(id).await? else { return Ok(None) };
        if !from.contains(&record.state) {
            return Ok(None);
        }
        claim.reached(Stage::Resolving);
        crash_point!("reconcile.asking");
        let ending = self.resolve(market, &record, None).await?;
        crash_point!("reconcile.written");
        let (state, reason) = match &ending {
            Ending::Settled(_) => (State::Settled, ""),
            Ending::Voided(reason) => (State::Voided, *reason),
            Ending::Open(unclear) => (State::Unknown, &*unclear.why),
        };
        tracing::info!(payment_id = %id, %state, reason, attempts = record.attempts, "reconciled");
        Ok(Some(state))
    }
}
