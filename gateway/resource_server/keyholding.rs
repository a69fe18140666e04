//! Keys after the sale: many of one holder's spend the same units, and one that was revoked opens nothing more.

use std::sync::atomic::{AtomicBool, Ordering};

use super::fixture::{Shop, nano, plan, reason};
use super::*;
use crate::payment::testing::{Wallet, header, v2};
use crate::plans::{HolderId, Key, KeyHash, Origin, Units};
use crate::store::NewKey;

fn units(whole: u64) -> Units {
    Units::from_thousandths(whole * 1000)
}

impl Shop {
    /// A key that was sold: its holder, its id, its text.
    async fn sold(&self, nonce: u8) -> (HolderId, KeyId, String) {
        let nano = nano();
        let sold = self.buy(&nano, &self.pay(&nano.offer, nonce)).await.unwrap();
        let id = self.server.key_id(&sold.key.hash()).await.unwrap();
        (sold.subscription.holder, id, sold.key.reveal().to_owned())
    }

    async fn issue(&self, holder: &HolderId, replaces: Option<&KeyId>) -> Result<(KeyId, String), StoreError> {
        let (key, text) = self.server.issue("tg_live_", holder, replaces, 3).await?;
        Ok((key.id, text.reveal().to_owned()))
    }

    async fn opens(&self, key: &str) -> bool {
        match self.spend(key, Units::from_thousandths(1)).await {
            Ok(()) => true,
            denied => {
                assert_eq!(reason(denied), "invalid_api_key");
                false
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_calls_with_two_keys_for_the_last_unit_one_passes() {
    for _ in 0..5 {
        let (shop, one) = (Arc::new(Shop::open().await), plan("one", Some(1), 5_000_000, None));
        let sold = shop.buy(&one, &shop.pay(&one.offer, 1)).await.unwrap();
        let keys = [sold.key.reveal().to_owned(), shop.issue(&sold.subscription.holder, None).await.unwrap().1];
        let mut calls = tokio::task::JoinSet::new();
        for call in 0..200 {
            let (shop, key) = (Arc::clone(&shop), keys[call % 2].clone());
            calls.spawn(async move { shop.spend(&key, units(1)).await });
        }
        let (passed, denied): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
        assert!(denied.into_iter().all(|denied| reason(denied) == "quota_exhausted"));
        assert_eq!((passed.len(), shop.used(&keys[1]).await), (1, units(1)));
    }
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_more_and_calls_under_way_finish() {
    let shop = Shop::open().await;
    let (holder, id, key) = shop.sold(1).await;
    let (_, other) = shop.issue(&holder, None).await.unwrap();
    let under_way = shop.reserve(&key, units(1)).await.unwrap();
    shop.server.revoke(&holder, &id).await.unwrap();
    assert!(!shop.opens(&key).await);
    assert_eq!(reason(shop.status(&key).await), "invalid_api_key");
    drop(under_way.commit());
    assert_eq!(shop.used(&other).await, units(1));
    assert!(shop.opens(&other).await);
    let shop = shop.restarted().await;
    assert!(!shop.opens(&key).await && shop.opens(&other).await);
}

#[tokio::test]
async fn a_key_that_another_process_revoked_opens_nothing_after_it_was_heard() {
    let shop = Shop::open().await;
    let (holder, id, key) = shop.sold(1).await;
    assert!(shop.opens(&key).await);
    shop.store.store.revoke(&holder, &id).await.unwrap();
    shop.server.accounts().follow().await.unwrap();
    assert!(!shop.opens(&key).await);
}

#[tokio::test]
async fn what_could_not_be_heard_is_heard_the_next_time() {
    let shop = Shop::open().await;
    let (holder, id, key) = shop.sold(1).await;
    assert!(shop.opens(&key).await);
    shop.store.store.revoke(&holder, &id).await.unwrap();
    shop.store.down.store(true, Ordering::Relaxed);
    assert!(shop.server.accounts().follow().await.is_err());
    shop.store.down.store(false, Ordering::Relaxed);
    shop.server.accounts().follow().await.unwrap();
    assert!(!shop.opens(&key).await);
}

#[tokio::test]
async fn a_plan_that_another_process_gave_is_in_force_after_it_was_heard() {
    let shop = Shop::open().await;
    let (holder, _, key) = shop.sold(1).await;
    shop.spend(&key, units(100)).await.unwrap();
    assert_eq!(reason(shop.spend(&key, units(1)).await), "quota_exhausted");
    let granted = shop.store.store.current_of(&holder).await.unwrap().unwrap();
    let subscription =
        crate::plans::Subscription { id: crate::plans::SubscriptionId::of_payment("pay_given"), ..granted };
    let given = new_key("key_given", &holder, Origin::Issued, "given");
    let (network, name) = (None, None);
    let sale = crate::store::Sale { subscription, key: given, network, name, on_repurchase: OnRepurchase::Replace };
    shop.store.store.grant(&sale).await.unwrap();
    shop.server.accounts().follow().await.unwrap();
    shop.spend(&key, units(1)).await.unwrap();
    assert_eq!(shop.used(&key).await, units(1));
}

#[tokio::test]
async fn a_rotated_key_gives_its_place_to_the_new_one() {
    let shop = Shop::open().await;
    let (holder, id, key) = shop.sold(1).await;
    shop.spend(&key, units(5)).await.unwrap();
    let (new_id, new) = shop.issue(&holder, Some(&id)).await.unwrap();
    assert!(!shop.opens(&key).await);
    assert_eq!(shop.used(&new).await, units(5), "the units stay where they are");
    assert_eq!(shop.issue(&holder, Some(&id)).await, Err(StoreError::NoKey(id)), "once");
    let working: Vec<_> = shop.server.keys_of(&holder).await.unwrap().into_iter().filter(Key::is_working).collect();
    assert_eq!(working.iter().map(|key| &key.id).collect::<Vec<_>>(), [&new_id]);
}

#[tokio::test]
async fn a_holder_has_so_many_keys_and_no_more() {
    let shop = Shop::open().await;
    let (holder, id, key) = shop.sold(1).await;
    for _ in 0..2 {
        shop.issue(&holder, None).await.unwrap();
    }
    assert_eq!(shop.issue(&holder, None).await, Err(StoreError::TooManyKeys(3)));
    let (last, _) = shop.issue(&holder, Some(&id)).await.unwrap();
    assert!(!shop.opens(&key).await, "a full ring can be rotated");
    assert_eq!(shop.issue(&holder, None).await, Err(StoreError::TooManyKeys(3)));
    shop.server.revoke(&holder, &last).await.unwrap();
    shop.issue(&holder, None).await.unwrap();
    let nano = nano();
    shop.key(&nano, 2).await;
    assert_eq!(
        shop.issue(&holder, None).await,
        Err(StoreError::TooManyKeys(3)),
        "a sold one counts and is not refused"
    );
    let one = shop.server.keys_of(&holder).await.unwrap().into_iter().find(Key::is_working).unwrap();
    shop.issue(&holder, Some(&one.id)).await.unwrap();
}

#[tokio::test]
async fn nobody_revokes_or_rotates_the_key_of_somebody_else() {
    let shop = Shop::open().await;
    let (holder, id, key) = shop.sold(1).await;
    let nano = nano();
    let terms = &nano.offer.terms[0];
    let theirs = shop.buy(&nano, &header(&v2(terms, Wallet::new(2).eip3009(terms, 2)))).await.unwrap();
    let stranger = theirs.subscription.holder;
    assert_ne!(stranger, holder);
    assert_eq!(shop.server.revoke(&stranger, &id).await, Err(StoreError::NoKey(id.clone())));
    assert_eq!(shop.issue(&stranger, Some(&id)).await, Err(StoreError::NoKey(id.clone())));
    assert!(shop.opens(&key).await);
    assert_eq!(shop.server.keys_of(&stranger).await.unwrap().len(), 1, "a refused rotation makes no key");
    let never = KeyId::new("key_never");
    assert_eq!(shop.server.revoke(&holder, &never).await, Err(StoreError::NoKey(never)));
    shop.server.revoke(&holder, &id).await.unwrap();
    assert_eq!(shop.server.revoke(&holder, &id).await, Err(StoreError::NoKey(id)), "twice");
}

fn new_key(id: &str, holder: &HolderId, origin: Origin, text: &str) -> NewKey {
    let (id, hint) = (KeyId::new(id), text.get(..3).unwrap().into());
    let created_at = std::time::UNIX_EPOCH;
    let key = Key { id, holder: holder.clone(), origin, prefix: None, hint, created_at, revoked_at: None };
    NewKey { key, hash: KeyHash::of(text) }
}

#[tokio::test]
async fn a_key_that_was_brought_along_opens_after_it_was_heard_of() {
    let shop = Shop::open().await;
    let (holder, ..) = shop.sold(1).await;
    let text = "sk-foreign";
    assert!(!shop.opens(text).await && !shop.server.may_be_key(text));
    let imported = new_key("key_imported", &holder, Origin::Imported, text);
    shop.store.store.issue(&imported, None, 3).await.unwrap();
    assert!(!shop.opens(text).await, "it is not heard of");
    shop.server.accounts().follow().await.unwrap();
    assert!(shop.opens(text).await && shop.server.may_be_key(text));
    for other in ["sk-foreigm", "sk-foreign ", "SK-FOREIGN"] {
        assert!(!shop.opens(other).await, "{other}");
    }
    let shop = shop.restarted().await;
    shop.server.accounts().learn_imported().await.unwrap();
    assert!(shop.opens(text).await);
    shop.server.revoke(&holder, &imported.key.id).await.unwrap();
    assert!(!shop.opens(text).await);
}

/// Many threads call with a key while it is revoked. A call that begins afterwards does not pass, however the reading of
/// its key and of its account fell on the moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_call_passes_after_its_key_was_revoked() {
    let shop = Arc::new(Shop::open().await);
    let (holder, ..) = shop.sold(1).await;
    for round in 0..60 {
        let (id, key) = shop.issue(&holder, None).await.unwrap();
        if round % 2 == 0 {
            // Half of them are in memory when they are revoked, the others are just being read.
            assert!(shop.opens(&key).await);
        }
        let revoked = Arc::new(AtomicBool::new(false));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (shop, key, revoked) = (Arc::clone(&shop), key.clone(), Arc::clone(&revoked));
            callers.spawn(async move {
                for _ in 0..20 {
                    let before = revoked.load(Ordering::SeqCst);
                    let opened = shop.spend(&key, Units::from_thousandths(1)).await.is_ok();
                    assert!(!(before && opened), "round {round}");
                    tokio::task::yield_now().await;
                }
            });
        }
        shop.server.revoke(&holder, &id).await.unwrap();
        revoked.store(true, Ordering::SeqCst);
        assert!(!shop.opens(&key).await);
        callers.join_all().await;
        assert!(!shop.opens(&key).await, "nor is it kept by one that came late");
    }
}
