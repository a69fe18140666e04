//! Who checks payments and puts them on the chain: a remote service that holds the keys and pays the gas.
//!
//! This file says what the gateway asks of one; `remote` speaks HTTP to it. Every answer falls into one of a few
//! outcomes, and whatever is neither a clear yes nor a clear no is [`SettleOutcome::Unknown`].

mod answers;
mod auth;
mod base_url;
mod breaker;
mod cdp;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod pinned;
mod reasons;
mod remote;
#[cfg(test)]
mod signed;
mod supported;
mod transport;

use async_trait::async_trait;

pub use answers::{Settlement, settlement, verdict};
pub use breaker::{Breaker, Health};
pub use cdp::{CdpKey, CdpKeyError};
pub use reasons::{is_its_own_trouble, says_used};
pub use remote::{RemoteFacilitator, RemoteSettings, SetupError};
pub use supported::supported;
pub use transport::Answer;

use crate::x402::facilitator::{FacilitatorRequest, SettleResponse, SupportedResponse};

/// A facilitator.
#[async_trait]
pub trait Facilitator: Send + Sync + std::fmt::Debug {
    /// Asks whether a payment would settle. Moves no money; dropping the future has no effect on any.
    ///
    /// # Errors
    /// [`FacilitatorError`] if there is no verdict; the payment must then not be served.
    async fn verify(&self, request: &FacilitatorRequest) -> Result<Verdict, FacilitatorError>;

    /// Moves the money. `network` is the one that the payment names, in its version's form; another one in the answer
    /// is not believed.
    ///
    /// If the future is dropped the money may have moved: call it from a task that nobody drops, and after the ledger
    /// knows.
    async fn settle(&self, request: &FacilitatorRequest, network: &str) -> SettleOutcome;

    /// Asks what can be settled.
    ///
    /// # Errors
    /// [`FacilitatorError`] if there is no answer.
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError>;
}

/// The answer of `/verify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `isValid` was true.
    Valid {
        /// Who pays, as the facilitator read it.
        payer: Option<String>,
    },
    /// `isValid` was false.
    Refused(Refusal),
}

/// A clear no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Machine reason, as the facilitator gave it: an open set.
    pub reason: String,
    /// The same for people.
    pub message: Option<String>,
    /// Who would have paid.
    pub payer: Option<String>,
    /// A transaction that was sent all the same, and failed.
    pub transaction: Option<String>,
}

/// What became of the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleOutcome {
    /// It has moved: `success` was true, with a transaction, on the right network.
    Settled(SettleResponse),
    /// It has not moved: a clear `success: false`.
    Refused(Refusal),
    /// The request never left this machine, so it has not moved.
    NotSent(String),
    /// Nobody knows: a timeout, a 5xx, a broken or contradictory answer, one that says it is pending, or that the
    /// authorization has been used.
    Unknown(Unclear),
}

/// Why nobody knows what became of the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// What was seen.
    pub why: String,
    /// The transaction that the facilitator named.
    pub transaction: Option<String>,
    /// Whether the facilitator says that the authorization is used up. That is no proof: a payer can use one up with a
    /// transfer to itself.
    pub used: bool,
}

impl Unclear {
    /// Nothing but a reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), transaction: None, used: false }
    }
}

/// No verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FacilitatorError {
    /// It could not be reached.
    #[error("the facilitator cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("the facilitator did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// Its answer makes no sense.
    #[error("the facilitator's answer makes no sense: {0}")]
    Nonsense(String),
}
