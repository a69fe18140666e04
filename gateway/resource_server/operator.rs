//! The operator's word on a payment that nobody else can end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::resolve::Ending;
use super::{Market, ResourceServer};
use crate::payment::{PaymentId, State};
use crate::store::{ClaimOutcome, Record, StoreError};
use crate::x402::facilitator::SettleResponse;

/// After the end of an authorization, the money of an unknown payment may be moving for as long.
const STILL_MOVING: Duration = Duration::from_secs(600);

/// What the operator found out about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The money has moved, in this transaction.
    Settled(String),
    /// It has not and cannot any more, for this reason.
    Voided(String),
}

/// Why the operator's word does not stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unruled {
    /// The books have no such payment.
    #[error("there is no such payment")]
    NotThere,
    /// It has ended.
    #[error("the payment is {0}, and that is its end: only an unknown one can be resolved")]
    Ended(State),
    /// A running gateway has it.
    #[error(
        "the payment is settling, and a gateway is running on these books: it will find out what becomes of it; try \
         again when it is unknown"
    )]
    InItsHands,
    /// The money may still move.
    #[error("the money may still move: its authorization can be settled, so it cannot be called voided before {}",
        crate::clock::iso_millis(*.0))]
    MayMove(SystemTime),
    /// What it was for is not known any more.
    #[error("it bought a plan that is not sold any more ({0}); put the plan back into the file first")]
    NoSuchPlan(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// From when on a payment that has not moved cannot move any more. A chain that has no end of its own for it has
/// forgotten it by then too.
pub fn moves_until(valid_before: u64, created_at: SystemTime) -> SystemTime {
    match valid_before {
        u64::MAX => created_at + STILL_MOVING,
        // No chain's time needs more than 32 bits for as long as anybody has to care.
        seconds => UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX))) + STILL_MOVING,
    }
}

impl ResourceServer {
    /// Whether a word may stand. `alone` says that no gateway is running on these books.
    ///
    /// # Errors
    /// [`Unruled`] with the reason why not.
    pub fn allows(&self, market: &Market, record: &Record, word: &Word, alone: bool) -> Result<(), Unruled> {
        match record.state {
            State::Unknown => {}
            State::Settling if alone => {}
            State::Settling => return Err(Unruled::InItsHands),
            ended => return Err(Unruled::Ended(ended)),
        }
        match word {
            Word::Voided(_) => {
                let until = moves_until(record.valid_before, record.created_at);
                if self.clock.now() < until { Err(Unruled::MayMove(until)) } else { Ok(()) }
            }
            Word::Settled(_) => match record.offer.plan_name() {
                Some(plan) if record.goods.is_none() && market.goods_of(record).is_none() => {
                    Err(Unruled::NoSuchPlan(plan.to_owned()))
                }
                _ => Ok(()),
            },
        }
    }

    /// Ends a payment by the operator's word; what it bought is sold as after any other settlement. If the future is
    /// dropped, it stands or it does not.
    ///
    /// # Errors
    /// [`Unruled`]; the payment is as it was. [`StoreError::Moved`] if somebody else ended it meanwhile.
    pub async fn rule(&self, market: &Market, id: &PaymentId, word: &Word, alone: bool) -> Result<(), Unruled> {
        let ClaimOutcome::Recorded(claim, record) = self.ledger.claim(id).await? else { return Err(Unruled::NotThere) };
        self.allows(market, &record, word, alone)?;
        match word {
            Word::Settled(transaction) => {
                let receipt = SettleResponse {
                    success: true,
                    error_reason: None,
                    error_message: None,
                    transaction: transaction.clone(),
                    network: record.network.clone(),
                    payer: record.payer.clone(),
                };
                self.write_ending(market, &record, &Ending::Settled(receipt)).await?;
            }
            Word::Voided(reason) => self.ledger.voided(id, reason).await?,
        }
        drop(claim);
        Ok(())
    }
}
