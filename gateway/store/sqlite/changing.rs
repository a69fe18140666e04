//! What becomes of keys and addresses, what gateways hear of it, and how long it is remembered.

use super::fixture::{Fixture, payment, receipt, retention, sale, units, usage};
use super::*;
use crate::plans::Origin;
use crate::store::Calls;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Fixture {
    /// Sells a plan to an address of its own; the holder, and the key that was sold.
    async fn sold(&self, number: u8) -> (HolderId, KeyId) {
        let presented = payment(number);
        let sale = sale(&presented, 10, number);
        self.settling(&presented).await.unwrap();
        self.store().settled(&presented.id, &receipt(), Some(&sale)).await.unwrap();
        (sale.subscription.holder, sale.key.key.id)
    }

    /// Who is said to have changed since then, and until when that is.
    async fn changed(&self, after: i64) -> (Vec<HolderId>, i64) {
        let Changes { last, mut holders } = self.store().changes(after).await.unwrap();
        holders.dedup();
        (holders, last)
    }

    async fn issue(&self, holder: &HolderId, number: u8, replaces: Option<&KeyId>) -> Result<KeyId, StoreError> {
        let new = new_key(holder, number, Origin::Issued);
        self.store().issue(&new, replaces, 2).await.map(|()| new.key.id)
    }

    async fn is_working(&self, holder: &HolderId, id: &KeyId) -> bool {
        let keys = self.store().keys_of(holder).await.unwrap();
        keys.iter().find(|key| key.id == *id).unwrap().is_working()
    }

    async fn count(&self, query: &'static str) -> i64 {
        let mut connection = options(&self.path()).connect().await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    }
}

fn new_key(holder: &HolderId, number: u8, origin: Origin) -> NewKey {
    let presented = payment(number);
    let id = KeyId::new(&format!("key_new_{number}"));
    let key = Key { id, holder: holder.clone(), origin, ..sale(&presented, 10, number).key.key };
    NewKey { key, hash: KeyHash([100 + number; 32]) }
}

fn at(number: u8) -> HolderAddress {
    HolderAddress { chain: "evm".into(), address: format!("0x{number:02}").into(), network: None }
}

#[tokio::test]
async fn a_change_is_told_to_whoever_has_not_heard_of_it() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.changed(0).await, (vec![], 0));
    let (holder, key) = fixture.sold(1).await;
    let (heard, first) = fixture.changed(0).await;
    assert_eq!(heard, std::slice::from_ref(&holder));
    assert_eq!(fixture.changed(first).await, (vec![], first), "once");
    let (other, _) = fixture.sold(2).await;
    let (heard, second) = fixture.changed(first).await;
    assert_eq!(heard, [other]);
    fixture.issue(&holder, 1, Some(&key)).await.unwrap();
    let (heard, third) = fixture.changed(second).await;
    assert_eq!(heard, std::slice::from_ref(&holder));
    fixture.store().revoke(&holder, &KeyId::new("key_new_1")).await.unwrap();
    let (heard, fourth) = fixture.changed(third).await;
    assert_eq!(heard, std::slice::from_ref(&holder));
    fixture.store().link(&holder, &at(50)).await.unwrap();
    let (heard, fifth) = fixture.changed(fourth).await;
    assert_eq!(heard, std::slice::from_ref(&holder));
    fixture.store().issue(&new_key(&holder, 3, Origin::Imported), None, 9).await.unwrap();
    let (heard, _) = fixture.changed(fifth).await;
    assert_eq!(heard, [HolderId::new(""), holder], "that there is a key from elsewhere is everybody's business");
}

#[tokio::test]
async fn what_is_refused_changes_nothing_and_is_not_told() {
    let fixture = Fixture::new().await;
    let ((holder, key), (other, theirs)) = (fixture.sold(1).await, fixture.sold(2).await);
    let (_, last) = fixture.changed(0).await;
    let no_key = |id: &KeyId| Err(StoreError::NoKey(id.clone()));
    assert_eq!(fixture.store().revoke(&other, &key).await, no_key(&key).map(|_: KeyId| ()));
    assert_eq!(fixture.issue(&other, 1, Some(&key)).await, no_key(&key));
    assert_eq!(fixture.issue(&HolderId::new("hol_never"), 1, Some(&theirs)).await, no_key(&theirs));
    assert!(matches!(fixture.issue(&HolderId::new("hol_never"), 1, None).await, Err(StoreError::Refused(_))));
    assert_eq!(fixture.store().link(&holder, &at(2)).await, Ok(Linked::Taken));
    assert_eq!(fixture.store().link(&holder, &at(1)).await, Ok(Linked::Before));
    let twice = new_key(&holder, 4, Origin::Imported);
    let same = NewKey { hash: fixture_hash(1), ..twice };
    assert!(matches!(fixture.store().issue(&same, Some(&key), 9).await, Err(StoreError::Refused(_))));
    assert!(fixture.is_working(&holder, &key).await, "a place that nobody takes is not given up");
    assert_eq!(fixture.changed(last).await, (vec![], last));
}

/// The hash of the key that was sold with a payment.
fn fixture_hash(number: u8) -> KeyHash {
    sale(&payment(number), 10, number).key.hash
}

#[tokio::test]
async fn a_holder_has_so_many_working_keys() {
    let fixture = Fixture::new().await;
    let (holder, sold) = fixture.sold(1).await;
    let first = fixture.issue(&holder, 1, None).await.unwrap();
    assert_eq!(fixture.issue(&holder, 2, None).await, Err(StoreError::TooManyKeys(2)));
    fixture.issue(&holder, 3, Some(&first)).await.unwrap();
    assert!(!fixture.is_working(&holder, &first).await && fixture.is_working(&holder, &sold).await);
    fixture.store().revoke(&holder, &sold).await.unwrap();
    fixture.issue(&holder, 4, None).await.unwrap();
    // A limit that was lowered does not keep anybody from putting a new key in the place of one that got out.
    let new = new_key(&holder, 5, Origin::Issued);
    fixture.store().issue(&new, Some(&KeyId::new("key_new_3")), 1).await.unwrap();
    assert_eq!(fixture.store().keys_of(&holder).await.unwrap().iter().filter(|key| key.is_working()).count(), 2);
}

#[tokio::test]
async fn of_many_keys_at_the_same_time_so_many_are_made() {
    let fixture = Fixture::new().await;
    let (holder, _) = fixture.sold(1).await;
    let issues = (0..20).map(|number| {
        let (store, new) = (Arc::clone(fixture.store()), new_key(&holder, number, Origin::Issued));
        tokio::spawn(async move { store.issue(&new, None, 5).await })
    });
    let mut made = 0;
    for issue in issues.collect::<Vec<_>>() {
        match issue.await.unwrap() {
            Ok(()) => made += 1,
            refused => assert_eq!(refused, Err(StoreError::TooManyKeys(5))),
        }
    }
    assert_eq!(made, 4);
}

#[tokio::test]
async fn an_address_goes_over_from_a_holder_whose_plan_has_ended() {
    let fixture = Fixture::new().await;
    let ((holder, _), (other, _)) = (fixture.sold(1).await, fixture.sold(2).await);
    assert_eq!(fixture.store().link(&holder, &at(2)).await, Ok(Linked::Taken));
    fixture.clock.0.advance(HOUR - Duration::from_millis(1));
    assert_eq!(fixture.store().link(&holder, &at(2)).await, Ok(Linked::Taken));
    fixture.clock.0.advance(Duration::from_millis(1));
    let (_, last) = fixture.changed(0).await;
    assert_eq!(fixture.store().link(&holder, &at(2)).await, Ok(Linked::Now));
    assert_eq!(fixture.changed(last).await.0, [other.clone(), holder.clone()], "both have changed");
    assert_eq!(fixture.store().holder_at("evm", "0x02").await, Ok(Some(holder.clone())));
    assert!(fixture.store().holder(&other).await.unwrap().unwrap().addresses.is_empty());
    assert_eq!(fixture.store().holder_at("solana", "0x02").await, Ok(None), "it is an address of its chain");
    assert!(fixture.store().link(&HolderId::new("hol_never"), &at(9)).await.is_err());
    assert_eq!(fixture.store().holder_at("evm", "0x09").await, Ok(None));
}

#[tokio::test]
async fn changes_are_forgotten_after_an_hour_and_their_numbers_are_not_given_again() {
    let fixture = Fixture::new().await;
    let (holder, _) = fixture.sold(1).await;
    let (_, first) = fixture.changed(0).await;
    fixture.clock.0.advance(HOUR - Duration::from_millis(1));
    fixture.store().sweep().await.unwrap();
    assert_eq!(fixture.changed(0).await.1, first, "not before their time");
    fixture.clock.0.advance(Duration::from_millis(1));
    fixture.store().sweep().await.unwrap();
    assert_eq!(fixture.changed(0).await, (vec![], 0));
    fixture.issue(&holder, 1, None).await.unwrap();
    assert_eq!(fixture.changed(first).await.0, [holder], "who has heard of the first hears of this one too");
}

#[tokio::test]
async fn usage_is_kept_by_day_and_forgotten_by_day() {
    let mut fixture = Fixture::new().await;
    let (holder, _) = fixture.sold(1).await;
    let id = SubscriptionId::of_payment(payment(1).id.as_str());
    assert_eq!(fixture.lease(&id, 10).await, 10);
    for (credential, calls) in [("key_1", 2), ("wallet", 1), ("key_1", 3)] {
        let calls = Calls { credential: credential.into(), route: "GET /a".into(), calls, units: units(calls) };
        let usage = Usage { holder: holder.clone(), calls: vec![calls], ..usage(&id, 1, 0) };
        fixture.store().report(vec![usage]).await.unwrap();
        fixture.clock.0.advance(DAY / 4);
    }
    assert_eq!(fixture.count("SELECT count(*) FROM usage").await, 2, "one row for a credential's day");
    assert_eq!(fixture.count("SELECT calls FROM usage WHERE credential = 'key_1'").await, 5);
    fixture.clock.0.advance(DAY * 400);
    fixture.store().sweep().await.unwrap();
    assert_eq!(fixture.count("SELECT sum(units) FROM usage").await, 6000, "without a limit it is kept");
    let kept = Retention { usage: Some(DAY * 2), ..retention() };
    let again = Calls { credential: "key_1".into(), route: "GET /a".into(), calls: 7, units: units(0) };
    let usage = Usage { holder, calls: vec![again], ..usage(&id, 0, 0) };
    fixture.store().report(vec![usage]).await.unwrap();
    fixture.reopen_keeping(kept).await;
    fixture.clock.0.advance(DAY);
    fixture.store().sweep().await.unwrap();
    assert_eq!(fixture.count("SELECT sum(calls) FROM usage").await, 7);
    fixture.clock.0.advance(DAY * 2);
    fixture.store().sweep().await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM usage").await, 0);
}
