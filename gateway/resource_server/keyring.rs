//! Keys after the sale: listed, issued, rotated, revoked; and addresses that are linked.

use super::accounts::{Found, Subject};
use super::wallet::spelled;
use super::{Denial, Market, ResourceServer, Status};
use crate::money::Address;
use crate::payment::Refused;
use crate::payment::siwx::{Proof, Proved, SignIn, prove};
use crate::plans::{ApiKey, HolderAddress, HolderId, Key, KeyHash, KeyId, Origin};
use crate::store::{Linked, NewKey, StoreError};

impl ResourceServer {
    /// All keys of a holder, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys_of(&self, holder: &HolderId) -> Result<Vec<Key>, StoreError> {
        self.accounts.store().keys_of(holder).await
    }

    /// The name of the key with this hash.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] if there is none.
    pub async fn key_id(&self, hash: &KeyHash) -> Result<KeyId, StoreError> {
        let key = self.accounts.store().key(hash).await?;
        key.map(|key| key.id).ok_or_else(|| StoreError::NoKey(KeyId::new("")))
    }

    /// Makes a key for a holder, in place of another if one is named: that one opens nothing from the same moment on.
    ///
    /// # Errors
    /// [`StoreError::TooManyKeys`], [`StoreError::NoKey`] or another; nothing has changed then.
    pub async fn issue(
        &self,
        prefix: &str,
        holder: &HolderId,
        replaces: Option<&KeyId>,
        keys_max: u32,
    ) -> Result<(Key, ApiKey), StoreError> {
        let (new, text) = self.new_key(prefix, holder);
        let issued = self.accounts.store().issue(&new, replaces, keys_max).await;
        self.accounts.invalidate(holder).await;
        issued.map(|()| (new.key, text))
    }

    /// Makes a key open nothing from now on.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] if the holder has no such key that works.
    pub async fn revoke(&self, holder: &HolderId, key: &KeyId) -> Result<(), StoreError> {
        let revoked = self.accounts.store().revoke(holder, key).await;
        self.accounts.invalidate(holder).await;
        revoked
    }

    /// Makes an address a holder's, if its wallet says so: what it buys is theirs from now on, and it signs in as them.
    ///
    /// # Errors
    /// [`Denial::Unauthorized`] if the sign-in proves nothing or another address, [`Denial::AddressTaken`] if the
    /// address has a plan of its own that still runs.
    pub async fn link(
        &self,
        market: &Market,
        holder: &HolderId,
        chain: &str,
        address: &str,
        sign_in: &SignIn,
    ) -> Result<HolderAddress, Denial> {
        let unproven = |refused| Denial::Unauthorized("SIWX", refused);
        let networks = market.prices.networks();
        let proof = prove(sign_in, self.now(), &market.prices.public_url, networks).map_err(unproven)?;
        let Proved { network, account, .. } = proof.claimed().clone();
        if network.family().as_str() != chain || spelled(&network, address) != account.to_string() {
            let other = Refused::new("invalid_siwx_address", "the message is another address's");
            return Err(unproven(other));
        }
        if matches!(proof, Proof::NeedsChain { .. }) && !self.is_proved(market, &proof).await {
            return Err(unproven(proof.without_chain().err().unwrap_or_else(|| unreachable!("it needs the chain"))));
        }
        let linked = HolderAddress {
            chain: chain.into(),
            address: account.to_string().into(),
            network: Some(network.caip2().into()),
        };
        let before = self.accounts.store().holder_at(chain, &linked.address).await?;
        let outcome = self.accounts.store().link(holder, &linked).await?;
        for changed in before.iter().chain([holder]) {
            self.accounts.invalidate(changed).await;
        }
        match outcome {
            Linked::Now | Linked::Before => Ok(linked),
            Linked::Taken => Err(Denial::AddressTaken),
            Linked::TooMany => Err(Denial::TooManyAddresses),
        }
    }

    /// How the plan of an address stands, as the operator lets anybody ask.
    ///
    /// # Errors
    /// [`Denial::StoreFailed`].
    pub async fn status_at(&self, market: &Market, chain: &str, address: &str) -> Result<Option<Status>, Denial> {
        let network = market.prices.networks().find(|network| network.family().as_str() == chain);
        let Some(address) = network.and_then(|network| Address::parse(address, network).ok()) else { return Ok(None) };
        let subject = Subject::Wallet(chain.into(), address.to_string().into());
        match self.accounts.find(subject).await? {
            Found::Grant(grant) => Ok(Some(self.status_of(&grant))),
            Found::NoKey | Found::NoSubscription => Ok(None),
        }
    }

    pub(super) fn new_key(&self, prefix: &str, holder: &HolderId) -> (NewKey, ApiKey) {
        let mut random = [0; 20];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let key = Key {
            id: KeyId::new(&format!("key_{}", alloy_primitives::hex::encode(random))),
            holder: holder.clone(),
            origin: Origin::Issued,
            prefix: Some(prefix.into()),
            hint: "".into(),
            created_at: self.clock.now(),
            revoked_at: None,
        };
        let text = self.keys.derive(prefix, key.id.as_str(), holder.as_str());
        let key = Key { hint: text.beginning().into(), ..key };
        (NewKey { key, hash: text.hash() }, text)
    }
}
