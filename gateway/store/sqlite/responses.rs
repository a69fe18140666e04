//! Stored responses, bounded in bytes, and the end of what is old.

use rusqlite::{Connection, params};

use super::connecting::is_taken;
use super::{kept_headers, units};
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
    pub(super) fn keep(
        &mut self,
        connection: &Connection,
        id: &PaymentId,
        response: &StoredResponse,
    ) -> Result<(), StoreError> {
        let headers = kept_headers::write(&response.headers)?;
        let size = i64::try_from(headers.len().saturating_add(response.body.len())).unwrap_or(i64::MAX);
        let room = i64::try_from(self.retention.responses_bytes_max).unwrap_or(i64::MAX);
        if size > room {
            return Ok(());
        }
        let mut bytes = self.count(connection)?;
        if bytes.saturating_add(size) > room && forget(connection, id)? {
            self.bytes = None;
            bytes = self.count(connection)?;
        }
        while bytes.saturating_add(size) > room {
            match evict(connection)? {
                0 => break,
                freed => bytes = bytes.saturating_sub(freed),
            }
        }
        let mut kept = connection.prepare_cached(
            "INSERT INTO responses (payment_id, status, headers, body, expires_at) VALUES (?, ?, ?, ?, ?)",
        )?;
        let (status, expires_at) = (response.status.as_u16(), unix_millis(response.expires_at));
        let values = params![id.as_str(), status, headers, response.body.as_ref(), expires_at];
        self.bytes = Some(bytes.saturating_add(size));
        match kept.execute(values) {
            Err(error) if is_taken(&error) => {
                // Few payments have one from before, so it is looked for only where it is in the way.
                self.bytes = None;
                forget(connection, id)?;
                kept.execute(values)?;
            }
            kept => drop(kept?),
        }
        Ok(())
    }

    /// Ends what is over: responses after their time, payments after the retention if nothing can come of them.
    pub(super) fn sweep(&mut self, connection: &Connection, now: i64) -> Result<Swept, StoreError> {
        self.bytes = None;
        units::forget(connection, self.retention.usage, now)?;
        let responses = connection.execute(
            "DELETE FROM responses WHERE rowid IN (SELECT rowid FROM responses WHERE expires_at <= ? LIMIT ?)",
            [now, ROWS_MAX],
        )?;
        let responses = u64::try_from(responses).unwrap_or(u64::MAX);
        let Some(keep) = self.retention.payments else { return Ok(Swept { responses, payments: 0 }) };
        let before = now.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        // An authorization that can still be settled is kept: its identity is what stops a second use.
        let payments = connection.execute(
            "DELETE FROM payments WHERE id IN (
                 SELECT id FROM payments WHERE state IN ('delivered', 'voided') AND updated_at <= ?1
                    AND (valid_before = ?2 OR valid_before <= ?3) LIMIT ?4)",
            [before, i64::MAX, now / 1000, ROWS_MAX],
        )?;
        let payments = u64::try_from(payments).unwrap_or(u64::MAX);
        Ok(Swept { responses, payments })
    }

    fn count(&mut self, connection: &Connection) -> Result<i64, StoreError> {
        if let Some(bytes) = self.bytes {
            return Ok(bytes);
        }
        let sum = "SELECT coalesce(sum(length(CAST(headers AS BLOB)) + length(body)), 0) FROM responses";
        Ok(connection.query_row(sum, [], |row| row.get(0))?)
    }
}

/// Lets a payment's go; says whether there was any.
fn forget(connection: &Connection, id: &PaymentId) -> Result<bool, StoreError> {
    let mut earlier = connection.prepare_cached("DELETE FROM responses WHERE payment_id = ?")?;
    Ok(earlier.execute([id.as_str()])? > 0)
}

/// Lets the oldest go; says how many bytes that frees.
fn evict(connection: &Connection) -> Result<i64, StoreError> {
    let mut oldest = connection.prepare_cached(
        "SELECT rowid, length(CAST(headers AS BLOB)) + length(body) FROM responses ORDER BY expires_at LIMIT 16",
    )?;
    let oldest = oldest.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let oldest: Vec<(i64, i64)> = oldest.collect::<Result<_, _>>()?;
    let mut gone = connection.prepare_cached("DELETE FROM responses WHERE rowid = ?")?;
    for (row, _) in &oldest {
        gone.execute([row])?;
    }
    Ok(oldest.iter().map(|(_, bytes)| bytes).sum())
}
