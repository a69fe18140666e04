//! What the chain itself says of a payment whose settlement has an unknown outcome.

use std::time::SystemTime;

use async_trait::async_trait;

use crate::money::{Address, AtomicAmount};

/// A chain that can be asked.
#[async_trait]
pub trait Chain: Send + Sync + std::fmt::Debug {
    /// What became of an authorization.
    ///
    /// # Errors
    /// [`ChainError`] if the chain does not say; it then proves nothing.
    async fn look_up(&self, sought: &Sought) -> Result<Sighting, ChainError>;

    /// Whether a contract account calls a signature its own (EIP-1271).
    ///
    /// # Errors
    /// [`ChainError`] if the chain does not say, or has no such contracts.
    async fn is_signed_by(&self, account: &Address, digest: [u8; 32], signature: &[u8]) -> Result<bool, ChainError>;
}

/// The payment that is looked for.
#[derive(Debug, Clone)]
pub struct Sought {
    /// What the payer signed.
    pub authorization: Authorization,
    /// In what it is paid.
    pub asset: Address,
    /// To whom.
    pub pay_to: Address,
    /// How much.
    pub amount: AtomicAmount,
    /// It cannot have been used before.
    pub since: SystemTime,
    /// The transaction that a facilitator named.
    pub hint: Option<String>,
}

/// What a payer signed, as far as it can be found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// A transfer with authorization.
    Eip3009 {
        /// Who pays.
        from: Address,
        /// Which authorization of that payer.
        nonce: [u8; 32],
        /// Seconds of Unix time; it is good earlier than this.
        valid_before: u64,
    },
    /// A Solana transaction.
    Svm {
        /// What is signed: all of it but the signatures.
        message: Vec<u8>,
    },
}

/// What the chain has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// The asset moved to the receiver, in that amount, by this authorization.
    Paid {
        /// In which transaction.
        transaction: String,
        /// When.
        at: SystemTime,
    },
    /// It was used up or cancelled without paying, so it can never pay any more.
    Spent {
        /// By which transaction, if that was found.
        transaction: Option<String>,
    },
    /// Not used, and can still be.
    Open,
    /// Not used, and cannot be any more.
    Expired,
}

/// The chain does not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the chain does not say: {0}")]
pub struct ChainError(pub String);

impl Authorization {
    /// Reads what was signed out of a payment as the facilitator gets it. None if it is of a kind that cannot be
    /// looked up.
    pub fn read(_payment_payload: &str) -> Option<Self> {
        None
    }
}
