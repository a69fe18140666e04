//! Buying again: nothing that was bought is lost, nothing is sold twice, and every key of the buyer's goes on with it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::fixture::{Shop, nano, plan, reason, unquoted};
use super::*;
use crate::plans::{Rate, Units};
use crate::pricing::PlanOffer;

const HOUR: Duration = Duration::from_secs(3600);
const BRIEF: Duration = Duration::from_secs(40);

fn units(whole: u64) -> Units {
    Units::from_thousandths(whole * 1000)
}

impl Shop {
    async fn extending() -> Self {
        let mut shop = Self::open().await;
        shop.extends();
        shop
    }

    /// How many units a key still opens, by using them one by one.
    async fn use_up(&self, key: &str) -> u64 {
        let mut used = 0;
        while self.spend(key, units(1)).await.is_ok() {
            used += 1;
        }
        assert_eq!(reason(self.spend(key, units(1)).await), "quota_exhausted");
        used
    }

    /// The key of a plan as it is offered now, bought without a quote.
    async fn unquoted(&self, plan: &Arc<PlanOffer>, nonce: u8) -> String {
        let [_, payment] = unquoted(&plan.offer, nonce);
        self.buy(plan, &payment).await.unwrap().key.reveal().to_owned()
    }

    async fn ends_in(&self, key: &str) -> Duration {
        self.status(key).await.unwrap().expires_at.duration_since(self.clock.now()).unwrap()
    }
}

/// A plan of that many units.
fn small(name: &str, whole: u64) -> Arc<PlanOffer> {
    plan(name, Some(whole), 5_000_000, None)
}

/// A plan of five units that ends while the payments of these tests are still good.
fn brief() -> Arc<PlanOffer> {
    let mut brief = Arc::try_unwrap(small("brief", 5)).unwrap();
    brief.plan.duration = BRIEF;
    Arc::new(brief)
}

#[tokio::test]
async fn the_same_plan_again_replaces_with_full_units_and_its_duration_from_now() {
    let (shop, brief) = (Shop::open().await, brief());
    let old = shop.unquoted(&brief, 1).await;
    shop.spend(&old, units(3)).await.unwrap();
    shop.clock.advance(BRIEF / 2);
    let new = shop.unquoted(&brief, 2).await;
    assert_ne!(old, new);
    assert_eq!((shop.ends_in(&old).await, shop.used(&old).await), (BRIEF, Units::ZERO));
    shop.spend(&new, units(1)).await.unwrap();
    assert_eq!(shop.use_up(&old).await, 4, "both keys spend the same units");
    assert_eq!(reason(shop.spend(&new, units(1)).await), "quota_exhausted");
}

#[tokio::test]
async fn another_plan_is_in_force_for_an_old_key_on_the_very_next_request() {
    for extends in [false, true] {
        let (mut shop, five, big) = (Shop::open().await, small("five", 5), small("big", 1000));
        if extends {
            shop.extends();
        }
        let old = shop.key(&five, 1).await;
        assert_eq!(shop.use_up(&old).await, 5);
        shop.key(&big, 2).await;
        shop.spend(&old, units(1000)).await.unwrap();
        assert_eq!(reason(shop.spend(&old, units(1)).await), "quota_exhausted", "what was left is not added");
        assert_eq!(&*shop.status(&old).await.unwrap().plan.name, "big");
    }
}

#[tokio::test]
async fn a_smaller_plan_replaces_too_and_brings_its_own_rate() {
    let shop = Shop::open().await;
    let old = shop.key(&nano(), 1).await;
    let rate = Some(Rate { calls: 2, per: HOUR });
    shop.key(&plan("slow", Some(3), 5_000_000, rate), 2).await;
    shop.spend(&old, units(1)).await.unwrap();
    shop.spend(&old, units(1)).await.unwrap();
    assert!(matches!(shop.spend(&old, units(1)).await, Err(Denial::RateLimited(..))));
}

#[tokio::test]
async fn after_its_end_a_plan_begins_anew_whichever_way_it_is_bought() {
    for extends in [false, true] {
        let (mut shop, brief) = (Shop::open().await, brief());
        if extends {
            shop.extends();
        }
        let old = shop.unquoted(&brief, 1).await;
        shop.clock.advance(BRIEF);
        assert_eq!(reason(shop.spend(&old, units(1)).await), "expired_api_key");
        shop.unquoted(&brief, 2).await;
        assert_eq!((shop.ends_in(&old).await, shop.use_up(&old).await), (BRIEF, 5), "extends: {extends}");
    }
}

#[tokio::test]
async fn an_extended_plan_has_what_was_left_and_ends_later() {
    let (shop, brief) = (Shop::extending().await, brief());
    let old = shop.unquoted(&brief, 1).await;
    shop.spend(&old, units(3)).await.unwrap();
    shop.server.accounts().write_down().await.unwrap();
    shop.clock.advance(BRIEF / 2);
    let new = shop.unquoted(&brief, 2).await;
    assert_eq!((shop.ends_in(&old).await, shop.use_up(&new).await), (BRIEF + BRIEF / 2, 7));
}

/// The books do not know of them at the moment of the sale.
#[tokio::test]
async fn what_is_spent_and_not_written_down_is_not_sold_again() {
    for restart in [false, true] {
        let (shop, hundred) = (Shop::extending().await, small("hundred", 100));
        let old = shop.key(&hundred, 1).await;
        shop.spend(&old, units(90)).await.unwrap();
        shop.key(&hundred, 2).await;
        let shop = if restart { shop.restarted().await } else { shop };
        assert_eq!(shop.use_up(&old).await, 110, "restart: {restart}");
    }
}

#[tokio::test]
async fn a_call_under_way_while_its_plan_is_extended_is_paid_once() {
    for served in [true, false] {
        let (shop, hundred) = (Shop::extending().await, small("hundred", 100));
        let key = shop.key(&hundred, 1).await;
        let under_way = shop.reserve(&key, units(30)).await.unwrap();
        shop.key(&hundred, 2).await;
        match served {
            true => drop(under_way.commit()),
            false => drop(under_way),
        }
        shop.server.accounts().write_down().await.unwrap();
        assert_eq!(shop.use_up(&key).await, if served { 170 } else { 200 }, "served: {served}");
    }
}

#[tokio::test]
async fn a_call_under_way_while_its_plan_is_replaced_costs_the_new_one_nothing() {
    let (shop, hundred) = (Shop::open().await, small("hundred", 100));
    let key = shop.key(&hundred, 1).await;
    let under_way = shop.reserve(&key, units(30)).await.unwrap();
    shop.key(&hundred, 2).await;
    drop(under_way.commit());
    shop.server.accounts().write_down().await.unwrap();
    assert_eq!(shop.use_up(&key).await, 100);
}

#[tokio::test]
async fn three_extensions_add_up() {
    let (shop, ten) = (Shop::extending().await, small("ten", 10));
    let key = shop.key(&ten, 1).await;
    for nonce in 2..5 {
        shop.spend(&key, units(3)).await.unwrap();
        shop.key(&ten, nonce).await;
    }
    assert_eq!((shop.ends_in(&key).await, shop.use_up(&key).await), (HOUR * 4, 31));
}

#[tokio::test]
async fn a_late_call_of_the_first_of_three_is_carried_to_the_last() {
    let (shop, ten) = (Shop::extending().await, small("ten", 10));
    let key = shop.key(&ten, 1).await;
    let under_way = shop.reserve(&key, units(4)).await.unwrap();
    for nonce in 2..4 {
        shop.key(&ten, nonce).await;
    }
    drop(under_way.commit());
    shop.server.accounts().write_down().await.unwrap();
    assert_eq!(shop.use_up(&key).await, 26);
}

#[tokio::test]
async fn a_plan_without_a_limit_is_extended_by_its_time() {
    let (shop, all) = (Shop::extending().await, plan("all", None, 5_000_000, None));
    let key = shop.key(&all, 1).await;
    shop.spend(&key, units(1_000_000)).await.unwrap();
    shop.key(&all, 2).await;
    shop.spend(&key, units(1_000_000)).await.unwrap();
    let status = shop.status(&key).await.unwrap();
    assert_eq!((shop.ends_in(&key).await, status.units), (HOUR * 2, None));
}

/// Else whoever bought it without a limit would have it so for the price of the other.
#[tokio::test]
async fn a_plan_that_has_got_a_limit_is_another_plan() {
    let shop = Shop::extending().await;
    let key = shop.key(&plan("one", None, 5_000_000, None), 1).await;
    shop.spend(&key, units(1000)).await.unwrap();
    shop.key(&small("one", 5), 2).await;
    assert_eq!((shop.ends_in(&key).await, shop.use_up(&key).await), (HOUR, 5));
    shop.key(&plan("one", None, 5_000_000, None), 3).await;
    assert_eq!((shop.ends_in(&key).await, shop.status(&key).await.unwrap().units), (HOUR, None));
}

/// The shop's table of prices has no plans at all: what was sold is a copy.
#[tokio::test]
async fn a_plan_that_is_off_the_table_changes_nothing_sold() {
    let (shop, five) = (Shop::open().await, small("five", 5));
    let key = shop.key(&five, 1).await;
    assert!(shop.market.prices.plans.is_empty());
    let shop = shop.restarted().await;
    shop.clock.advance(HOUR / 2);
    assert_eq!((shop.ends_in(&key).await, shop.use_up(&key).await), (HOUR / 2, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn purchases_at_the_same_time_leave_one_subscription_with_all_of_them() {
    for extends in [true, false] {
        let (mut shop, ten) = (Shop::open().await, small("ten", 10));
        if extends {
            shop.extends();
        }
        let (shop, key) = (Arc::new(shop), Arc::new(tokio::sync::OnceCell::new()));
        key.set(shop.key(&ten, 1).await).unwrap();
        let mut purchases = tokio::task::JoinSet::new();
        for nonce in 2..6 {
            let (shop, ten) = (Arc::clone(&shop), Arc::clone(&ten));
            purchases.spawn(async move { shop.key(&ten, nonce).await });
        }
        let keys = purchases.join_all().await;
        let (old, expected) = (key.get().unwrap(), if extends { (HOUR * 5, 50) } else { (HOUR, 10) });
        assert_eq!((shop.ends_in(old).await, shop.use_up(old).await), expected);
        for key in keys {
            assert_eq!(reason(shop.spend(&key, units(1)).await), "quota_exhausted");
        }
    }
}

/// Whatever is under way while a plan is extended, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_as_many_units_are_served_as_were_bought() {
    let (shop, tiny) = (Arc::new(Shop::extending().await), small("tiny", 20));
    let key = shop.key(&tiny, 1).await;
    let (served, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (shop, key) = (Arc::clone(&shop), key.clone());
        let (served, over) = (Arc::clone(&served), Arc::clone(&over));
        callers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let passed = shop.spend(&key, units(1)).await.is_ok();
                served.fetch_add(u64::from(passed), Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
    }
    for nonce in 2..=20 {
        shop.key(&tiny, nonce).await;
    }
    over.store(true, Ordering::Relaxed);
    callers.join_all().await;
    shop.server.accounts().write_down().await.unwrap();
    shop.server.accounts().follow().await.unwrap();
    assert_eq!(served.load(Ordering::Relaxed) + shop.use_up(&key).await, 20 * 20);
}

#[tokio::test]
async fn what_a_retired_account_had_set_aside_comes_back() {
    let (shop, hundred) = (Shop::open().await, small("hundred", 100));
    let key = shop.key(&hundred, 1).await;
    let under_way = [shop.reserve(&key, units(1)).await.unwrap(), shop.reserve(&key, units(2)).await.unwrap()];
    assert!(shop.set_aside().await > 0);
    shop.key(&hundred, 2).await;
    shop.server.accounts().write_down().await.unwrap();
    assert_eq!(shop.set_aside().await, 3000, "what is reserved is still under way");
    let [one, two] = under_way;
    drop(one.commit());
    drop(two);
    shop.server.accounts().write_down().await.unwrap();
    assert_eq!(shop.set_aside().await, 0);
}

/// The books know of a purchase a moment before the memory does, and give nothing more for the plan before.
#[tokio::test]
async fn a_call_that_meets_a_plan_just_replaced_is_served_by_the_new_one() {
    let (shop, five, ten) = (Shop::open().await, small("five", 5), small("ten", 10));
    let key = shop.key(&five, 1).await;
    assert_eq!(&*shop.status(&key).await.unwrap().plan.name, "five");
    let (ledger, keys, clock) = (Arc::clone(&shop.store), Arc::clone(&shop.store), Arc::clone(&shop.clock));
    let elsewhere = Arc::new(ResourceServer::new(ledger, keys, &Secrets::derive(&[5; 32]), clock, Handle::current()));
    let payment = shop.pay(&ten.offer, 2);
    elsewhere.purchase(&shop.market, &ten, Some(payment.as_bytes()), None).await.unwrap();
    shop.spend(&key, units(1)).await.unwrap();
    assert_eq!(&*shop.status(&key).await.unwrap().plan.name, "ten");
}

/// While others use the plan: whoever asks after a purchase has what was bought.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_after_a_purchase_meets_the_plan_before_it() {
    let shop = Arc::new(Shop::open().await);
    let first = shop.key(&small("p0", 1_000_000), 1).await;
    let second = shop.key(&small("p1", 1_000_000), 2).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for key in [&first, &second, &first, &second] {
        let (shop, key, over) = (Arc::clone(&shop), key.clone(), Arc::clone(&over));
        callers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                shop.spend(&key, units(1)).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    for nonce in 3..60 {
        let name = format!("p{nonce}");
        shop.key(&small(&name, 1_000_000), nonce).await;
        for key in [&first, &second, &first] {
            assert_eq!(*shop.status(key).await.unwrap().plan.name, *name);
        }
    }
    over.store(true, Ordering::Relaxed);
    callers.join_all().await;
    shop.server.accounts().write_down().await.unwrap();
    shop.server.accounts().close().await.unwrap();
    assert_eq!(shop.set_aside().await, 0);
}
