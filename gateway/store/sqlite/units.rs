//! Units of a plan: set aside for a gateway, and written down as used.

use sqlx::query;
use sqlx::sqlite::SqliteConnection;

use crate::plans::{SubscriptionId, Units};
use crate::store::{StoreError, Usage};

pub(super) async fn lease(
    connection: &mut SqliteConnection,
    id: &SubscriptionId,
    want: Units,
) -> Result<Units, StoreError> {
    let granted: Option<i64> = sqlx::query_scalar(
        "SELECT max(0, min(?, units - used - leased)) FROM subscriptions WHERE id = ? AND units IS NOT NULL",
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

pub(super) async fn report(connection: &mut SqliteConnection, usages: &[Usage]) -> Result<(), StoreError> {
    for usage in usages {
        let (spent, returned) = (usage.spent.stored(), usage.returned.stored());
        query("UPDATE subscriptions SET used = used + ?1, leased = max(0, leased - ?1 - ?2) WHERE id = ?3")
            .bind(spent)
            .bind(returned)
            .bind(usage.subscription.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
