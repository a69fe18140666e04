use std::time::Duration;

use super::desk::Work;
use super::{Admitted, Denial, Market, Pass, ResourceServer, Settled};
use crate::facilitator::{Verdict, says_used};
use crate::money::{Address, Network};
use crate::payment::{self, Claimed, Goods, Presented, Refused, Shortfall, State};
use crate::store::{Claim, ClaimOutcome, Record, Stage};
use crate::x402::facilitator::SettleResponse;

/// How long a repeat waits while the first one's answer leaves and is noted.
const NOTING_WAIT: Duration = Duration::from_secs(1);

impl ResourceServer {
    /// Claims a payment for a call and has it verified, or settled if the route settles first.
    pub(super) async fn charge(
        &self,
        market: &Market,
        presented: Presented,
        goods: Goods,
        upfront: bool,
        safe: bool,
    ) -> Result<Admitted, Denial> {
        let (claim, record) = self.claim(market, &presented, Duration::ZERO).await?;
        if let Some(record) = record.filter(|record| record.state != State::Voided) {
            // A route that settles first asks the upstream for nothing before the outcome is known.
            let unasked = upfront && matches!(record.state, State::Unknown | State::Settling);
            return self.recover_call(market, presented, &goods, claim, *record, safe || unasked).await;
        }
        let claimed = Claimed::new(presented, goods, claim).map_err(not_taken)?;
        let (verified, landed) = self.verified(market, claimed, upfront).await?;
        match landed {
            Some(receipt) => Ok(settled_pass(self.book_landed(verified, receipt).await?)),
            None if upfront => Ok(settled_pass(self.settle(market, verified, Work::Waiting).await?)),
            None => Ok(Admitted::Pass(Pass::Verified(Box::new(verified)))),
        }
    }

    /// Takes a payment for oneself, with what the ledger has of it. While the first one is at work a repeat waits for
    /// `patience`; longer if its result is near. A payment without a quote is not known to be the same buyer's, so it
    /// does not wait.
    pub(super) async fn claim(
        &self,
        market: &Market,
        presented: &Presented,
        patience: Duration,
    ) -> Result<(Claim, Option<Box<Record>>), Denial> {
        let in_flight = || Denial::InFlight(presented.id.clone());
        let begun = tokio::time::Instant::now();
        loop {
            let busy = match self.ledger.claim(&presented.id).await? {
                ClaimOutcome::New(claim) => return Ok((claim, None)),
                ClaimOutcome::Recorded(claim, record) => return Ok((claim, Some(record))),
                ClaimOutcome::InFlight(_) if presented.quote.is_none() => return Err(in_flight()),
                ClaimOutcome::InFlight(busy) => busy,
            };
            let (patience, late) = match busy.stage() {
                Stage::Working => (patience, in_flight()),
                Stage::Noting => (patience.max(NOTING_WAIT), in_flight()),
                Stage::Resolving => {
                    (patience.max(market.risk.resolve_timeout), Denial::Unresolved(presented.id.clone()))
                }
            };
            tokio::time::timeout_at(begun + patience, busy.done()).await.map_err(|_| late)?;
        }
    }

    /// Asks the facilitator whether a claimed payment is good. With a receipt if somebody has put it on the chain
    /// already, so that the money is here.
    pub(super) async fn check(
        &self,
        market: &Market,
        claimed: Claimed<Claim>,
    ) -> Result<(payment::Verified<Claim>, Option<SettleResponse>), Denial> {
        let verdict = market.desk()?.place(Work::Waiting).await?.verify(&claimed.presented().request).await;
        match verdict {
            Ok(Verdict::Valid { payer }) => {
                let presented = claimed.presented();
                if contradicts(presented.payer.as_ref(), payer.as_deref(), &presented.terms.network) {
                    let text = "the facilitator names another payer than the payment";
                    return Err(not_taken(Refused::new("payer_mismatch", text)));
                }
                Ok((claimed.verified(payer), None))
            }
            Ok(Verdict::Refused(refusal)) => {
                if may_have_landed(&refusal.reason)
                    && let Some(receipt) = self.landed(market, claimed.presented()).await
                {
                    return Ok((claimed.verified(refusal.payer), Some(receipt)));
                }
                let message = refusal.message.unwrap_or_else(|| "the facilitator refused the payment".to_owned());
                Err(not_taken(Refused { reason: refusal.reason.into(), message: message.into() }))
            }
            Err(error) => {
                tracing::warn!(%error, payment_id = %claimed.presented().id, "no verdict on a payment");
                Err(Denial::NoVerdict("facilitator_unavailable"))
            }
        }
    }
}

pub(super) fn settled_pass(settled: Settled) -> Admitted {
    Admitted::Pass(Pass::Settled(Box::new(settled)))
}

pub(super) fn not_taken(refused: Refused) -> Denial {
    Denial::Shortfall(Shortfall::Payment(refused))
}

/// Whether a payment that is refused for this reason may be on the chain already.
fn may_have_landed(reason: &str) -> bool {
    says_used(reason) || reason.ends_with("transaction_simulation_failed")
}

/// Whether the facilitator read another payer than we did; on Solana only it can read one.
pub(super) fn contradicts(ours: Option<&Address>, theirs: Option<&str>, network: &Network) -> bool {
    let theirs = theirs.and_then(|theirs| Address::parse(theirs, network).ok());
    ours.zip(theirs).is_some_and(|(ours, theirs)| theirs != *ours)
}
