//! Books that can be read and not written.

use sqlx::sqlite::SqliteConnection;

use super::fixture::{Fixture, payment, receipt, sale};
use super::*;
use crate::payment::{Presented, State};

/// More than is wanted to see that there is room.
const BALLAST_BYTES: i64 = 2 * 1024 * 1024;

/// Room for some payments, and not for many.
const PAGES_LEFT: i64 = 16;

/// A store whose file must hardly grow, with something in it that can be thrown away, and somebody to do that.
async fn full() -> (Fixture, SqliteConnection) {
    let mut fixture = Fixture::new().await;
    let mut operator = options(&fixture.path()).connect().await.unwrap();
    sqlx::query("CREATE TABLE ballast (bytes BLOB)").execute(&mut operator).await.unwrap();
    let fill = sqlx::query("INSERT INTO ballast VALUES (randomblob(?))").bind(BALLAST_BYTES);
    fill.execute(&mut operator).await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut operator).await.unwrap();
    let pages_max = Some(pages + PAGES_LEFT);
    fixture.reopen_with(Opening { pages_max, ..Opening::of(&fixture.path()) }).await;
    (fixture, operator)
}

/// Payments until one does not fit any more.
async fn fill(fixture: &Fixture) -> Presented {
    for nonce in 0..u8::MAX {
        let on_its_way = fixture.on_its_way(&payment(nonce)).await;
        if let Err(error) = fixture.store().settling(&on_its_way).await {
            assert!(matches!(error, StoreError::Failed(_)), "{error}");
            return payment(nonce);
        }
    }
    panic!("there is room for all of them")
}

async fn is_refused(fixture: &Fixture, presented: &Presented) -> bool {
    match fixture.store().claim(&presented.id).await {
        Err(StoreError::Failed(_)) => true,
        Ok(_) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn nothing_is_claimed_on_a_full_disk_until_there_is_room_again() {
    let (fixture, mut operator) = full().await;
    let late = fill(&fixture).await;
    for presented in [&late, &payment(0), &payment(u8::MAX)] {
        assert!(is_refused(&fixture, presented).await);
    }
    // What is in the books can be read.
    let first = fixture.store().record(&payment(0).id).await.unwrap().unwrap();
    assert_eq!(first.state, State::Settling);
    assert!(fixture.store().record(&late.id).await.unwrap().is_none());

    // A write that needs no room goes well, and says nothing of those that do.
    assert_eq!(fixture.store().asking(&payment(0).id).await, Ok(1));
    assert!(is_refused(&fixture, &late).await);

    sqlx::query("DROP TABLE ballast").execute(&mut operator).await.unwrap();
    fixture.store().writer.healed().await;
    assert_eq!(fixture.settling(&late).await, Ok(()));
    assert_eq!(fixture.state(&late).await, Some(State::Settling));
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'room'")
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(left, 0, "what was written to see is gone");
}

#[tokio::test]
async fn a_transaction_that_fails_takes_all_its_writes_with_it() {
    let (fixture, _operator) = full().await;
    let late = fill(&fixture).await;
    let (store, id) = (fixture.store(), payment(0).id);
    let response = StoredResponse {
        status: http::StatusCode::OK,
        headers: Vec::new(),
        body: vec![b'x'; 9_000].into(),
        expires_at: fixture.clock.now() + Duration::from_secs(60),
    };
    let (second, third) = (payment(1).id, payment(2).id);
    let writes = async { tokio::join!(store.asking(&second), store.keep(&id, response), store.asking(&third)) };
    let (asking, kept, asking_too) = fixture.together(writes).await;
    for answer in [asking.map(drop), kept, asking_too.map(drop)] {
        assert!(matches!(answer, Err(StoreError::Failed(_))), "{answer:?}");
    }
    assert!(is_refused(&fixture, &late).await);
    for id in [second, third] {
        assert_eq!(store.asking(&id).await, Ok(1), "it was not written before");
    }
}

#[tokio::test]
async fn nothing_is_claimed_while_somebody_else_keeps_the_file_to_themselves() {
    let mut fixture = Fixture::new().await;
    let busy_timeout = Duration::from_millis(1);
    fixture.reopen_with(Opening { busy_timeout, ..Opening::of(&fixture.path()) }).await;
    let on_its_way = fixture.on_its_way(&payment(1)).await;
    let mut operator = options(&fixture.path()).connect().await.unwrap();
    let held = operator.begin_with("BEGIN IMMEDIATE").await.unwrap();
    assert!(!is_refused(&fixture, &payment(2)).await, "nothing was tried yet");
    let failed = fixture.store().settling(&on_its_way).await;
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    assert!(is_refused(&fixture, &payment(2)).await);
    held.rollback().await.unwrap();
    fixture.store().writer.healed().await;
    assert_eq!(fixture.store().settling(&on_its_way).await, Ok(()));
    assert!(!is_refused(&fixture, &payment(2)).await);
}

#[tokio::test]
async fn a_refusal_is_no_failure() {
    let fixture = Fixture::new().await;
    fixture.sell(1, 10).await;
    fixture.settling(&payment(2)).await.unwrap();
    let moved = fixture.store().voided(&payment(1).id, "no").await;
    assert_eq!(moved, Err(StoreError::Moved(payment(1).id)));
    let with_a_taken_key = sale(&payment(2), 10, 1);
    let refused = fixture.store().settled(&payment(2).id, &receipt(), Some(&with_a_taken_key)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert!(!is_refused(&fixture, &payment(3)).await);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_no_failure_of_the_store() {
    let fixture = Fixture::new().await;
    let mut operator = options(&fixture.path()).connect().await.unwrap();
    fixture.sell(1, 10).await;
    let mut again = sale(&payment(2), 10, 2);
    again.subscription.payer = sale(&payment(1), 10, 1).subscription.payer;
    for nonce in [2, 3] {
        fixture.settling(&payment(nonce)).await.unwrap();
    }
    for plan in ["{", "{}", r#"{"name":1}"#] {
        sqlx::query("UPDATE subscriptions SET plan = ?").bind(plan).execute(&mut operator).await.unwrap();
        let (second, receipt) = (payment(2).id, receipt());
        let sold = fixture.store().settled(&second, &receipt, Some(&again)).await;
        assert!(matches!(sold, Err(StoreError::Corrupt(_))), "{plan}: {sold:?}");
        assert_eq!(fixture.state(&payment(2)).await, Some(State::Settling));
        assert!(!is_refused(&fixture, &payment(4)).await, "{plan}: others go on");
    }
    fixture.store().voided(&payment(3).id, "no").await.unwrap();
}
