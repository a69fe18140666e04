use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::charge::{not_taken, verify};
use super::recover::is_the_buyer;
use super::{Denial, Market, ResourceServer};
use crate::money::Address;
use crate::payment::{Claimed, PaymentId, Presented, Shortfall, State};
use crate::plans::{Plan, Subscription, SubscriptionId, Units};
use crate::pricing::PlanOffer;
use crate::store::Sale;
use crate::x402::facilitator::SettleResponse;

/// How long the repeat of a purchase waits for the first one.
const REPEAT_WAIT: Duration = Duration::from_secs(60);

/// A sale, as the buyer is told of it: the same each time the same payment is sent.
#[derive(Debug, Clone)]
pub struct Sold {
    /// Which payment bought it.
    pub presented: Presented,
    /// What was bought.
    pub subscription: Subscription,
    /// The key in the clear.
    pub key: crate::plans::ApiKey,
    /// The facilitator's receipt.
    pub receipt: SettleResponse,
    /// Whether the sale had been made before.
    pub repeated: bool,
}

/// What a key's holder is told of the subscription behind it.
#[derive(Debug, Clone)]
pub struct Status {
    /// The plan as it was sold.
    pub plan: Plan,
    /// What was used of it.
    pub used: Units,
    /// When it ends.
    pub expires_at: SystemTime,
    /// Whether it opens anything now.
    pub active: bool,
}

impl ResourceServer {
    /// Sells a plan for the payment in a header. Goes on to its end in a task of its own, even if the future is
    /// dropped: the buyer's repeat then gets the same key.
    ///
    /// # Errors
    /// [`Denial`]; no key exists then, or the buyer's repeat will give it.
    pub async fn purchase(
        self: &Arc<Self>,
        market: &Arc<Market>,
        plan: &Arc<PlanOffer>,
        payment: Option<&[u8]>,
    ) -> Result<Sold, Denial> {
        let payment = payment.ok_or(Denial::Shortfall(Shortfall::MissingCredentials))?;
        let presented = Presented::read(payment, &plan.offer, &self.quotes, market.quote_ttl, self.now())
            .map_err(|refused| Denial::Shortfall(Shortfall::Payment(refused)))?;
        let (server, market, plan) = (Arc::clone(self), Arc::clone(market), Arc::clone(plan));
        self.undropped(async move { server.sell(&market, &plan.plan, presented).await }).await
    }

    async fn sell(&self, market: &Market, plan: &Plan, presented: Presented) -> Result<Sold, Denial> {
        let network = presented.terms.network.clone();
        let make_sale = |id: &PaymentId, payer: Option<&str>| {
            // In the one spelling by which the payer is found again.
            let spelled = payer.and_then(|payer| Address::parse(payer, &network).ok()).map(|payer| payer.to_string());
            self.make_sale(market, plan, id, network.family().as_str(), spelled.as_deref().or(payer))
        };
        let (claim, record) = self.claim(&presented, REPEAT_WAIT).await?;
        match record.filter(|record| record.state != State::Voided) {
            None => {
                let claimed = Claimed::new(presented, claim).map_err(not_taken)?;
                let verified = verify(market, claimed).await?;
                let settled = self.settle(market, verified, Some(&make_sale)).await?;
                self.sold(settled.presented.clone(), settled.receipt.clone(), false).await
            }
            Some(record) if !is_the_buyer(&presented, &record) => Err(Denial::Spent(presented.id, None)),
            Some(record) => {
                let receipt = match (record.state, record.receipt.clone()) {
                    (State::Settled | State::Delivered, Some(receipt)) => receipt,
                    _ => self.resolve(market, &presented, &record, Some(&make_sale)).await?,
                };
                let sold = self.sold(presented, receipt, record.receipt.is_some()).await;
                drop(claim);
                sold
            }
        }
    }

    fn make_sale(&self, market: &Market, plan: &Plan, id: &PaymentId, chain: &str, payer: Option<&str>) -> Sale {
        let subscription = Subscription {
            id: SubscriptionId::of_payment(id.as_str()),
            chain: chain.into(),
            payer: payer.unwrap_or_default().into(),
            plan: plan.clone(),
            expires_at: self.clock.now() + plan.duration,
            key_prefix: Arc::clone(&market.key_prefix),
            used: Units::ZERO,
        };
        let key = self.keys.derive(&subscription.key_prefix, id.as_str(), subscription.id.as_str());
        Sale { subscription, key: key.hash() }
    }

    /// What the buyer is told, read back from the book. From here on it counts as delivered: a repeat with the quote
    /// gets the same again, and one without it gets nothing.
    async fn sold(&self, presented: Presented, receipt: SettleResponse, repeated: bool) -> Result<Sold, Denial> {
        let subscription = SubscriptionId::of_payment(presented.id.as_str());
        let subscription = self.accounts.store().subscription(&subscription).await?.ok_or_else(|| {
            tracing::error!(payment_id = %presented.id, "a settled purchase has no subscription");
            Denial::StoreFailed
        })?;
        let key = self.keys.derive(&subscription.key_prefix, presented.id.as_str(), subscription.id.as_str());
        self.ledger.delivered(&presented.id).await?;
        Ok(Sold { presented, subscription, key, receipt, repeated })
    }
}
