//! One facilitator, asked by a bounded number at a time, with what is known of it.
//!
//! A part of the places is kept for settlements of work that the upstream has done already, so that a flood of slow
//! payments cannot take what honest buyers are owed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::Denial;
use crate::facilitator::{Breaker, Facilitator, FacilitatorError, Health, SettleOutcome, Verdict, is_its_own_trouble};
use crate::money::Network;
use crate::payment::Presented;
use crate::pricing::{Kinds, Reach};
use crate::x402::facilitator::FacilitatorRequest;

/// The longest wait for a place. Nothing was asked by then, so nothing is charged.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What a [`Desk`] is made of, beside the facilitator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskSettings {
    /// What the operator calls it: in the books, in logs and in metrics.
    pub name: Arc<str>,
    /// The networks that it is asked for.
    pub reach: Reach,
    /// Those with a lower number are asked first.
    pub order: u32,
    /// How much of the payments it gets among those of the same order.
    pub weight: u32,
    /// A verdict that takes longer is taken, and counts as a failure. None: any will do.
    pub latency_budget: Option<Duration>,
    /// The most calls at a time.
    pub places: usize,
}

/// A facilitator and its places.
#[derive(Debug)]
pub struct Desk {
    settings: DeskSettings,
    facilitator: Arc<dyn Facilitator>,
    kinds: ArcSwap<Kinds>,
    /// One for each kind of call: what gives good verdicts may fail to settle, and what settles may be slow to check.
    verdicts: Breaker,
    transfers: Breaker,
    /// Whether its last word on what it settles is doubted.
    doubted: AtomicBool,
    /// Told when the facilitator fails, and when it works again.
    turned: Arc<Notify>,
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
    /// A desk with its places: half for checks, a quarter for settlements, a quarter for those of work that is done.
    pub fn new(facilitator: Arc<dyn Facilitator>, settings: DeskSettings, turned: Arc<Notify>) -> Self {
        let places = |part: usize| Semaphore::new((settings.places / part).max(1));
        let (checks, settlements, reserved) = (places(2), places(4), places(4));
        let kinds = ArcSwap::from_pointee(Kinds::unheard(settings.reach.clone()));
        let (verdicts, transfers) = (Breaker::default(), Breaker::default());
        Self {
            settings,
            facilitator,
            kinds,
            verdicts,
            transfers,
            doubted: AtomicBool::new(false),
            turned,
            checks,
            settlements,
            reserved,
        }
    }

    /// What it was made of.
    pub fn settings(&self) -> &DeskSettings {
        &self.settings
    }

    /// What the operator calls the facilitator.
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// What the facilitator is known to settle.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds.load_full()
    }

    /// Notes what the facilitator says it settles. Says whether that is news.
    pub fn learn(&self, kinds: Kinds) -> bool {
        let is_news = **self.kinds.load() != kinds;
        if is_news {
            self.kinds.store(Arc::new(kinds));
        }
        is_news
    }

    /// Notes that it answers again: the next payment may see whether it works.
    pub fn heard(&self) {
        [&self.verdicts, &self.transfers].into_iter().for_each(|breaker| breaker.heard(now()));
    }

    /// Whether its last calls came to nothing, so that others are asked first.
    pub fn is_failing(&self) -> bool {
        self.verdicts.is_open() || self.transfers.is_open()
    }

    pub(super) fn health(&self) -> Health {
        let now = now();
        self.verdicts.health(now).max(self.transfers.health(now))
    }

    /// Whether it settles payments on these terms, as far as is known.
    pub(super) fn takes(&self, presented: &Presented) -> bool {
        let (version, terms) = (presented.version.number(), &presented.terms);
        self.kinds.load().takes(version, &terms.scheme, &terms.network, presented.network_name(), &terms.extra)
    }

    /// Whether it may yet say that it settles there.
    pub(super) fn may_settle(&self, network: &Network) -> bool {
        self.kinds.load().may_settle(network)
    }

    /// Whether what it said it settles was contradicted since it was asked the last time.
    pub fn is_doubted(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
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

    /// Notes a verdict that did not come, or too late.
    pub(super) fn failed(&self) {
        self.failed_at(&self.verdicts);
    }

    /// Notes a settlement that it said was done, and was not.
    pub(super) fn contradicted(&self) {
        self.failed_at(&self.transfers);
    }

    fn failed_at(&self, breaker: &Breaker) {
        let failed_before = self.is_failing();
        if breaker.failed(now()) && !failed_before {
            tracing::error!(facilitator = &**self.name(), "the facilitator fails; others are asked first");
            self.turned.notify_one();
        }
    }

    fn succeeded_at(&self, breaker: &Breaker) {
        if breaker.succeeded() && !self.is_failing() {
            tracing::info!(facilitator = &**self.name(), "the facilitator works again");
            self.turned.notify_one();
        }
    }
}

impl Place<'_> {
    /// See [`Facilitator::verify`].
    pub(super) async fn verify(self, request: &FacilitatorRequest) -> Result<Verdict, FacilitatorError> {
        let (desk, began) = (self.0, now());
        // A good verdict leads to a settlement, so this may be the trial of that too.
        [&desk.verdicts, &desk.transfers].into_iter().for_each(|breaker| breaker.asked(began));
        let verdict = desk.facilitator.verify(request).await;
        let is_slow = desk.settings.latency_budget.is_some_and(|budget| began.elapsed() > budget);
        if let Ok(Verdict::Refused(refusal)) = &verdict
            && refusal.reason.contains("fee_payer_not_managed")
        {
            desk.doubted.store(true, Ordering::Relaxed);
        }
        match &verdict {
            Ok(Verdict::Refused(refusal)) if is_its_own_trouble(&refusal.reason) => desk.failed(),
            Ok(_) if is_slow => desk.failed(),
            Ok(_) => desk.succeeded_at(&desk.verdicts),
            Err(_) => desk.failed(),
        }
        verdict
    }

    /// See [`Facilitator::settle`].
    pub(super) async fn settle(self, request: &FacilitatorRequest, network: &str) -> SettleOutcome {
        let (desk, breaker) = (self.0, &self.0.transfers);
        breaker.asked(now());
        let outcome = desk.facilitator.settle(request, network).await;
        match &outcome {
            SettleOutcome::Settled(_) => desk.succeeded_at(breaker),
            SettleOutcome::Refused(refusal) if !is_its_own_trouble(&refusal.reason) => desk.succeeded_at(breaker),
            SettleOutcome::Unknown(unclear) if unclear.used => desk.succeeded_at(breaker),
            SettleOutcome::Refused(_) | SettleOutcome::NotSent(_) | SettleOutcome::Unknown(_) => {
                desk.failed_at(breaker);
            }
        }
        outcome
    }
}

/// Who pays the fees of a payment, where that must be known.
pub(super) fn fee_payer(presented: &Presented) -> Option<&str> {
    presented.terms.extra.get("feePayer").and_then(Value::as_str)
}

/// By the runtime's clock, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
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
            cdp: None,
            roots: None,
        };
        let facilitator = Arc::new(RemoteFacilitator::new(&settings).unwrap());
        let settings = DeskSettings {
            name: "one".into(),
            reach: Reach::everywhere(),
            order: 1,
            weight: 1,
            latency_budget: None,
            places: 4,
        };
        let desk = Desk::new(facilitator, settings, Arc::default());
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
