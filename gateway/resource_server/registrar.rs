//! The operator's own hand in the register: plans that are given, keys that are made, replaced and revoked.
//!
//! Every act is written down before it is done, with who did it; one that is refused after that is written down too.
//! If a future here is dropped, the act stands or it does not; what was written down says that it was meant.

use std::time::{Duration, SystemTime};

use super::{Market, ResourceServer};
use crate::plans::{ApiKey, HolderId, HolderName, Key, KeyId, OnRepurchase, Plan, Subscription, SubscriptionId, Units};
use crate::store::{HolderAct, KeyEntry, NewKey, Register, Sale, StoreError};

/// As for the plans of the file: what is given for longer is given for ever, and no clock overflows.
const DURATION_MAX: Duration = Duration::from_secs(10 * 31_557_600);

/// Whoever keeps the register, for one act of the operator's.
pub struct Registrar<'a> {
    /// It derives the keys, and has in memory what is to be read again.
    pub server: &'a ResourceServer,
    /// The plans, and the terms of their subscriptions.
    pub market: &'a Market,
    /// Where the act is written down.
    pub register: &'a dyn Register,
    /// Who acts.
    pub who: &'a str,
}

/// A plan to be given without a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    /// The plan's name in the price table.
    pub plan: String,
    /// To whom: a name, which a new holder gets if nobody has it, or the id of somebody who is there.
    pub to: String,
    /// How much, if not as much as the plan has.
    pub units: Option<Units>,
    /// Until when, if not for as long as the plan lasts.
    pub expires_at: Option<SystemTime>,
}

/// A plan that was given.
#[derive(Debug, Clone)]
pub struct Given {
    /// What its holder has now.
    pub subscription: Subscription,
    /// The key that came with it.
    pub key: Key,
    /// The same in the clear.
    pub text: ApiKey,
}

/// Why the register is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unregistered {
    /// The price table has no such plan.
    #[error("there is no plan {0:?}; the plans are {1}")]
    NoPlan(String, String),
    /// Nobody has that name or id.
    #[error("there is no holder {0:?}")]
    NoHolder(String),
    /// It cannot be anybody's name.
    #[error("{0:?} is neither the id of a holder nor a name: 1 to 64 of A-Z a-z 0-9 . _ @ -, not beginning with hol_")]
    NoName(String),
    /// The key is not there, or opens nothing any more.
    #[error("there is no working key {0}")]
    NoKey(KeyId),
    /// The end is no end for a plan.
    #[error("a plan ends in the future, and within ten years")]
    NoEnd,
    /// Nothing could be called with it.
    #[error("a plan has more than no units")]
    NoUnits,
    /// The holder has as many keys as one may have.
    #[error("the holder has {0} keys already, which is subscriptions.keys_max")]
    TooManyKeys(u32),
    /// The holder has something else, which an import takes from nobody.
    #[error("{0} has another subscription that runs: plan {1}, until {2}")]
    HasAnother(HolderId, String, String),
    /// The wallet is somebody else's.
    #[error("the address {0} is {1}'s")]
    AddressTaken(String, HolderId),
    /// Nothing says whose it is.
    #[error("nothing says whose it is: for, holder, or chain and payer")]
    Nobodys,
    /// The store.
    #[error(transparent)]
    Store(StoreError),
}

impl Registrar<'_> {
    /// Gives a plan with a new key, without a payment. It becomes the holder's current one, as one that is bought does.
    ///
    /// # Errors
    /// [`Unregistered`]; nothing is given then.
    pub async fn mint(&self, gift: &Gift) -> Result<Given, Unregistered> {
        let now = self.server.clock.now();
        let (plan, expires_at) = self.plan_of(gift, now)?;
        let (holder, name) = self.receiver(&gift.to).await?;
        let (new, text) = self.server.new_key(&self.market.key_prefix, &holder);
        let subscription = Subscription {
            id: new_subscription(&new.key.id),
            holder: holder.clone(),
            chain: "".into(),
            payer: "".into(),
            key_prefix: self.market.key_prefix.clone(),
            units: plan.units,
            used: Units::ZERO,
            expires_at,
            plan: plan.into(),
        };
        // Whoever says when it ends does not mean a later end.
        let on_repurchase = match gift.expires_at {
            Some(_) => OnRepurchase::Replace,
            None => self.market.terms.on_repurchase,
        };
        let (id, key) = (subscription.id.clone(), new.key.clone());
        let detail = format!("{id}: plan {}", gift.plan);
        let sale = Sale { subscription, key: new, network: None, name: name.map(|name| name.shared()), on_repurchase };
        self.recorded(&holder, &key.id, "mint", &detail, self.server.accounts.store().grant(&sale)).await?;
        let subscription = self.server.accounts.store().subscription(&id).await?;
        Ok(Given { subscription: subscription.unwrap_or(sale.subscription), key, text })
    }

    /// Makes another key for a holder, named by id or by name.
    ///
    /// # Errors
    /// [`Unregistered`]; no key is made then.
    pub async fn issue(&self, holder: &str) -> Result<(Key, ApiKey), Unregistered> {
        let known = self.server.accounts.store().holder_named(holder).await?;
        let holder = known.ok_or_else(|| Unregistered::NoHolder(holder.to_owned()))?;
        let (new, text) = self.server.new_key(&self.market.key_prefix, &holder);
        self.put("issue", "", &new, None).await?;
        Ok((new.key, text))
    }

    /// Makes a key in place of another, which opens nothing from the same moment on.
    ///
    /// # Errors
    /// [`Unregistered`]; the other one works on then.
    pub async fn rotate(&self, key: &KeyId) -> Result<(Key, ApiKey), Unregistered> {
        let replaced = self.working(key).await?.key;
        let (new, text) = self.server.new_key(&self.market.key_prefix, &replaced.holder);
        self.put("rotate", &format!("in place of {key}"), &new, Some(key)).await?;
        Ok((new.key, text))
    }

    /// Makes a key open nothing from now on.
    ///
    /// # Errors
    /// [`Unregistered::NoKey`] if there is none that works.
    pub async fn revoke(&self, key: &KeyId) -> Result<Key, Unregistered> {
        let revoked = self.working(key).await?.key;
        let store = self.server.accounts.store();
        self.recorded(&revoked.holder, key, "revoke", "", store.revoke(&revoked.holder, key)).await?;
        Ok(revoked)
    }

    pub(super) async fn put(
        &self,
        act: &str,
        detail: &str,
        new: &NewKey,
        replaces: Option<&KeyId>,
    ) -> Result<(), Unregistered> {
        let issued = self.server.accounts.store().issue(new, replaces, self.market.terms.keys_max);
        self.recorded(&new.key.holder, &new.key.id, act, detail, issued).await
    }

    /// Writes an act down and does it. What is in memory of the holder is read again, whatever came of it.
    pub(super) async fn recorded(
        &self,
        holder: &HolderId,
        key: &KeyId,
        act: &str,
        detail: &str,
        doing: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), Unregistered> {
        let note = |act: &str, detail: &str| HolderAct {
            at: self.server.clock.now(),
            holder: holder.clone(),
            key: Some(key.clone()),
            act: act.to_owned(),
            detail: format!("{detail} (by {})", self.who).trim_start().to_owned(),
        };
        self.register.note(&note(act, detail)).await?;
        tracing::info!(%holder, key_id = %key, who = self.who, act, "the operator's act");
        let done = doing.await;
        self.server.accounts.invalidate(holder).await;
        if let Err(error) = &done {
            self.register.note(&note(&format!("{act} refused"), &error.to_string())).await?;
        }
        Ok(done?)
    }

    async fn working(&self, key: &KeyId) -> Result<KeyEntry, Unregistered> {
        let entry = self.register.key_entry(key).await?.filter(|entry| entry.key.is_working());
        entry.ok_or_else(|| Unregistered::NoKey(key.clone()))
    }

    /// Who is meant. A new name comes with the holder who will have it.
    async fn receiver(&self, to: &str) -> Result<(HolderId, Option<HolderName>), Unregistered> {
        let (known, name) = (self.server.accounts.store().holder_named(to).await?, HolderName::parse(to));
        match (known, name) {
            (Some(known), name) => Ok((known, name)),
            (None, Some(name)) => Ok((HolderId::of_name(&name), Some(name))),
            (None, None) => Err(Unregistered::NoName(to.to_owned())),
        }
    }

    fn plan_of(&self, gift: &Gift, now: SystemTime) -> Result<(Plan, SystemTime), Unregistered> {
        let mut plan = self.plan(&gift.plan)?;
        if let Some(units) = gift.units {
            if units == Units::ZERO {
                return Err(Unregistered::NoUnits);
            }
            plan.units = Some(units);
        }
        if let Some(end) = gift.expires_at {
            let lasts =
                end.duration_since(now).ok().filter(|lasts| (Duration::from_secs(1)..=DURATION_MAX).contains(lasts));
            // Buyers are told a number of whole seconds.
            plan.duration = Duration::from_secs(lasts.ok_or(Unregistered::NoEnd)?.as_secs());
        }
        let expires_at = gift.expires_at.unwrap_or(now + plan.duration);
        Ok((plan, expires_at))
    }

    /// A plan of the price table.
    ///
    /// # Errors
    /// [`Unregistered::NoPlan`] with those that there are.
    pub fn plan(&self, name: &str) -> Result<Plan, Unregistered> {
        let prices = &self.market.prices;
        let names = || prices.plans.iter().map(|sold| &*sold.plan.name).collect::<Vec<_>>().join(", ");
        let sold = prices.plan(name).ok_or_else(|| Unregistered::NoPlan(name.to_owned(), names()))?;
        Ok(sold.plan.clone())
    }
}

/// What is given with a key has its number.
pub(super) fn new_subscription(key: &KeyId) -> SubscriptionId {
    SubscriptionId::new(&key.as_str().replacen("key_", "sub_", 1))
}

impl From<StoreError> for Unregistered {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoKey(id) => Self::NoKey(id),
            StoreError::TooManyKeys(most) => Self::TooManyKeys(most),
            error => Self::Store(error),
        }
    }
}
