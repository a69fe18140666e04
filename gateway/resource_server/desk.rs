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
    general: Semaphore,
    reserved: Semaphore,
}

/// What a settlement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The upstream has done it.
    Done,
    /// It waits for the money.
    Waiting,
}

/// A place at the desk.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Desk, #[expect(dead_code, reason = "held")] SemaphorePermit<'a>);

impl Desk {
    /// A desk with so many places, a quarter of them kept for work that is done.
    pub fn new(facilitator: Arc<dyn Facilitator>, places: usize) -> Self {
        let reserved = (places / 4).max(1);
        let general = places.saturating_sub(reserved).max(1);
        Self { facilitator, general: Semaphore::new(general), reserved: Semaphore::new(reserved) }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Denial::NoVerdict`] if none is free in time.
    pub(super) async fn place(&self, work: Work) -> Result<Place<'_>, Denial> {
        let reserved = async {
            match work {
                Work::Done => self.reserved.acquire().await,
                Work::Waiting => std::future::pending().await,
            }
        };
        let either = async {
            tokio::select! {
                biased;
                general = self.general.acquire() => general,
                reserved = reserved => reserved,
            }
        };
        match tokio::time::timeout(WAIT_MAX, either).await {
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
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(desk.place(Work::Waiting).await.unwrap());
        }
        assert!(matches!(desk.place(Work::Waiting).await, Err(Denial::NoVerdict("facilitator_busy"))));
        let done = desk.place(Work::Done).await.unwrap();
        assert!(desk.place(Work::Done).await.is_err(), "they are bounded too");
        drop(done);
        assert!(desk.place(Work::Done).await.is_ok());
        taken.pop();
        assert!(desk.place(Work::Waiting).await.is_ok());
    }
}
