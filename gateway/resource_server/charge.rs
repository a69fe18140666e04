use super::{Denial, Market, Pass, ResourceServer, Verified};
use crate::facilitator::{Facilitator, Verdict};
use crate::money::Address;
use crate::payment::{Claimed, Presented, Refused, Shortfall, State};
use crate::store::{Claim, ClaimOutcome};

impl ResourceServer {
    /// Claims a payment for a call and has it verified, or settled if the route settles first.
    pub(super) async fn charge(
        &self,
        market: &Market,
        presented: Presented,
        upfront: bool,
        safe: bool,
    ) -> Result<Pass, Denial> {
        match self.ledger.claim(&presented.id).await? {
            ClaimOutcome::InFlight(_) => Err(Denial::InFlight(presented.id)),
            ClaimOutcome::Recorded(claim, record) if record.state != State::Voided => {
                self.recover_call(market, presented, claim, *record, safe).await
            }
            ClaimOutcome::New(claim) | ClaimOutcome::Recorded(claim, _) => {
                let claimed = Claimed::new(presented, claim);
                if upfront {
                    // The flow `upfront` has no call of /verify: settling checks the same.
                    let settled = self.settle(market, claimed.verified(None), None).await?;
                    return Ok(Pass::Settled(Box::new(settled)));
                }
                Ok(Pass::Verified(Box::new(verify(market, claimed).await?)))
            }
        }
    }
}

/// Asks the facilitator whether a claimed payment is good.
pub(super) async fn verify(market: &Market, claimed: Claimed<Claim>) -> Result<Verified, Denial> {
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
