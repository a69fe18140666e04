//! Reading the books beside the gateway that writes them.

use super::fixture::{Asked, Fixture, payment};
use super::*;
use crate::payment::State;
use crate::store::{Act, Books as _, Filter, GoodsFilter, Order};

async fn beside(fixture: &Fixture) -> SqliteStore {
    SqliteStore::open_beside(&fixture.path(), Arc::<Asked>::clone(&fixture.clock)).await.unwrap()
}

/// The payments of a filter, read in pages of so many rows.
async fn read(store: &SqliteStore, filter: &Filter, order: Order, rows: u32) -> Vec<PaymentId> {
    let (mut ids, mut last) = (Vec::new(), None);
    loop {
        let page = store.page(filter, order, last.as_ref(), rows).await.unwrap();
        assert!(page.len() <= usize::try_from(rows).unwrap());
        ids.extend(page.iter().map(|entry| entry.id.clone()));
        last = page.into_iter().next_back();
        if last.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn every_payment_comes_once_whatever_the_page_and_the_gateway() {
    let fixture = Fixture::new().await;
    for nonce in 0..20 {
        fixture.settling(&payment(nonce)).await.unwrap();
        if nonce % 5 == 0 {
            fixture.clock.0.advance(Duration::from_millis(1));
        }
    }
    let store = beside(&fixture).await;
    let all = Filter::default();
    let oldest = read(&store, &all, Order::OldestFirst, 100).await;
    assert_eq!(oldest.len(), 20);
    let newest: Vec<_> = oldest.iter().rev().cloned().collect();
    for rows in [1, 3, 20] {
        assert_eq!(read(&store, &all, Order::OldestFirst, rows).await, oldest);
        assert_eq!(read(&store, &all, Order::NewestFirst, rows).await, newest);
    }
    // A payment that moves between two pages keeps its place.
    let first = store.page(&all, Order::OldestFirst, None, 10).await.unwrap();
    for id in &oldest {
        fixture.store().voided(id, "no").await.unwrap();
    }
    let second = store.page(&all, Order::OldestFirst, first.last(), 100).await.unwrap();
    assert_eq!(second.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>(), oldest[10..]);
    assert!(second.iter().all(|entry| entry.state == State::Voided));
}

#[tokio::test]
async fn filters_use_what_is_indexed() {
    let fixture = Fixture::new().await;
    let mut connection = options(&fixture.path()).connect().await.unwrap();
    for (query, index) in [
        ("WHERE TRUE AND created_at >= 1 ORDER BY created_at DESC, id DESC", "payments_created"),
        ("WHERE TRUE AND payer = '0xA' COLLATE NOCASE ORDER BY created_at DESC, id DESC", "payments_payer"),
    ] {
        let plan = format!("EXPLAIN QUERY PLAN SELECT id FROM payments {query} LIMIT 10");
        let rows = sqlx::query_as::<_, (i64, i64, i64, String)>(sqlx::AssertSqlSafe(plan));
        let plan = rows.fetch_all(&mut connection).await.unwrap();
        assert!(plan.iter().any(|(.., text)| text.contains(index)), "{plan:?}");
        assert!(plan.iter().all(|(.., text)| !text.contains("TEMP B-TREE")), "{plan:?}");
    }
}

#[tokio::test]
async fn what_is_due_is_found_among_the_open_ones_alone() {
    let fixture = Fixture::new().await;
    let mut connection = options(&fixture.path()).connect().await.unwrap();
    let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", rows::DUE));
    let plan = sqlx::query_as::<_, (i64, i64, i64, String)>(plan).bind(1).bind(2).bind(3);
    let plan = plan.fetch_all(&mut connection).await.unwrap();
    let searches: Vec<_> = plan.iter().map(|(.., text)| text).filter(|text| text.contains(" payments ")).collect();
    let [first, second] = searches.as_slice() else { panic!("{plan:?}") };
    assert!(first.contains("INDEX payments_due (ask_at<?)"), "{plan:?}");
    assert!(second.contains("INDEX payments_open (state=? AND updated_at<?)"), "{plan:?}");
}

#[tokio::test]
async fn values_of_a_filter_are_values() {
    let fixture = Fixture::new().await;
    fixture.settling(&payment(1)).await.unwrap();
    let store = beside(&fixture).await;
    for odd in ["' OR 1=1 --", "%", "*", "\0", ""] {
        let text = || odd.to_owned();
        for filter in [
            Filter { payer: Some(text()), ..Filter::default() },
            Filter { goods: Some(GoodsFilter::Route(text())), ..Filter::default() },
            Filter { goods: Some(GoodsFilter::Plan(text())), ..Filter::default() },
        ] {
            assert_eq!(store.page(&filter, Order::NewestFirst, None, 9).await, Ok(Vec::new()), "{filter:?}");
        }
    }
    let plan = Filter { goods: Some(GoodsFilter::Plan("nano".to_owned())), ..Filter::default() };
    assert_eq!(store.page(&plan, Order::NewestFirst, None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_operator_did_is_told_in_order() {
    let fixture = Fixture::new().await;
    let presented = payment(1);
    fixture.settling(&presented).await.unwrap();
    let store = beside(&fixture).await;
    let act = |act: &str| Act {
        at: SystemTime::UNIX_EPOCH,
        payment: presented.id.clone(),
        act: act.to_owned(),
        detail: "x".to_owned(),
    };
    for word in ["one", "two"] {
        store.note(&act(word)).await.unwrap();
    }
    let detail = store.detail(&presented.id).await.unwrap().unwrap();
    assert_eq!(detail.acts, [act("one"), act("two")]);
    assert_eq!((detail.entry.state, detail.kept, detail.subscription), (State::Settling, None, None));
    assert!(store.detail(&payment(2).id).await.unwrap().is_none());
}
