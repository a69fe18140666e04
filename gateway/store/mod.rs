//! What must not be forgotten: payments, subscriptions, keys.
//!
//! [`Ledger`] and [`KeyStore`] are two views of one database, since a sale writes both in one transaction. This file
//! says what is asked of it; [`SqliteStore`] does it in a file beside the gateway.

mod claims;
mod sqlite;

use std::time::SystemTime;

use async_trait::async_trait;

pub use claims::{Busy, Claim, Claims};
pub use sqlite::SqliteStore;

use crate::payment::{PaymentId, Settling, State};
use crate::plans::{KeyHash, Subscription, SubscriptionId, Units};
use crate::pricing::OfferKey;
use crate::x402::facilitator::{FacilitatorRequest, SettleResponse};

/// The book of payments.
///
/// Every write is durable when its future is ready. If the future is dropped, the write may or may not happen.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Takes a payment for oneself. Exactly one caller has it at a time.
    ///
    /// # Errors
    /// [`StoreError`]; then nobody has the payment, and it must not be served.
    async fn claim(&self, id: &PaymentId) -> Result<ClaimOutcome, StoreError>;

    /// Writes that the facilitator is about to be asked to move the money.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be asked. [`StoreError::Moved`] if the payment is settled or unknown already.
    async fn settling(&self, payment: &Settling<Claim>) -> Result<(), StoreError>;

    /// Writes that the money has moved and, for a plan, what was sold for it: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the payment then stays as settling.
    async fn settled(&self, id: &PaymentId, receipt: &SettleResponse, sale: Option<&Sale>) -> Result<(), StoreError>;

    /// Writes that the money has not moved.
    ///
    /// # Errors
    /// [`StoreError`]; the payment then stays as settling.
    async fn voided(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError>;

    /// Writes that nobody knows.
    ///
    /// # Errors
    /// [`StoreError`]; the payment then stays as settling, which means the same.
    async fn unknown(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError>;

    /// Writes that the buyer has what the payment was for.
    ///
    /// # Errors
    /// [`StoreError`]; a repeat of the payment may then be served once more.
    async fn delivered(&self, id: &PaymentId) -> Result<(), StoreError>;

    /// How many payments are settling or unknown: what the operator has to look after.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_payments(&self) -> Result<u64, StoreError>;

    /// What the ledger has of a payment, without claiming it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn payment(&self, id: &PaymentId) -> Result<Option<Record>, StoreError>;
}

/// The book of subscriptions.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The subscription that a key opens.
    ///
    /// # Errors
    /// [`StoreError`]; the key must then not be served.
    async fn subscription_of(&self, key: &KeyHash) -> Result<Option<Subscription>, StoreError>;

    /// The subscription with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError>;

    /// What a payer holds: the newest of their subscriptions that has not ended, and the payment that bought it.
    /// `chain` is the family's word, `payer` the canonical text of the address.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn current_of(
        &self,
        chain: &str,
        payer: &str,
        now: SystemTime,
    ) -> Result<Option<(Subscription, PaymentId)>, StoreError>;

    /// Sets units aside for this gateway to spend in memory; at most `want`, at least none.
    ///
    /// What is set aside and not reported as spent is free again after a crash, so a crash never costs a buyer units.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is set aside then.
    async fn lease(&self, id: &SubscriptionId, want: Units) -> Result<Units, StoreError>;

    /// Writes what was spent of earlier leases, and gives back what will not be.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    async fn report(&self, usages: Vec<Usage>) -> Result<(), StoreError>;
}

/// What a gateway did with units that it had set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Whose units.
    pub subscription: SubscriptionId,
    /// How many were spent since the last report.
    pub spent: Units,
    /// How many are given back.
    pub returned: Units,
}

/// Who may go on with a payment.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The caller; nothing binding is known of it.
    New(Claim),
    /// The caller; the ledger has it already.
    Recorded(Claim, Box<Record>),
    /// Somebody else is at it.
    InFlight(Busy),
}

/// What the ledger has of a payment.
#[derive(Debug, Clone)]
pub struct Record {
    /// How far it came.
    pub state: State,
    /// What it was for.
    pub offer: OfferKey,
    /// The quote of its first presentation.
    pub quote: Option<String>,
    /// What the facilitator was asked.
    pub request: FacilitatorRequest,
    /// The network's name in that request.
    pub network: String,
    /// Who pays.
    pub payer: Option<String>,
    /// The receipt, if it is settled.
    pub receipt: Option<SettleResponse>,
    /// When it was first written.
    pub created_at: SystemTime,
}

/// What a purchase brings into the world.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The plan that was bought.
    pub subscription: Subscription,
    /// The key that opens it.
    pub key: KeyHash,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The payment is not in a state from which this move may be made.
    #[error("payment {0} is in another state")]
    Moved(PaymentId),
    /// The database refused or failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// What it holds cannot be read.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
}
