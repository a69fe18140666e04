//! What must not be forgotten: payments, subscriptions, keys.
//!
//! [`Ledger`] and [`KeyStore`] are two views of one database, since a sale writes both in one transaction. This file
//! says what is asked of it; [`SqliteStore`] does it in a file beside the gateway.

mod books;
mod claims;
mod key_store;
#[cfg(test)]
mod memory;
mod record;
mod register;
mod sqlite;

use std::time::SystemTime;

use async_trait::async_trait;

pub use books::{Act, Books, Detail, Entry, Filter, GoodsFilter, Kept, Order};
pub use claims::{Busy, Claim, Claims, Stage};
pub use key_store::{Calls, Changes, KeyStore, Linked, Usage};
pub use record::{Doubt, NewKey, Record, Retention, Sale, StoredResponse, Swept};
pub use register::{By, Ends, HolderAct, KeyEntry, Register, Selection, Span, SubscriptionEntry, Used};
pub use sqlite::{Alone, SqliteStore};

use crate::payment::{PaymentId, Settling};
use crate::plans::KeyId;
use crate::x402::facilitator::SettleResponse;

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

    /// What the book has of a payment, without claiming it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn record(&self, id: &PaymentId) -> Result<Option<Record>, StoreError>;

    /// Writes that the facilitator is about to be asked to move the money.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be asked. [`StoreError::Moved`] if the payment is settled or unknown already,
    /// [`StoreError::IdentifierTaken`] if another payment has its payment-identifier.
    async fn settling(&self, payment: &Settling<Claim>) -> Result<(), StoreError>;

    /// Writes that the money has moved and, for a plan, what was sold for it: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the payment then stays as settling. [`StoreError::TransactionTaken`] if the gateway cannot read
    /// such payments and the transaction has settled another one: both may be the same money.
    async fn settled(&self, id: &PaymentId, receipt: &SettleResponse, sale: Option<&Sale>) -> Result<(), StoreError>;

    /// Writes that the money has not moved.
    ///
    /// # Errors
    /// [`StoreError`]; the payment then stays as settling.
    async fn voided(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError>;

    /// Writes that the upstream is about to be asked for a call that is settled first; or, of one that may be made again,
    /// that its answer broke off on its way. Says how often that was so; zero of a payment that is not there.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be asked.
    async fn asking(&self, id: &PaymentId) -> Result<u32, StoreError>;

    /// Writes that nobody knows, and when to ask again. Also of one that was voided, if it turns out that this was too
    /// early.
    ///
    /// # Errors
    /// [`StoreError`]; the payment then stays as settling, which means the same.
    async fn unknown(&self, id: &PaymentId, doubt: &Doubt) -> Result<(), StoreError>;

    /// Writes that the buyer has what the payment was for, and keeps the answer for a repeat.
    ///
    /// # Errors
    /// [`StoreError`]; a repeat of the payment may then be served once more.
    async fn delivered(&self, id: &PaymentId, response: Option<StoredResponse>) -> Result<(), StoreError>;

    /// Keeps an answer whose payment has an unknown outcome, in case that it turns out to be settled.
    ///
    /// # Errors
    /// [`StoreError`]; then it is not kept.
    async fn keep(&self, id: &PaymentId, response: StoredResponse) -> Result<(), StoreError>;

    /// The answer that was kept, if it is still there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn response(&self, id: &PaymentId, now: SystemTime) -> Result<Option<StoredResponse>, StoreError>;

    /// Payments whose time to be asked for has come, the longest waiting first; at most `limit`: unknown ones, and
    /// settling ones that have been so for minutes.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn due(&self, now: SystemTime, limit: u32) -> Result<Vec<PaymentId>, StoreError>;

    /// Lets go of what need not be kept any longer.
    ///
    /// # Errors
    /// [`StoreError`]; some of it may be gone.
    async fn sweep(&self) -> Result<Swept, StoreError>;

    /// How many payments are settling or unknown: what the operator has to look after.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_payments(&self) -> Result<u64, StoreError>;
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

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The payment is not in a state from which this move may be made.
    #[error("payment {0} is in another state")]
    Moved(PaymentId),
    /// Another payment of this payer for this offer has the same payment-identifier.
    #[error("the payment-identifier of {0} belongs to another payment")]
    IdentifierTaken(PaymentId),
    /// The transaction that settled this payment has settled another one already.
    #[error("the transaction of {0} has settled another payment")]
    TransactionTaken(PaymentId),
    /// The key is not there, is not theirs, or opens nothing any more.
    #[error("there is no working key {0}")]
    NoKey(KeyId),
    /// The holder has as many keys as one may have.
    #[error("the holder has {0} keys already")]
    TooManyKeys(u32),
    /// A rule of the database forbids it.
    #[error("the store refused: {0}")]
    Refused(String),
    /// The database failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// What it holds cannot be read.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
}
