//! Holders, keys and subscriptions in memory.

use std::cmp::Reverse;
use std::time::SystemTime;

use async_trait::async_trait;

use super::{Books, MemoryStore};
use crate::plans::{
    Holder, HolderAddress, HolderId, Key, KeyHash, KeyId, OnRepurchase, Origin, Subscription, SubscriptionId, Units,
};
use crate::store::{Changes, KeyStore, Linked, NewKey, Sale, StoreError, Usage};

/// A subscription, and what became of it.
#[derive(Clone)]
pub(super) struct Bought {
    pub(super) subscription: Subscription,
    pub(super) leased: Units,
    replaced_by: Option<SubscriptionId>,
    extends: bool,
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
        Ok(self.books().keys.get(&hash.0).cloned())
    }

    async fn keys_of(&self, holder: &HolderId) -> Result<Vec<Key>, StoreError> {
        let mut keys: Vec<_> = self.books().keys.values().filter(|key| key.holder == *holder).cloned().collect();
        keys.sort_by_key(|key| (Reverse(key.created_at), key.id.clone()));
        Ok(keys)
    }

    async fn imported(&self) -> Result<Vec<KeyHash>, StoreError> {
        let books = self.books();
        let imported = books.keys.iter().filter(|(_, key)| key.origin == Origin::Imported);
        Ok(imported.map(|(hash, _)| KeyHash(*hash)).collect())
    }

    async fn holder(&self, id: &HolderId) -> Result<Option<Holder>, StoreError> {
        Ok(self.books().holders.get(id).cloned())
    }

    async fn holder_at(&self, chain: &str, address: &str) -> Result<Option<HolderId>, StoreError> {
        Ok(self.books().holder_at(chain, address))
    }

    async fn holder_named(&self, name: &str) -> Result<Option<HolderId>, StoreError> {
        let books = self.books();
        let named = books.holders.values().find(|holder| holder.name.as_deref() == Some(name));
        Ok(named.or_else(|| books.holders.get(&HolderId::new(name))).map(|holder| holder.id.clone()))
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.books().subscriptions.get(id).map(|bought| bought.subscription.clone()))
    }

    async fn current_of(&self, holder: &HolderId) -> Result<Option<Subscription>, StoreError> {
        Ok(self.books().current_of(holder).map(|bought| bought.subscription.clone()))
    }

    async fn grant(&self, sale: &Sale) -> Result<(), StoreError> {
        let now = self.now();
        self.write(|books| books.sell(sale, now))
    }

    async fn issue(&self, key: &NewKey, replaces: Option<&KeyId>, keys_max: u32) -> Result<(), StoreError> {
        let (now, holder) = (self.now(), key.key.holder.clone());
        self.write(|books| {
            replaces.map_or(Ok(()), |replaced| books.revoke(&holder, replaced, now))?;
            let working = books.keys.values().filter(|key| key.holder == holder && key.is_working()).count();
            if replaces.is_none() && u32::try_from(working).is_ok_and(|working| working >= keys_max) {
                return Err(StoreError::TooManyKeys(keys_max));
            }
            books.put_key(&holder, key, now)?;
            books.changes.push(holder.clone());
            Ok(())
        })
    }

    async fn revoke(&self, holder: &HolderId, key: &KeyId) -> Result<(), StoreError> {
        let now = self.now();
        self.write(|books| books.revoke(holder, key, now))
    }

    async fn link(&self, holder: &HolderId, address: &HolderAddress) -> Result<Linked, StoreError> {
        let now = self.now();
        self.write(|books| {
            let before = books.holder_at(&address.chain, &address.address);
            match before {
                Some(before) if before == *holder => return Ok(Linked::Before),
                Some(before) => {
                    if books.current_of(&before).is_some_and(|bought| bought.subscription.expires_at > now) {
                        return Ok(Linked::Taken);
                    }
                    books.changes.push(before.clone());
                    let theirs = books.holders.get_mut(&before).map(|holder| &mut holder.addresses);
                    let other =
                        |kept: &HolderAddress| (&kept.chain, &kept.address) != (&address.chain, &address.address);
                    theirs.into_iter().for_each(|addresses| addresses.retain(other));
                }
                None => {}
            }
            books.put_address(holder, address);
            Ok(Linked::Now)
        })
    }

    async fn changes(&self, after: i64) -> Result<Changes, StoreError> {
        let books = self.books();
        let seen = usize::try_from(after).unwrap_or(0);
        let last = i64::try_from(books.changes.len()).unwrap_or(i64::MAX);
        Ok(Changes { last, holders: books.changes.iter().skip(seen).cloned().collect() })
    }

    async fn lease(&self, id: &SubscriptionId, want: Units) -> Result<Units, StoreError> {
        self.write(|books| {
            let Some(bought) = books.subscriptions.get_mut(id) else { return Ok(Units::ZERO) };
            let taken = bought.subscription.used.saturating_add(bought.leased);
            let free = bought.subscription.units.and_then(|units| units.checked_sub(taken));
            let granted = free.filter(|_| bought.replaced_by.is_none()).unwrap_or(Units::ZERO).min(want);
            bought.leased = bought.leased.saturating_add(granted);
            Ok(granted)
        })
    }

    async fn report(&self, usages: Vec<Usage>) -> Result<(), StoreError> {
        self.write(|books| usages.iter().try_for_each(|usage| books.report(usage)))
    }
}

impl Books {
    pub(super) fn sell(&mut self, sale: &Sale, now: SystemTime) -> Result<(), StoreError> {
        let mut bought = sale.subscription.clone();
        let named = |holder: &&Holder| holder.name == sale.name;
        let known = match &sale.name {
            Some(_) => self.holders.values().find(named).map(|holder| holder.id.clone()),
            None => self.holder_at(&bought.chain, &bought.payer),
        };
        let known = known.or_else(|| self.holders.contains_key(&bought.holder).then(|| bought.holder.clone()));
        let holder = known.unwrap_or_else(|| {
            let (id, name) = (bought.holder.clone(), sale.name.clone());
            let new = Holder { id: id.clone(), name, addresses: Vec::new(), created_at: now };
            self.holders.insert(id.clone(), new);
            let (chain, address, network) = (bought.chain.clone(), bought.payer.clone(), sale.network.clone());
            self.put_address(&id, &HolderAddress { chain, address, network });
            id
        });
        bought.holder = holder.clone();
        let leased = self.current_of(&holder).map_or(Units::ZERO, |earlier| earlier.leased);
        let earlier = self.current_of(&holder).map(|earlier| earlier.subscription.clone());
        let extended = earlier.as_ref().filter(|earlier| {
            sale.on_repurchase == OnRepurchase::Extend
                && earlier.plan.name == bought.plan.name
                && earlier.units.is_some() == bought.units.is_some()
                && earlier.expires_at > now
        });
        if let Some(earlier) = extended {
            bought.expires_at = earlier.expires_at + bought.plan.duration;
            let left = earlier.units.map(|units| units.saturating_sub(earlier.used).saturating_sub(leased));
            bought.units = bought.units.zip(left).map(|(units, left)| units.saturating_add(left));
        }
        let (id, extends) = (bought.id.clone(), extended.is_some());
        if let Some(earlier) = earlier.and_then(|earlier| self.subscriptions.get_mut(&earlier.id)) {
            earlier.replaced_by = Some(id.clone());
        }
        let new = Bought { subscription: bought, leased: Units::ZERO, replaced_by: None, extends };
        if self.subscriptions.insert(id, new).is_some() {
            return Err(StoreError::Refused("it is there already".to_owned()));
        }
        self.put_key(&holder, &sale.key, now)?;
        self.changes.push(holder);
        Ok(())
    }

    fn holder_at(&self, chain: &str, address: &str) -> Option<HolderId> {
        let is_it = |known: &HolderAddress| &*known.chain == chain && &*known.address == address;
        self.holders.values().find(|holder| holder.addresses.iter().any(is_it)).map(|holder| holder.id.clone())
    }

    fn current_of(&self, holder: &HolderId) -> Option<&Bought> {
        self.subscriptions.values().find(|it| it.subscription.holder == *holder && it.replaced_by.is_none())
    }

    fn put_address(&mut self, holder: &HolderId, address: &HolderAddress) {
        if let Some(holder) = self.holders.get_mut(holder).filter(|_| !address.address.is_empty()) {
            holder.addresses.push(address.clone());
            self.changes.push(holder.id.clone());
        }
    }

    fn put_key(&mut self, holder: &HolderId, new: &NewKey, now: SystemTime) -> Result<(), StoreError> {
        let key = Key { holder: holder.clone(), created_at: now, ..new.key.clone() };
        let taken = self.keys.values().any(|known| known.id == key.id) || !self.holders.contains_key(holder);
        if key.origin == Origin::Imported {
            self.changes.push(HolderId::new(""));
        }
        match self.keys.insert(new.hash.0, key) {
            None if !taken => Ok(()),
            _ => Err(StoreError::Refused("it is there already".to_owned())),
        }
    }

    fn revoke(&mut self, holder: &HolderId, id: &KeyId, now: SystemTime) -> Result<(), StoreError> {
        let is_it = |key: &&mut Key| key.id == *id && key.holder == *holder && key.is_working();
        let key = self.keys.values_mut().find(is_it).ok_or_else(|| StoreError::NoKey(id.clone()))?;
        key.revoked_at = Some(now);
        self.changes.push(holder.clone());
        Ok(())
    }

    fn report(&mut self, usage: &Usage) -> Result<(), StoreError> {
        let Some(bought) = self.subscriptions.get_mut(&usage.subscription) else { return Ok(()) };
        bought.subscription.used = bought.subscription.used.saturating_add(usage.spent);
        let given_back = usage.spent.saturating_add(usage.returned);
        bought.leased = bought.leased.checked_sub(given_back).unwrap_or(Units::ZERO);
        if !bought.is_within() {
            return Err(StoreError::Refused("more than the plan has".to_owned()));
        }
        let next = bought.replaced_by.clone();
        self.hand_on(next, usage.returned);
        Ok(())
    }
}

impl Books {
    /// Lets go of everything that is set aside.
    pub(super) fn free_leases(&mut self) {
        let mut freed = Vec::new();
        for bought in self.subscriptions.values_mut() {
            freed.push((bought.replaced_by.clone(), std::mem::take(&mut bought.leased)));
        }
        freed.into_iter().for_each(|(next, units)| self.hand_on(next, units));
    }

    fn hand_on(&mut self, mut next: Option<SubscriptionId>, units: Units) {
        if units == Units::ZERO {
            return;
        }
        while let Some(bought) = next.and_then(|id| self.subscriptions.get_mut(&id)).filter(|next| next.extends) {
            next = bought.replaced_by.clone();
            if next.is_none() {
                bought.subscription.units = bought.subscription.units.map(|had| had.saturating_add(units));
                let holder = bought.subscription.holder.clone();
                self.changes.push(holder);
            }
        }
    }
}

impl Bought {
    pub(super) fn is_within(&self) -> bool {
        let taken = self.subscription.used.saturating_add(self.leased);
        self.subscription.units.is_none_or(|units| taken <= units)
    }
}
