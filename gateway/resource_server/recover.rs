//! Payments that the ledger has already: repeats, and what a crash or a lost answer left behind.

use super::admit::Wanted;
use super::charge::settled_pass;
use super::resolve::Ending;
use super::{Admitted, Denial, Market, ResourceServer, Settled};
use crate::crash::crash_point;
use crate::payment::{Goods, Presented, Refused, State};
use crate::store::{Claim, Record, Stage};
use crate::x402::facilitator::SettleResponse;

/// How often the answer to a call may break off on its way. Whoever leaves just before the end has nearly all of it: without
/// a bound one payment would buy that as often as they like.
pub const BREAKS_MAX: u32 = 2;

impl ResourceServer {
    /// A call's payment that was seen before. Its buyer gets the stored answer; if there is none and nothing was ever
    /// delivered, the call is made once more where that cannot do the same work twice. Without a claim nothing is done
    /// but to tell what came of it.
    pub(super) async fn recover_call(
        &self,
        market: &Market,
        presented: Presented,
        wanted: &Wanted,
        claim: Option<Claim>,
        record: Record,
    ) -> Result<Admitted, Denial> {
        let spent = |receipt: Option<SettleResponse>| Denial::Spent(presented.id.clone(), receipt.map(Box::new));
        if !is_the_buyer(&presented, &record) && !self.is_proved_by(market, &presented, wanted, &record).await {
            return Err(spent(None));
        }
        crash_point!("repeat.known");
        let delivered = record.state == State::Delivered;
        let receipt = self.receipt_of(market, claim.as_ref(), &record).await?;
        // For another request than the one that was paid for there is nothing; it is not paid for a second time either.
        let first = record.goods.as_ref();
        if first.is_some_and(|first| first.request() != wanted.goods.request()) {
            return Err(spent(Some(receipt)));
        }
        crash_point!("repeat.paid");
        if let Some(response) = self.ledger.response(&presented.id, self.clock.now()).await? {
            if !delivered {
                self.ledger.delivered(&presented.id, None).await?;
            }
            return Ok(Admitted::Stored(Box::new(response), Box::new(receipt)));
        }
        match claim {
            Some(claim) if !delivered => match self.may_ask(&record, wanted).await? {
                true => Ok(settled_pass(Settled::recorded(presented, receipt, claim))),
                false => Err(Denial::Undelivered(presented.id.clone(), Box::new(receipt))),
            },
            _ => Err(spent(Some(receipt))),
        }
    }

    /// Whether the upstream may be asked for a call that is paid for and not delivered.
    async fn may_ask(&self, record: &Record, wanted: &Wanted) -> Result<bool, Denial> {
        if wanted.safe {
            return Ok(record.asked < BREAKS_MAX);
        }
        // What is settled first may be settled, and the upstream never asked.
        let unasked = matches!(record.goods, Some(Goods::Call { upfront: true, .. })) && record.asked == 0;
        Ok(unasked && self.ledger.asking(&record.id).await? == 1)
    }

    /// Whether the payer's wallet speaks for a repeat that has no quote.
    async fn is_proved_by(&self, market: &Market, presented: &Presented, wanted: &Wanted, record: &Record) -> bool {
        match &wanted.proof {
            Some(proof) => presented.offer == record.offer && self.is_the_payer(market, proof, record).await,
            None => false,
        }
    }

    /// The receipt of a payment that the ledger has; if its outcome is unknown, that is found out first.
    pub(super) async fn receipt_of(
        &self,
        market: &Market,
        claim: Option<&Claim>,
        record: &Record,
    ) -> Result<SettleResponse, Denial> {
        if let State::Settled | State::Delivered = record.state {
            return record.receipt.clone().ok_or(Denial::StoreFailed);
        }
        let Some(claim) = claim else { return Err(Denial::InFlight(record.id.clone())) };
        claim.reached(Stage::Resolving);
        let patience = Some(market.risk.resolve_timeout).filter(|patience| !patience.is_zero());
        match self.resolve(market, record, patience).await? {
            Ending::Settled(receipt) => Ok(receipt),
            Ending::Voided(reason) => {
                let failure = SettleResponse {
                    success: false,
                    error_reason: Some(reason.to_owned()),
                    error_message: None,
                    transaction: String::new(),
                    network: record.network.clone(),
                    payer: record.payer.clone(),
                };
                let refused = Refused::new(reason, "the authorization was used or cancelled without paying");
                Err(Denial::NotSettled(refused, Box::new(failure)))
            }
            Ending::Open(_) => Err(Denial::Unresolved(record.id.clone())),
        }
    }
}

/// Whether a repeat comes from whoever sent the payment first: it is for the same offer, and has what never is on the
/// chain, the quote of the first presentation or its payment-identifier. The payment itself is public by then.
pub(super) fn is_the_buyer(presented: &Presented, record: &Record) -> bool {
    let quote = presented.quote.as_ref().map(|quote| quote.token.as_str());
    let same = |theirs: Option<&str>, first: Option<&str>| theirs.is_some() && theirs == first;
    presented.offer == record.offer
        && (same(quote, record.quote.as_deref()) || same(presented.identifier.as_deref(), record.identifier.as_deref()))
}
