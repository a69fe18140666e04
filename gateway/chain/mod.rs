//! What became of a payment, as the chain tells it: for settlements whose outcome the facilitator did not say. And
//! whether that is so what a configuration says of its tokens.
//!
//! This file says what the gateway asks of a chain; `evm` and `solana` ask an RPC server of the operator's by JSON-RPC.
//! Not for settling: nothing here can move money. EIP-3009 authorizations and Solana transactions can be looked up,
//! Permit2 and all else cannot.
//!
//! A [`Sighting`] is believed, so everything that is not plain becomes a [`ChainError`], and the payment stays unknown.
//! Blocks are believed as soon as the server shows them, one confirmation deep, as facilitators do: a reorganisation
//! that takes one back is not noticed.

mod authorization;
mod connect;
mod evm;
mod inspect;
mod rpc;
#[cfg(test)]
mod scripted;
mod solana;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

pub use connect::{ConnectError, connect};
pub use inspect::{Finding, Inspected, inspect};

use crate::money::{Address, AtomicAmount};
use crate::outbound::OutboundError;

/// How much earlier than it was first seen a payment may be on the chain: clocks differ, and a block's time is its
/// producer's.
const SLACK: Duration = Duration::from_secs(600);

/// A chain that can be asked. It moves no money: a future may be dropped at any time.
#[async_trait]
pub trait Chain: Send + Sync + std::fmt::Debug {
    /// What became of an authorization. It may take many calls of ten seconds at most: the caller has the deadline.
    ///
    /// # Errors
    /// [`ChainError`] if that cannot be said; the payment is then as unknown as before.
    async fn look_up(&self, sought: &Sought) -> Result<Sighting, ChainError>;

    /// Whether a contract account calls a signature its own (EIP-1271). An account without code does not.
    ///
    /// # Errors
    /// [`ChainError`] if there is no answer, and always on a chain without such accounts.
    async fn is_signed_by(&self, account: &Address, digest: [u8; 32], signature: &[u8]) -> Result<bool, ChainError>;

    /// The newest block, for buyers to build a transaction on.
    ///
    /// # Errors
    /// [`ChainError`] if there is no answer, and always on a chain whose transactions name no block.
    async fn newest_block(&self) -> Result<Block, ChainError> {
        Err(ChainError::Unsupported("a recent block"))
    }
}

/// A block that transactions can be built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// In base58.
    pub hash: String,
    /// The height up to which such a transaction can be taken.
    pub last_valid_height: u64,
}

/// The payment that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// What was signed.
    pub authorization: Authorization,
    /// The token.
    pub asset: Address,
    /// Who should get it.
    pub pay_to: Address,
    /// How much.
    pub amount: AtomicAmount,
    /// When the gateway first saw it: nothing older than ten minutes before that is looked at.
    pub since: SystemTime,
    /// The transaction that a facilitator named. It is only looked at first, and not believed.
    pub hint: Option<String>,
}

/// What a payer signed, as far as the chain knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// `transferWithAuthorization` of the token.
    Eip3009 {
        /// Who pays.
        from: Address,
        /// Good for one use.
        nonce: [u8; 32],
        /// It is good in blocks earlier than this, in seconds of Unix time; `u64::MAX` is for ever.
        valid_before: u64,
    },
    /// A Solana transaction, without its signatures: the fee payer's is added by the facilitator.
    Svm {
        /// The bytes that are signed.
        message: Vec<u8>,
    },
}

/// What the chain shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// The authorization moved the asset to the receiver, in that amount.
    Paid {
        /// Transaction hash or signature.
        transaction: String,
        /// The time of its block.
        at: SystemTime,
    },
    /// The authorization was used up or cancelled without paying: it never can pay any more.
    Spent {
        /// The transaction that did it.
        transaction: Option<String>,
    },
    /// Not used, and can still be.
    Open,
    /// Not used, and cannot be any more.
    Expired,
}

/// Why nothing can be said. The texts never hold the RPC server's URL, which may have an API key in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No answer came.
    #[error("the RPC server gave no answer: {0}")]
    NoAnswer(#[from] OutboundError),
    /// An answer that is not JSON-RPC.
    #[error("the RPC server answered {method} with HTTP status {status} and no JSON-RPC")]
    NotJsonRpc {
        /// What was asked.
        method: &'static str,
        /// Of the answer.
        status: u16,
    },
    /// An error of JSON-RPC.
    #[error("the RPC server refused {method}: {message} ({code})")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// An open set.
        code: i64,
        /// The server's words, shortened.
        message: String,
    },
    /// An answer that contradicts itself or the question.
    #[error("the RPC server's answer to {method} makes no sense: {why}")]
    Nonsense {
        /// What was asked.
        method: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The server is one of another chain, which proves nothing about ours.
    #[error("the RPC server is on chain {found}, not on {expected}")]
    OtherChain {
        /// The chain id or genesis hash that it gave.
        found: String,
        /// The one of the network.
        expected: String,
    },
    /// The authorization was used, and the transaction is not where it should be.
    #[error("the authorization was used, and its transaction was not found")]
    NotFound,
    /// The transaction has the transfer, and it does not show that this authorization made it.
    #[error("transaction {0} does not tell which transfer the authorization made")]
    Unclear(String),
    /// This chain has no such thing.
    #[error("{0} cannot be looked up on this chain")]
    Unsupported(&'static str),
    /// There is more than what is read.
    #[error("the payer has too many transactions to find the payment among them")]
    TooMany,
    /// Too long ago for the server's history to be relied on.
    #[error("the payment is too old to tell that it was not made")]
    TooOld,
}

impl ChainError {
    /// The look took longer than whoever asked can wait.
    pub fn late(after: Duration) -> Self {
        Self::NoAnswer(OutboundError::Timeout(after))
    }

    fn nonsense(method: &'static str, why: impl Into<String>) -> Self {
        Self::Nonsense { method, why: why.into() }
    }
}
