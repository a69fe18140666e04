use std::time::Duration;

use super::screened::verified;
use super::{Denial, Market, Pass, ResourceServer};
use crate::facilitator::{Facilitator, Verdict};
use crate::money::Address;
use crate::payment::{Claimed, Presented, Refused, Shortfall, State};
use crate::store::{Claim, ClaimOutcome, Record};

/// How long the repeat of a call waits for the first one: enough for what is noted after the answer has left.
const REPEAT_WAIT: Duration = Duration::from_millis(200);

impl ResourceServer {
    /// Claims a payment for a call and has it verified, or settled if the route settles first.
    pub(super) async fn charge(
        &self,
        market: &Market,
        presented: Presented,
        upfront: bool,
        safe: bool,
    ) -> Result<Pass, Denial> {
        let (claim, record) = self.claim(&presented, REPEAT_WAIT).await?;
        match record.filter(|record| record.state != State::Voided) {
            Some(record) => self.recover_call(market, presented, claim, *record, safe).await,
            None => {
                let claimed = Claimed::new(presented, claim).map_err(not_taken)?;
                let verified = verified(market, claimed, upfront).await?;
                if upfront {
                    let settled = self.settle(market, verified, None).await?;
                    return Ok(Pass::Settled(Box::new(settled)));
                }
                Ok(Pass::Verified(Box::new(verified)))
            }
        }
    }

    /// Takes a payment for oneself, with what the ledger has of it. A repeat waits for the first one, but not longer
    /// than `patience`. A payment without a quote is not known to be the same buyer's, so it does not wait.
    pub(super) async fn claim(
        &self,
        presented: &Presented,
        patience: Duration,
    ) -> Result<(Claim, Option<Box<Record>>), Denial> {
        let in_flight = || Denial::InFlight(presented.id.clone());
        let until = tokio::time::Instant::now() + patience;
        loop {
            match self.ledger.claim(&presented.id).await? {
                ClaimOutcome::New(claim) => return Ok((claim, None)),
                ClaimOutcome::Recorded(claim, record) => return Ok((claim, Some(record))),
                ClaimOutcome::InFlight(_) if presented.quote.is_none() => return Err(in_flight()),
                ClaimOutcome::InFlight(busy) => {
                    tokio::time::timeout_at(until, busy.done()).await.map_err(|_| in_flight())?;
                }
            }
        }
    }
}

pub(super) fn not_taken(refused: Refused) -> Denial {
    Denial::Shortfall(Shortfall::Payment(refused))
}

/// Asks the facilitator whether a claimed payment is good.
pub(super) async fn verify(
    market: &Market,
    claimed: Claimed<Claim>,
) -> Result<crate::payment::Verified<Claim>, Denial> {
    let facilitator = facilitator(market)?;
    match facilitator.verify(&claimed.presented().request).await {
        Ok(Verdict::Valid { payer }) => {
            if contradicts(claimed.presented(), payer.as_deref()) {
                let refused = Refused::new("payer_mismatch", "the facilitator names another payer than the payment");
                return Err(Denial::Shortfall(Shortfall::Payment(refused)));
            }
            Ok(claimed.verified(payer))
        }
        Ok(Verdict::Refused(refusal)) => Err(Denial::Shortfall(Shortfall::Payment(Refused {
            message: refusal.message.unwrap_or_else(|| "the facilitator refused the payment".to_owned()).into(),
            reason: refusal.reason.into(),
        }))),
        Err(error) => {
            tracing::warn!(%error, payment_id = %claimed.presented().id, "no verdict on a payment");
            Err(Denial::NoVerdict("facilitator_unavailable"))
        }
    }
}

pub(super) fn facilitator(market: &Market) -> Result<&dyn Facilitator, Denial> {
    market.facilitator.as_deref().ok_or(Denial::NoVerdict("facilitator_unavailable"))
}

/// Whether the facilitator read another payer than we did; on Solana only it can read one.
fn contradicts(presented: &Presented, payer: Option<&str>) -> bool {
    match (&presented.payer, payer) {
        (Some(ours), Some(theirs)) => {
            Address::parse(theirs, &presented.terms.network).is_ok_and(|theirs| theirs != *ours)
        }
        _ => false,
    }
}
