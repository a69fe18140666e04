//! What a payer gets back who proves the wallet: the subscription that it bought, and the key.

use super::{Denial, Market, ResourceServer, Status};
use crate::money::Network;
use crate::payment::Shortfall;
use crate::payment::siwx::{Proof, Proved, SignIn, prove};
use crate::plans::{Allowance, ApiKey, Subscription, allow};
use crate::store::Record;
use crate::x402::facilitator::SettleResponse;
use crate::x402::networks;

/// What a payer holds.
#[derive(Debug, Clone)]
pub struct Holding {
    /// What was bought.
    pub subscription: Subscription,
    /// The key in the clear.
    pub key: ApiKey,
    /// The receipt of the payment that bought it.
    pub receipt: SettleResponse,
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
        let record = self.ledger.payment(&payment_id).await?.ok_or(Denial::StoreFailed)?;
        if !self.is_proved(&proof, &record).await {
            return proof.without_chain().map(|_| None).map_err(refused);
        }
        let key = self.keys.derive(&subscription.key_prefix, payment_id.as_str(), subscription.id.as_str());
        // A key that opens nothing, since it was revoked or the secret is another one, is not given out.
        let (Some(account), Some(receipt)) = (self.accounts.find(key.hash()).await?, record.receipt) else {
            return Ok(None);
        };
        let active = allow(subscription.expires_at, self.clock.now()) == Allowance::Allowed;
        let (plan, expires_at) = (subscription.plan.clone(), subscription.expires_at);
        let status = Status { plan, used: account.used(), expires_at, active };
        tracing::info!(payer, plan_id = &*subscription.plan.name, key_prefix = key.beginning(), "a wallet signed in");
        Ok(Some(Holding { subscription, key, receipt, status }))
    }

    /// Whether the signature is the payer's own. A contract is asked on the network of the payment alone: what stands
    /// at its address on another may be somebody else's.
    async fn is_proved(&self, proof: &Proof, record: &Record) -> bool {
        match proof {
            Proof::Proved(_) => true,
            Proof::NeedsChain { account, digest, signature } => {
                was_paid_on(record, &account.network) && self.is_signed_by_contract(account, *digest, signature).await
            }
        }
    }

    /// Nobody asks a chain yet, so no contract is known to have signed anything.
    #[expect(clippy::unused_async, reason = "a look-up on the chain belongs here")]
    async fn is_signed_by_contract(&self, _: &Proved, _: [u8; 32], _: &[u8]) -> bool {
        false
    }
}

/// Records have the network's name of the payment's own version.
fn was_paid_on(record: &Record, network: &Network) -> bool {
    let name = record.network.as_str();
    name == network.caip2() || networks::v1_name(network) == Some(name)
}
