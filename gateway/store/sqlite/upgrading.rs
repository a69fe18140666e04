//! Books of an earlier version are brought up to date with all that is in them.

use std::time::SystemTime;

use sqlx::query;
use sqlx::sqlite::SqliteConnection;

use super::fixture::receipt;
use super::*;
use crate::clock::ManualClock;
use crate::payment::State;
use crate::payment::testing::NOW;
use crate::plans::Origin;

/// What the first version wrote: a plan that was sold, and a payment that was being settled.
const BOOKS: &str = r#"
INSERT INTO payments (id, state, offer, version, network, chain, asset, amount, pay_to, payer, valid_before, request,
                      receipt, created_at, updated_at)
VALUES ('pay_1', 'delivered', 'plan:nano', 2, 'eip155:8453', 'eip155:8453',
        '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', '5000000', '0x209693Bc6afc0C5328bA36FaF03C514EF312287C', '0x01',
        1767225700, '{"x402Version":2,"paymentPayload":{},"paymentRequirements":{}}', :receipt, 1, 1),
       ('pay_2', 'settling', 'plan:nano', 2, 'eip155:8453', 'eip155:8453',
        '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', '5000000', '0x209693Bc6afc0C5328bA36FaF03C514EF312287C', NULL,
        1767225700, '{"x402Version":2,"paymentPayload":{},"paymentRequirements":{}}', NULL, 2, 2);
INSERT INTO subscriptions (id, payment_id, chain, payer, plan, key_prefix, expires_at, units, used, created_at)
VALUES ('sub_1', 'pay_1', 'evm', '0x01', '{"name":"nano","units":null,"duration":{"secs":60,"nanos":0},"rate":null}',
        'tg_live_', 1767225700000, 100000, 2000, 1);
INSERT INTO keys (hash, subscription_id, created_at) VALUES (x'0707070707070707070707070707070707070707070707070707070707070707', 'sub_1', 1);
"#;

#[tokio::test]
async fn keys_that_were_sold_and_payments_in_doubt_survive() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    migrate_to(&path, 1).await.unwrap();
    let mut connection = options(&path).connect().await.unwrap();
    let books = BOOKS.replace(":receipt", &format!("'{}'", serde_json::to_string(&receipt()).unwrap()));
    for statement in books.split_inclusive(";\n") {
        query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();

    let store = SqliteStore::open(&path, super::fixture::retention(), Arc::new(ManualClock::at(NOW))).await.unwrap();
    let key = store.key(&KeyHash([7; 32])).await.unwrap().unwrap();
    assert_eq!((key.id.as_str(), key.holder.as_str(), key.origin), ("key_1", "hol_1", Origin::Sold));
    let holder = store.holder_at("evm", "0x01").await.unwrap().unwrap();
    let address = &store.holder(&holder).await.unwrap().unwrap().addresses[0];
    assert_eq!((&holder, address.network.as_deref()), (&key.holder, Some("eip155:8453")));
    let bought = store.current_of(&key.holder).await.unwrap().unwrap();
    assert_eq!((bought.id.as_str(), bought.used.thousandths()), ("sub_1", 2000));
    let sold = store.record(&PaymentId::stored("pay_1")).await.unwrap().unwrap();
    assert_eq!((sold.state, sold.goods, sold.receipt), (State::Delivered, None, Some(receipt())));
    let open = store.record(&PaymentId::stored("pay_2")).await.unwrap().unwrap();
    assert_eq!(open.state, State::Unknown);
    assert_eq!(store.due(SystemTime::now(), 9).await.unwrap(), [PaymentId::stored("pay_2")]);
    drop(store);
    // And once more, with nothing to do.
    SqliteStore::open(&path, super::fixture::retention(), Arc::new(ManualClock::at(NOW))).await.unwrap();
}

/// What version 7 wrote: a payment with something in every column and one with the least, each with an answer that is
/// kept, the one that came first found last by its id.
const PAYMENTS: &str = r#"
INSERT INTO payments (id, state, offer, quote, version, network, chain, asset, amount, pay_to, payer, valid_before,
                      request, goods, identifier, since, transaction_hint, attempts, ask_at, asked, facilitator,
                      created_at, updated_at)
VALUES ('pay_a', 'settling', 'call:GET /a', 'q', 2, 'eip155:8453', 'eip155:8453', '0x1', '1', '0x2', '0xA', 3,
        '{"paymentRequirements":{"scheme":"exact"}}', '{}', 'once', 4, '0x3', 5, 6, 1, 'main', 9, 10),
       ('pay_b', 'settling', 'call:GET /b', NULL, 1, 'base', 'eip155:8453', '0x1', '1', '0x2', NULL, 3,
        '{"paymentRequirements":{"scheme":"other"}}', NULL, NULL, 0, NULL, 0, NULL, 0, 'main', 8, 8);
UPDATE payments SET state = 'settled', receipt = '{"transaction":"0x' || id || '"}', reason = 'why';
INSERT INTO responses VALUES ('pay_a', 200, '[]', x'01', 1), ('pay_b', 200, '[]', x'02', 2);
"#;

/// All columns of version 7, as one text for each payment.
const ROWS: &str = "SELECT json_array(id, state, offer, quote, version, network, chain, asset, amount, pay_to, payer,
        valid_before, request, receipt, reason, goods, identifier, since, transaction_hint, attempts, ask_at, asked,
        facilitator, created_at, updated_at) FROM payments ORDER BY id";

async fn texts(connection: &mut SqliteConnection, question: &'static str) -> Vec<String> {
    sqlx::query_scalar(question).fetch_all(connection).await.unwrap()
}

#[tokio::test]
async fn payments_are_put_in_order_with_all_that_is_known_of_them() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    migrate_to(&path, 7).await.unwrap();
    let mut connection = options(&path).connect().await.unwrap();
    sqlx::raw_sql(PAYMENTS).execute(&mut connection).await.unwrap();
    let before = texts(&mut connection, ROWS).await;
    assert_eq!(before.len(), 2);
    connection.close().await.unwrap();
    migrate_to(&path, 8).await.unwrap();
    let mut connection = options(&path).connect().await.unwrap();
    assert_eq!(texts(&mut connection, ROWS).await, before);
    assert_eq!(texts(&mut connection, "SELECT id FROM payments ORDER BY number").await, ["pay_b", "pay_a"]);
    assert_eq!(texts(&mut connection, "SELECT \"table\" FROM pragma_foreign_key_check").await, [""; 0]);
    // The rules hold as before, and an answer goes with its payment.
    for refused in [
        "INSERT INTO payments SELECT NULL, id || 'x', 'settled', offer, quote, version, network, chain, asset, amount, pay_to,
             payer, valid_before, request, receipt, reason, 0, 0, goods, NULL, 0, NULL, 0, NULL, 0, NULL FROM payments",
        "UPDATE payments SET state = 'voided'",
        "DELETE FROM payments",
        "UPDATE payments SET id = 'pay_c'",
        "UPDATE payments SET identifier = 'once', offer = 'call:GET /a', payer = '0xA'",
        "UPDATE payments SET receipt = '{\"transaction\":\"0x1\"}', request = '{\"paymentRequirements\":{\"scheme\":\"other\"}}'",
    ] {
        let refused_by = query(refused).execute(&mut connection).await.unwrap_err();
        assert!(refused_by.as_database_error().is_some_and(is_constraint), "{refused}: {refused_by}");
    }
    query("UPDATE payments SET state = 'delivered' WHERE id = 'pay_a'").execute(&mut connection).await.unwrap();
    query("DELETE FROM payments WHERE id = 'pay_a'").execute(&mut connection).await.unwrap();
    assert_eq!(texts(&mut connection, "SELECT payment_id FROM responses").await, ["pay_b"]);
}

/// What version 8 wrote: a subscription that another one extends, and one without a limit; of the first something is set
/// aside.
const SUBSCRIPTIONS: &str = "
INSERT INTO holders VALUES ('hol_1', 'acme', 1), ('hol_2', NULL, 2);
INSERT INTO subscriptions (id, holder_id, payment_id, chain, payer, plan, key_prefix, expires_at, units, used, leased,
                           created_at, replaced_by, extends)
VALUES ('sub_b', 'hol_1', 'pay_b', 'evm', '0x01', '{}', 'tg_', 9, 10000, 2000, 3000, 1, 'sub_a', 0),
       ('sub_a', 'hol_1', NULL, 'solana', '', '{}', 'tg_live_', 99, 15000, 1, 0, 2, NULL, 1),
       ('sub_c', 'hol_2', 'pay_c', 'evm', '0x02', '{}', 'tg_', 9, NULL, 7000, 0, 3, NULL, 0);
";

/// All columns of version 8, as one text for each subscription. Those of the same name were moved.
const BOUGHT: [&str; 2] = [
    "SELECT json_array(id, holder_id, payment_id, chain, payer, plan, key_prefix, expires_at, units, used, leased, created_at,
            replaced_by, extends) FROM subscriptions ORDER BY id",
    "SELECT json_array(id, holder_id, payment_id, chain, payer, plan, key_prefix, expires_at, units, used, leased, created_at,
            replaced_by, extends) FROM subscriptions JOIN balances USING (id) ORDER BY id",
];

#[tokio::test]
async fn what_is_used_and_set_aside_gets_rows_of_its_own() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    migrate_to(&path, 8).await.unwrap();
    let mut connection = options(&path).connect().await.unwrap();
    sqlx::raw_sql(SUBSCRIPTIONS).execute(&mut connection).await.unwrap();
    let before = texts(&mut connection, BOUGHT[0]).await;
    assert_eq!(before.len(), 3);
    connection.close().await.unwrap();
    migrate_to(&path, 9).await.unwrap();
    let mut connection = options(&path).connect().await.unwrap();
    assert_eq!(texts(&mut connection, BOUGHT[1]).await, before);
    assert_eq!(texts(&mut connection, "SELECT \"table\" FROM pragma_foreign_key_check").await, [""; 0]);
    for refused in [
        "UPDATE balances SET leased = 8001 WHERE id = 'sub_b'",
        "UPDATE balances SET used = -1",
        "DELETE FROM balances",
        "DELETE FROM subscriptions",
        "UPDATE subscriptions SET replaced_by = NULL WHERE id = 'sub_b'",
        "UPDATE subscriptions SET holder_id = 'hol_1'",
        "UPDATE subscriptions SET payment_id = 'pay_c'",
    ] {
        let refused_by = query(refused).execute(&mut connection).await.unwrap_err();
        assert!(refused_by.as_database_error().is_some_and(is_constraint), "{refused}: {refused_by}");
    }
    connection.close().await.unwrap();
    drop(SqliteStore::open(&path, super::fixture::retention(), Arc::new(ManualClock::at(NOW))).await.unwrap());
    let mut connection = options(&path).connect().await.unwrap();
    let units = "SELECT json_array(id, units, used, leased) FROM balances ORDER BY id";
    let handed_on = [r#"["sub_a",18000,1,0]"#, r#"["sub_b",10000,2000,0]"#, r#"["sub_c",null,7000,0]"#];
    assert_eq!(texts(&mut connection, units).await, handed_on);
}

/// A payment that is settling, with what it takes to be settled.
const ONE: &str =
    "INSERT INTO payments (id, state, offer, version, network, chain, asset, amount, pay_to, valid_before, request,
                                         receipt, created_at, updated_at)
                   VALUES ('pay_1', 'settling', 'call:GET /a', 2, '', 'eip155:8453', '', '', '', 3, '{}', '{}', 1, 1)";

/// Which moves the books let through, each from a state that is reached by those before it.
async fn moves(connection: &mut SqliteConnection) -> Vec<String> {
    let states = ["settling", "settled", "delivered", "voided", "unknown", "other", ""];
    let ways: [&[&str]; 5] = [&[], &["settled"], &["settled", "delivered"], &["voided"], &["unknown"]];
    let mut through = Vec::new();
    for way in ways {
        for to in states {
            query("BEGIN").execute(&mut *connection).await.unwrap();
            query(ONE).execute(&mut *connection).await.unwrap();
            for step in way {
                query("UPDATE payments SET state = ?").bind(step).execute(&mut *connection).await.unwrap();
            }
            let moved = query("UPDATE payments SET state = ?").bind(to).execute(&mut *connection).await;
            let begun = query("UPDATE payments SET id = 'pay_2'").execute(&mut *connection).await;
            through.push(format!("{way:?} {to} {} {}", moved.is_ok(), begun.is_ok()));
            query("ROLLBACK").execute(&mut *connection).await.unwrap();
        }
    }
    through
}

#[tokio::test]
async fn rules_without_lists_are_the_same_rules() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    migrate_to(&path, 9).await.unwrap();
    let mut connection = options(&path).connect().await.unwrap();
    let before = moves(&mut connection).await;
    assert_eq!(before.iter().filter(|moved| moved.ends_with("true true")).count(), 9, "{before:?}");
    query(ONE).execute(&mut connection).await.unwrap();
    let rows = texts(&mut connection, ROWS).await;
    migrate_to(&path, 10).await.unwrap();
    // Also for whoever had it open.
    assert_eq!(texts(&mut connection, ROWS).await, rows);
    query("UPDATE payments SET state = 'other'").execute(&mut connection).await.unwrap_err();
    query("UPDATE payments SET state = 'voided'").execute(&mut connection).await.unwrap();
    query("DELETE FROM payments").execute(&mut connection).await.unwrap();
    assert_eq!(moves(&mut connection).await, before);
    connection.close().await.unwrap();
    let mut connection = options(&path).connect().await.unwrap();
    assert_eq!(moves(&mut connection).await, before);
    assert_eq!(texts(&mut connection, "SELECT integrity_check FROM pragma_integrity_check").await, ["ok"]);
    // What is judged by a list of more than two is judged by a table that is made for it.
    let rules =
        texts(&mut connection, "SELECT sql FROM sqlite_schema WHERE tbl_name = 'payments' AND sql IS NOT NULL").await;
    let lists = rules.iter().flat_map(|rule| rule.split(" IN (").skip(1).map(|list| list.split(')').next().unwrap()));
    assert_eq!(lists.filter(|list| list.matches(',').count() > 1).count(), 0, "{rules:?}");
    // The rule of a column cannot be gone without being missed.
    query("DROP TRIGGER payments_move").execute(&mut connection).await.unwrap();
    query("DROP TRIGGER payments_begin").execute(&mut connection).await.unwrap();
    query(ONE).execute(&mut connection).await.unwrap();
    let refused = query("UPDATE payments SET state = 'other'").execute(&mut connection).await.unwrap_err();
    assert!(refused.to_string().contains("CHECK"), "{refused}");
}
