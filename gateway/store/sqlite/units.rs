//! Units of a plan: set aside for a gateway, and written down as used.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use sqlx::{query, query_as, query_scalar};

use super::sales;
use crate::plans::{HolderId, SubscriptionId, Units};
use crate::store::{StoreError, Usage};

/// Days are counted in UTC.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) async fn lease(
    connection: &mut SqliteConnection,
    id: &SubscriptionId,
    want: Units,
) -> Result<Units, StoreError> {
    let granted: Option<i64> = query_scalar(
        "SELECT max(0, min(?, units - used - leased)) FROM subscriptions WHERE id = ? AND units IS NOT NULL
                AND replaced_by IS NULL",
    )
    .bind(want.stored())
    .bind(id.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let granted = granted.unwrap_or(0);
    if granted == 0 {
        return Ok(Units::ZERO);
    }
    query("UPDATE subscriptions SET leased = leased + ? WHERE id = ?")
        .bind(granted)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(Units::from_stored(granted))
}

pub(super) async fn report(connection: &mut SqliteConnection, usages: &[Usage], now: i64) -> Result<(), StoreError> {
    for usage in usages {
        let (spent, returned) = (usage.spent.stored(), usage.returned.stored());
        let replaced_by: Option<String> = query_scalar(
            "UPDATE subscriptions SET used = used + ?1, leased = max(0, leased - ?1 - ?2) WHERE id = ?3
             RETURNING replaced_by",
        )
        .bind(spent)
        .bind(returned)
        .bind(usage.subscription.as_str())
        .fetch_optional(&mut *connection)
        .await?
        .flatten();
        if returned > 0 {
            hand_on(connection, replaced_by, returned, now).await?;
        }
        count(connection, usage, now.div_euclid(DAY_MS)).await?;
    }
    Ok(())
}

/// Frees what a gateway that is no more had set aside and not spent.
pub(super) async fn free_leases(connection: &mut SqliteConnection, now: i64) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    let leased: Vec<(Option<String>, i64)> =
        query_as("SELECT replaced_by, leased FROM subscriptions WHERE leased > 0").fetch_all(&mut *transaction).await?;
    query("UPDATE subscriptions SET leased = 0 WHERE leased > 0").execute(&mut *transaction).await?;
    for (replaced_by, units) in leased {
        hand_on(&mut transaction, replaced_by, units, now).await?;
    }
    transaction.commit().await.map_err(Into::into)
}

/// Units that come back to a subscription which another one extends by now are that one's: when it took over what was
/// left, these were set aside.
async fn hand_on(
    connection: &mut SqliteConnection,
    mut next: Option<String>,
    units: i64,
    now: i64,
) -> Result<(), StoreError> {
    while let Some(id) = next {
        let row: Option<(bool, Option<String>, String)> =
            query_as("SELECT extends, replaced_by, holder_id FROM subscriptions WHERE id = ?")
                .bind(&id)
                .fetch_optional(&mut *connection)
                .await?;
        let Some((true, replaced_by, holder)) = row else { return Ok(()) };
        if replaced_by.is_none() {
            query("UPDATE subscriptions SET units = units + ? WHERE id = ?")
                .bind(units)
                .bind(&id)
                .execute(&mut *connection)
                .await?;
            return sales::changed(connection, &HolderId::new(&holder), now).await;
        }
        next = replaced_by;
    }
    Ok(())
}

async fn count(connection: &mut SqliteConnection, usage: &Usage, day: i64) -> Result<(), StoreError> {
    for calls in &usage.calls {
        query(
            "INSERT INTO usage (day, holder_id, credential, route, calls, units) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (day, holder_id, credential, route) DO UPDATE SET calls = calls + ?5, units = units + ?6",
        )
        .bind(day)
        .bind(usage.holder.as_str())
        .bind(&*calls.credential)
        .bind(&*calls.route)
        .bind(i64::try_from(calls.calls).unwrap_or(i64::MAX))
        .bind(calls.units.stored())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Changes are of interest to gateways that run; one that comes back later begins with nothing in memory.
const CHANGES_KEPT_MS: i64 = 60 * 60 * 1000;
/// The most rows that one sweep takes.
const ROWS_MAX: i64 = 10_000;

/// Lets go of what nobody asks for any more.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    usage: Option<Duration>,
    now: i64,
) -> Result<(), StoreError> {
    query("DELETE FROM changes WHERE number IN (SELECT number FROM changes WHERE at <= ? ORDER BY number LIMIT ?)")
        .bind(now.saturating_sub(CHANGES_KEPT_MS))
        .bind(ROWS_MAX)
        .execute(&mut *connection)
        .await?;
    let Some(keep) = usage else { return Ok(()) };
    let before = now.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)).div_euclid(DAY_MS);
    query(
        "DELETE FROM usage WHERE (day, holder_id, credential, route) IN
             (SELECT day, holder_id, credential, route FROM usage WHERE day < ? LIMIT ?)",
    )
    .bind(before)
    .bind(ROWS_MAX)
    .execute(connection)
    .await?;
    Ok(())
}
