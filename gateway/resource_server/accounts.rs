//! Subscriptions in memory, with units to spend: the books of keyed requests.
//!
//! Blocks of units are set aside in the store and spent here, so that a keyed request writes nothing to the disk. What
//! was spent is written down every second. After a crash, what was set aside and not written down is the buyer's
//! again: the books are off by at most a second's calls, never to the buyer's cost.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;

use crate::plans::{KeyHash, Rate, Subscription, Units};
use crate::store::{KeyStore, StoreError, Usage};

/// The most keys that are kept in memory; others are read again when they come.
const KEYS_MAX: usize = 200_000;

/// A block is a hundredth of the plan, or this many calls if that is more.
const BLOCK_CALLS: u64 = 64;

/// All subscriptions that were used lately.
pub struct Accounts {
    store: Arc<dyn KeyStore>,
    by_key: Cache<KeyHash, Arc<Account>, quick_cache::UnitWeighter, quick_cache::DefaultHashBuilder, Retire>,
    changed: Arc<Changed>,
}

/// One subscription and its units.
#[derive(Debug)]
pub struct Account {
    subscription: Subscription,
    /// Thousandths that are set aside here and free to spend.
    leased: AtomicU64,
    /// Thousandths spent and not written down.
    spent: AtomicU64,
    /// Thousandths used in all, as far as this process knows.
    used: AtomicU64,
    /// Whether the store had less than was asked for: then there is no more.
    dry: AtomicBool,
    /// Whether it is in the list of those to be written down.
    listed: AtomicBool,
    /// One at a time asks the store for more.
    leasing: tokio::sync::Mutex<()>,
    limiter: Option<DefaultDirectRateLimiter>,
    changed: Arc<Changed>,
}

/// Units of one call. Dropped without [`Reservation::commit`], they are given back.
#[derive(Debug)]
pub struct Reservation {
    account: Arc<Account>,
    cost: Units,
}

/// Accounts to be written down, and those that left the cache.
#[derive(Debug, Default)]
struct Changed {
    spent: Mutex<Vec<Arc<Account>>>,
    retired: Mutex<Vec<Arc<Account>>>,
}

/// What leaves the cache gives its units back at the next writing.
#[derive(Debug, Clone)]
struct Retire(Arc<Changed>);

impl quick_cache::Lifecycle<KeyHash, Arc<Account>> for Retire {
    type RequestState = ();

    fn on_evict(&self, _: &mut (), _: KeyHash, account: Arc<Account>) {
        lock(&self.0.retired).push(account);
    }
}

impl Accounts {
    pub(super) fn new(store: Arc<dyn KeyStore>) -> Self {
        let changed = Arc::new(Changed::default());
        let by_key = Cache::with(
            KEYS_MAX,
            u64::try_from(KEYS_MAX).unwrap_or(u64::MAX),
            quick_cache::UnitWeighter,
            quick_cache::DefaultHashBuilder::default(),
            Retire(Arc::clone(&changed)),
        );
        Self { store, by_key, changed }
    }

    pub(super) fn store(&self) -> &dyn KeyStore {
        &*self.store
    }

    /// How many keys are in memory.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key is in memory.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The account of a key; read from the store once, however many ask at the same moment.
    pub(super) async fn find(&self, key: KeyHash) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some(account) = self.by_key.get(&key) {
            return Ok(Some(account));
        }
        match self.by_key.get_value_or_guard_async(&key).await {
            Ok(account) => Ok(Some(account)),
            Err(guard) => {
                let Some(subscription) = self.store.subscription_of(&key).await? else { return Ok(None) };
                let account = Arc::new(Account::new(subscription, Arc::clone(&self.changed)));
                // An error says that the entry was removed meanwhile: this caller has its account all the same.
                let _ = guard.insert(Arc::clone(&account));
                Ok(Some(account))
            }
        }
    }

    /// Takes units of one call, or nothing if there are not enough left.
    pub(super) async fn reserve(&self, account: Arc<Account>, cost: Units) -> Result<Option<Reservation>, StoreError> {
        let Some(units) = account.subscription.plan.units else {
            return Ok(Some(Reservation { account, cost }));
        };
        if account.take(cost) {
            return Ok(Some(Reservation { account, cost }));
        }
        let leasing = account.leasing.lock().await;
        let mut taken = account.take(cost);
        if !taken && !account.dry.load(Ordering::Relaxed) {
            let block = cost.thousandths().saturating_mul(BLOCK_CALLS).max(units.thousandths() / 100);
            let want = Units::from_thousandths(block);
            let granted = self.store.lease(&account.subscription.id, want).await?;
            account.dry.store(granted < want, Ordering::Relaxed);
            account.leased.fetch_add(granted.thousandths(), Ordering::AcqRel);
            taken = account.take(cost);
        }
        drop(leasing);
        // Not `then_some`: a reservation that is made and dropped gives back what was never taken.
        Ok(taken.then(|| Reservation { account, cost }))
    }

    /// Writes down what was spent since the last time, and gives back what retired accounts had left.
    ///
    /// # Errors
    /// [`StoreError`]; the numbers are then written the next time.
    pub async fn write_down(&self) -> Result<(), StoreError> {
        let retired = std::mem::take(&mut *lock(&self.changed.retired));
        let spent = std::mem::take(&mut *lock(&self.changed.spent));
        self.report(&spent, &retired).await
    }

    /// Writes down everything and gives all leases back: for a clean stop.
    ///
    /// # Errors
    /// [`StoreError`]; the next start then frees the leases, to the buyers' good.
    pub async fn close(&self) -> Result<(), StoreError> {
        let mut all: Vec<_> = self.by_key.iter().map(|(_, account)| account).collect();
        all.extend(std::mem::take(&mut *lock(&self.changed.retired)));
        self.report(&[], &all).await
    }

    async fn report(&self, spent: &[Arc<Account>], retired: &[Arc<Account>]) -> Result<(), StoreError> {
        let usages: Vec<_> = retired
            .iter()
            .map(|account| account.usage(true))
            .chain(spent.iter().map(|account| account.usage(false)))
            .collect();
        let written = match usages.iter().all(Usage::is_nothing) {
            true => return Ok(()),
            false => self.store.report(usages.clone()).await,
        };
        if written.is_err() {
            for (account, usage) in retired.iter().chain(spent).zip(usages) {
                account.take_back(&usage);
            }
        }
        written
    }
}

impl Account {
    fn new(subscription: Subscription, changed: Arc<Changed>) -> Self {
        Self {
            leased: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            used: AtomicU64::new(subscription.used.thousandths()),
            dry: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            leasing: tokio::sync::Mutex::new(()),
            limiter: subscription.plan.rate.and_then(limiter),
            subscription,
            changed,
        }
    }

    /// What was bought.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// What was used in all.
    pub fn used(&self) -> Units {
        Units::from_thousandths(self.used.load(Ordering::Relaxed))
    }

    /// Counts a call against the plan's rate, or says how long to wait.
    pub(super) fn keep_rate(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    fn take(&self, cost: Units) -> bool {
        let less = |leased: u64| leased.checked_sub(cost.thousandths());
        self.leased.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    fn usage(&self, retire: bool) -> Usage {
        self.listed.store(false, Ordering::Release);
        let returned = if retire { self.leased.swap(0, Ordering::AcqRel) } else { 0 };
        Usage {
            subscription: self.subscription.id.clone(),
            spent: Units::from_thousandths(self.spent.swap(0, Ordering::AcqRel)),
            returned: Units::from_thousandths(returned),
        }
    }

    /// Undoes [`Account::usage`] after a report that was not written.
    fn take_back(self: &Arc<Self>, usage: &Usage) {
        self.leased.fetch_add(usage.returned.thousandths(), Ordering::AcqRel);
        self.spent.fetch_add(usage.spent.thousandths(), Ordering::AcqRel);
        self.list();
    }

    fn list(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            lock(&self.changed.spent).push(Arc::clone(self));
        }
    }
}

impl Reservation {
    /// The account that pays.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The call was served: the units are spent.
    pub fn commit(mut self) {
        let cost = std::mem::take(&mut self.cost).thousandths();
        self.account.used.fetch_add(cost, Ordering::Relaxed);
        self.account.spent.fetch_add(cost, Ordering::AcqRel);
        self.account.list();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.account.subscription.plan.units.is_some() {
            self.account.leased.fetch_add(self.cost.thousandths(), Ordering::AcqRel);
        }
    }
}

impl Usage {
    fn is_nothing(&self) -> bool {
        self.spent == Units::ZERO && self.returned == Units::ZERO
    }
}

fn limiter(rate: Rate) -> Option<DefaultDirectRateLimiter> {
    let calls = NonZeroU32::new(rate.calls)?;
    let quota = Quota::with_period(rate.per.checked_div(rate.calls)?)?.allow_burst(calls);
    Some(RateLimiter::direct(quota))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
