//! Plans that are given, and keys that are made, replaced, revoked and imported.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::fixture::{Shop, nano, reason};
use super::*;
use crate::payment::testing::NOW;
use crate::plans::{HolderId, HolderName, KeyHash, Plan, Units};
use crate::store::{KeyStore as _, Register as _, Selection};

/// A shop that has a plan of a hundred units on sale.
async fn shop() -> Shop {
    let mut shop = Shop::open().await;
    Arc::get_mut(&mut shop.market).unwrap().prices.plans.push(nano());
    shop
}

fn registrar(shop: &Shop) -> Registrar<'_> {
    Registrar { server: &shop.server, market: &shop.market, register: &shop.store.store, who: "tester" }
}

fn gift(to: &str) -> Gift {
    Gift { plan: "nano".to_owned(), to: to.to_owned(), units: None, expires_at: None }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

fn units(whole: u64) -> Units {
    Units::from_thousandths(whole * 1000)
}

fn foreign(key: &str, name: &str) -> Arrival {
    let plan =
        Plan { name: "old".into(), units: Some(units(7)), duration: Duration::from_secs(60), rate: None, burst: None };
    Arrival {
        id: None,
        hash: KeyHash::of(key),
        hint: "for".into(),
        holder: None,
        name: HolderName::parse(name),
        wallet: None,
        plan,
        used: units(2),
        expires_at: Some(at(60)),
    }
}

async fn acts(shop: &Shop, holder: &HolderId) -> Vec<String> {
    let acts = shop.store.store.acts(holder).await.unwrap();
    acts.into_iter().map(|act| act.act).collect()
}

#[tokio::test]
async fn a_plan_is_given_to_a_name_and_its_key_works_at_once() {
    let shop = shop().await;
    let given = registrar(&shop).mint(&gift("acme")).await.unwrap();
    let bought = &given.subscription;
    assert_eq!((bought.units, bought.expires_at), (Some(units(100)), at(3600)));
    shop.spend(given.text.reveal(), units(100)).await.unwrap();
    assert_eq!(reason(shop.spend(given.text.reveal(), units(1)).await), "quota_exhausted");
    // Their wallet could be shown the key again: it is derived for the holder that they are.
    assert_eq!(shop.server.keys.text(&given.key).unwrap().reveal(), given.text.reveal());

    // Again, to the same holder: the new plan takes the old one's place for both keys.
    let again = registrar(&shop).mint(&gift("acme")).await.unwrap();
    assert_eq!(again.key.holder, given.key.holder);
    assert_eq!(shop.server.keys.text(&again.key).unwrap().reveal(), again.text.reveal());
    shop.spend(given.text.reveal(), units(60)).await.unwrap();
    assert_eq!(reason(shop.spend(again.text.reveal(), units(60)).await), "quota_exhausted");
    assert_eq!(acts(&shop, &given.key.holder).await, ["mint", "mint"]);
}

#[tokio::test]
async fn of_two_who_give_a_name_a_plan_at_once_both_mean_one_holder() {
    let shop = shop().await;
    let (desk, gift) = (registrar(&shop), gift("acme"));
    let (one, other) = tokio::join!(desk.mint(&gift), desk.mint(&gift));
    for given in [one.unwrap(), other.unwrap()] {
        assert_eq!(shop.server.keys.text(&given.key).unwrap().reveal(), given.text.reveal());
        shop.spend(given.text.reveal(), units(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_trial_has_units_and_an_end_of_its_own() {
    let shop = shop().await;
    let trial = Gift { units: Some(units(3)), expires_at: Some(at(10)), ..gift("acme") };
    let given = registrar(&shop).mint(&trial).await.unwrap();
    shop.spend(given.text.reveal(), units(3)).await.unwrap();
    assert_eq!(reason(shop.spend(given.text.reveal(), units(1)).await), "quota_exhausted");
    shop.clock.advance(Duration::from_secs(10));
    assert_eq!(reason(shop.spend(given.text.reveal(), units(1)).await), "expired_api_key");
}

#[tokio::test]
async fn somebody_without_a_name_is_meant_by_their_id() {
    let shop = shop().await;
    let key = shop.key(&nano(), 1).await;
    let holder = shop.store.store.key(&KeyHash::of(&key)).await.unwrap().unwrap().holder;
    shop.spend(&key, units(100)).await.unwrap();
    let given = registrar(&shop).mint(&gift(holder.as_str())).await.unwrap();
    assert_eq!(given.key.holder, holder);
    shop.spend(&key, units(1)).await.unwrap();
}

#[tokio::test]
async fn what_makes_no_sense_gives_nothing() {
    let shop = shop().await;
    let wrong = [
        Gift { plan: "none".to_owned(), ..gift("acme") },
        gift(""),
        gift("a b"),
        gift("hol_nobody"),
        Gift { units: Some(Units::ZERO), ..gift("acme") },
        Gift { expires_at: Some(at(0)), ..gift("acme") },
        Gift { expires_at: Some(at(400_000_000)), ..gift("acme") },
    ];
    for gift in wrong {
        assert!(registrar(&shop).mint(&gift).await.is_err(), "{gift:?}");
    }
    assert_eq!(registrar(&shop).issue("acme").await.unwrap_err(), Unregistered::NoHolder("acme".to_owned()));
    for nobodys in ["", "key_none"] {
        let key = KeyId::new(nobodys);
        assert_eq!(registrar(&shop).rotate(&key).await.unwrap_err(), Unregistered::NoKey(key.clone()));
        assert_eq!(registrar(&shop).revoke(&key).await.unwrap_err(), Unregistered::NoKey(key));
    }
    assert_eq!(shop.store.store.keys(&Selection::default(), None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn keys_are_made_replaced_and_revoked_up_to_the_most() {
    let (shop, works) = (shop().await, |result: Result<(), Denial>| result.is_ok());
    let given = registrar(&shop).mint(&gift("acme")).await.unwrap();
    let (second, text) = registrar(&shop).issue("acme").await.unwrap();
    assert!(works(shop.spend(text.reveal(), units(1)).await));
    let (third, rotated) = registrar(&shop).rotate(&second.id).await.unwrap();
    assert_eq!(reason(shop.spend(text.reveal(), units(1)).await), "invalid_api_key");
    assert!(works(shop.spend(rotated.reveal(), units(1)).await));
    registrar(&shop).revoke(&third.id).await.unwrap();
    assert_eq!(reason(shop.spend(rotated.reveal(), units(1)).await), "invalid_api_key");
    for gone in [&second.id, &third.id] {
        assert_eq!(registrar(&shop).revoke(gone).await.unwrap_err(), Unregistered::NoKey(gone.clone()));
        assert_eq!(registrar(&shop).rotate(gone).await.unwrap_err(), Unregistered::NoKey(gone.clone()));
    }
    for _ in 0..3 {
        registrar(&shop).issue(given.key.holder.as_str()).await.unwrap();
    }
    assert_eq!(registrar(&shop).issue("acme").await.unwrap_err(), Unregistered::TooManyKeys(4));
    let acts = acts(&shop, &given.key.holder).await;
    assert_eq!(acts[..4], ["mint", "issue", "rotate", "revoke"]);
    assert_eq!(acts[7..], ["issue", "issue refused"]);
}

#[tokio::test]
async fn a_foreign_key_is_imported_once_with_what_was_used() {
    let shop = shop().await;
    let arrival = foreign("foreign-key-0123456789", "bob");
    for imported in [Imported::Now, Imported::Before] {
        assert_eq!(registrar(&shop).import(&arrival).await, Ok(imported));
    }
    shop.server.accounts().learn_imported().await.unwrap();
    assert_eq!(shop.used("foreign-key-0123456789").await, units(2));
    shop.spend("foreign-key-0123456789", units(5)).await.unwrap();
    assert_eq!(reason(shop.spend("foreign-key-0123456789", units(1)).await), "quota_exhausted");
    // Another key to the same opens the same; imported again, it fills nothing up.
    assert_eq!(registrar(&shop).import(&foreign("foreign-key-another", "bob")).await, Ok(Imported::Now));
    shop.server.accounts().learn_imported().await.unwrap();
    assert_eq!(reason(shop.spend("foreign-key-another", units(1)).await), "quota_exhausted");
}

#[tokio::test]
async fn an_import_takes_nothing_from_anybody() {
    let shop = shop().await;
    let given = registrar(&shop).mint(&gift("acme")).await.unwrap();
    let refused = registrar(&shop).import(&foreign("foreign-key-0123456789", "acme")).await.unwrap_err();
    assert!(matches!(refused, Unregistered::HasAnother(holder, ..) if holder == given.key.holder));
    shop.spend(given.text.reveal(), units(100)).await.unwrap();

    // A wallet that has bought here stays whose it is.
    let key = shop.key(&nano(), 1).await;
    let buyer = shop.store.store.key(&KeyHash::of(&key)).await.unwrap().unwrap().holder;
    let wallet = shop.store.store.current_of(&buyer).await.unwrap().unwrap();
    let arrival = Arrival { wallet: Some((wallet.chain, wallet.payer)), ..foreign("foreign-key-of-a-wallet", "acme") };
    let refused = registrar(&shop).import(&arrival).await.unwrap_err();
    assert!(matches!(refused, Unregistered::AddressTaken(..)), "{refused:?}");

    let nobodys = Arrival { name: None, ..foreign("foreign-key-of-nobody", "") };
    assert_eq!(registrar(&shop).import(&nobodys).await.unwrap_err(), Unregistered::Nobodys);
}
