use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::task::JoinHandle;

use super::charge::contradicts;
use super::desk::{Place, Work};
use super::purchase::buyer;
use super::resolve::{Ending, of_another_payer, taken};
use super::screened::account_for;
use super::{Denial, Market, ResourceServer, Settled, Verified, drifting};
use crate::clock::unix_seconds;
use crate::crash::crash_point;
use crate::facilitator::{Refusal, SettleOutcome, Unclear};
use crate::payment::{self, PaymentId, Presented, Refused, Settling};
use crate::store::{Claim, Stage, StoreError, StoredResponse};
use crate::x402::facilitator::SettleResponse;

/// The reason of a payment that was voided since nobody got the request to settle it.
const NOT_SENT: &str = "not_sent";

/// Why a payment is not settled.
#[derive(Debug)]
pub struct Unsettled {
    /// What the client is told.
    pub denial: Denial,
    /// The claim on a payment of unknown outcome, to be held until what the upstream said is kept.
    pub claim: Option<Claim>,
}

impl From<Denial> for Unsettled {
    fn from(denial: Denial) -> Self {
        Self { denial, claim: None }
    }
}

impl From<StoreError> for Unsettled {
    fn from(error: StoreError) -> Self {
        Denial::from(error).into()
    }
}

impl From<Unsettled> for Denial {
    fn from(unsettled: Unsettled) -> Self {
        unsettled.denial
    }
}

impl ResourceServer {
    /// Settles the payment of a call that the upstream has answered well. Goes on to its end in a task of its own, even
    /// if the future is dropped.
    ///
    /// # Errors
    /// [`Unsettled`]; then nothing of the upstream's answer may leave.
    pub async fn settle_call(self: &Arc<Self>, market: &Arc<Market>, verified: Verified) -> Result<Settled, Unsettled> {
        crash_point!("settle.called");
        let (server, market, id) = (Arc::clone(self), Arc::clone(market), verified.presented().id.clone());
        let settling = async move { Ok(server.settle(&market, verified, Work::Done).await) };
        // The task's own end says nothing of the money: what the upstream has done is kept for the buyer's repeat.
        let settled = self.undropped(settling).await.map_err(|_| Denial::Unresolved(id).into()).flatten();
        let claim = settled.as_ref().map_or_else(|unsettled| unsettled.claim.as_ref(), |settled| Some(settled.claim()));
        claim.iter().for_each(|claim| claim.reached(Stage::Noting));
        settled
    }

    /// Moves the money: journal, `/settle`, journal. Not to be dropped half way; the callers see to that.
    pub(super) async fn settle(&self, market: &Market, verified: Verified, work: Work) -> Result<Settled, Unsettled> {
        let (verified, admission) = verified.into_parts();
        let outcome = self.move_money(market, verified, work).await;
        account_for(admission, outcome.as_ref().map_err(|unsettled| &unsettled.denial));
        outcome
    }

    async fn move_money(
        &self,
        market: &Market,
        verified: payment::Verified<Claim>,
        work: Work,
    ) -> Result<Settled, Unsettled> {
        let (settling, outcome) = self.send(market, verified, work).await?;
        crash_point!("settle.answered");
        let presented = settling.presented();
        let (payer, network) = (presented.payer.as_ref(), &presented.terms.network);
        match outcome {
            SettleOutcome::Settled(receipt)
                if contradicts(payer, receipt.payer.as_deref(), network, &presented.request) =>
            {
                self.unclear(market, settling, of_another_payer(receipt)).await
            }
            SettleOutcome::Settled(receipt) => {
                match self.confirmed(market, presented, settling.facilitator(), receipt).await {
                    Ok(receipt) => Ok(self.book(settling, receipt).await?),
                    Err(unclear) => self.unclear(market, settling, unclear).await,
                }
            }
            SettleOutcome::Refused(refusal) => Ok(self.refused(market, settling, refusal).await?),
            SettleOutcome::NotSent(why) => {
                tracing::warn!(payment_id = %presented.id, reason = why, "a settlement was not sent");
                self.ledger.voided(&presented.id, NOT_SENT).await?;
                Err(Denial::NoVerdict("facilitator_unavailable").into())
            }
            SettleOutcome::Unknown(unclear) => self.unclear(market, settling, unclear).await,
        }
    }

    /// Asks to move the money: whoever gave its word on the payment, and another one only if it is known that the
    /// request never reached that one, which the ledger knows too before anybody else is asked.
    async fn send(
        &self,
        market: &Market,
        verified: payment::Verified<Claim>,
        work: Work,
    ) -> Result<(Settling<Claim>, SettleOutcome), Denial> {
        let desk = market.facilitators.to_settle(verified.presented(), verified.facilitator())?;
        // A place comes first: what waits in vain for one leaves no trace.
        let place = desk.place(work).await?;
        crash_point!("settle.placed");
        let mut settling = verified.settling(Arc::clone(desk.name()));
        self.ledger.settling(&settling).await?;
        crash_point!("settle.journaled");
        let mut outcome = ask(place, settling.presented()).await;
        drifting::outcome(&market.drift, &desk, settling.presented(), &outcome);
        for other in market.facilitators.instead_of(&desk, settling.presented()) {
            let SettleOutcome::NotSent(why) = &outcome else { break };
            let (id, facilitator) = (&settling.presented().id, &**settling.facilitator());
            tracing::warn!(payment_id = %id, facilitator, reason = why, "a settlement was not sent; the next is asked");
            let Ok(place) = other.place(work).await else { continue };
            self.ledger.voided(id, NOT_SENT).await?;
            settling = settling.by(Arc::clone(other.name()));
            self.ledger.settling(&settling).await?;
            outcome = ask(place, settling.presented()).await;
            drifting::outcome(&market.drift, &other, settling.presented(), &outcome);
        }
        Ok((settling, outcome))
    }

    /// Writes down a payment that was put on the chain by somebody else.
    pub(super) async fn book_landed(&self, verified: Verified, receipt: SettleResponse) -> Result<Settled, Denial> {
        let (verified, admission) = verified.into_parts();
        let word = verified.facilitator().cloned().unwrap_or_default();
        let settling = verified.settling(word);
        self.ledger.settling(&settling).await?;
        admission.keep(Instant::now());
        tracing::info!(payment_id = %settling.presented().id, "a payment was on the chain before it was settled");
        self.book(settling, receipt).await
    }

    async fn book(&self, settling: Settling<Claim>, mut receipt: SettleResponse) -> Result<Settled, Denial> {
        let (presented, goods) = (settling.presented(), settling.goods());
        receipt.payer = settling.payer().map(str::to_owned).or(receipt.payer);
        let buyer = || buyer(settling.payer(), &receipt, &presented.request);
        let sale = self.sale(&presented.id, goods, &presented.terms.network, buyer);
        match self.ledger.settled(&presented.id, &receipt, sale.as_ref()).await {
            Ok(()) => {
                crash_point!("settle.booked");
                Ok(settling.settled(receipt))
            }
            Err(StoreError::TransactionTaken(id)) => {
                self.ledger.unknown(&id, &taken(&receipt)).await?;
                Err(Denial::Unresolved(id))
            }
            Err(error) => {
                // The money has moved and the book does not say so: the row stays as settling, which the next
                // presentation resolves. Saying "unpaid" here would make the buyer pay twice.
                let transaction = receipt.transaction;
                tracing::error!(%error, payment_id = %presented.id, transaction, "a settled payment could not be written down");
                Err(Denial::Unresolved(presented.id.clone()))
            }
        }
    }

    /// A clear no. The chain has the last word if it can be asked: somebody else may have put the payment there before,
    /// or the facilitator denies what it did, and a buyer who is told to sign anew would pay twice.
    async fn refused(&self, market: &Market, settling: Settling<Claim>, refusal: Refusal) -> Result<Settled, Denial> {
        if let Some(receipt) = self.landed(market, settling.presented()).await {
            return self.book(settling, receipt).await;
        }
        self.ledger.voided(&settling.presented().id, &refusal.reason).await?;
        crash_point!("settle.voided");
        let message = ended(&settling, self.clock.now()).or(refusal.message);
        Err(not_settled(&settling, Refusal { message, ..refusal }))
    }

    /// Nobody knows. What can be found out before the client gives up is found out now, since no client sends a payment
    /// again by itself.
    async fn unclear(
        &self,
        market: &Market,
        settling: Settling<Claim>,
        unclear: Unclear,
    ) -> Result<Settled, Unsettled> {
        let id = settling.presented().id.clone();
        tracing::warn!(payment_id = %id, reason = unclear.why, "the outcome of a settlement is unknown");
        let ending = self.resolve_now(market, &id, unclear).await?;
        match ending {
            Ending::Settled(receipt) => Ok(settling.settled(receipt)),
            Ending::Voided(reason) => {
                let message = Some("the authorization was used or cancelled without paying".to_owned());
                let refusal = Refusal { reason: reason.to_owned(), message, payer: None, transaction: None };
                Err(not_settled(&settling, refusal).into())
            }
            Ending::Open(_) => {
                tracing::error!(payment_id = %id, "a payment stays unknown; it is asked for again in the background");
                Err(Unsettled { denial: Denial::Unresolved(id), claim: Some(settling.into_claim()) })
            }
        }
    }

    /// Notes, without waiting, that the buyer has what was paid for, and keeps the answer for a repeat. The claim is
    /// held until it is written.
    pub fn deliver(self: &Arc<Self>, settled: Settled, response: Option<StoredResponse>) {
        let server = Arc::clone(self);
        let noting = async move {
            crash_point!("delivery.noting");
            if let Err(error) = server.ledger.delivered(&settled.presented.id, response).await {
                tracing::error!(%error, payment_id = %settled.presented.id, "a delivery could not be written down");
            }
            crash_point!("delivery.written");
            drop(settled);
        };
        self.begin(noting);
    }

    /// Notes, without waiting, that the answer to a call that may be made again broke off on its way: whatever the fault,
    /// its buyer may not have it so as often as they like. The claim is held until it is written.
    pub fn broke_off(self: &Arc<Self>, settled: Settled) {
        let server = Arc::clone(self);
        let noting = async move {
            if let Err(error) = server.ledger.asking(&settled.presented.id).await {
                tracing::error!(%error, payment_id = %settled.presented.id, "an answer that broke off could not be written down");
            }
            drop(settled);
        };
        self.begin(noting);
    }

    /// Keeps the upstream's answer to a call whose payment has an unknown outcome, whether or not anybody waits for it: if
    /// the money has moved, the buyer's repeat gets it, and the upstream does not do the work twice.
    pub fn keep(self: &Arc<Self>, id: PaymentId, claim: Option<Claim>, response: StoredResponse) -> JoinHandle<()> {
        let server = Arc::clone(self);
        let keeping = async move {
            if let Err(error) = server.ledger.keep(&id, response).await {
                tracing::warn!(%error, payment_id = %id, "an answer could not be kept");
            }
            drop(claim);
        };
        self.begin(keeping)
    }
}

async fn ask(place: Place<'_>, presented: &Presented) -> SettleOutcome {
    place.settle(&presented.request, presented.network_name()).await
}

/// What tells a buyer that the payment was good, and the upstream too slow for it.
fn ended(settling: &Settling<Claim>, now: SystemTime) -> Option<String> {
    let end = settling.presented().window.valid_before;
    (end <= unix_seconds(now)).then(|| {
        format!("the authorization ended at {end}, before it was settled: nothing was charged, sign a new one")
    })
}

fn not_settled(settling: &Settling<Claim>, refusal: Refusal) -> Denial {
    let message = refusal.message.unwrap_or_else(|| "the facilitator did not settle the payment".to_owned());
    let receipt = SettleResponse {
        success: false,
        error_reason: Some(refusal.reason.clone()),
        error_message: None,
        transaction: String::new(),
        network: settling.presented().network_name().to_owned(),
        payer: settling.payer().map(str::to_owned).or(refusal.payer),
    };
    Denial::NotSettled(Refused { reason: refusal.reason.into(), message: message.into() }, Box::new(receipt))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::super::Pass;
    use super::super::fixture::{Shop, offer_of, route};
    use super::*;
    use crate::payment::State;
    use crate::pricing::SettleTiming;
    use crate::store::{ClaimOutcome, Ledger as _};

    #[tokio::test]
    async fn a_payment_that_ends_while_the_upstream_works_is_voided_and_told() {
        let (shop, route) = (Shop::open().await, route("/weather", SettleTiming::After));
        let ended = "invalid_exact_evm_payload_authorization_valid_before";
        for (nonce, late, told) in [(1, 0, "the facilitator did not settle"), (2, 60, "the authorization ended at ")] {
            let verified = shop.verified(&route, &shop.pay(offer_of(&route), nonce)).await;
            let id = verified.presented().id.clone();
            shop.clock.advance(Duration::from_secs(late));
            let refusal = Refusal { reason: ended.to_owned(), message: None, payer: None, transaction: None };
            shop.facilitator.next_outcome(SettleOutcome::Refused(refusal));
            let Err(Denial::NotSettled(refused, receipt)) = shop.settle(verified).await else { panic!("settled") };
            assert!(refused.message.starts_with(told), "{}", refused.message);
            assert_eq!((&*refused.reason, receipt.success), (ended, false));
            assert_eq!(shop.state(&id).await, Some(State::Voided));
        }
    }

    /// A repeat that came in between would find the book as it was, and be served once too often.
    #[tokio::test]
    async fn the_claim_on_an_answer_that_broke_off_is_held_until_it_is_written() {
        let (shop, route) = (Shop::open().await, route("/weather", SettleTiming::After));
        let settled = shop.settle(shop.verified(&route, &shop.pay(offer_of(&route), 1)).await).await.unwrap();
        let id = settled.presented.id.clone();
        shop.server.broke_off(settled);
        // Nothing else runs on this thread before it waits.
        let at_once = shop.store.claim(&id).await.unwrap();
        assert!(matches!(at_once, ClaimOutcome::InFlight(_)), "{at_once:?}");
        shop.server.payments_done().await;
        let ClaimOutcome::Recorded(_, record) = shop.store.claim(&id).await.unwrap() else { panic!("not free") };
        assert_eq!((record.state, record.asked), (State::Settled, 1));
    }

    /// What an operator is told of answers that broke off must not come from a buyer who asks in vain.
    #[tokio::test]
    async fn repeats_of_a_call_that_is_not_made_again_count_for_nothing() {
        let (shop, route) = (Shop::open().await, route("/weather", SettleTiming::Before));
        let payment = shop.pay(offer_of(&route), 1);
        let Pass::Settled(settled) = shop.admit(&route, &Method::POST, &payment).await.unwrap() else {
            panic!("not settled first")
        };
        let id = settled.presented.id.clone();
        drop(settled);
        for _ in 0..3 {
            let again = shop.admit(&route, &Method::POST, &payment).await;
            assert!(matches!(again, Err(Denial::Undelivered(..))), "{again:?}");
        }
        assert_eq!(shop.store.record(&id).await.unwrap().unwrap().asked, 1);
    }
}
