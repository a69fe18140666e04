//! The books as the operator reads them: payments by filter, page by page, and everything that is known of one.
//!
//! For the commands, and for whatever else shows an operator their payments. A page is a read of its own, so that a
//! long list holds up neither the gateway nor the end of its write-ahead log.

use std::time::SystemTime;

use async_trait::async_trait;
use http::StatusCode;

use super::{Record, StoreError};
use crate::money::{AtomicAmount, Network};
use crate::payment::{PaymentId, State};
use crate::plans::Subscription;
use crate::pricing::OfferKey;

/// The operator's view of the ledger.
#[async_trait]
pub trait Books: Send + Sync {
    /// The next payments of a list, at most `rows`; `after` is the last one of the page before. The order follows from
    /// what never changes, so each payment comes once, whatever the gateway does meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn page(
        &self,
        filter: &Filter,
        order: Order,
        after: Option<&Entry>,
        rows: u32,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Everything that is known of a payment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn detail(&self, id: &PaymentId) -> Result<Option<Detail>, StoreError>;

    /// Writes down what the operator did; it is never taken back. If the future is dropped, it may or may not stand.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be done.
    async fn note(&self, act: &Act) -> Result<(), StoreError>;
}

/// Which payments. What is empty asks for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// First written at this moment or later.
    pub since: Option<SystemTime>,
    /// First written before this moment.
    pub until: Option<SystemTime>,
    /// Paid by this account; `0x…` in any spelling, any other letter by letter.
    pub payer: Option<String>,
    /// For this route or plan.
    pub goods: Option<GoodsFilter>,
    /// In one of these states.
    pub states: Vec<State>,
    /// On this network.
    pub network: Option<Network>,
}

/// What a payment was for, as an operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoodsFilter {
    /// A call of the route with this pattern, or of `METHODS pattern`.
    Route(String),
    /// The plan with this name.
    Plan(String),
}

/// By the time at which they were first written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// For people.
    NewestFirst,
    /// For accounts.
    OldestFirst,
}

/// A payment in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which payment.
    pub id: PaymentId,
    /// How far it came.
    pub state: State,
    /// What it was for.
    pub offer: OfferKey,
    /// The network.
    pub chain: Network,
    /// In what it is paid.
    pub asset: String,
    /// How much.
    pub amount: AtomicAmount,
    /// To whom.
    pub pay_to: String,
    /// Who pays.
    pub payer: Option<String>,
    /// Which facilitator was asked to settle it. None in books from when there was only one.
    pub facilitator: Option<String>,
    /// The transaction of its receipt.
    pub transaction: Option<String>,
    /// The transaction that was named without saying that it is settled.
    pub transaction_hint: Option<String>,
    /// Why it is voided or unknown.
    pub reason: Option<String>,
    /// When its authorization ends, in seconds of Unix time. `u64::MAX` where only the chain knows.
    pub valid_before: u64,
    /// When it is asked for again.
    pub ask_at: Option<SystemTime>,
    /// When it was first written.
    pub created_at: SystemTime,
    /// When it moved last.
    pub updated_at: SystemTime,
}

/// Everything that is known of a payment.
#[derive(Debug, Clone)]
pub struct Detail {
    /// Its line in a list.
    pub entry: Entry,
    /// What the ledger has of it.
    pub record: Record,
    /// The answer that is kept for a repeat.
    pub kept: Option<Kept>,
    /// What it bought.
    pub subscription: Option<Subscription>,
    /// What the operator did about it, in order.
    pub acts: Vec<Act>,
}

/// An answer that is kept, without the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its status.
    pub status: StatusCode,
    /// The length of its body.
    pub body_bytes: u64,
    /// Until when it is kept.
    pub expires_at: SystemTime,
}

/// Something that the operator did about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: SystemTime,
    /// About which payment.
    pub payment: PaymentId,
    /// What, in a word or two.
    pub act: String,
    /// With which words.
    pub detail: String,
}
