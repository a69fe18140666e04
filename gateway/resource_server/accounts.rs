//! Subscriptions in memory: the books of keyed requests.
//!
//! Blocks of units are set aside in the store and spent here, so that a keyed request writes nothing to the disk. What
//! was spent is written down every second. After a crash, what was set aside and not written down is the buyer's
//! again: the books are off by a second's calls and those of the time that writing down takes, never to the buyer's cost.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, UnitWeighter};

use super::account::{Account, Changed, Grant};
use super::plans_met::PlansMet;
use super::quota::Unseen;
use crate::crash::crash_point;
use crate::memory;
use crate::plans::{HolderId, KeyHash, Subscription, Units};
use crate::store::{KeyStore, StoreError};

/// The most credentials, and the most holders, that are kept in memory; others are read again when they come.
const KEPT_MAX: u64 = 1_000_000;

/// What one takes with its holder, in bytes: 950 were measured.
const KEPT_BYTES: u64 = 1024;

/// A block is a hundredth of the plan, or this many calls if that is more.
const BLOCK_CALLS: u64 = 64;

/// All subscriptions that were used lately.
pub struct Accounts {
    pub(super) store: Arc<dyn KeyStore>,
    grants: Cache<Subject, Arc<Grant>>,
    pub(super) accounts: Cache<HolderId, Arc<Account>, UnitWeighter, DefaultHashBuilder, Retire>,
    plans: PlansMet,
    pub(super) changed: Arc<Changed>,
    pub(super) unseen: Unseen,
    /// Counts what made something in memory old, so that what was read meanwhile is read again.
    epoch: AtomicU64,
    /// The last change in the store that was heard of.
    heard: AtomicI64,
    /// The beginnings of the hashes of keys without a check of ours.
    imported: ArcSwap<HashSet<u64>>,
}

/// What leads to a holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A key.
    Key(KeyHash),
    /// A wallet that is proved: the word of its chain's family, and its address.
    Wallet(Arc<str>, Arc<str>),
    /// A name in a token of the operator's.
    Name(Arc<str>),
}

/// Where a credential leads.
pub(super) enum Found {
    /// To a subscription, which may have ended.
    Grant(Arc<Grant>),
    /// To a holder who has none, or to nobody.
    NoSubscription,
    /// It is no key, or one that was revoked.
    NoKey,
}

/// What leaves the cache gives its units back.
#[derive(Debug, Clone)]
pub(super) struct Retire;

impl quick_cache::Lifecycle<HolderId, Arc<Account>> for Retire {
    type RequestState = ();

    fn on_evict(&self, _: &mut (), _: HolderId, account: Arc<Account>) {
        account.retire();
    }
}

impl Accounts {
    pub(super) fn new(store: Arc<dyn KeyStore>) -> Self {
        let weight = kept_max(memory::limit());
        let count = usize::try_from(weight).unwrap_or(usize::MAX);
        Self {
            store,
            grants: Cache::new(count),
            accounts: Cache::with(count, weight, UnitWeighter, DefaultHashBuilder::default(), Retire),
            plans: PlansMet::default(),
            changed: Arc::default(),
            unseen: Unseen::default(),
            epoch: AtomicU64::new(0),
            heard: AtomicI64::new(0),
            imported: ArcSwap::default(),
        }
    }

    pub(super) fn store(&self) -> &dyn KeyStore {
        &*self.store
    }

    /// How many credentials are in memory.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether no credential is in memory.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// What is in memory of a credential and still to be believed.
    pub(super) fn known(&self, subject: &Subject) -> Option<Arc<Grant>> {
        let grant = self.grants.get(subject)?;
        grant.prefetch();
        grant.is_current().then_some(grant)
    }

    /// Whether a text may be a key that came from elsewhere. The others are refused without a look-up.
    pub(super) fn may_be_imported(&self, hash: &KeyHash) -> bool {
        self.imported.load().contains(&beginning(hash))
    }

    /// Where a credential leads; read from the store if it is not in memory.
    pub(super) async fn find(&self, subject: Subject) -> Result<Found, StoreError> {
        if let Some(grant) = self.known(&subject) {
            return Ok(Found::Grant(grant));
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        crash_point!("key.reading");
        let (credential, holder) = match &subject {
            Subject::Key(hash) => match self.store.key(hash).await?.filter(crate::plans::Key::is_working) {
                Some(key) => (key.id.shared(), Some(key.holder)),
                None => return Ok(Found::NoKey),
            },
            Subject::Wallet(chain, address) => ("wallet".into(), self.store.holder_at(chain, address).await?),
            Subject::Name(name) => ("token".into(), self.store.holder_named(name).await?),
        };
        let Some(holder) = holder else { return Ok(Found::NoSubscription) };
        let Some(account) = self.account(holder).await? else { return Ok(Found::NoSubscription) };
        let grant = Arc::new(Grant::new(subject.clone(), credential, account));
        // What changed while it was read may have been what was read: then it is good for this request alone.
        if epoch == self.epoch.load(Ordering::Acquire) {
            self.grants.insert(subject, Arc::clone(&grant));
        }
        Ok(Found::Grant(grant))
    }

    /// The account of a holder; read from the store once, however many ask at the same moment.
    async fn account(&self, holder: HolderId) -> Result<Option<Arc<Account>>, StoreError> {
        match self.accounts.get_value_or_guard_async(&holder).await {
            Ok(account) => Ok(Some(account)),
            Err(guard) => {
                crash_point!("account.reading");
                let Some(mut subscription) = self.store.current_of(&holder).await? else { return Ok(None) };
                // The same text, once.
                subscription.holder = holder;
                let account = Arc::new(Account::new(subscription, &self.plans, Arc::clone(&self.changed)));
                // An error says that the entry was removed meanwhile: this caller has its account all the same, and
                // nobody else, since nobody would hear of what becomes of it.
                if guard.insert(Arc::clone(&account)).is_err() {
                    account.retire();
                }
                Ok(Some(account))
            }
        }
    }

    /// Takes units of one call from an account, or says that there are not enough left.
    pub(super) async fn take(&self, account: &Arc<Account>, cost: Units) -> Result<bool, StoreError> {
        // The others wait for the store, and their room is made when they do.
        if account.take(cost) { Ok(true) } else { Box::pin(self.take_of_a_new_block(account, cost)).await }
    }

    async fn take_of_a_new_block(&self, account: &Arc<Account>, cost: Units) -> Result<bool, StoreError> {
        let _leasing = account.leasing.lock().await;
        if account.take(cost) {
            return Ok(true);
        }
        if account.is_dry() {
            return Ok(false);
        }
        self.lease(account, cost).await?;
        let taken = account.take(cost);
        if !taken {
            // The books give nothing for a plan that was bought anew, which they know a moment before this process.
            self.invalidate_if_replaced(account).await?;
        }
        Ok(taken)
    }

    async fn invalidate_if_replaced(&self, account: &Account) -> Result<(), StoreError> {
        let (holder, id) = (&account.subscription().holder, &account.subscription().id);
        if self.store.current_of(holder).await?.is_some_and(|current| current.id != *id) {
            self.invalidate(holder).await;
        }
        Ok(())
    }

    /// Sets a further block aside before it is needed. Does nothing while somebody else is at it.
    pub(super) async fn lease_ahead(&self, account: &Arc<Account>, cost: Units) -> Result<(), StoreError> {
        match account.leasing.try_lock() {
            Ok(_leasing) if account.is_low(ahead(cost)) => self.lease(account, cost).await,
            _ => Ok(()),
        }
    }

    /// Sets a block of units aside. The caller holds `leasing`.
    async fn lease(&self, account: &Arc<Account>, cost: Units) -> Result<(), StoreError> {
        let subscription = account.subscription();
        let plan = subscription.units.unwrap_or(Units::ZERO).thousandths();
        let want = Units::from_thousandths(cost.thousandths().saturating_mul(BLOCK_CALLS).max(plan / 100));
        crash_point!("units.leasing");
        account.fill(self.store.lease(&subscription.id, want).await?, want);
        crash_point!("units.leased");
        Ok(())
    }

    /// Makes everything in memory of a holder be read again; what they bought anew is in force when this is ready.
    pub(super) async fn invalidate(&self, holder: &HolderId) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        // Whoever is reading the account may have read what was before: that is waited for, and judged too.
        let Ok(account) = self.accounts.get_value_or_guard_async(holder).await else { return };
        match self.store.current_of(holder).await {
            // Another key, or another address: the units stay where they are.
            Ok(Some(current)) if is_same(&current, account.subscription()) => account.renew(),
            _ => self.forget(holder, account).await,
        }
    }

    /// Takes an account out of use, and no other one that its holder may have in memory by now. What is left of its units
    /// goes back at once: a subscription that extends its own has them from then on.
    async fn forget(&self, holder: &HolderId, account: Arc<Account>) {
        // First, since whoever meets it and finds it used up must not believe that once it cannot be found any more.
        account.retire();
        self.accounts.remove_if(holder, |kept| Arc::ptr_eq(kept, &account));
        if let Err(error) = self.report(vec![account], false).await {
            tracing::error!(%error, "spent units could not be written down; they will be the next time");
        }
    }

    /// Hears of changes that other processes made: to be called several times a second.
    ///
    /// # Errors
    /// [`StoreError`]; they are heard of the next time.
    pub async fn follow(&self) -> Result<(), StoreError> {
        let changes = self.store.changes(self.heard.load(Ordering::Acquire)).await?;
        for holder in &changes.holders {
            match holder.as_str() {
                // Not a holder's own: keys came from elsewhere.
                "" => self.learn_imported().await?,
                _ => self.invalidate(holder).await,
            }
        }
        self.heard.store(changes.last, Ordering::Release);
        Ok(())
    }

    /// Learns which keys came from elsewhere.
    ///
    /// # Errors
    /// [`StoreError`]; those keys are then refused.
    pub async fn learn_imported(&self) -> Result<(), StoreError> {
        let hashes = self.store.imported().await?;
        self.imported.store(Arc::new(hashes.iter().map(beginning).collect()));
        Ok(())
    }
}

/// How many are kept where the process may use so many bytes: a quarter of them is theirs.
fn kept_max(memory: Option<u64>) -> u64 {
    memory.map_or(KEPT_MAX, |bytes| (bytes / 4 / KEPT_BYTES).min(KEPT_MAX))
}

/// A further block is due when a quarter of one is left.
pub(super) fn ahead(cost: Units) -> u64 {
    cost.thousandths().saturating_mul(BLOCK_CALLS / 4)
}

/// Whether the units in memory are still those of the subscription.
fn is_same(one: &Subscription, other: &Subscription) -> bool {
    (&one.id, one.units, one.expires_at) == (&other.id, other.units, other.expires_at)
}

fn beginning(KeyHash(bytes): &KeyHash) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource_server::fixture::{Shop, plan, with_key};

    #[test]
    fn a_quarter_of_the_memory_is_for_keys() {
        for (memory, kept) in [(None, 1_000_000), (Some(512 << 20), 131_072), (Some(24 << 30), 1_000_000), (Some(0), 0)]
        {
            assert_eq!(kept_max(memory), kept, "{memory:?}");
        }
    }

    /// Two that heard of a purchase may both find the account before it: the slower one must not take the new one out of
    /// the cache, where alone it would be heard what becomes of it.
    #[tokio::test]
    async fn whoever_comes_late_forgets_no_newer_account() {
        let shop = Shop::open().await;
        let key = shop.key(&plan("five", Some(5), 5_000_000, None), 1).await;
        let accounts = shop.server.accounts();
        let grant = async || {
            let credentials = with_key(&key);
            shop.server.open(&shop.market, credentials, true).await.unwrap()
        };
        let before = Arc::clone(&grant().await.account);
        shop.key(&plan("ten", Some(10), 5_000_000, None), 2).await;
        let now = grant().await;
        accounts.forget(&before.subscription().holder.clone(), before).await;
        assert!(now.is_current() && Arc::ptr_eq(&grant().await.account, &now.account));
        shop.key(&plan("twenty", Some(20), 5_000_000, None), 3).await;
        assert!(!now.is_current(), "it still hears of purchases");
        assert_eq!(&*grant().await.account.subscription().plan.name, "twenty");
    }
}
