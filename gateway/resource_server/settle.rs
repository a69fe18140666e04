use std::sync::Arc;

use super::charge::facilitator;
use super::screened::account_for;
use super::{Denial, Market, ResourceServer, Settled, Verified};
use crate::facilitator::{Refusal, SettleOutcome};
use crate::payment::{PaymentId, Refused, Settling};
use crate::store::{Claim, Sale};
use crate::x402::facilitator::SettleResponse;

/// What a settled payment for a plan brings into the world; it depends on the moment of settlement.
pub(super) type MakeSale<'a> = &'a (dyn Fn(&PaymentId, Option<&str>) -> Sale + Send + Sync);

impl ResourceServer {
    /// Settles the payment of a call that the upstream has answered well. Goes on to its end in a task of its own, even
    /// if the future is dropped.
    ///
    /// # Errors
    /// [`Denial`]; then nothing of the upstream's answer may leave.
    pub async fn settle_call(self: &Arc<Self>, market: &Arc<Market>, verified: Verified) -> Result<Settled, Denial> {
        let (server, market) = (Arc::clone(self), Arc::clone(market));
        self.undropped(async move { server.settle(&market, verified, None).await }).await
    }

    /// Moves the money: journal, `/settle`, journal. Not to be dropped half way; the callers see to that.
    pub(super) async fn settle(
        &self,
        market: &Market,
        verified: Verified,
        make_sale: Option<MakeSale<'_>>,
    ) -> Result<Settled, Denial> {
        let (verified, admission) = verified.into_parts();
        let outcome = self.move_money(market, verified, make_sale).await;
        account_for(admission, &outcome);
        outcome
    }

    async fn move_money(
        &self,
        market: &Market,
        verified: crate::payment::Verified<Claim>,
        make_sale: Option<MakeSale<'_>>,
    ) -> Result<Settled, Denial> {
        let facilitator = facilitator(market)?;
        let settling = verified.settling();
        self.ledger.settling(&settling).await?;
        let presented = settling.presented();
        match facilitator.settle(&presented.request, presented.network_name()).await {
            SettleOutcome::Settled(receipt) => self.book(settling, receipt, make_sale).await,
            SettleOutcome::Refused(refusal) => {
                self.ledger.voided(&presented.id, &refusal.reason).await?;
                Err(not_settled(&settling, refusal))
            }
            SettleOutcome::NotSent(why) => {
                tracing::warn!(payment_id = %presented.id, reason = why, "a settlement was not sent");
                self.ledger.voided(&presented.id, "not_sent").await?;
                Err(Denial::NoVerdict("facilitator_unavailable"))
            }
            SettleOutcome::Unknown(why) => {
                tracing::error!(payment_id = %presented.id, reason = why, "the outcome of a settlement is unknown");
                self.ledger.unknown(&presented.id, &why).await?;
                Err(Denial::Unresolved(presented.id.clone()))
            }
        }
    }

    async fn book(
        &self,
        settling: Settling<Claim>,
        mut receipt: SettleResponse,
        make_sale: Option<MakeSale<'_>>,
    ) -> Result<Settled, Denial> {
        let id = &settling.presented().id;
        receipt.payer = settling.payer().map(str::to_owned).or(receipt.payer);
        let sale = make_sale.map(|make| make(id, receipt.payer.as_deref()));
        match self.ledger.settled(id, &receipt, sale.as_ref()).await {
            Ok(()) => Ok(settling.settled(receipt)),
            Err(error) => {
                // The money has moved and the book does not say so: the row stays as settling, which the next
                // presentation resolves. Saying "unpaid" here would make the buyer pay twice.
                let transaction = receipt.transaction;
                tracing::error!(%error, payment_id = %id, transaction, "a settled payment could not be written down");
                Err(Denial::Unresolved(id.clone()))
            }
        }
    }

    /// Notes, without waiting, that the buyer has what was paid for. The claim is held until it is written.
    pub fn deliver(self: &Arc<Self>, settled: Settled) {
        let server = Arc::clone(self);
        let noting = async move {
            if let Err(error) = server.ledger.delivered(&settled.presented.id).await {
                tracing::error!(%error, payment_id = %settled.presented.id, "a delivery could not be written down");
            }
            drop(settled);
        };
        self.payments.spawn_on(noting, &self.runtime);
    }
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
