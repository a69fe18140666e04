//! A payment's way, a type for each step. A step is consumed by the next one, so that a payment that was not claimed
//! cannot be verified, and one that is not in the ledger as settling cannot be settled.
//!
//! ```text
//! Presented ─claim─► Claimed ─verify─► Verified ─journal─► Settling ─► Settled ─► delivered
//!                       │                 │                    ├─► voided    (a clear no)
//!                       └── dropped: the claim is free again   └─► unknown   (nobody knows)
//! ```

use std::fmt;
use std::sync::Arc;

use super::{Goods, Presented, Refused};
use crate::money::Address;
use crate::x402::facilitator::SettleResponse;

/// What the ledger knows of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The money call may be under way; after a crash it is as good as unknown.
    Settling,
    /// The money has moved.
    Settled,
    /// The money has moved and the buyer has what it was for.
    Delivered,
    /// The money has not moved; the same payment may be tried again.
    Voided,
    /// Nobody knows whether the money has moved.
    Unknown,
}

/// A payment that nobody else is working on. `C` is the ledger's claim: dropping it lets the next one in.
#[derive(Debug)]
pub struct Claimed<C> {
    presented: Presented,
    goods: Goods,
    claim: C,
}

/// A payment that the facilitator found good, or that is settled without asking it first.
#[derive(Debug)]
pub struct Verified<C> {
    presented: Presented,
    goods: Goods,
    payer: Option<String>,
    facilitator: Option<Arc<str>>,
    claim: C,
}

/// A payment that the ledger has as settling: the facilitator may be asked to move the money.
#[derive(Debug)]
pub struct Settling<C> {
    presented: Presented,
    goods: Goods,
    payer: Option<String>,
    facilitator: Arc<str>,
    claim: C,
}

/// A payment whose money has moved, and which the ledger has as settled.
#[derive(Debug)]
pub struct Settled<C> {
    /// Which payment.
    pub presented: Presented,
    /// The facilitator's receipt.
    pub receipt: SettleResponse,
    claim: C,
}

impl<C> Claimed<C> {
    /// Joins a payment with its claim: one that the ledger does not have, or has as voided.
    ///
    /// # Errors
    /// The reason if it comes too late to be taken.
    pub fn new(presented: Presented, goods: Goods, claim: C) -> Result<Self, Refused> {
        match presented.late.clone() {
            Some(refused) => Err(refused),
            None => Ok(Self { presented, goods, claim }),
        }
    }

    /// The payment.
    pub fn presented(&self) -> &Presented {
        &self.presented
    }

    /// It is good by the word of this facilitator, which may have named a payer: what is signed goes before what is said.
    pub fn verified(self, payer: Option<String>, facilitator: Arc<str>) -> Verified<C> {
        Verified { facilitator: Some(facilitator), ..self.unasked(payer) }
    }

    /// It is settled first, so that nobody was asked.
    pub fn unverified(self) -> Verified<C> {
        self.unasked(None)
    }

    fn unasked(self, payer: Option<String>) -> Verified<C> {
        let payer = self.presented.payer.as_ref().map(Address::to_string).or(payer);
        Verified { presented: self.presented, goods: self.goods, payer, facilitator: None, claim: self.claim }
    }
}

impl<C> Verified<C> {
    /// The payment.
    pub fn presented(&self) -> &Presented {
        &self.presented
    }

    /// Who pays, as far as anybody has said.
    pub fn payer(&self) -> Option<&str> {
        self.payer.as_deref()
    }

    /// Whose word it is, if anybody was asked: nobody else may settle it.
    pub fn facilitator(&self) -> Option<&Arc<str>> {
        self.facilitator.as_ref()
    }

    /// The next step; to be called by whoever writes it into the ledger. `facilitator` is the one that will be asked.
    pub fn settling(self, facilitator: Arc<str>) -> Settling<C> {
        let Self { presented, goods, payer, claim, .. } = self;
        Settling { presented, goods, payer, facilitator, claim }
    }
}

impl<C> Settling<C> {
    /// The payment.
    pub fn presented(&self) -> &Presented {
        &self.presented
    }

    /// What it is for.
    pub fn goods(&self) -> &Goods {
        &self.goods
    }

    /// Who pays, as far as anybody has said.
    pub fn payer(&self) -> Option<&str> {
        self.payer.as_deref()
    }

    /// Who is asked to move the money.
    pub fn facilitator(&self) -> &Arc<str> {
        &self.facilitator
    }

    /// Another one is asked, since the first is known not to have been; the ledger knows.
    pub fn by(self, facilitator: Arc<str>) -> Self {
        Self { facilitator, ..self }
    }

    /// Nobody knows whether the money has moved, and the ledger knows that: what is left is the claim.
    pub fn into_claim(self) -> C {
        self.claim
    }

    /// The money has moved, and the ledger knows.
    pub fn settled(self, receipt: SettleResponse) -> Settled<C> {
        Settled { presented: self.presented, receipt, claim: self.claim }
    }
}

impl<C> Settled<C> {
    /// A payment that the ledger has as settled from earlier.
    pub fn recorded(presented: Presented, receipt: SettleResponse, claim: C) -> Self {
        Self { presented, receipt, claim }
    }

    /// The claim, to be held until the buyer has what was paid for.
    pub fn claim(&self) -> &C {
        &self.claim
    }
}

impl State {
    /// The state's name in the store, in logs and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::Settled => "settled",
            Self::Delivered => "delivered",
            Self::Voided => "voided",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a stored name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Settling, Self::Settled, Self::Delivered, Self::Voided, Self::Unknown]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
