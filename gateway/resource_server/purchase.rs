use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::charge::{Turn, fee_payer, not_taken};
use super::desk::Work;
use super::recover::is_the_buyer;
use super::resolve::is_voided_on_trust;
use super::screened::for_address;
use super::wallet::spelled;
use super::{Denial, Market, ResourceServer};
use crate::crash::crash_point;
use crate::money::Network;
use crate::payment::{Claimed, Goods, PaymentId, Presented, Refused, Shortfall, State};
use crate::plans::{HolderId, Key, KeyId, Origin, Plan, Subscription, SubscriptionId, Units};
use crate::pricing::PlanOffer;
use crate::store::{Claim, NewKey, Record, Sale};
use crate::x402::facilitator::{FacilitatorRequest, SettleResponse};

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
    pub plan: Arc<Plan>,
    /// How much may be used in all.
    pub units: Option<Units>,
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
        client: Option<IpAddr>,
    ) -> Result<Sold, Denial> {
        for_address(market, client, payment.is_some(), self.buy(market, plan, payment)).await
    }

    async fn buy(
        self: &Arc<Self>,
        market: &Arc<Market>,
        plan: &Arc<PlanOffer>,
        payment: Option<&[u8]>,
    ) -> Result<Sold, Denial> {
        let payment = payment.ok_or(Denial::Shortfall(Shortfall::MissingCredentials))?;
        let (server, market, plan) = (Arc::clone(self), Arc::clone(market), Arc::clone(plan));
        let payment = payment.to_owned();
        self.undropped(async move {
            let presented = server.read(&payment, &plan.offer, &market)?;
            server.sell(&market, &plan, presented).await
        })
        .await
    }

    async fn sell(&self, market: &Market, offered: &PlanOffer, presented: Presented) -> Result<Sold, Denial> {
        let (claim, record) = match self.claim(market, &presented, REPEAT_WAIT).await? {
            Turn::Mine(claim, record) => (claim, record),
            Turn::Over(record) => return self.sold_before(market, presented, None, *record).await,
        };
        crash_point!("sale.claimed");
        let voided = record.as_deref().is_some_and(is_voided_on_trust);
        if let Some(record) = record.filter(|record| record.state != State::Voided) {
            return self.sold_before(market, presented, Some(claim), *record).await;
        }
        let id = presented.id.clone();
        let plan = as_quoted(&presented).or_else(|| (!offered.is_withdrawn()).then(|| offered.plan.clone()));
        let plan = plan.ok_or_else(withdrawn)?;
        let (key_prefix, on_repurchase) = (Arc::clone(&market.key_prefix), market.terms.on_repurchase);
        let goods = Goods::Plan { plan, key_prefix, on_repurchase };
        let claimed = Claimed::new(presented, goods, claim).map_err(not_taken)?;
        let verified = self.verified(market, claimed, false).await;
        let (verified, landed) = self.unless_voided_early(&id, voided, verified).await?;
        let settled = match landed {
            None => self.settle(market, verified, Work::Waiting).await?,
            Some(receipt) => self.book_landed(verified, receipt).await?,
        };
        crash_point!("sale.booked");
        self.sold(settled.presented.clone(), settled.receipt.clone(), false).await
    }

    /// What a payment that the ledger has bought. The claim is held until that is written down.
    async fn sold_before(
        &self,
        market: &Market,
        presented: Presented,
        claim: Option<Claim>,
        record: Record,
    ) -> Result<Sold, Denial> {
        if !is_the_buyer(&presented, &record) {
            return Err(Denial::Spent(presented.id, None));
        }
        let receipt = self.receipt_of(market, claim.as_ref(), &record).await?;
        self.sold(presented, receipt, record.receipt.is_some()).await
    }

    /// What a settled payment for a plan brings into the world; it depends on the moment of settlement. None for a
    /// call.
    pub(super) fn sale<'a>(
        &self,
        id: &PaymentId,
        goods: &Goods,
        chain: &Network,
        buyer: impl FnOnce() -> Option<&'a str>,
    ) -> Option<Sale> {
        let Goods::Plan { plan, key_prefix, on_repurchase } = goods else { return None };
        // One spelling for each address, so that a wallet finds what it bought.
        let payer = buyer().map(|payer| spelled(chain, payer));
        let subscription = Subscription {
            id: SubscriptionId::of_payment(id.as_str()),
            holder: HolderId::of_payment(id.as_str()),
            chain: chain.family().as_str().into(),
            payer: payer.unwrap_or_default().into(),
            plan: plan.clone().into(),
            expires_at: self.clock.now() + plan.duration,
            key_prefix: Arc::clone(key_prefix),
            units: plan.units,
            used: Units::ZERO,
        };
        let text = self.keys.derive(key_prefix, id.as_str(), subscription.id.as_str());
        let key = Key {
            id: KeyId::of_payment(id.as_str()),
            holder: subscription.holder.clone(),
            origin: Origin::Sold,
            prefix: Some(Arc::clone(key_prefix)),
            hint: text.beginning().into(),
            created_at: self.clock.now(),
            revoked_at: None,
        };
        let (key, network) = (NewKey { key, hash: text.hash() }, Some(chain.caip2().into()));
        Some(Sale { subscription, key, network, name: None, on_repurchase: *on_repurchase })
    }

    /// What the buyer is told, read back from the book. From here on it counts as delivered: a repeat with the quote
    /// gets the same again, and one without it gets nothing.
    async fn sold(&self, presented: Presented, receipt: SettleResponse, repeated: bool) -> Result<Sold, Denial> {
        let subscription = SubscriptionId::of_payment(presented.id.as_str());
        let subscription = self.accounts.store().subscription(&subscription).await?.ok_or_else(|| {
            tracing::error!(payment_id = %presented.id, "a settled purchase has no subscription");
            Denial::StoreFailed
        })?;
        // An earlier subscription of the same holder gives way before the buyer hears of the new one.
        self.accounts.invalidate(&subscription.holder).await;
        let key = self.keys.derive(&subscription.key_prefix, presented.id.as_str(), subscription.id.as_str());
        self.ledger.delivered(&presented.id, None).await?;
        crash_point!("sale.delivered");
        Ok(Sold { presented, subscription, key, receipt, repeated })
    }
}

fn withdrawn() -> Denial {
    not_taken(Refused::new("no_matching_payment_requirements", "the plan is not offered any more"))
}

/// The plan that a payment agreed to, which the configuration may have changed since. Without a quote nothing was
/// agreed but what is offered now.
fn as_quoted(presented: &Presented) -> Option<Plan> {
    presented.quote.as_ref()?;
    Plan::quoted(&presented.terms.extra)
}

impl Market {
    /// What a payment in books of an earlier version was for: the plan of that name as it is sold now.
    pub(super) fn goods_of(&self, record: &Record) -> Option<Goods> {
        let sold = self.prices.plan(record.offer.plan_name()?)?;
        let (key_prefix, on_repurchase) = (Arc::clone(&self.key_prefix), self.terms.on_repurchase);
        Some(Goods::Plan { plan: sold.plan.clone(), key_prefix, on_repurchase })
    }
}

/// Who gets what was bought: whoever signed, else whom the receipt names. On Solana that may be who pays the fees for
/// everybody, and what is everybody's would be sold to one holder.
pub(super) fn buyer<'a>(
    signed: Option<&'a str>,
    receipt: &'a SettleResponse,
    request: &FacilitatorRequest,
) -> Option<&'a str> {
    let fee_payer = fee_payer(request);
    signed.or(receipt.payer.as_deref()).filter(|buyer| fee_payer.as_deref() != Some(*buyer))
}
