//! A store with as many keys as one likes, filled past the gateway's writer: a sale each would take minutes.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, query};
use tollgate::clock::unix_millis;
use tollgate::plans::{KeyHash, Plan, Rate, Units};

use super::Result;

/// The name of a holder, of a key or of a subscription, as long as those of a sale.
pub(super) fn id(kind: &str, number: u32) -> String {
    format!("{kind}_{number:040x}")
}

/// Writes a holder, a subscription and a key for each hash.
pub(super) async fn fill(path: &Path, hashes: impl Iterator<Item = KeyHash>) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(path).synchronous(SqliteSynchronous::Off);
    let mut connection = options.connect().await?;
    let mut books = connection.begin().await?;
    let hashes: Vec<_> = hashes.map(|KeyHash(bytes)| alloy_primitives::hex::encode(bytes)).collect();
    let count = u32::try_from(hashes.len())?;
    holders(&mut books, count).await?;
    query(
        "INSERT INTO keys (id, hash, holder_id, origin, prefix, hint, created_at)
         SELECT printf('key_%040x', key), unhex(value), printf('hol_%040x', key), 'issued', 'tg_live_', 'tg_live_', 0
         FROM json_each(?)",
    )
    .bind(serde_json::to_string(&hashes)?)
    .execute(&mut *books)
    .await?;
    books.commit().await?;
    Ok(connection.close().await?)
}

async fn holders(books: &mut SqliteConnection, count: u32) -> Result<()> {
    const NUMBERS: &str = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?)";
    let holders = format!("{NUMBERS} INSERT INTO holders SELECT printf('hol_%040x', n), NULL, 0 FROM numbers");
    query(sqlx::AssertSqlSafe(holders)).bind(count).execute(&mut *books).await?;
    let plan = plan();
    let subscriptions = format!(
        "{NUMBERS} INSERT INTO subscriptions (id, holder_id, chain, payer, plan, key_prefix, expires_at, created_at)
         SELECT printf('sub_%040x', n), printf('hol_%040x', n), 'evm', printf('0x%040x', n), ?, 'tg_live_', ?, 0
         FROM numbers"
    );
    query(sqlx::AssertSqlSafe(subscriptions))
        .bind(count)
        .bind(serde_json::to_string(&plan)?)
        .bind(unix_millis(SystemTime::now() + plan.duration))
        .execute(&mut *books)
        .await?;
    let balances = format!("{NUMBERS} INSERT INTO balances (id, units) SELECT printf('sub_%040x', n), ? FROM numbers");
    query(sqlx::AssertSqlSafe(balances)).bind(count).bind(plan.units.map(Units::stored)).execute(books).await?;
    Ok(())
}

/// A plan that never ends: what is measured is the counting, not the refusal.
fn plan() -> Plan {
    Plan {
        name: "bench".into(),
        units: Some(Units::from_thousandths(1_000_000_000_000)),
        duration: Duration::from_secs(30 * 24 * 60 * 60),
        rate: Some(Rate { calls: 1_000_000_000, per: Duration::from_secs(1) }),
        burst: None,
    }
}
