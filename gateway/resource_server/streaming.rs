//! Paying while an answer streams: byte by byte, and not one more than was bought.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fixture::{Shop, nano, plan};
use super::*;
use crate::plans::Units;

fn per_byte() -> Units {
    units(5)
}

fn units(thousandths: u64) -> Units {
    Units::from_thousandths(thousandths)
}

impl Shop {
    async fn tab(&self, key: &str, own: Units) -> Tab {
        let reservation = self.reserve(key, own.max(per_byte())).await.unwrap();
        self.server.open_tab(reservation, own, per_byte()).0
    }
}

#[tokio::test]
async fn a_call_takes_what_it_took_and_gives_the_rest_back() {
    let (shop, nano) = (Shop::open().await.with_money_apart(), nano());
    let key = shop.key(&nano, 1).await;
    for (reserved, took, used) in [(50_000, 20_000, 20_000), (50_000, 0, 20_000), (1, 90_000, 20_001)] {
        shop.reserve(&key, units(reserved)).await.unwrap().commit_at(units(took));
        assert_eq!(shop.used(&key).await, units(used), "{took} of {reserved}");
    }
    shop.spend(&key, units(79_999)).await.unwrap();
    assert_eq!(shop.used(&key).await, units(100_000));
    shop.server.accounts().write_down().await.unwrap();
    let shop = shop.restarted().await;
    assert_eq!(shop.used(&key).await, units(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_paid_to_the_last_thousandth() {
    let (shop, nano) = (Shop::open().await.with_money_apart(), nano());
    let key = shop.key(&nano, 1).await;
    let mut tab = shop.tab(&key, units(250)).await;
    assert_eq!(shop.used(&key).await, units(250));
    // 99.75 units are left: 19,950 bytes.
    for _ in 0..199 {
        tab.spend(100).unwrap();
    }
    assert_eq!(tab.spend(51), Err(Ended::QuotaExhausted));
    assert_eq!(tab.spend(50), Ok(()));
    assert_eq!(tab.spend(1), Err(Ended::QuotaExhausted));
    assert_eq!(tab.spend(0), Ok(()));
    assert_eq!(shop.used(&key).await, units(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reserved_and_does_not_leave_is_given_back() {
    let (shop, nano) = (Shop::open().await.with_money_apart(), nano());
    let key = shop.key(&nano, 1).await;
    let mut tab = shop.tab(&key, Units::ZERO).await;
    tab.reserve(20_000).unwrap();
    assert_eq!(tab.reserve(1), Err(Ended::QuotaExhausted));
    tab.commit(500);
    assert_eq!(shop.used(&key).await, units(2500));
    drop(tab);
    shop.spend(&key, units(97_500)).await.unwrap();
    assert_eq!(shop.used(&key).await, units(100_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_streams_as_many_bytes_pass_as_were_bought() {
    let shop = Arc::new(Shop::open().await.with_money_apart());
    let key = shop.key(&plan("tiny", Some(50), 5_000_000, None), 1).await;
    let passed = Arc::new(AtomicU64::new(0));
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (shop, key, passed) = (Arc::clone(&shop), key.clone(), Arc::clone(&passed));
        streams.spawn(async move {
            let mut tab = shop.tab(&key, Units::ZERO).await;
            while tab.spend(10).is_ok() {
                passed.fetch_add(10, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
    }
    streams.join_all().await;
    assert_eq!(passed.load(Ordering::Relaxed), 10_000, "50 units are 10,000 bytes");
    assert_eq!(shop.used(&key).await, units(50_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_ends_with_the_subscription_and_without_the_store() {
    let (shop, nano) = (Shop::open().await.with_money_apart(), nano());
    let key = shop.key(&nano, 1).await;
    let mut tab = shop.tab(&key, Units::ZERO).await;
    tab.spend(1).unwrap();
    shop.store.down.store(true, Ordering::Relaxed);
    assert_eq!(tab.spend(19_999), Err(Ended::StoreFailed));
    tab.spend(1).unwrap();
    shop.store.down.store(false, Ordering::Relaxed);
    shop.clock.advance(Duration::from_millis(3_599_999));
    tab.spend(1).unwrap();
    shop.clock.advance(Duration::from_millis(1));
    assert_eq!(tab.spend(0), Err(Ended::Expired));
    assert_eq!(shop.used(&key).await, units(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_money_moves_nobody_waits_for_units() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    let mut tab = shop.tab(&key, Units::ZERO).await;
    // More than was set aside with the call.
    assert_eq!(tab.spend(20_000), Err(Ended::StoreFailed));
    assert_eq!(shop.used(&key).await, Units::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_a_quota_pays_any_number_of_bytes() {
    let shop = Shop::open().await.with_money_apart();
    let key = shop.key(&plan("all", None, 5_000_000, None), 1).await;
    let mut tab = shop.tab(&key, units(1)).await;
    tab.spend(1_000_000_000).unwrap();
    assert_eq!(tab.spend(u64::MAX), Err(Ended::QuotaExhausted), "no answer is as long as that");
    assert_eq!(shop.used(&key).await, units(5_000_000_001));
}
