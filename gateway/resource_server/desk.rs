//! The facilitator, asked by a bounded number at a time.
//!
//! A part of the places is kept for settlements of work that the upstream has done already, so that a flood of slow
//! payments cannot take what honest buyers are owed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Denial;
use crate::facilitator::{Facilitator, FacilitatorError, SettleOutcome, Verdict};
use crate::x402::facilitator::FacilitatorRequest;

/// The longest wait for a place. Nothing was asked by then, so nothing is charged.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A facilitator and its places.
#[derive(Debug)]
pub struct Desk {
    facilitator: Arc<dyn Facilitator>,
    /// Half of them: what hangs in a settlement keeps nobody from being checked.
    checks: Semaphore,
    settlements: Semaphore,
    reserved: Semaphore,
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A question that moves no money.
    Check,
    /// A settlement that work waits for.
    Waiting,
    /// A settlement of what the upstream has done.
    Done,
}

/// A place at the desk.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Desk, #[expect(dead_code, reason = "held")] SemaphorePermit<'a>);

impl Desk {
    /// A desk with so many places: half for checks, a quarter for settlements, a quarter for those of work that is
    /// done.
    pub fn new(facilitator: Arc<dyn Facilitator>, places: usize) -> Self {
        let places = |part: usize| Semaphore::new((places / part).max(1));
        Self { facilitator, checks: places(2), settlements: places(4), reserved: places(4) }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Denial::NoVerdict`] if none is free in time.
    pub(super) async fn place(&self, work: Work) -> Result<Place<'_>, Denial> {
        let place = async {
            match work {
                Work::Check => self.checks.acquire().await,
                Work::Waiting => self.settlements.acquire().await,
                Work::Done => tokio::select! {
                    biased;
                    reserved = self.reserved.acquire() => reserved,
                    general = self.settlements.acquire() => general,
                },
            }
        };
        match tokio::time::timeout(WAIT_MAX, place).await {
            Ok(Ok(permit)) => Ok(Place(self, permit)),
            _ => Err(Denial::NoVerdict("facilitator_busy")),
        }
    }
}

impl Place<'_> {
    /// See [`Facilitator::verify`].
    pub(super) async fn verify(self, request: &FacilitatorRequest) -> Result<Verdict, FacilitatorError> {
        self.0.facilitator.verify(request).await
    }

    /// See [`Facilitator::settle`].
    pub(super) async fn settle(self, request: &FacilitatorRequest, network: &str) -> SettleOutcome {
        self.0.facilitator.settle(request, network).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facilitator::{RemoteFacilitator, RemoteSettings};

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_has_places_of_its_own() {
        let settings = RemoteSettings {
            url: "http://127.0.0.1:9".into(),
            verify_timeout: WAIT_MAX,
            settle_timeout: WAIT_MAX,
            headers: Vec::new(),
        };
        let desk = Desk::new(Arc::new(RemoteFacilitator::new(&settings).unwrap()), 4);
        let waiting = desk.place(Work::Waiting).await.unwrap();
        assert!(matches!(desk.place(Work::Waiting).await, Err(Denial::NoVerdict("facilitator_busy"))));
        let done = desk.place(Work::Done).await.unwrap();
        assert!(desk.place(Work::Done).await.is_err(), "they are bounded too");
        drop(waiting);
        let more = desk.place(Work::Done).await.unwrap();
        assert!(desk.place(Work::Waiting).await.is_err());
        let checks = [desk.place(Work::Check).await.unwrap(), desk.place(Work::Check).await.unwrap()];
        assert!(desk.place(Work::Check).await.is_err());
        drop((done, more, checks));
        assert!(desk.place(Work::Waiting).await.is_ok() && desk.place(Work::Check).await.is_ok());
    }
}
