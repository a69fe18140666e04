//! What a wallet that signs in holds: a subscription, and the key to it.

use super::accounts::{Found, Subject};
use super::proven::holds_until;
use super::{Denial, Market, ResourceServer, Status};
use crate::money::{Address, Network};
use crate::payment::siwx::{Proof, Proved, SignIn, prove};
use crate::payment::{PaymentId, Refused, Shortfall};
use crate::plans::{ApiKey, HolderId, Key, Subscription};
use crate::store::Record;
use crate::x402::facilitator::SettleResponse;

/// What a holder has.
#[derive(Debug, Clone)]
pub struct Holding {
    /// What was bought.
    pub subscription: Subscription,
    /// The newest key that works and can be shown.
    pub key: Option<ApiKey>,
    /// The receipt of the payment that bought it, as long as it is kept.
    pub receipt: Option<SettleResponse>,
    /// What is left of it.
    pub status: Status,
}

impl Holding {
    /// Whether there is nothing left of it to use: its holder may want to buy the same again.
    pub fn is_used_up(&self) -> bool {
        self.status.units.is_some_and(|units| self.status.used >= units)
    }
}

impl ResourceServer {
    /// The current subscription of whoever signed in, if it has not ended. Reads only, so nothing is lost if the future
    /// is dropped.
    ///
    /// # Errors
    /// [`Shortfall::SignIn`] if the sign-in proves nothing, [`Denial::StoreFailed`].
    pub async fn holding(&self, market: &Market, sign_in: &SignIn) -> Result<Option<Holding>, Denial> {
        let refused = |refused| Denial::Shortfall(Shortfall::SignIn(refused));
        let subject = self.proved(market, sign_in).await?.map_err(refused)?;
        let Found::Grant(grant) = self.accounts.find(subject).await? else { return Ok(None) };
        let subscription = grant.account.subscription().clone();
        let status = self.status_of(&grant);
        if !status.active {
            return Ok(None);
        }
        let payment = PaymentId::stored(&subscription.id.payment_id());
        let receipt = self.ledger.record(&payment).await?.and_then(|record| record.receipt);
        let key = self.shown_key(&subscription.holder).await?;
        let key_prefix = key.as_ref().map_or("", ApiKey::beginning);
        tracing::info!(
            payer = &*subscription.payer,
            plan_id = &*subscription.plan.name,
            key_prefix,
            "a wallet signed in"
        );
        Ok(Some(Holding { subscription, key, receipt, status }))
    }

    /// The newest key of a holder that works and can be shown. One that opens nothing, since the secret is another one
    /// now, is not given out.
    async fn shown_key(&self, holder: &HolderId) -> Result<Option<ApiKey>, Denial> {
        for key in self.accounts.store().keys_of(holder).await?.iter().filter(|key| key.is_working()) {
            let Some(text) = self.keys.text(key) else { continue };
            let known = self.accounts.store().key(&text.hash()).await?;
            if known.as_ref().is_some_and(Key::is_working) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Which wallet it is that signed in; why nothing is proved, otherwise. A contract is asked only on the network on
    /// which the wallet has paid or proved itself: what stands at its address on another may be somebody else's.
    pub(super) async fn proved(&self, market: &Market, sign_in: &SignIn) -> Result<Result<Subject, Refused>, Denial> {
        let prices = &market.prices;
        let networks = prices.networks();
        if let Some(subject) = market.proofs.wallet(sign_in, self.now()) {
            return Ok(Ok(subject));
        }
        let proof = match prove(sign_in, self.now(), &prices.public_url, networks) {
            Ok(proof) => proof,
            Err(refused) => return Ok(Err(refused)),
        };
        let Proved { network, account, .. } = proof.claimed();
        let (chain, address) = (network.family().as_str(), account.to_string());
        let subject = Subject::Wallet(chain.into(), address.as_str().into());
        if let Proof::NeedsChain { .. } = &proof {
            let known = match self.accounts.store().holder_at(chain, &address).await? {
                Some(holder) => self.accounts.store().holder(&holder).await?,
                None => None,
            };
            let there = known.iter().flat_map(|holder| &holder.addresses).find(|known| *known.address == *address);
            let there = there.and_then(|known| known.network.as_deref()) == Some(network.caip2());
            if !there || !self.is_proved(market, &proof).await {
                return Ok(proof.without_chain().map(|_| subject));
            }
        }
        market.proofs.keep_wallet(sign_in, &subject, holds_until(&proof, self.now()));
        Ok(Ok(subject))
    }

    /// Whether the signature is the account's own; a contract is asked on the network that the message names.
    pub(super) async fn is_proved(&self, market: &Market, proof: &Proof) -> bool {
        let Proof::NeedsChain { account, digest, signature } = proof else { return true };
        let Some(chain) = market.chains.get(&account.network) else { return false };
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
        let Proved { network, account, .. } = proof.claimed();
        let payer = record.payer.as_deref().and_then(|payer| Address::parse(payer, &record.chain).ok());
        let same = *network == record.chain && payer.as_ref() == Some(account);
        same && self.is_proved(market, &proof).await
    }
}

/// What a wallet is called in the books.
pub(super) fn spelled(network: &Network, address: &str) -> String {
    Address::parse(address, network).map_or(address.to_owned(), |address| address.to_string())
}
