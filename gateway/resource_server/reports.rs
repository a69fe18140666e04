//! What is written down of accounts.

use std::sync::Arc;

use super::account::Account;
use super::accounts::Accounts;
use super::quota::Written;
use crate::plans::Units;
use crate::store::{StoreError, Usage};

/// How many accounts are written down in one transaction. A payment may wait for that at each of its own: some
/// milliseconds. All that call in a second may be a second's work.
const PART_MAX: usize = 256;

impl Accounts {
    /// Writes down what was spent since the last time, and gives back what retired accounts had left.
    ///
    /// # Errors
    /// [`StoreError`]; the numbers are then written the next time.
    pub async fn write_down(&self) -> Result<(), StoreError> {
        self.report(self.changed.take(), false).await
    }

    /// What was written down since this was last asked.
    pub fn take_written(&self) -> Vec<Written> {
        self.unseen.take()
    }

    /// Writes down everything and gives all leases back: for a clean stop.
    ///
    /// # Errors
    /// [`StoreError`]; the next start then frees the leases, to the buyers' good.
    pub async fn close(&self) -> Result<(), StoreError> {
        // What was spent comes first: to give back what a million accounts have takes seconds, in which whoever stops the
        // process may lose patience.
        self.write_down().await?;
        let all = self.accounts.iter().map(|(_, account)| account).chain(self.changed.take());
        self.report(all.collect(), true).await
    }

    /// Reports in parts, so that payments have their turn at the store. A store that fails is not asked for the next; one
    /// that refuses a part is, since nothing says that it would refuse the others.
    pub(super) async fn report(&self, mut accounts: Vec<Arc<Account>>, end: bool) -> Result<(), StoreError> {
        // In the order of the rows, so that those which lie together are in one part.
        accounts.sort_by_cached_key(|account| account.subscription().id.clone());
        let (mut parts, mut reported) = (accounts.chunks(PART_MAX), Ok(()));
        while let Some(part) = parts.next() {
            match self.report_part(part, end).await {
                Ok(()) => {}
                Err(failed @ StoreError::Failed(_)) => {
                    parts.for_each(|rest| self.changed.put_back(rest));
                    return Err(failed);
                }
                Err(refused) => reported = Err(refused),
            }
        }
        reported
    }

    async fn report_part(&self, accounts: &[Arc<Account>], end: bool) -> Result<(), StoreError> {
        let usages: Vec<_> = accounts.iter().map(|account| account.usage(end)).collect();
        let written = match usages.iter().all(Usage::is_nothing) {
            true => return Ok(()),
            false => self.store.report(usages.clone()).await,
        };
        accounts.iter().zip(&usages).for_each(|(account, usage)| match &written {
            Ok(()) => self.unseen.note(account, usage.spent),
            Err(_) => account.take_back(usage),
        });
        written
    }
}

impl Usage {
    fn is_nothing(&self) -> bool {
        self.spent == Units::ZERO && self.returned == Units::ZERO && self.calls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::plans::{HolderId, OnRepurchase, SubscriptionId};
    use crate::resource_server::fixture::{Shop, nano};
    use crate::store::{KeyStore as _, Sale};

    fn unit() -> Units {
        Units::from_thousandths(1000)
    }

    impl Shop {
        /// Spends a unit of each of so many plans, and says which subscriptions they are.
        async fn spend_of_each(&self, count: usize) -> Vec<SubscriptionId> {
            let bought = self.buy(&nano(), &self.pay(&nano().offer, 1)).await.unwrap().subscription;
            let mut subscriptions = Vec::new();
            for number in 0..count {
                let mut subscription = bought.clone();
                subscription.id = SubscriptionId::of_payment(&format!("pay_{number}"));
                (subscription.holder, subscription.payer) = (HolderId::new(&format!("hol_{number}")), "".into());
                subscriptions.push(subscription.id.clone());
                let (key, shown) = self.server.new_key("tg_live_", &subscription.holder);
                let sale = Sale { subscription, key, network: None, name: None, on_repurchase: OnRepurchase::Replace };
                self.store.store.grant(&sale).await.unwrap();
                self.spend(shown.reveal(), unit()).await.unwrap();
            }
            subscriptions
        }

        /// How many of them have the unit in the books.
        async fn written(&self, subscriptions: &[SubscriptionId]) -> usize {
            let mut written = 0;
            for id in subscriptions {
                let used = self.store.store.subscription(id).await.unwrap().unwrap().used;
                assert!(used == Units::ZERO || used == unit(), "{used}: what is written down is written once");
                written += usize::from(used == unit());
            }
            written
        }
    }

    #[tokio::test]
    async fn a_store_that_fails_half_way_has_the_parts_before_and_gets_the_others_the_next_time() {
        let shop = Shop::open().await;
        let subscriptions = shop.spend_of_each(2 * PART_MAX + 1).await;
        let accounts = shop.server.accounts();
        shop.store.reports_left.store(1, Ordering::Relaxed);
        assert!(accounts.write_down().await.is_err());
        assert_eq!(shop.written(&subscriptions).await, PART_MAX);
        shop.store.reports_left.store(usize::MAX, Ordering::Relaxed);
        accounts.write_down().await.unwrap();
        assert_eq!(shop.written(&subscriptions).await, 2 * PART_MAX + 1);
        accounts.close().await.unwrap();
        assert_eq!((shop.written(&subscriptions).await, shop.set_aside().await), (2 * PART_MAX + 1, 0));
    }

    #[tokio::test]
    async fn a_part_that_is_refused_keeps_no_other_from_being_written() {
        let shop = Shop::open().await;
        let mut subscriptions = shop.spend_of_each(PART_MAX + 1).await;
        subscriptions.sort();
        shop.forbid(&subscriptions[0]).await;
        assert!(shop.server.accounts().write_down().await.is_err());
        assert_eq!(shop.written(&subscriptions).await, 1);
        shop.allow_all().await;
        shop.server.accounts().write_down().await.unwrap();
        assert_eq!(shop.written(&subscriptions).await, PART_MAX + 1);
    }
}
