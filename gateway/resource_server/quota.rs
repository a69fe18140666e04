use std::sync::{Arc, Mutex, PoisonError};

use super::account::Account;
use crate::plans::{Subscription, Units};

/// How much of a subscription was used before some of its use was written down, and after it.
#[derive(Debug)]
pub struct Written {
    account: Arc<Account>,
    before: Units,
    after: Units,
}

/// What was written down and not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Unseen(Mutex<Vec<Written>>);

/// More than are written down between two looks, unless nobody looks.
const UNSEEN_MAX: usize = 100_000;

impl Written {
    /// What was bought.
    pub fn subscription(&self) -> &Subscription {
        self.account.subscription()
    }

    /// What was used of it by then.
    pub fn used(&self) -> Units {
        self.after
    }

    /// The highest of these percents that was crossed, with the total that they are of. Each is crossed once: what was
    /// used never shrinks, and what is not written down after a crash was not told either.
    pub fn crossed(&self, percents: &[u8]) -> Option<(u8, Units)> {
        let total = self.subscription().units?;
        let reaches = |used: Units, percent: u8| {
            u128::from(used.thousandths()) * 100 >= u128::from(total.thousandths()) * u128::from(percent)
        };
        let crossed =
            percents.iter().filter(|percent| !reaches(self.before, **percent) && reaches(self.after, **percent));
        crossed.max().map(|percent| (*percent, total))
    }
}

impl Unseen {
    pub(super) fn note(&self, account: &Arc<Account>, spent: Units) {
        let mut unseen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spent > Units::ZERO && account.subscription().units.is_some() && unseen.len() < UNSEEN_MAX {
            let (before, after) = account.written(spent);
            unseen.push(Written { account: Arc::clone(account), before, after });
        }
    }

    pub(super) fn take(&self) -> Vec<Written> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Shop, nano};
    use super::*;

    impl Shop {
        /// Writes down, and says what was crossed of 50, 80 and 100 percent.
        async fn crossed(&self) -> Vec<u8> {
            self.server.accounts().write_down().await.unwrap();
            let written = self.server.accounts().take_written();
            written.iter().filter_map(|written| written.crossed(&[50, 80, 100])).map(|(percent, _)| percent).collect()
        }
    }

    fn units(whole: u64) -> Units {
        Units::from_thousandths(whole * 1000)
    }

    #[tokio::test]
    async fn each_percent_is_crossed_once() {
        let shop = Shop::open().await;
        let key = shop.key(&nano(), 1).await;
        for (spent, crossed) in [(49, vec![]), (1, vec![50]), (29, vec![]), (1, vec![80]), (19, vec![]), (1, vec![100])]
        {
            shop.spend(&key, units(spent)).await.unwrap();
            assert_eq!(shop.crossed().await, crossed, "{spent}");
            assert_eq!(shop.crossed().await, [0; 0], "{spent}, again");
        }
        shop.key(&nano(), 2).await;
        shop.spend(&key, units(90)).await.unwrap();
        assert_eq!(
            shop.crossed().await,
            [80],
            "the highest of those that were crossed at once, of the new subscription"
        );
    }

    #[tokio::test]
    async fn what_was_crossed_before_a_restart_is_not_crossed_again() {
        let shop = Shop::open().await;
        let key = shop.key(&nano(), 1).await;
        shop.spend(&key, units(60)).await.unwrap();
        assert_eq!(shop.crossed().await, [50]);
        shop.spend(&key, units(30)).await.unwrap();
        let shop = shop.restarted().await;
        shop.spend(&key, units(1)).await.unwrap();
        assert_eq!(shop.crossed().await, [0; 0], "it was not written down, so it is the buyer's");
        shop.spend(&key, units(19)).await.unwrap();
        assert_eq!(shop.crossed().await, [80]);
    }

    #[tokio::test]
    async fn what_could_not_be_written_down_is_crossed_when_it_is() {
        let shop = Shop::open().await;
        let key = shop.key(&nano(), 1).await;
        shop.spend(&key, units(100)).await.unwrap();
        shop.store.down.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(shop.server.accounts().write_down().await.is_err());
        assert!(shop.server.accounts().take_written().is_empty());
        shop.store.down.store(false, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(shop.crossed().await, [100]);
    }

    #[tokio::test]
    async fn a_plan_without_a_limit_has_no_percents() {
        let shop = Shop::open().await;
        let key = shop.key(&super::super::fixture::plan("all", None, 5_000_000, None), 1).await;
        shop.spend(&key, units(1_000_000)).await.unwrap();
        assert_eq!(shop.crossed().await, [0; 0]);
    }
}
