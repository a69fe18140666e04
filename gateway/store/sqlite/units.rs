//! Units of a plan: set aside for a gateway, and written down as used.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::sales;
use crate::plans::{HolderId, SubscriptionId, Units};
use crate::store::{StoreError, Usage};

/// Days are counted in UTC.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn lease(connection: &Connection, id: &SubscriptionId, want: Units) -> Result<Units, StoreError> {
    let mut free = connection.prepare_cached(
        "SELECT max(0, min(?, units - used - leased)) FROM balances JOIN subscriptions USING (id)
         WHERE id = ? AND units IS NOT NULL AND replaced_by IS NULL",
    )?;
    let granted: Option<i64> = free.query_row(params![want.stored(), id.as_str()], |row| row.get(0)).optional()?;
    let granted = granted.unwrap_or(0);
    if granted == 0 {
        return Ok(Units::ZERO);
    }
    let mut leased = connection.prepare_cached("UPDATE balances SET leased = leased + ? WHERE id = ?")?;
    leased.execute(params![granted, id.as_str()])?;
    Ok(Units::from_stored(granted))
}

/// In the order of the rows, so that those which lie together are changed together.
pub(super) fn report(connection: &Connection, usages: &[Usage], now: i64) -> Result<(), StoreError> {
    let mut used = connection
        .prepare_cached("UPDATE balances SET used = used + ?1, leased = max(0, leased - ?1 - ?2) WHERE id = ?3")?;
    for usage in in_order(usages, |usage| usage.subscription.as_str()) {
        let (spent, returned) = (usage.spent.stored(), usage.returned.stored());
        used.execute(params![spent, returned, usage.subscription.as_str()])?;
        if returned > 0 {
            hand_on(connection, replaced_by(connection, &usage.subscription)?, returned, now)?;
        }
    }
    let day = now.div_euclid(DAY_MS);
    in_order(usages, |usage| usage.holder.as_str()).into_iter().try_for_each(|usage| count(connection, usage, day))
}

/// By the beginnings of their ids, which is as good as the whole for that, and takes each text up once.
fn in_order<'u>(usages: &'u [Usage], by: impl Fn(&'u Usage) -> &'u str) -> Vec<&'u Usage> {
    let mut usages: Vec<_> = usages.iter().collect();
    usages.sort_by_cached_key(|usage| by(usage).bytes().take(16).fold(0, |word, byte| word << 8 | u128::from(byte)));
    usages
}

fn replaced_by(connection: &Connection, id: &SubscriptionId) -> Result<Option<String>, StoreError> {
    let mut standing = connection.prepare_cached("SELECT replaced_by FROM subscriptions WHERE id = ?")?;
    Ok(standing.query_row([id.as_str()], |row| row.get(0)).optional()?.flatten())
}

/// Frees what a gateway that is no more had set aside and not spent.
pub(super) fn free_leases(connection: &mut Connection, now: i64) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let leased: Vec<(Option<String>, i64)> = {
        let mut leased = transaction
            .prepare("SELECT replaced_by, leased FROM balances JOIN subscriptions USING (id) WHERE leased > 0")?;
        leased.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    transaction.execute("UPDATE balances SET leased = 0 WHERE leased > 0", [])?;
    for (replaced_by, units) in leased {
        hand_on(&transaction, replaced_by, units, now)?;
    }
    transaction.commit().map_err(Into::into)
}

/// Units that come back to a subscription which another one extends by now are that one's: when it took over what was
/// left, these were set aside.
fn hand_on(connection: &Connection, mut next: Option<String>, units: i64, now: i64) -> Result<(), StoreError> {
    let mut standing =
        connection.prepare_cached("SELECT extends, replaced_by, holder_id FROM subscriptions WHERE id = ?")?;
    while let Some(id) = next {
        let row = standing.query_row([&id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let row: Option<(bool, Option<String>, String)> = row.optional()?;
        let Some((true, replaced_by, holder)) = row else { return Ok(()) };
        if replaced_by.is_none() {
            let mut more = connection.prepare_cached("UPDATE balances SET units = units + ? WHERE id = ?")?;
            more.execute(params![units, id])?;
            return sales::changed(connection, &HolderId::new(&holder), now);
        }
        next = replaced_by;
    }
    Ok(())
}

fn count(connection: &Connection, usage: &Usage, day: i64) -> Result<(), StoreError> {
    let mut counted = connection.prepare_cached(
        "INSERT INTO usage (day, holder_id, credential, route, calls, units) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (day, holder_id, credential, route) DO UPDATE SET calls = calls + ?5, units = units + ?6",
    )?;
    for calls in &usage.calls {
        let (number, units) = (i64::try_from(calls.calls).unwrap_or(i64::MAX), calls.units.stored());
        counted.execute(params![day, usage.holder.as_str(), &*calls.credential, &*calls.route, number, units])?;
    }
    Ok(())
}

/// Changes are of interest to gateways that run; one that comes back later begins with nothing in memory.
const CHANGES_KEPT_MS: i64 = 60 * 60 * 1000;
/// The most rows that one sweep takes.
const ROWS_MAX: i64 = 10_000;

/// Lets go of what nobody asks for any more.
pub(super) fn forget(connection: &Connection, usage: Option<Duration>, now: i64) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM changes WHERE number IN (SELECT number FROM changes WHERE at <= ? ORDER BY number LIMIT ?)",
        [now.saturating_sub(CHANGES_KEPT_MS), ROWS_MAX],
    )?;
    let Some(keep) = usage else { return Ok(()) };
    let before = now.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)).div_euclid(DAY_MS);
    connection.execute(
        "DELETE FROM usage WHERE (day, holder_id, credential, route) IN
             (SELECT day, holder_id, credential, route FROM usage WHERE day < ? LIMIT ?)",
        [before, ROWS_MAX],
    )?;
    Ok(())
}
