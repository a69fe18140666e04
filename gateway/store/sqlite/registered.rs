//! The register: each row once, by what it has in common, and with nobody's text in a query.

use super::fixture::{Fixture, payment, receipt, sale};
use super::*;
use crate::clock::Day;
use crate::payment::testing::NOW;
use crate::store::{By, Calls, Ends, HolderAct, Register as _, Selection, Span};

/// Several subscriptions, each of a holder of its own, some of them written in the same millisecond.
async fn filled(count: u8) -> Fixture {
    let fixture = Fixture::new().await;
    for nonce in 1..=count {
        fixture.sell(nonce, 10).await;
        if nonce % 3 == 0 {
            fixture.clock.0.advance(Duration::from_millis(1));
        }
    }
    fixture
}

fn of(plan: &str, holder: &str, address: &str) -> Selection {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Selection { plan: text(plan), holder: text(holder), address: text(address), ..Selection::default() }
}

#[tokio::test]
async fn every_subscription_and_key_comes_once_whatever_the_page() {
    let fixture = filled(8).await;
    let (store, all) = (fixture.store(), Selection::default());
    let subscriptions = store.subscriptions(&all, None, 100).await.unwrap();
    let keys = store.keys(&all, None, 100).await.unwrap();
    assert_eq!((subscriptions.len(), keys.len()), (8, 8));
    for rows in [1, 3, 8] {
        let (mut read, mut last) = (Vec::new(), None);
        loop {
            let page = store.subscriptions(&all, last.as_ref(), rows).await.unwrap();
            last = page.last().map(|entry| entry.subscription.id.clone());
            read.extend(page);
            if last.is_none() {
                break;
            }
        }
        assert_eq!(read, subscriptions);
        let (mut read, mut last) = (Vec::new(), None);
        loop {
            let page = store.keys(&all, last.as_ref(), rows).await.unwrap();
            last = page.last().map(|entry| entry.key.id.clone());
            read.extend(page);
            if last.is_none() {
                break;
            }
        }
        assert_eq!(read, keys);
    }
    let entry = &keys[0];
    assert_eq!(store.key_entry(&entry.key.id).await.unwrap().as_ref(), Some(entry));
    assert_eq!(store.key(&entry.hash).await.unwrap().as_ref(), Some(&entry.key));
    assert_eq!(store.key_entry(&KeyId::new("key_none")).await.unwrap(), None);
    let id = &subscriptions[0].subscription.id;
    assert_eq!(store.subscription_entry(id).await.unwrap().as_ref(), Some(&subscriptions[0]));
}

#[tokio::test]
async fn a_selection_leaves_out_the_rest() {
    let fixture = filled(4).await;
    let store = fixture.store();
    let holder = store.holder_at("evm", "0x02").await.unwrap().unwrap();
    let key = store.keys_of(&holder).await.unwrap().remove(0);
    let (now, end) = (fixture.clock.0.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 3600));
    let ends = |ends| Selection { ends: Some(ends), ..Selection::default() };
    for (selection, subscriptions, keys) in [
        (of("nano", "", ""), 4, 4),
        (of("none", "", ""), 0, 0),
        (of("", holder.as_str(), ""), 1, 1),
        (of("", "", "0X02"), 1, 1),
        (of("nano", holder.as_str(), "0x02"), 1, 1),
        (of("nano", holder.as_str(), "0x03"), 0, 0),
        (ends(Ends::After(now)), 4, 4),
        (ends(Ends::By(now)), 0, 0),
        (ends(Ends::By(end)), 4, 4),
        (of("' OR 1=1 --", "", ""), 0, 0),
        (of("", "%", ""), 0, 0),
        (of("", "", "\0"), 0, 0),
    ] {
        assert_eq!(store.subscriptions(&selection, None, 9).await.unwrap().len(), subscriptions, "{selection:?}");
        assert_eq!(store.keys(&selection, None, 9).await.unwrap().len(), keys, "{selection:?}");
    }
    store.revoke(&holder, &key.id).await.unwrap();
    assert_eq!(store.keys(&ends(Ends::After(now)), None, 9).await.unwrap().len(), 3);
    assert_eq!(store.keys(&ends(Ends::By(now)), None, 9).await.unwrap()[0].key.id, key.id);

    // Bought again by the same wallet: two subscriptions, one of them current, and both keys open that one.
    let presented = payment(100);
    let again = sale(&presented, 20, 2);
    fixture.settling(&presented).await.unwrap();
    let sold = Sale { key: NewKey { hash: KeyHash([99; 32]), ..again.key.clone() }, ..again.clone() };
    store.settled(&presented.id, &receipt(), Some(&sold)).await.unwrap();
    let theirs = of("", holder.as_str(), "");
    let both = store.subscriptions(&theirs, None, 9).await.unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(both.iter().find_map(|entry| entry.replaced_by.clone()), Some(again.subscription.id.clone()));
    let current = store.subscriptions(&Selection { current: true, ..theirs.clone() }, None, 9).await.unwrap();
    assert_eq!((current.len(), &current[0].subscription.id), (1, &again.subscription.id));
    for entry in store.keys(&theirs, None, 9).await.unwrap() {
        assert_eq!(entry.current.unwrap().id, again.subscription.id);
    }
}

#[tokio::test]
async fn usage_adds_up_by_whatever_it_is_grouped() {
    let fixture = Fixture::new().await;
    let (id, store) = (fixture.sell(1, 1000).await, fixture.store());
    let holder = store.subscription(&id).await.unwrap().unwrap().holder;
    store.lease(&id, super::fixture::units(1000)).await.unwrap();
    let calls = |credential: &str, route: &str, calls| Calls {
        credential: credential.into(),
        route: route.into(),
        calls,
        units: Units::from_thousandths(500 * calls),
    };
    for _ in 0..2 {
        let calls = vec![calls("key_1", "GET /a", 3), calls("key_1", "GET /b", 1), calls("wallet", "GET /a", 2)];
        let spent = Units::from_thousandths(3000);
        let usage = Usage { holder: holder.clone(), subscription: id.clone(), spent, returned: Units::ZERO, calls };
        store.report(vec![usage]).await.unwrap();
        fixture.clock.0.advance(Duration::from_secs(24 * 60 * 60));
    }
    let first = Day::of(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
    let span = |from: Option<i64>, to: Option<i64>, holder: &str| {
        let day = |days| Day::from_number(first.number() + days);
        let holder = Some(holder.to_owned()).filter(|holder| !holder.is_empty());
        Span { from: from.map(day), to: to.map(day), holder }
    };
    let all = span(None, None, "");
    for (by, groups) in
        [(vec![], 1), (vec![By::Key], 2), (vec![By::Route], 2), (vec![By::Day], 2), (By::ALL.to_vec(), 6)]
    {
        let used = store.usage(&all, &by, 0, 100).await.unwrap();
        assert_eq!(used.len(), groups, "{by:?}");
        assert_eq!(used.iter().map(|used| used.calls).sum::<u64>(), 12, "{by:?}");
        assert_eq!(used.iter().map(|used| used.units.thousandths()).sum::<u64>(), 6000, "{by:?}");
    }
    for (span, calls) in [
        (span(Some(0), Some(0), ""), 6),
        (span(Some(1), None, ""), 6),
        (span(None, Some(1), ""), 12),
        (span(Some(2), None, ""), 0),
        (span(None, None, holder.as_str()), 12),
        (span(None, None, "' OR 1=1 --"), 0),
    ] {
        assert_eq!(store.usage(&span, &[], 0, 9).await.unwrap()[0].calls, calls, "{span:?}");
    }
    let by = [By::Route, By::Key, By::Key];
    let whole = store.usage(&all, &by, 0, 100).await.unwrap();
    let mut pages = Vec::new();
    for skip in 0..4 {
        pages.extend(store.usage(&all, &by, skip, 1).await.unwrap());
    }
    assert_eq!(pages, whole);
    assert_eq!(
        (whole[0].key.as_deref(), whole[0].route.as_deref(), whole[0].day),
        (Some("key_1"), Some("GET /a"), None)
    );
}

#[tokio::test]
async fn acts_are_kept_in_order_and_for_good() {
    let fixture = Fixture::new().await;
    let holder = HolderId::new("hol_1");
    let act = |word: &str, key: Option<&str>| HolderAct {
        at: SystemTime::UNIX_EPOCH,
        holder: holder.clone(),
        key: key.map(KeyId::new),
        act: word.to_owned(),
        detail: "x".to_owned(),
    };
    let acts = [act("mint", Some("key_1")), act("revoke", None)];
    for act in &acts {
        fixture.store().note(act).await.unwrap();
    }
    assert_eq!(fixture.store().acts(&holder).await.unwrap(), acts);
    assert_eq!(fixture.store().acts(&HolderId::new("hol_2")).await.unwrap(), []);
    let mut connection = options(&fixture.path()).connect().await.unwrap();
    for statement in ["DELETE FROM holder_acts", "UPDATE holder_acts SET detail = ''"] {
        assert!(sqlx::query(statement).execute(&mut connection).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn pages_use_what_is_indexed() {
    let fixture = Fixture::new().await;
    let mut connection = options(&fixture.path()).connect().await.unwrap();
    for (query, index) in [
        (
            "SELECT s.id FROM subscriptions s JOIN holders h ON h.id = s.holder_id WHERE TRUE
             ORDER BY s.created_at DESC, s.id DESC LIMIT 10",
            "subscriptions_created",
        ),
        (
            "SELECT k.id FROM keys k JOIN holders h ON h.id = k.holder_id WHERE TRUE
             ORDER BY k.created_at DESC, k.id DESC LIMIT 10",
            "keys_created",
        ),
        ("SELECT holder_id FROM addresses WHERE address = '0xA' COLLATE NOCASE", "addresses_address"),
    ] {
        let plan = format!("EXPLAIN QUERY PLAN {query}");
        let rows = sqlx::query_as::<_, (i64, i64, i64, String)>(sqlx::AssertSqlSafe(plan));
        let plan = rows.fetch_all(&mut connection).await.unwrap();
        assert!(plan.iter().any(|(.., text)| text.contains(index)), "{plan:?}");
        assert!(plan.iter().all(|(.., text)| !text.contains("TEMP B-TREE")), "{plan:?}");
    }
}
