//! What a payer gets back who proves the wallet: the subscription that it bought, and the key.

use super::{Denial, Market, ResourceServer, Status};
use crate::money::Address;
use crate::payment::Shortfall;
use crate::payment::siwx::{Proof, Proved, SignIn, prove};
use crate::plans::{Allowance, ApiKey, Subscription, allow};
use crate::store::Record;
use crate::x402::facilitator::SettleResponse;

/// What a payer holds.
#[derive(Debug, Clone)]
pub struct Holding {
    /// What was bought.
    pub subscription: Subscription,
    /// The key in the clear.
    pub key: ApiKey,
    /// The receipt of the payment that bought it, as long as it is kept.
    pub receipt: Option<SettleResponse>,
    /// What is left of it.
    pub status: Status,
}

impl Holding {
    /// Whether there is nothing left of it to use: its holder may want to buy the same again.
    pub fn is_used_up(&self) -> bool {
        self.status.plan.units.is_some_and(|units| self.status.used >= units)
    }
}

impl ResourceServer {
    /// The current subscription of whoever signed in: the newest that has not ended. Reads only, so nothing is lost
    /// if the future is dropped.
    ///
    /// # Errors
    /// [`Shortfall::SignIn`] if the sign-in proves nothing, [`Denial::StoreFailed`].
    pub async fn holding(&self, market: &Market, sign_in: &SignIn) -> Result<Option<Holding>, Denial> {
        let prices = &market.prices;
        let networks = prices.plans.iter().flat_map(|plan| &plan.offer.terms).map(|terms| &terms.network);
        let refused = |refused| Denial::Shortfall(Shortfall::SignIn(refused));
        let proof = prove(sign_in, self.now(), &prices.public_url, networks).map_err(refused)?;
        let Proved { network, account } = proof.claimed();
        let (chain, payer) = (network.family().as_str(), account.to_string());
        let held = self.accounts.store().current_of(chain, &payer, self.clock.now()).await?;
        let Some((subscription, payment_id)) = held else {
            return proof.without_chain().map(|_| None).map_err(refused);
        };
        let record = self.ledger.record(&payment_id).await?;
        if !self.is_proved(market, &proof, record.as_ref()).await {
            return proof.without_chain().map(|_| None).map_err(refused);
        }
        let key = self.keys.derive(&subscription.key_prefix, payment_id.as_str(), subscription.id.as_str());
        // A key that opens nothing, since it was revoked or the secret is another one, is not given out.
        let Some(account) = self.accounts.find(key.hash()).await? else { return Ok(None) };
        let receipt = record.and_then(|record| record.receipt);
        let active = allow(subscription.expires_at, self.clock.now()) == Allowance::Allowed;
        let (plan, expires_at) = (subscription.plan.clone(), subscription.expires_at);
        let status = Status { plan, used: account.used(), expires_at, active };
        tracing::info!(payer, plan_id = &*subscription.plan.name, key_prefix = key.beginning(), "a wallet signed in");
        Ok(Some(Holding { subscription, key, receipt, status }))
    }

    /// Whether the signature is the payer's own. A contract is asked on the network of the payment alone: what stands
    /// at its address on another may be somebody else's.
    async fn is_proved(&self, market: &Market, proof: &Proof, record: Option<&Record>) -> bool {
        let Proof::NeedsChain { account, digest, signature } = proof else { return true };
        let paid_there = record.is_some_and(|record| record.chain == account.network);
        let Some(chain) = market.chains.get(&account.network).filter(|_| paid_there) else { return false };
        match chain.is_signed_by(&account.account, *digest, signature).await {
            Ok(signed) => signed,
            Err(error) => {
                tracing::warn!(%error, "a contract's signature could not be checked");
                false
            }
        }
    }

    /// Whether whoever signed in is the payer of a payment.
    pub(super) async fn is_the_payer(&self, market: &Market, sign_in: &SignIn, record: &Record) -> bool {
        let Ok(proof) = prove(sign_in, self.now(), &market.prices.public_url, [&record.chain]) else { return false };
        let Proved { network, account } = proof.claimed();
        let payer = record.payer.as_deref().and_then(|payer| Address::parse(payer, &record.chain).ok());
        let same = network.family() == record.chain.family() && payer.as_ref() == Some(account);
        same && self.is_proved(market, &proof, Some(record)).await
    }
}
