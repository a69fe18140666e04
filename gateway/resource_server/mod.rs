//! The use cases: admit a request, charge for a call, sell a plan, spend one.
//!
//! x402 calls whoever sells a resource the resource server. Nothing here knows HTTP: what comes in are a route and
//! header values, what goes out is a [`Pass`] or a [`Denial`].

mod account;
mod accounts;
mod admit;
mod charge;
#[cfg(test)]
mod charging;
#[cfg(test)]
mod confirming;
mod credential;
mod desk;
mod desks;
mod drifting;
#[cfg(test)]
mod failing_over;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod flaky;
mod import;
#[cfg(test)]
mod keyholding;
mod keyring;
#[cfg(test)]
mod opening;
mod operator;
mod plans_met;
mod proofs;
mod proven;
mod purchase;
mod quota;
mod reconcile;
mod recover;
#[cfg(test)]
mod registering;
mod registrar;
mod reports;
#[cfg(test)]
mod repurchasing;
mod resolve;
#[cfg(test)]
mod resolving;
mod screened;
#[cfg(test)]
mod screening;
#[cfg(test)]
mod script;
#[cfg(test)]
mod selling;
mod settle;
#[cfg(test)]
mod signing_in;
#[cfg(test)]
mod spending;
mod standing;
#[cfg(test)]
mod streaming;
mod tab;
#[cfg(test)]
mod waiting;
mod wallet;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

pub use account::{Account, Grant, Reservation};
pub use accounts::Accounts;
pub use admit::{Admitted, Call, Pass};
pub use credential::Credentials;
pub use desk::{Desk, DeskSettings};
pub use desks::Desks;
pub use import::{Arrival, Imported};
pub use operator::{Unruled, Word, moves_until};
pub use proofs::Proofs;
pub use purchase::{Sold, Status};
pub use quota::Written;
pub use reconcile::Reconciled;
pub use recover::BREAKS_MAX;
pub use registrar::{Gift, Given, Registrar, Unregistered};
pub use resolve::Chains;
pub use screened::Verified;
pub use settle::Unsettled;
pub use standing::{PlanLabels, Standing};
pub use tab::{Ended, Tab};
pub use wallet::Holding;

use crate::clock::{Clock, unix_seconds};
use crate::context::ContextMint;
use crate::drift::Drift;
use crate::money::Network;
use crate::payment::{Hints, PaymentId, QuoteMint, Refused, Shortfall, Unproven};
use crate::plans::{KeyId, KeyMint, OnRepurchase};
use crate::pricing::PriceTable;
use crate::screening::{Exceeded, Screening};
use crate::store::{Claim, KeyStore, Ledger, StoreError};
use crate::turns::in_turns;
use crate::x402::facilitator::SettleResponse;

/// A payment whose money has moved, with the ledger's claim on it.
pub type Settled = crate::payment::Settled<Claim>;

/// What may change while the gateway runs. A request has one for its whole life.
#[derive(Debug)]
pub struct Market {
    /// What costs what.
    pub prices: PriceTable,
    /// Who settles.
    pub facilitators: Desks,
    /// Who can be asked what became of a payment.
    pub chains: Chains,
    /// Which of them are asked for recent blocks, to be named in challenges.
    pub hinted: Vec<Network>,
    /// What is done about payments in doubt.
    pub risk: Risk,
    /// How long a quoted price holds after a reload.
    pub quote_ttl: Duration,
    /// What keys begin with.
    pub key_prefix: Arc<str>,
    /// What becomes of subscriptions after the sale.
    pub terms: SubscriptionTerms,
    /// At which percents of a plan somebody is told; ascending.
    pub quota_alerts: Vec<u8>,
    /// Wallets and tokens that were found good.
    pub proofs: Proofs,
    /// Who may pay, and how much.
    pub screening: Arc<Screening>,
    /// Whether a facilitator begins to refuse.
    pub drift: Arc<Drift>,
}

/// What becomes of subscriptions after the sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionTerms {
    /// When the same holder buys again.
    pub on_repurchase: OnRepurchase,
    /// The most keys of a holder that work.
    pub keys_max: u32,
    /// Whether a used-up plan is answered 403 in place of 402.
    pub exhausted_is_403: bool,
    /// Whether anybody may ask for the status of an address.
    pub status_by_address: bool,
}

/// What is done about payments in doubt, and about answers that were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// How long a request asks for the outcome of its settlement before it is answered with 503.
    pub resolve_timeout: Duration,
    /// What "already used" means where no chain can be asked.
    pub unproven: Unproven,
    /// Where a facilitator's word that a payment is settled is good only if the chain shows it.
    pub confirmed: Vec<Network>,
    /// The largest body that is kept for a repeat.
    pub replay_body_bytes_max: usize,
    /// How long it is kept.
    pub replay_ttl: Duration,
}

/// Sells the resources behind the gateway.
pub struct ResourceServer {
    ledger: Arc<dyn Ledger>,
    accounts: Accounts,
    /// Recognises and derives API keys.
    pub keys: KeyMint,
    /// Gives and recognises quotes.
    pub quotes: QuoteMint,
    /// Recent blocks for challenges.
    pub hints: ArcSwap<Hints>,
    /// Signs what upstreams are told.
    pub contexts: ContextMint,
    clock: Arc<dyn Clock>,
    /// Where money is moved: tasks of their own, which no dropped connection ends, on a runtime that the shutdown
    /// waits for.
    runtime: Handle,
    payments: TaskTracker,
}

/// Why a request is not served. Each is an answer to the client; `proxy` gives it a status and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// 402 with a challenge.
    Shortfall(Shortfall),
    /// 402: the payment was good and the money did not move after all.
    NotSettled(Refused, Box<SettleResponse>),
    /// 403: the payer may not pay.
    Forbidden(PaymentId),
    /// 429: a limit of the payer's or of the address's.
    Exceeded(Box<Exceeded>),
    /// 401: a credential of this scheme that is not what it says it is.
    Unauthorized(&'static str, Refused),
    /// 402 or 403: the plan is used up.
    Exhausted(Box<Standing>),
    /// 429: the plan's rate, and how long to wait.
    RateLimited(Duration, Box<Standing>),
    /// 404: the holder has no such key that works.
    NoKey(KeyId),
    /// 409: the holder has as many keys as one may have.
    TooManyKeys(u32),
    /// 409: the address has a plan of its own.
    AddressTaken,
    /// 409: the holder has as many addresses as one may have.
    TooManyAddresses,
    /// 409: the same payment is being worked on.
    InFlight(PaymentId),
    /// 409: the payment is used up.
    Spent(PaymentId, Option<Box<SettleResponse>>),
    /// 409: the payment is used up, and what was paid for did not arrive as far as is known.
    Undelivered(PaymentId, Box<SettleResponse>),
    /// 409: another payment has its payment-identifier.
    IdentifierTaken(PaymentId),
    /// 503: nobody knows whether the money moved; the same payment, sent again, picks up the result.
    Unresolved(PaymentId),
    /// 503: no verdict on the payment; it is not charged.
    NoVerdict(&'static str),
    /// 503: the books cannot be read or written.
    StoreFailed,
}

impl ResourceServer {
    /// Puts the parts together. `secret` is the gateway's own; what is needed is derived from it.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        store: Arc<dyn KeyStore>,
        secret: &Secrets,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Self {
        Self {
            ledger,
            accounts: Accounts::new(store),
            keys: KeyMint::new(&secret.keys),
            quotes: QuoteMint::new(&secret.quotes),
            hints: ArcSwap::default(),
            contexts: ContextMint::new(&secret.contexts),
            clock,
            runtime,
            payments: TaskTracker::new(),
        }
    }

    /// The units spent in memory, for the task that writes them down.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The book of payments.
    pub fn ledger(&self) -> &dyn Ledger {
        &*self.ledger
    }

    /// Seconds of Unix time.
    pub fn now(&self) -> u64 {
        unix_seconds(self.clock.now())
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Waits until no payment is being worked on. To be called when no more come.
    pub async fn payments_done(&self) {
        self.payments.close();
        self.payments.wait().await;
    }

    /// Works where money moves, as long as somebody waits for it: a request whose connection ends with the gateway's has
    /// not been left by its client. None if it panicked.
    pub async fn apart<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        AbortOnDropHandle::new(self.begin(work)).await.ok()
    }

    /// Whether the current task is one of those that work where money moves.
    pub fn is_here(&self) -> bool {
        tokio::runtime::Handle::try_current().is_ok_and(|here| here.id() == self.runtime.id())
    }

    /// Does a chore of a payment where money moves, so that nobody waits for it on the thread that serves requests.
    pub fn aside(&self, chore: impl FnOnce() + Send + 'static) {
        self.begin(async move { chore() });
    }

    /// Begins a task where money moves.
    ///
    /// In a box: a task moves what it is given a dozen times, and there are some thousand bytes of it.
    fn begin<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.payments.spawn_on(in_turns(Box::pin(work)), &self.runtime)
    }

    /// Runs work that must not end with the connection that asked for it. It begins at once.
    fn undropped<T, F>(&self, work: F) -> impl Future<Output = Result<T, Denial>> + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Denial>> + Send + 'static,
    {
        let task = self.begin(work);
        async move {
            task.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a payment's task panicked");
                Err(Denial::StoreFailed)
            })
        }
    }
}

/// Secrets derived from the gateway's own, one for each use.
pub struct Secrets {
    keys: [u8; 32],
    quotes: [u8; 32],
    contexts: [u8; 32],
}

impl Secrets {
    /// Derives them.
    pub fn derive(secret: &[u8]) -> Self {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let derive = |purpose: &str| {
            let mac = Hmac::<sha2::Sha256>::new_from_slice(secret);
            let mut mac = mac.unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
            mac.update(purpose.as_bytes());
            mac.finalize().into_bytes().into()
        };
        Self {
            keys: derive("tollgate api keys"),
            quotes: derive("tollgate quotes"),
            contexts: derive("tollgate contexts for upstreams"),
        }
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        [&mut self.keys, &mut self.quotes, &mut self.contexts].into_iter().for_each(zeroize::Zeroize::zeroize);
    }
}

impl From<StoreError> for Denial {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Moved(id) => Self::InFlight(id),
            StoreError::IdentifierTaken(id) => Self::IdentifierTaken(id),
            StoreError::NoKey(id) => Self::NoKey(id),
            StoreError::TooManyKeys(most) => Self::TooManyKeys(most),
            error => {
                tracing::error!(%error, "the store failed");
                Self::StoreFailed
            }
        }
    }
}
