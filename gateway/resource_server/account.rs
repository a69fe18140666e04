//! One subscription in memory, with units to spend.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use smallvec::SmallVec;

use super::accounts::Subject;
use super::plans_met::PlansMet;
use super::standing::{PlanLabels, Standing};
use crate::plans::{Plan, Subscription, Units};
use crate::pricing::Route;
use crate::store::{Calls, Usage};

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// How long a plan counts as used up without asking the store again: what others give back comes within a second.
const DRY_FOR: Duration = Duration::from_secs(1);

/// One subscription and its units. All credentials of its holder share it.
#[derive(Debug)]
pub struct Account {
    subscription: Subscription,
    labels: Arc<PlanLabels>,
    /// Thousandths that are set aside here and free to spend.
    leased: AtomicU64,
    /// Thousandths spent and not written down.
    spent: AtomicU64,
    /// Thousandths used in all that are written down.
    written: AtomicU64,
    /// Thousandths used in all, as far as this process knows.
    used: AtomicU64,
    /// When the store last had less than was asked for.
    dry_since: Mutex<Option<Instant>>,
    /// What was found with an earlier one is to be looked up again.
    generation: AtomicU32,
    /// Whether it is in memory for calls under way only: what they give back goes back to the store.
    retired: AtomicBool,
    /// Whether it is in the list of those to be written down.
    listed: AtomicBool,
    /// One at a time asks the store for more.
    pub(super) leasing: tokio::sync::Mutex<()>,
    limiter: Option<Limiter>,
    /// Calls that are not written down: most often of one route, with one credential.
    tally: Mutex<SmallVec<[Tallied; 1]>>,
    changed: Arc<Changed>,
}

/// What a credential opens.
#[derive(Debug)]
pub struct Grant {
    /// The id of a key, `wallet` or `token`.
    pub credential: Arc<str>,
    /// Whose units are spent.
    pub account: Arc<Account>,
    /// What was shown, to look it up again.
    pub(super) subject: Subject,
    generation: u32,
}

/// Units of one call. Dropped without [`Reservation::commit`], they are given back.
#[derive(Debug)]
pub struct Reservation {
    grant: Arc<Grant>,
    route: Arc<Route>,
    cost: Units,
    /// How many calls the plan's rate has left.
    rate_left: u32,
}

/// Accounts to be written down.
#[derive(Debug, Default)]
pub(super) struct Changed(Mutex<Vec<Arc<Account>>>);

/// Calls of a route with a credential.
#[derive(Debug)]
struct Tallied {
    credential: Arc<str>,
    route: Arc<Route>,
    calls: u64,
    units: Units,
}

impl Account {
    pub(super) fn new(mut subscription: Subscription, plans: &PlansMet, changed: Arc<Changed>) -> Self {
        let labels = plans.share(&mut subscription);
        Self {
            labels,
            leased: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            written: AtomicU64::new(subscription.used.thousandths()),
            used: AtomicU64::new(subscription.used.thousandths()),
            dry_since: Mutex::new(None),
            generation: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            leasing: tokio::sync::Mutex::new(()),
            limiter: limiter(&subscription.plan),
            tally: Mutex::default(),
            subscription,
            changed,
        }
    }

    /// Whether what is set aside here is soon used up by so many units, and the store may have more.
    pub(super) fn is_low(&self, ahead: u64) -> bool {
        let limited = self.subscription.units.is_some();
        limited && self.leased.load(Ordering::Relaxed) < ahead && !self.is_dry()
    }

    /// What was bought.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// What is said of its plan with every call.
    pub fn labels(&self) -> &PlanLabels {
        &self.labels
    }

    /// What was used in all.
    pub fn used(&self) -> Units {
        Units::from_thousandths(self.used.load(Ordering::Relaxed))
    }

    /// How the subscription stands; `rate_left` is what the plan's rate has left.
    pub(super) fn standing(&self, cost: Units, rate_left: u32) -> Standing {
        Standing {
            plan: Arc::clone(&self.labels),
            expires_at: self.subscription.expires_at,
            used: self.used(),
            cost,
            rate_left,
        }
    }

    /// Counts a call against the plan's rate, and says how many are left, or how long to wait.
    pub(super) fn keep_rate(&self) -> Result<u32, Duration> {
        let Some(limiter) = &self.limiter else { return Ok(u32::MAX) };
        match limiter.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_until) => Err(not_until.wait_time_from(DefaultClock::default().now())),
        }
    }

    /// Takes units that are set aside here. A plan without a limit has always enough.
    pub(super) fn take(&self, cost: Units) -> bool {
        let less = |leased: u64| leased.checked_sub(cost.thousandths());
        self.subscription.units.is_none() || self.leased.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    /// Adds what the store has set aside; less than was wanted means that the rest is used or set aside elsewhere.
    pub(super) fn fill(self: &Arc<Self>, granted: Units, want: Units) {
        self.set_free(granted);
        *lock(&self.dry_since) = (granted < want).then(Instant::now);
    }

    /// Whether the store need not be asked.
    pub(super) fn is_dry(&self) -> bool {
        lock(&self.dry_since).is_some_and(|since| since.elapsed() < DRY_FOR)
    }

    /// Gives units back that were taken and not used.
    fn give_back(self: &Arc<Self>, units: Units) {
        if self.subscription.units.is_some() {
            self.set_free(units);
        }
    }

    /// Adds to what is set aside here. Nobody would spend it of a retired account, so it goes back to the store.
    fn set_free(self: &Arc<Self>, units: Units) {
        if units > Units::ZERO {
            self.leased.fetch_add(units.thousandths(), Ordering::AcqRel);
            if self.retired.load(Ordering::Acquire) {
                self.list();
            }
        }
    }

    /// Notes that units are used.
    fn use_up(self: &Arc<Self>, units: Units) {
        self.used.fetch_add(units.thousandths(), Ordering::Relaxed);
        self.spent.fetch_add(units.thousandths(), Ordering::AcqRel);
        self.list();
    }

    /// What was found with this account is to be looked up again, and the store may have more than it had.
    pub(super) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        *lock(&self.dry_since) = None;
    }

    /// Takes the account out of use: its units go back to the store with the next report.
    pub(super) fn retire(self: &Arc<Self>) {
        self.renew();
        self.retired.store(true, Ordering::Release);
        self.list();
    }

    /// What is to be reported now. Retired, or at the end, what is set aside goes back.
    pub(super) fn usage(&self, end: bool) -> Usage {
        self.listed.store(false, Ordering::Release);
        let back = end || self.retired.load(Ordering::Acquire);
        let returned = if back { self.leased.swap(0, Ordering::AcqRel) } else { 0 };
        Usage {
            holder: self.subscription.holder.clone(),
            subscription: self.subscription.id.clone(),
            spent: Units::from_thousandths(self.spent.swap(0, Ordering::AcqRel)),
            returned: Units::from_thousandths(returned),
            calls: std::mem::take(&mut *lock(&self.tally)).into_iter().map(Tallied::into_calls).collect(),
        }
    }

    /// Notes that so much was written down; says what it was in all before, and what it is now.
    pub(super) fn written(&self, spent: Units) -> (Units, Units) {
        let before = Units::from_thousandths(self.written.fetch_add(spent.thousandths(), Ordering::AcqRel));
        (before, before.saturating_add(spent))
    }

    /// Undoes [`Account::usage`] after a report that was not written, but for the statistics.
    pub(super) fn take_back(self: &Arc<Self>, usage: &Usage) {
        self.leased.fetch_add(usage.returned.thousandths(), Ordering::AcqRel);
        self.spent.fetch_add(usage.spent.thousandths(), Ordering::AcqRel);
        self.list();
    }

    fn list(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            lock(&self.changed.0).push(Arc::clone(self));
        }
    }

    /// Counts a call, or units of one that was counted before.
    fn count(&self, grant: &Grant, route: &Arc<Route>, calls: u64, units: Units) {
        let credential = &grant.credential;
        let mut tally = lock(&self.tally);
        let same = |it: &&mut Tallied| Arc::ptr_eq(&it.route, route) && Arc::ptr_eq(&it.credential, credential);
        match tally.iter_mut().find(same) {
            Some(it) => (it.calls, it.units) = (it.calls + calls, it.units.saturating_add(units)),
            None => {
                let (credential, route) = (Arc::clone(credential), Arc::clone(route));
                tally.push(Tallied { credential, route, calls, units });
            }
        }
    }
}

impl Grant {
    pub(super) fn new(subject: Subject, credential: Arc<str>, account: Arc<Account>) -> Self {
        let generation = account.generation.load(Ordering::Acquire);
        Self { credential, account, subject, generation }
    }

    /// Reads a little of all that a call needs of it. Among very many accounts none of it is in the processor's cache, and
    /// to wait for its parts together takes about as long as to wait for one.
    pub(super) fn prefetch(&self) {
        let Account { subscription: bought, leased, used, limiter, tally, .. } = &*self.account;
        let counts = (Arc::strong_count(&self.account), Arc::strong_count(&self.credential));
        let payer = bought.payer.as_bytes().first().copied();
        black_box((counts, payer, bought.expires_at, limiter.is_some(), tally.is_poisoned()));
        black_box((leased.load(Ordering::Relaxed), used.load(Ordering::Relaxed)));
    }

    /// Whether it is still to be believed. Never one that was made with an account that was retired by then.
    pub(super) fn is_current(&self) -> bool {
        let account = &self.account;
        self.generation == account.generation.load(Ordering::Acquire) && !account.retired.load(Ordering::Acquire)
    }
}

impl Reservation {
    /// Units that were just taken from the account.
    pub(super) fn new(grant: Arc<Grant>, route: &Arc<Route>, cost: Units, rate_left: u32) -> Self {
        Self { grant, route: Arc::clone(route), cost, rate_left }
    }

    /// The account that pays.
    pub fn account(&self) -> &Arc<Account> {
        &self.grant.account
    }

    /// With what it was opened.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// The call was served: what was reserved is spent.
    pub fn commit(self) -> Standing {
        let cost = self.cost;
        self.commit_at(cost)
    }

    /// The call was served for so many units, at most those that were reserved; the rest is given back.
    pub fn commit_at(mut self, cost: Units) -> Standing {
        self.spend(1, cost)
    }

    /// Spends a part of what is reserved, for so many calls; all of it if `cost` is more.
    pub(super) fn spend(&mut self, calls: u64, cost: Units) -> Standing {
        let cost = cost.min(self.cost);
        self.cost = self.cost.saturating_sub(cost);
        let account = self.account();
        account.count(&self.grant, &self.route, calls, cost);
        account.use_up(cost);
        account.standing(cost, self.rate_left)
    }

    /// Gives back what is reserved and not spent.
    pub(super) fn give_back(&mut self) {
        let rest = std::mem::take(&mut self.cost);
        self.grant.account.give_back(rest);
    }

    /// Reserves more, which was just taken from the account.
    pub(super) fn grow(&mut self, more: Units) {
        self.cost = self.cost.saturating_add(more);
    }

    /// Goes on with what the credential leads to now.
    pub(super) fn go_on_with(&mut self, grant: Arc<Grant>) {
        self.give_back();
        self.grant = grant;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Changed {
    pub(super) fn take(&self) -> Vec<Arc<Account>> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// Puts back those whose turn did not come.
    pub(super) fn put_back(&self, accounts: &[Arc<Account>]) {
        lock(&self.0).extend_from_slice(accounts);
    }
}

impl Tallied {
    fn into_calls(self) -> Calls {
        let route = format!("{} {}", self.route.methods, self.route.pattern);
        Calls { credential: self.credential, route: route.into(), calls: self.calls, units: self.units }
    }
}

fn limiter(plan: &Plan) -> Option<Limiter> {
    let rate = plan.rate?;
    let burst = NonZeroU32::new(plan.burst.unwrap_or(rate.calls))?;
    let quota = Quota::with_period(rate.per.checked_div(rate.calls)?)?.allow_burst(burst);
    Some(RateLimiter::direct(quota).with_middleware())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
