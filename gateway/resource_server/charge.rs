use std::sync::Arc;
use std::time::Duration;

use super::admit::Wanted;
use super::desk::Work;
use super::resolve::is_voided_on_trust;
use super::{Admitted, Denial, Market, Pass, ResourceServer, Settled};
use crate::crash::crash_point;
use crate::facilitator::{Verdict, says_used};
use crate::money::{Address, Network};
use crate::payment::{self, Claimed, PaymentId, Presented, Refused, Shortfall, State};
use crate::store::{Claim, ClaimOutcome, Doubt, Record, Stage};
use crate::x402::facilitator::{FacilitatorRequest, SettleResponse};

/// How long a repeat waits while the first one's answer leaves and is noted.
const NOTING_WAIT: Duration = Duration::from_secs(1);
/// How long it waits for what somebody else asks the facilitator, where requests do not ask on: as the reconciler does
/// after a start. Its own asking would take as long.
const ASKING_WAIT: Duration = Duration::from_secs(10);

/// What a payment's presentation may do.
pub(super) enum Turn {
    /// Work on it, with what the ledger has of it.
    Mine(Claim, Option<Box<Record>>),
    /// Tell what came of it. It is delivered, which is final, so nobody needs to be kept from it.
    Over(Box<Record>),
}

impl ResourceServer {
    /// Claims a payment for a call and has it verified, or settled if the route settles first.
    pub(super) async fn charge(
        &self,
        market: &Market,
        presented: Presented,
        wanted: Wanted,
    ) -> Result<Admitted, Denial> {
        let (claim, record) = match self.claim(market, &presented, Duration::ZERO).await? {
            Turn::Mine(claim, record) => (claim, record),
            Turn::Over(record) => return self.recover_call(market, presented, &wanted, None, *record).await,
        };
        crash_point!("claim.taken");
        let voided = record.as_deref().is_some_and(is_voided_on_trust);
        if let Some(record) = record.filter(|record| record.state != State::Voided) {
            return self.recover_call(market, presented, &wanted, Some(claim), *record).await;
        }
        let id = presented.id.clone();
        let claimed = Claimed::new(presented, wanted.goods, claim).map_err(not_taken)?;
        let verified = self.verified(market, claimed, wanted.upfront).await;
        let (verified, landed) = self.unless_voided_early(&id, voided, verified).await?;
        match landed {
            Some(receipt) => Ok(settled_pass(self.book_landed(verified, receipt).await?)),
            None if wanted.upfront => {
                let settled = self.settle(market, verified, Work::Waiting).await?;
                // Said before the upstream is asked, so that nothing is done twice; repeated is what is safe.
                crash_point!("upfront.settled");
                if !wanted.safe && self.ledger.asking(&settled.presented.id).await? != 1 {
                    return Err(Denial::StoreFailed);
                }
                crash_point!("upfront.noted");
                Ok(settled_pass(settled))
            }
            None => Ok(Admitted::Pass(Pass::Verified(Box::new(verified)))),
        }
    }

    /// Takes a payment for oneself, with what the ledger has of it. While the first one is at work a repeat waits for
    /// `patience`; longer if its result is near. A payment without a quote is not known to be the same buyer's, so it
    /// does not wait. What is delivered is only read from then on, by any number of repeats at once: one after the
    /// other, many would wait in vain.
    pub(super) async fn claim(
        &self,
        market: &Market,
        presented: &Presented,
        patience: Duration,
    ) -> Result<Turn, Denial> {
        let in_flight = || Denial::InFlight(presented.id.clone());
        let begun = tokio::time::Instant::now();
        loop {
            let busy = match self.ledger.claim(&presented.id).await? {
                ClaimOutcome::New(claim) => return Ok(Turn::Mine(claim, None)),
                ClaimOutcome::Recorded(claim, record) => return Ok(Turn::Mine(claim, Some(record))),
                ClaimOutcome::InFlight(_) if presented.quote.is_none() => return Err(in_flight()),
                ClaimOutcome::InFlight(busy) => busy,
            };
            let record = self.ledger.record(&presented.id).await?;
            let state = record.as_ref().map(|record| record.state);
            let (patience, late) = match (state, busy.stage()) {
                (Some(State::Delivered), _) => return record.map(Box::new).map(Turn::Over).ok_or(Denial::StoreFailed),
                // What is unknown is asked for by whoever has just taken it, though it has not said so yet.
                (Some(State::Unknown), Stage::Working) | (_, Stage::Resolving) => {
                    let asking = Some(market.risk.resolve_timeout).filter(|patience| !patience.is_zero());
                    (patience.max(asking.unwrap_or(ASKING_WAIT)), Denial::Unresolved(presented.id.clone()))
                }
                (_, Stage::Working) => (patience, in_flight()),
                (_, Stage::Noting) => (patience.max(NOTING_WAIT), in_flight()),
            };
            tokio::time::timeout_at(begun + patience, busy.done()).await.map_err(|_| late)?;
        }
    }

    /// A payment that was voided and is now said to be used: our own settlement may have landed after all, so nobody
    /// knows. Told to sign anew, its buyer might pay twice.
    pub(super) async fn unless_voided_early<T>(
        &self,
        id: &PaymentId,
        voided: bool,
        checked: Result<T, Denial>,
    ) -> Result<T, Denial> {
        match checked {
            Err(Denial::Shortfall(Shortfall::Payment(refused))) if voided && says_used(&refused.reason) => {
                let (reason, ask_at) = (refused.reason.into_owned(), Some(self.clock.now()));
                self.ledger.unknown(id, &Doubt { reason, transaction: None, ask_at }).await?;
                Err(Denial::Unresolved(id.clone()))
            }
            checked => checked,
        }
    }

    /// Asks the facilitator whether a claimed payment is good. With a receipt if somebody has put it on the chain
    /// already, so that the money is here.
    pub(super) async fn check(
        &self,
        market: &Market,
        claimed: Claimed<Claim>,
    ) -> Result<(payment::Verified<Claim>, Option<SettleResponse>), Denial> {
        crash_point!("verify.asking");
        let said = market.facilitators.verdict(claimed.presented(), &market.drift).await;
        crash_point!("verify.answered");
        let (verdict, desk) = said?;
        match verdict {
            Verdict::Valid { payer } => {
                let presented = claimed.presented();
                let (ours, theirs) = (presented.payer.as_ref(), payer.as_deref());
                if contradicts(ours, theirs, &presented.terms.network, &presented.request) {
                    let text = "the facilitator names another payer than the payment";
                    return Err(not_taken(Refused::new("payer_mismatch", text)));
                }
                Ok((claimed.verified(payer, Arc::clone(desk.name())), None))
            }
            Verdict::Refused(refusal) => {
                // Without a quote nothing says that it was not there before, and it was never sent by us.
                if claimed.presented().quote.is_some()
                    && may_have_landed(&refusal.reason)
                    && let Some(receipt) = self.landed(market, claimed.presented()).await
                {
                    return Ok((claimed.verified(refusal.payer, Arc::clone(desk.name())), Some(receipt)));
                }
                let message = refusal.message.unwrap_or_else(|| "the facilitator refused the payment".to_owned());
                Err(not_taken(Refused { reason: refusal.reason.into(), message: message.into() }))
            }
        }
    }
}

/// The pass of a payment that is settled before its answer: a repeat may wait for that.
pub(super) fn settled_pass(settled: Settled) -> Admitted {
    settled.claim().reached(Stage::Noting);
    Admitted::Pass(Pass::Settled(Box::new(settled)))
}

pub(super) fn not_taken(refused: Refused) -> Denial {
    Denial::Shortfall(Shortfall::Payment(refused))
}

/// Whether a payment that is refused for this reason may be on the chain already.
fn may_have_landed(reason: &str) -> bool {
    says_used(reason) || reason.ends_with("transaction_simulation_failed")
}

/// Whether the facilitator read another payer than we did. By the letter of the scheme on Solana, who pays the fees is
/// the payer; that is no other payment then.
pub(super) fn contradicts(
    ours: Option<&Address>,
    theirs: Option<&str>,
    network: &Network,
    request: &FacilitatorRequest,
) -> bool {
    let theirs = theirs.and_then(|theirs| Address::parse(theirs, network).ok());
    let differ = ours.zip(theirs).filter(|(ours, theirs)| theirs != *ours);
    differ.is_some_and(|(_, theirs)| fee_payer(request).is_none_or(|fee_payer| fee_payer != theirs.to_string()))
}

/// Who pays the fees of a payment, as the facilitator was told.
pub(super) fn fee_payer(request: &FacilitatorRequest) -> Option<String> {
    let requirements: serde_json::Value = serde_json::from_str(request.payment_requirements.get()).ok()?;
    Some(requirements.pointer("/extra/feePayer")?.as_str()?.to_owned())
}
