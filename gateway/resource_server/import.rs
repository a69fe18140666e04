//! Keys that are brought along from another system, or from another gateway.

use std::sync::Arc;
use std::time::SystemTime;

use super::registrar::{Registrar, Unregistered, new_subscription};
use crate::clock::{iso_millis, unix_millis};
use crate::plans::{
    Allowance, HolderId, HolderName, Key, KeyHash, KeyId, OnRepurchase, Origin, Plan, Subscription, Units, allow,
};
use crate::store::{NewKey, Sale};

/// A key of another system, with what it opens there.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What it was called.
    pub id: Option<KeyId>,
    /// What it is found by.
    pub hash: KeyHash,
    /// Its first characters.
    pub hint: Arc<str>,
    /// Whose it was, by id.
    pub holder: Option<HolderId>,
    /// Whose it is, by name.
    pub name: Option<HolderName>,
    /// The wallet that paid: the word of its chain's family, and its address.
    pub wallet: Option<(Arc<str>, Arc<str>)>,
    /// What it opens.
    pub plan: Plan,
    /// What was used of it.
    pub used: Units,
    /// When it ends; if nothing says so, as long after now as the plan lasts.
    pub expires_at: Option<SystemTime>,
}

/// What became of a key that was to be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It opens what it says from now on.
    Now,
    /// It was in the books already, and is as it was.
    Before,
}

impl Registrar<'_> {
    /// Takes a key over, and the subscription that it opens unless its holder has the same already. The whole of it or
    /// nothing; what somebody has is never taken from them.
    ///
    /// # Errors
    /// [`Unregistered`] with the reason; nothing is taken over then.
    pub async fn import(&self, arrival: &Arrival) -> Result<Imported, Unregistered> {
        let store = self.server.accounts.store();
        if store.key(&arrival.hash).await?.is_some() {
            return Ok(Imported::Before);
        }
        let (holder, now) = (self.owner(arrival).await?, self.server.clock.now());
        let key = NewKey { key: self.key_of(arrival, &holder), hash: arrival.hash };
        let detail = format!("plan {}", arrival.plan.name);
        match store.current_of(&holder).await? {
            Some(current) if arrival.is_for(&current) => self.put("import", &detail, &key, None).await?,
            Some(current) if allow(current.expires_at, now) == Allowance::Allowed => {
                let (plan, end) = (current.plan.name.to_string(), iso_millis(current.expires_at));
                return Err(Unregistered::HasAnother(holder, plan, end));
            }
            _ => {
                let id = key.key.id.clone();
                let sale = arrival.sale(&holder, key, now);
                self.recorded(&holder, &id, "import", &detail, store.grant(&sale)).await?;
            }
        }
        Ok(Imported::Now)
    }

    /// Whose it will be: who has the name, or the wallet, or else the id.
    async fn owner(&self, arrival: &Arrival) -> Result<HolderId, Unregistered> {
        let store = self.server.accounts.store();
        let by_wallet = match &arrival.wallet {
            Some((chain, address)) => store.holder_at(chain, address).await?,
            None => None,
        };
        let by_name = match &arrival.name {
            Some(name) => store.holder_named(name.as_str()).await?,
            None => None,
        };
        if let (Some(owner), Some((_, address))) = (&by_wallet, &arrival.wallet)
            && by_name.as_ref().is_some_and(|named| named != owner)
        {
            return Err(Unregistered::AddressTaken(address.to_string(), owner.clone()));
        }
        let new = arrival.holder.clone().or_else(|| arrival.name.as_ref().map(HolderId::of_name));
        by_name.or(by_wallet).or(new).ok_or(Unregistered::Nobodys)
    }

    fn key_of(&self, arrival: &Arrival, holder: &HolderId) -> Key {
        let id = arrival.id.clone().unwrap_or_else(|| self.server.new_key("", holder).0.key.id);
        let (hint, created_at) = (Arc::clone(&arrival.hint), self.server.clock.now());
        Key { id, holder: holder.clone(), origin: Origin::Imported, prefix: None, hint, created_at, revoked_at: None }
    }
}

impl Arrival {
    /// Whether it opens this very subscription: another key to the same.
    fn is_for(&self, current: &Subscription) -> bool {
        let ends = |end| unix_millis(end) == unix_millis(current.expires_at);
        self.plan.name == current.plan.name && self.plan.units == current.units && self.expires_at.is_none_or(ends)
    }

    fn sale(&self, holder: &HolderId, key: NewKey, now: SystemTime) -> Sale {
        let (chain, payer) = self.wallet.clone().unwrap_or_else(|| ("".into(), "".into()));
        let subscription = Subscription {
            id: new_subscription(&key.key.id),
            holder: holder.clone(),
            chain,
            payer,
            plan: self.plan.clone().into(),
            expires_at: self.expires_at.unwrap_or(now + self.plan.duration),
            key_prefix: "".into(),
            units: self.plan.units,
            used: self.plan.units.map_or(self.used, |units| self.used.min(units)),
        };
        let name = self.name.as_ref().map(HolderName::shared);
        Sale { subscription, key, network: None, name, on_repurchase: OnRepurchase::Replace }
    }
}
