//! Spending plans: not a unit more than was bought, and not a unit less.

use std::sync::atomic::Ordering;

use http::Method;

use super::fixture::{Shop, bare, nano, plan, reason};
use super::*;
use crate::plans::{KeyMint, OnRepurchase, Rate, Units};
use crate::pricing::{Access, Metering, Route, SettleTiming};

fn units(whole: u64) -> Units {
    Units::from_thousandths(whole * 1000)
}

#[tokio::test]
async fn a_call_costs_what_the_route_says() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    shop.spend(&key, units(30)).await.unwrap();
    shop.spend(&key, Units::from_thousandths(50)).await.unwrap();
    assert_eq!(shop.used(&key).await, Units::from_thousandths(30_050));
}

#[tokio::test]
async fn not_a_unit_more_than_was_bought_is_spent() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    shop.spend(&key, units(99)).await.unwrap();
    assert_eq!(reason(shop.spend(&key, units(2)).await), "quota_exhausted");
    shop.spend(&key, units(1)).await.unwrap();
    assert_eq!(reason(shop.spend(&key, Units::from_thousandths(1)).await), "quota_exhausted");
    assert_eq!(shop.used(&key).await, units(100));
}

async fn spend_in_parallel(units_sold: u64, calls: usize) -> usize {
    let shop = Arc::new(Shop::open().await);
    let key = shop.key(&plan("tiny", Some(units_sold), 5_000_000, None), 1).await;
    let mut spends = tokio::task::JoinSet::new();
    for _ in 0..calls {
        let (shop, key) = (Arc::clone(&shop), key.clone());
        spends.spawn(async move { shop.spend(&key, units(1)).await });
    }
    let (passed, denied): (Vec<_>, Vec<_>) = spends.join_all().await.into_iter().partition(Result::is_ok);
    assert!(denied.into_iter().all(|denied| reason(denied) == "quota_exhausted"));
    assert_eq!(shop.used(&key).await, units(units_sold));
    passed.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_calls_for_the_last_unit_one_passes() {
    for _ in 0..10 {
        assert_eq!(spend_in_parallel(1, 200).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_thousand_calls_as_many_pass_as_units_were_bought() {
    assert_eq!(spend_in_parallel(1000, 2000).await, 1000);
}

/// However they fall on the blocks that are set aside: nobody is told that the plan is used up while it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_calls_as_units_all_pass() {
    for _ in 0..10 {
        assert_eq!(spend_in_parallel(100, 100).await, 100);
    }
}

#[tokio::test]
async fn what_was_spent_this_second_is_not_left_to_the_plan_that_extends() {
    let (mut shop, nano) = (Shop::open().await, nano());
    Arc::get_mut(&mut shop.market).unwrap().terms.on_repurchase = OnRepurchase::Extend;
    let key = shop.key(&nano, 1).await;
    shop.spend(&key, units(60)).await.unwrap();
    shop.buy(&nano, &shop.pay(&nano.offer, 2)).await.unwrap();
    shop.spend(&key, units(140)).await.unwrap();
    assert_eq!(reason(shop.spend(&key, Units::from_thousandths(1)).await), "quota_exhausted");
}

#[tokio::test]
async fn a_call_that_was_not_served_gives_its_units_back() {
    let (shop, tiny) = (Shop::open().await, plan("tiny", Some(1), 5_000_000, None));
    let key = shop.key(&tiny, 1).await;
    let reserved = shop.reserve(&key, units(1)).await.unwrap();
    assert_eq!(reason(shop.spend(&key, units(1)).await), "quota_exhausted", "it is reserved");
    assert_eq!(shop.used(&key).await, Units::ZERO, "and not spent");
    drop(reserved);
    shop.spend(&key, units(1)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(reason(shop.spend(&key, units(1)).await), "quota_exhausted", "what is refused gives nothing back");
    }
}

#[tokio::test]
async fn what_is_written_down_survives_and_what_is_not_is_the_buyers() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    shop.spend(&key, units(60)).await.unwrap();
    shop.server.accounts().write_down().await.unwrap();
    shop.spend(&key, units(10)).await.unwrap();
    let shop = shop.restarted().await;
    assert_eq!(shop.used(&key).await, units(60), "the last ten were not written down");
    shop.spend(&key, units(40)).await.unwrap();
    assert_eq!(reason(shop.spend(&key, units(1)).await), "quota_exhausted");
}

#[tokio::test]
async fn a_clean_stop_writes_everything_down() {
    let (shop, nano) = (Shop::open().await, nano());
    let sold = shop.buy(&nano, &shop.pay(&nano.offer, 1)).await.unwrap();
    let key = sold.key.reveal().to_owned();
    shop.spend(&key, units(60)).await.unwrap();
    shop.server.accounts().close().await.unwrap();
    let left = shop.store.lease(&sold.subscription.id, units(100)).await;
    assert_eq!(left, Ok(units(40)), "nothing stays set aside");
    let shop = shop.restarted().await;
    assert_eq!(shop.used(&key).await, units(60));
    shop.spend(&key, units(40)).await.unwrap();
    assert_eq!(reason(shop.spend(&key, units(1)).await), "quota_exhausted");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_written_the_next_time() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    shop.spend(&key, units(60)).await.unwrap();
    shop.store.down.store(true, Ordering::Relaxed);
    assert!(shop.server.accounts().write_down().await.is_err());
    shop.store.down.store(false, Ordering::Relaxed);
    shop.server.accounts().write_down().await.unwrap();
    let shop = shop.restarted().await;
    assert_eq!(shop.used(&key).await, units(60));
}

#[tokio::test]
async fn what_is_written_down_is_written_once() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    for _ in 0..3 {
        shop.spend(&key, units(1)).await.unwrap();
        shop.server.accounts().write_down().await.unwrap();
        shop.server.accounts().write_down().await.unwrap();
    }
    let shop = shop.restarted().await;
    assert_eq!(shop.used(&key).await, units(3));
}

#[tokio::test]
async fn a_key_ends_at_its_expiry() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    shop.clock.advance(Duration::from_millis(3_599_999));
    shop.spend(&key, units(1)).await.unwrap();
    assert!(shop.status(&key).await.unwrap().active);
    shop.clock.advance(Duration::from_millis(1));
    assert_eq!(reason(shop.spend(&key, units(1)).await), "expired_api_key");
    let status = shop.status(&key).await.unwrap();
    assert!(!status.active && status.expires_at == shop.server.clock().now());
    let shop = shop.restarted().await;
    assert_eq!(reason(shop.spend(&key, units(1)).await), "expired_api_key", "read anew it has ended too");
}

#[tokio::test]
async fn a_key_that_is_none_opens_nothing() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    let never_sold = shop.server.keys.derive("tg_live_", "pay_2", "sub_2");
    let of_another_gateway = KeyMint::new(&[9; 32]).derive("tg_live_", "pay_1", "sub_1");
    let longer = format!("{key}0");
    for key in ["", "tg_live_", never_sold.reveal(), of_another_gateway.reveal(), &longer, &key.to_uppercase()] {
        assert_eq!(reason(shop.spend(key, units(1)).await), "invalid_api_key", "{key}");
        assert_eq!(reason(shop.status(key).await), "invalid_api_key", "{key}");
    }
    shop.spend(&key, units(1)).await.unwrap();
}

#[tokio::test]
async fn a_plan_without_a_quota_is_counted_and_never_exhausted() {
    let shop = Shop::open().await;
    let key = shop.key(&plan("all", None, 5_000_000, None), 1).await;
    for _ in 0..5 {
        shop.spend(&key, units(1_000_000)).await.unwrap();
    }
    drop(shop.reserve(&key, units(1)).await.unwrap());
    shop.server.accounts().write_down().await.unwrap();
    let shop = shop.restarted().await;
    assert_eq!(shop.used(&key).await, units(5_000_000));
}

#[tokio::test]
async fn a_plans_rate_is_kept() {
    let shop = Shop::open().await;
    let hourly = Rate { calls: 3, per: Duration::from_secs(3600) };
    let key = shop.key(&plan("slow", Some(100), 5_000_000, Some(hourly)), 1).await;
    for _ in 0..3 {
        shop.spend(&key, units(1)).await.unwrap();
    }
    let Err(Denial::RateLimited(wait, _)) = shop.spend(&key, units(1)).await else { panic!("a fourth call passed") };
    assert!(wait > Duration::from_secs(1100) && wait <= Duration::from_secs(1200), "{wait:?}");
    assert_eq!(shop.used(&key).await, units(3), "what is refused costs nothing");
}

#[tokio::test]
async fn without_the_store_no_key_is_believed() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    shop.store.down.store(true, Ordering::Relaxed);
    assert_eq!(shop.spend(&key, units(1)).await.unwrap_err(), Denial::StoreFailed);
    shop.store.down.store(false, Ordering::Relaxed);
    shop.spend(&key, units(1)).await.unwrap();
}

#[tokio::test]
async fn a_route_is_opened_by_the_key_or_the_payment_that_is_sent() {
    let (shop, nano) = (Shop::open().await, nano());
    let key = shop.key(&nano, 1).await;
    let per_call = bare("/weather", SettleTiming::After);
    let payment = shop.pay(per_call.access.offer().unwrap(), 2);
    let Access::PerCall(offer) = per_call.access else { panic!("it is per call") };
    let either = Arc::new(Route {
        access: Access::Either(offer, Metering::fixed(units(1))),
        ..bare("/weather", SettleTiming::After)
    });
    let plan_only = Arc::new(Route {
        access: Access::PlanOnly(Metering::fixed(units(1))),
        ..bare("/weather", SettleTiming::After)
    });
    let admit = async |route: &Arc<Route>, key: Option<&str>, payment: Option<&str>| {
        let payment = payment.map(str::as_bytes);
        let credentials = Credentials { key, ..Credentials::default() };
        let call = Call { route, method: &Method::GET, target: "/weather", credentials, payment, client: None };
        shop.server.admit(&shop.market, call).await
    };
    assert!(matches!(admit(&either, Some(&key), None).await, Ok(Admitted::Pass(Pass::Plan(_)))));
    assert!(
        matches!(admit(&either, Some(&key), Some(&payment)).await, Ok(Admitted::Pass(Pass::Verified(_)))),
        "who pays means to"
    );
    assert!(matches!(admit(&plan_only, Some(&key), Some(&payment)).await, Ok(Admitted::Pass(Pass::Plan(_)))));
    assert_eq!(reason(admit(&plan_only, None, Some(&payment)).await), "missing_credentials");
    assert_eq!(shop.used(&key).await, Units::ZERO, "no pass was used");
}
