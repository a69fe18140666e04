//! Stored responses, bounded in bytes, and the end of what is old.

use sqlx::sqlite::SqliteConnection;
use sqlx::{query, query_as, query_scalar};

use super::rows::to_json;
use super::units;
use crate::clock::unix_millis;
use crate::payment::PaymentId;
use crate::store::{Retention, StoreError, StoredResponse, Swept};

/// How many rows go in one transaction, so that no payment waits long behind them.
const ROWS_MAX: i64 = 500;

/// The stored responses, counted.
pub(super) struct Responses {
    retention: Retention,
    /// Their bytes. None if they have to be counted anew.
    bytes: Option<i64>,
}

impl Responses {
    pub(super) fn new(retention: Retention) -> Self {
        Self { retention, bytes: None }
    }

    /// To be called when a transaction did not come to its end.
    pub(super) fn forget_count(&mut self) {
        self.bytes = None;
    }

    /// Keeps a response; older ones make room for it. One that alone is too large is not kept.
    pub(super) async fn keep(
        &mut self,
        connection: &mut SqliteConnection,
        id: &PaymentId,
        response: &StoredResponse,
    ) -> Result<(), StoreError> {
        let headers = to_json(&response.headers)?;
        let size = i64::try_from(headers.len().saturating_add(response.body.len())).unwrap_or(i64::MAX);
        let room = i64::try_from(self.retention.responses_bytes_max).unwrap_or(i64::MAX);
        if size > room {
            return Ok(());
        }
        let earlier = query("DELETE FROM responses WHERE payment_id = ?").bind(id.as_str());
        if earlier.execute(&mut *connection).await?.rows_affected() > 0 {
            self.bytes = None;
        }
        let mut bytes = self.count(connection).await?;
        while bytes.saturating_add(size) > room {
            match evict(connection).await? {
                0 => break,
                freed => bytes = bytes.saturating_sub(freed),
            }
        }
        query("INSERT INTO responses (payment_id, status, headers, body, expires_at) VALUES (?, ?, ?, ?, ?)")
            .bind(id.as_str())
            .bind(response.status.as_u16())
            .bind(headers)
            .bind(response.body.as_ref())
            .bind(unix_millis(response.expires_at))
            .execute(connection)
            .await?;
        self.bytes = Some(bytes.saturating_add(size));
        Ok(())
    }

    /// Ends what is over: responses after their time, payments after the retention if nothing can come of them.
    pub(super) async fn sweep(&mut self, connection: &mut SqliteConnection, now: i64) -> Result<Swept, StoreError> {
        self.bytes = None;
        units::forget(connection, self.retention.usage, now).await?;
        let responses =
            query("DELETE FROM responses WHERE rowid IN (SELECT rowid FROM responses WHERE expires_at <= ? LIMIT ?)")
                .bind(now)
                .bind(ROWS_MAX);
        let responses = responses.execute(&mut *connection).await?.rows_affected();
        let Some(keep) = self.retention.payments else { return Ok(Swept { responses, payments: 0 }) };
        let before = now.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        // An authorization that can still be settled is kept: its identity is what stops a second use.
        let payments = query(
            "DELETE FROM payments WHERE id IN (
                 SELECT id FROM payments WHERE state IN ('delivered', 'voided') AND updated_at <= ?1
                    AND (valid_before = ?2 OR valid_before <= ?3) LIMIT ?4)",
        )
        .bind(before)
        .bind(i64::MAX)
        .bind(now / 1000)
        .bind(ROWS_MAX);
        let payments = payments.execute(connection).await?.rows_affected();
        Ok(Swept { responses, payments })
    }

    async fn count(&mut self, connection: &mut SqliteConnection) -> Result<i64, StoreError> {
        if let Some(bytes) = self.bytes {
            return Ok(bytes);
        }
        let sum = "SELECT coalesce(sum(length(CAST(headers AS BLOB)) + length(body)), 0) FROM responses";
        Ok(query_scalar(sum).fetch_one(connection).await?)
    }
}

/// Lets the oldest go; says how many bytes that frees.
async fn evict(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let oldest: Vec<(i64, i64)> = query_as(
        "SELECT rowid, length(CAST(headers AS BLOB)) + length(body) FROM responses ORDER BY expires_at LIMIT 16",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (row, _) in &oldest {
        query("DELETE FROM responses WHERE rowid = ?").bind(row).execute(&mut *connection).await?;
    }
    Ok(oldest.iter().map(|(_, bytes)| bytes).sum())
}
