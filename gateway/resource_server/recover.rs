//! Payments that the ledger has already: repeats, and what a crash or a lost answer left behind.

use super::charge::facilitator;
use super::settle::MakeSale;
use super::{Denial, Market, Pass, ResourceServer, Settled};
use crate::facilitator::SettleOutcome;
use crate::payment::{Presented, State};
use crate::store::{Claim, Record};
use crate::x402::facilitator::SettleResponse;

impl ResourceServer {
    /// A call's payment that was seen before. It is served if it is settled and was never delivered, and if serving it
    /// cannot do the same work twice.
    pub(super) async fn recover_call(
        &self,
        market: &Market,
        presented: Presented,
        claim: Claim,
        record: Record,
        safe: bool,
    ) -> Result<Pass, Denial> {
        let spent = |receipt: Option<SettleResponse>| Denial::Spent(presented.id.clone(), receipt.map(Box::new));
        if !is_the_buyer(&presented, &record) {
            return Err(spent(None));
        }
        let receipt = match record.state {
            State::Delivered => return Err(spent(record.receipt)),
            State::Settled => record.receipt.ok_or(Denial::StoreFailed)?,
            _ => self.resolve(market, &presented, &record, None).await?,
        };
        if !safe {
            return Err(spent(Some(receipt)));
        }
        Ok(Pass::Settled(Box::new(Settled::recorded(presented, receipt, claim))))
    }

    /// Finds out what became of a payment whose settlement was begun: the facilitator is asked again with the
    /// identical body, which cannot move the money twice.
    pub(super) async fn resolve(
        &self,
        market: &Market,
        presented: &Presented,
        record: &Record,
        make_sale: Option<MakeSale<'_>>,
    ) -> Result<SettleResponse, Denial> {
        let id = &presented.id;
        match facilitator(market)?.settle(&record.request, &record.network).await {
            SettleOutcome::Settled(mut receipt) => {
                receipt.payer = record.payer.clone().or(receipt.payer);
                let sale = make_sale.map(|make| make(id, receipt.payer.as_deref()));
                self.ledger.settled(id, &receipt, sale.as_ref()).await?;
                Ok(receipt)
            }
            // Even a clear no proves nothing now: the first request may have landed and changed what the second
            // one met.
            SettleOutcome::Refused(refusal) => self.still_unknown(record, presented, &refusal.reason).await,
            SettleOutcome::NotSent(why) | SettleOutcome::Unknown(why) => {
                self.still_unknown(record, presented, &why).await
            }
        }
    }

    async fn still_unknown(&self, record: &Record, presented: &Presented, why: &str) -> Result<SettleResponse, Denial> {
        tracing::warn!(payment_id = %presented.id, reason = why, "a settlement's outcome is still unknown");
        if record.state == State::Settling {
            self.ledger.unknown(&presented.id, why).await?;
        }
        Err(Denial::Unresolved(presented.id.clone()))
    }
}

/// Whether a repeat comes from whoever sent the payment first: it is for the same offer and carries the same quote. A
/// payment that never had one (version 1) is taken as long as nothing was delivered for it, since its sender has no
/// other way to what was paid for.
pub(super) fn is_the_buyer(presented: &Presented, record: &Record) -> bool {
    let quote = presented.quote.as_ref().map(|quote| quote.token.as_str());
    presented.offer == record.offer
        && match record.quote.as_deref() {
            Some(first) => quote == Some(first),
            None => quote.is_none() && record.state != State::Delivered,
        }
}
