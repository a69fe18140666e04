//! Facilitators that say what a test told them to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::fixture::receipt;
use super::flaky::Flaky;
use super::{Desk, DeskSettings};
use crate::facilitator::{Facilitator, FacilitatorError, SettleOutcome, Verdict};
use crate::payment::testing::{elsewhere, usdc_on_solana};
use crate::pricing::{Kinds, Reach};
use crate::store::Ledger as _;
use crate::x402::facilitator::{FacilitatorRequest, SupportedResponse};

/// A facilitator that says what the test told it to, and yes to everything else.
#[derive(Debug)]
pub(super) struct Script {
    verdicts: Mutex<VecDeque<Result<Verdict, FacilitatorError>>>,
    outcomes: Mutex<VecDeque<SettleOutcome>>,
    verified: AtomicUsize,
    /// Whether `/verify` is never answered.
    hangs: AtomicBool,
    /// The bodies of all calls of `/settle`.
    settled: Mutex<Vec<String>>,
    /// How many payments the ledger had as under way at each of them.
    open: Mutex<Vec<u64>>,
    pub(super) store: Mutex<Weak<Flaky>>,
    /// Calls of `/settle` wait here; without a permit they wait for the test to give one.
    pub(super) gate: Semaphore,
    /// One permit for each call of `/settle` that has begun.
    pub(super) begun: Semaphore,
}

impl Script {
    pub(super) fn new() -> Self {
        Self {
            verdicts: Mutex::default(),
            outcomes: Mutex::default(),
            verified: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
            settled: Mutex::default(),
            open: Mutex::default(),
            store: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            begun: Semaphore::new(0),
        }
    }

    pub(super) fn next_verdict(&self, verdict: Result<Verdict, FacilitatorError>) {
        self.verdicts.lock().unwrap().push_back(verdict);
    }

    /// From now on nothing is heard of it.
    pub(super) fn hangs(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    pub(super) fn next_outcome(&self, outcome: SettleOutcome) {
        self.outcomes.lock().unwrap().push_back(outcome);
    }

    /// How many calls of `/verify` and `/settle` there were.
    pub(super) fn calls(&self) -> (usize, usize) {
        (self.verified.load(Ordering::Relaxed), self.settled.lock().unwrap().len())
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.settled.lock().unwrap().clone()
    }

    pub(super) fn open_at_settling(&self) -> Vec<u64> {
        self.open.lock().unwrap().clone()
    }
}

#[async_trait]
impl Facilitator for Script {
    async fn verify(&self, _: &FacilitatorRequest) -> Result<Verdict, FacilitatorError> {
        self.verified.fetch_add(1, Ordering::Relaxed);
        if self.hangs.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        self.verdicts.lock().unwrap().pop_front().unwrap_or(Ok(Verdict::Valid { payer: None }))
    }

    async fn settle(&self, request: &FacilitatorRequest, network: &str) -> SettleOutcome {
        self.settled.lock().unwrap().push(serde_json::to_string(request).unwrap());
        let store = self.store.lock().unwrap().upgrade().unwrap();
        let open = store.store.open_payments().await.unwrap();
        self.open.lock().unwrap().push(open);
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        let outcome = self.outcomes.lock().unwrap().pop_front();
        outcome.unwrap_or_else(|| SettleOutcome::Settled(receipt(network)))
    }

    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        Ok(SupportedResponse::default())
    }
}

/// A facilitator with a name, and the order in which it is asked.
pub(super) fn desk(name: &str, facilitator: Arc<dyn Facilitator>, order: u32) -> Arc<Desk> {
    let reach = Reach::everywhere();
    let settings = DeskSettings { name: name.into(), reach, order, weight: 1, latency_budget: None, places: 64 };
    let desk = Desk::new(facilitator, settings, Arc::default());
    let fee_payer = usdc_on_solana(1).extra;
    let supported: SupportedResponse = serde_json::from_value(serde_json::json!({ "kinds": [
        { "x402Version": 2, "scheme": "exact", "network": "eip155:8453" },
        { "x402Version": 1, "scheme": "exact", "network": "base" },
        { "x402Version": 2, "scheme": "exact", "network": elsewhere().network.caip2() },
        { "x402Version": 2, "scheme": "exact", "network": usdc_on_solana(1).network.caip2(), "extra": fee_payer },
    ]}))
    .unwrap();
    desk.learn(Kinds::from_supported(&supported, &Kinds::unknown()));
    Arc::new(desk)
}
