//! What is let go, and what stays whatever its age.

use http::StatusCode;

use super::fixture::{Fixture, payment, receipt, retention, sale};
use super::*;
use crate::payment::{Presented, State};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn response(fixture: &Fixture, keep: Duration) -> StoredResponse {
    let expires_at = fixture.clock.0.now() + keep;
    StoredResponse { status: StatusCode::OK, headers: Vec::new(), body: "x".into(), expires_at }
}

/// A payment that came so far.
async fn moved(fixture: &Fixture, nonce: u8, steps: &[&str]) -> Presented {
    let presented = payment(nonce);
    for step in steps {
        fixture.apply(step, &presented).await.unwrap();
    }
    presented
}

#[tokio::test]
async fn what_is_over_goes_after_the_retention_and_what_is_open_or_owed_stays() {
    let fixture = Fixture::new().await;
    let delivered = moved(&fixture, 1, &["settling", "settled", "delivered"]).await;
    let voided = moved(&fixture, 2, &["settling", "voided"]).await;
    let settling = moved(&fixture, 3, &["settling"]).await;
    let unknown = moved(&fixture, 4, &["settling", "unknown"]).await;
    let owed = moved(&fixture, 5, &["settling", "settled"]).await;
    fixture.clock.0.advance(DAY - Duration::from_millis(1));
    assert_eq!(fixture.store().sweep().await, Ok(Swept::default()), "not before their time");
    fixture.clock.0.advance(Duration::from_millis(1));
    assert_eq!(fixture.store().sweep().await, Ok(Swept { responses: 0, payments: 2 }));
    fixture.clock.0.advance(DAY * 10_000);
    assert_eq!(fixture.store().sweep().await, Ok(Swept::default()));
    for (presented, state) in [
        (delivered, None),
        (voided, None),
        (settling, Some(State::Settling)),
        (unknown, Some(State::Unknown)),
        (owed, Some(State::Settled)),
    ] {
        assert_eq!(fixture.state(&presented).await, state);
    }
}

#[tokio::test]
async fn a_key_outlives_the_record_of_its_payment() {
    let mut fixture = Fixture::new().await;
    let presented = payment(1);
    let sale = sale(&presented, 10, 1);
    fixture.settling(&presented).await.unwrap();
    fixture.store().settled(&presented.id, &receipt(), Some(&sale)).await.unwrap();
    fixture.apply("delivered", &presented).await.unwrap();
    fixture.clock.0.advance(DAY);
    assert_eq!(fixture.store().sweep().await, Ok(Swept { responses: 0, payments: 1 }));
    fixture.reopen().await;
    assert_eq!(fixture.store().subscription(&sale.subscription.id).await, Ok(Some(sale.subscription.clone())));
    assert!(fixture.store().key(&sale.key.hash).await.unwrap().is_some());
    assert_eq!(fixture.lease(&sale.subscription.id, 10).await, 10);
}

#[tokio::test]
async fn a_stored_response_goes_with_its_time_or_with_its_payment() {
    let fixture = Fixture::new().await;
    let [short, long] =
        [moved(&fixture, 1, &["settling", "settled"]).await, moved(&fixture, 2, &["settling", "settled"]).await];
    let minute = response(&fixture, Duration::from_secs(60));
    fixture.store().delivered(&short.id, Some(minute)).await.unwrap();
    fixture.store().delivered(&long.id, Some(response(&fixture, DAY * 2))).await.unwrap();
    fixture.clock.0.advance(Duration::from_secs(60));
    assert_eq!(fixture.store().response(&short.id, fixture.clock.0.now()).await, Ok(None), "it is past");
    assert_eq!(fixture.store().sweep().await, Ok(Swept { responses: 1, payments: 0 }));
    assert!(fixture.store().response(&long.id, fixture.clock.0.now()).await.unwrap().is_some());
    fixture.clock.0.advance(DAY);
    assert_eq!(fixture.store().sweep().await, Ok(Swept { responses: 0, payments: 2 }));
    let mut connection = options(&fixture.path()).connect().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM responses").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
}

/// Its identity is what stops a second use.
#[tokio::test]
async fn an_authorization_that_can_still_be_settled_is_kept() {
    let fixture = Fixture::new().await;
    let mut presented = payment(1);
    presented.window.valid_before += 3 * DAY.as_secs();
    for step in ["settling", "settled", "delivered"] {
        fixture.apply(step, &presented).await.unwrap();
    }
    fixture.clock.0.advance(DAY * 3);
    assert_eq!(fixture.store().sweep().await, Ok(Swept::default()));
    assert_eq!(fixture.state(&presented).await, Some(State::Delivered));
    fixture.clock.0.advance(DAY);
    assert_eq!(fixture.store().sweep().await, Ok(Swept { responses: 0, payments: 1 }));
}

#[tokio::test]
async fn without_a_retention_nothing_is_purged() {
    let fixture = Fixture::new().await;
    let voided = moved(&fixture, 1, &["settling", "voided"]).await;
    let beside = SqliteStore::open_beside(&fixture.path(), Arc::<fixture::Asked>::clone(&fixture.clock)).await.unwrap();
    fixture.clock.0.advance(DAY * 1000);
    assert_eq!(beside.sweep().await, Ok(Swept::default()), "a command purges nothing");
    assert_eq!(fixture.state(&voided).await, Some(State::Voided));
    assert_eq!(retention().payments, Some(DAY));
}
