//! The database itself refuses what must not happen, whoever asks for it.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::fixture::{Fixture, key_of, payment, receipt, sale, unread};
use super::*;
use crate::payment::{Presented, State};

const STATES: [State; 5] = [State::Settling, State::Settled, State::Delivered, State::Voided, State::Unknown];

/// Which states may follow a state.
fn next(state: State) -> &'static [State] {
    match state {
        State::Settling => &[State::Settled, State::Voided, State::Unknown],
        State::Unknown => &[State::Settled, State::Voided, State::Unknown],
        State::Settled => &[State::Delivered],
        State::Voided => &[State::Settling, State::Unknown],
        State::Delivered => &[],
    }
}

fn steps(state: State) -> &'static [&'static str] {
    match state {
        State::Settling => &["settling"],
        State::Unknown => &["settling", "unknown"],
        State::Settled => &["settling", "settled"],
        State::Delivered => &["settling", "settled", "delivered"],
        State::Voided => &["settling", "voided"],
    }
}

/// A connection like anybody's, past all our code.
async fn anybody(fixture: &Fixture) -> SqliteConnection {
    options(&fixture.path()).connect().await.unwrap()
}

#[tokio::test]
async fn every_move_that_is_none_is_refused_by_the_database() {
    let fixture = Fixture::new().await;
    let mut connection = anybody(&fixture).await;
    let mut nonce = 0;
    for from in STATES {
        for to in STATES {
            nonce += 1;
            let presented = payment(nonce);
            for step in steps(from) {
                fixture.apply(step, &presented).await.unwrap();
            }
            let moved = sqlx::query("UPDATE payments SET state = ?, receipt = coalesce(receipt, '{}') WHERE id = ?")
                .bind(to.as_str())
                .bind(presented.id.as_str())
                .execute(&mut connection)
                .await;
            assert_eq!(moved.is_ok(), next(from).contains(&to), "{from} to {to}: {moved:?}");
            let now: String = sqlx::query_scalar("SELECT state FROM payments WHERE id = ?")
                .bind(presented.id.as_str())
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(now, if moved.is_ok() { to.as_str() } else { from.as_str() });
        }
    }
}

#[tokio::test]
async fn a_payment_begins_as_settling_and_ends_only_when_it_is_over() {
    let fixture = Fixture::new().await;
    let mut connection = anybody(&fixture).await;
    for (nonce, state) in (1..).zip(STATES) {
        let presented = payment(nonce);
        for step in steps(state) {
            fixture.apply(step, &presented).await.unwrap();
        }
        let copy =
            "INSERT INTO payments (id, state, offer, version, network, chain, asset, amount, pay_to, valid_before,
                                          request, receipt, created_at, updated_at)
                    SELECT id || 'x', state, offer, version, network, chain, asset, amount, pay_to, valid_before,
                           request, receipt, created_at, updated_at FROM payments WHERE id = ?";
        let begun = sqlx::query(copy).bind(presented.id.as_str()).execute(&mut connection).await;
        assert_eq!(begun.is_ok(), state == State::Settling, "{state}: {begun:?}");
        let ended =
            sqlx::query("DELETE FROM payments WHERE id = ?").bind(presented.id.as_str()).execute(&mut connection).await;
        assert_eq!(ended.is_ok(), matches!(state, State::Delivered | State::Voided), "{state}: {ended:?}");
    }
}

#[tokio::test]
async fn what_would_cost_somebody_is_refused_by_the_database() {
    let fixture = Fixture::new().await;
    fixture.sell(1, 10).await;
    fixture.settling(&payment(3)).await.unwrap();
    let mut again = sale(&payment(3), 10, 3);
    again.subscription.payer = "0x01".into();
    fixture.store().settled(&payment(3).id, &receipt(), Some(&again)).await.unwrap();
    let first = key_of(&payment(1).id);
    fixture.store().revoke(&first.holder, &first.id).await.unwrap();
    let sold = again.subscription.id;
    fixture.lease(&sold, 4).await;
    fixture.settling(&payment(2)).await.unwrap();
    let note = "INSERT INTO operator_acts (at, payment_id, act, detail) VALUES (1, 'pay_1', 'a', 'b')";
    let mut connection = anybody(&fixture).await;
    sqlx::query(note).execute(&mut connection).await.unwrap();
    for statement in [
        "UPDATE payments SET state = 'paid'",
        "UPDATE payments SET state = 'settled' WHERE state = 'settling'",
        "UPDATE balances SET used = 7000",
        "UPDATE balances SET leased = 10001",
        "UPDATE balances SET used = -1",
        "INSERT INTO keys SELECT id || 'x', hash, holder_id, origin, prefix, hint, 0, NULL FROM keys",
        "INSERT INTO keys VALUES ('key_x', x'00', 'hol_of_nobody', 'sold', NULL, '', 0, NULL)",
        "INSERT INTO keys SELECT 'key_x', x'00', holder_id, 'found', NULL, '', 0, NULL FROM keys",
        "UPDATE keys SET revoked_at = NULL WHERE revoked_at IS NOT NULL",
        "UPDATE subscriptions SET replaced_by = NULL WHERE replaced_by IS NOT NULL",
        "INSERT INTO subscriptions SELECT id || 'x', holder_id, NULL, chain, payer, plan, key_prefix, expires_at, 0, NULL, 0
                                   FROM subscriptions WHERE replaced_by IS NULL",
        "INSERT INTO balances VALUES ('sub_of_nobody', 1, 0, 0)",
        "DELETE FROM subscriptions",
        "DELETE FROM balances",
        "UPDATE operator_acts SET detail = 'c'",
        "DELETE FROM operator_acts",
    ] {
        let refused = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await;
        assert!(refused.is_err(), "{statement}: {refused:?}");
    }
    assert_eq!((fixture.used(&sold).await, fixture.lease(&sold, 10).await), (0, 6));
}

/// Two texts of one payment by a scheme that nobody here can read may be settled by one transaction.
#[tokio::test]
async fn a_transaction_settles_one_payment_of_those_that_cannot_be_read() {
    let fixture = Fixture::new().await;
    let [one, two] = [unread(1), unread(2)];
    for presented in [&one, &two, &payment(3), &payment(4)] {
        fixture.settling(presented).await.unwrap();
    }
    let settled = async |presented: &Presented, receipt| fixture.store().settled(&presented.id, &receipt, None).await;
    assert_eq!(settled(&one, receipt()).await, Ok(()));
    assert_eq!(settled(&two, receipt()).await, Err(StoreError::TransactionTaken(two.id.clone())));
    assert_eq!(settled(&two, SettleResponse { transaction: "0xdef".to_owned(), ..receipt() }).await, Ok(()));
    // Those that can be told apart may share one: a facilitator may settle many at once.
    assert_eq!(settled(&payment(3), receipt()).await, Ok(()));
    assert_eq!(settled(&payment(4), receipt()).await, Ok(()));
}
