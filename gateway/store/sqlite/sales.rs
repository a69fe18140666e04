//! What a sale brings into the world, and what becomes of keys and addresses afterwards.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::to_json;
use crate::clock::{from_unix_millis, unix_millis};
use crate::payment::PaymentId;
use crate::plans::{HolderAddress, HolderId, KeyId, OnRepurchase, Origin, Subscription, Units};
use crate::store::{Linked, NewKey, Sale, StoreError};

/// The most revoked keys, and the most addresses, of one holder.
const REVOKED_MAX: i64 = 100;
const ADDRESSES_MAX: i64 = 100;

/// The subscription that a new one takes the place of, as far as that needs it.
struct Earlier {
    id: String,
    plan: String,
    expires_at: SystemTime,
    units: Option<Units>,
    used: Units,
    leased: Units,
}

/// Writes the subscription, its key, and its holder if nobody has the address or the name yet.
pub(super) fn sell(
    connection: &Connection,
    payment: Option<&PaymentId>,
    sale: &Sale,
    now: i64,
) -> Result<(), StoreError> {
    let holder = holder(connection, sale, now)?;
    let earlier = earlier(connection, &holder)?;
    let (bought, extends) = succeed(sale, earlier.as_ref(), now);
    if let Some(earlier) = earlier {
        let replace = "UPDATE subscriptions SET replaced_by = ? WHERE id = ?";
        connection.prepare_cached(replace)?.execute([bought.id.as_str(), &earlier.id])?;
    }
    let mut sold = connection.prepare_cached(
        "INSERT INTO subscriptions (id, holder_id, payment_id, chain, payer, plan, key_prefix, expires_at, created_at, extends)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    sold.execute(params![
        bought.id.as_str(),
        holder.as_str(),
        payment.map(PaymentId::as_str),
        &*bought.chain,
        &*bought.payer,
        to_json(&bought.plan)?,
        &*bought.key_prefix,
        unix_millis(bought.expires_at),
        now,
        extends,
    ])?;
    let mut balance = connection.prepare_cached("INSERT INTO balances (id, units, used) VALUES (?, ?, ?)")?;
    balance.execute(params![bought.id.as_str(), bought.units.map(Units::stored), bought.used.stored()])?;
    put_key(connection, &holder, &sale.key, now)?;
    changed(connection, &holder, now)
}

fn earlier(connection: &Connection, holder: &HolderId) -> Result<Option<Earlier>, StoreError> {
    let mut current = connection.prepare_cached(
        "SELECT id, CASE WHEN json_valid(plan) THEN plan ->> '$.name' END, expires_at, units, used, leased
         FROM subscriptions JOIN balances USING (id) WHERE holder_id = ? AND replaced_by IS NULL",
    )?;
    let current = current.query_row([holder.as_str()], |row| {
        Ok(Earlier {
            id: row.get(0)?,
            plan: row.get(1)?,
            expires_at: from_unix_millis(row.get(2)?),
            units: row.get::<_, Option<i64>>(3)?.map(Units::from_stored),
            used: Units::from_stored(row.get(4)?),
            leased: Units::from_stored(row.get(5)?),
        })
    });
    current.optional().map_err(Into::into)
}

/// The subscription as it will stand, and whether it extends the one before it. What is leased of that one may be
/// spent already: it comes when it is given back.
fn succeed(sale: &Sale, earlier: Option<&Earlier>, now: i64) -> (Subscription, bool) {
    let mut bought = sale.subscription.clone();
    let extended = earlier.filter(|earlier| {
        let runs = unix_millis(earlier.expires_at) > now;
        // A plan that had no limit and has one now is another plan: what is left of it has no number.
        let same = *earlier.plan == *bought.plan.name && earlier.units.is_some() == bought.units.is_some();
        sale.on_repurchase == OnRepurchase::Extend && same && runs
    });
    if let Some(earlier) = extended {
        bought.expires_at = earlier.expires_at.checked_add(bought.plan.duration).unwrap_or(bought.expires_at);
        let left = earlier.units.map(|units| units.saturating_sub(earlier.used).saturating_sub(earlier.leased));
        bought.units = bought.units.zip(left).map(|(units, left)| units.saturating_add(left));
    }
    (bought, extended.is_some())
}

/// Who has the name or the address, or the id; else a new one, and both become theirs.
fn holder(connection: &Connection, sale: &Sale, now: i64) -> Result<HolderId, StoreError> {
    let (bought, name) = (&sale.subscription, sale.name.as_deref());
    let id = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let known = match name {
        Some(name) => connection.prepare_cached("SELECT id FROM holders WHERE name = ?")?.query_row([name], id),
        None => {
            let at = "SELECT holder_id FROM addresses WHERE chain = ? AND address = ?";
            connection.prepare_cached(at)?.query_row([&*bought.chain, &*bought.payer], id)
        }
    };
    // The operator may mean somebody who has no name.
    let known = match known.optional()? {
        Some(known) => Some(known),
        None => {
            let mut meant = connection.prepare_cached("SELECT id FROM holders WHERE id = ?")?;
            meant.query_row([bought.holder.as_str()], id).optional()?
        }
    };
    if let Some(known) = known {
        return Ok(HolderId::new(&known));
    }
    let mut new = connection.prepare_cached("INSERT INTO holders (id, name, created_at) VALUES (?, ?, ?)")?;
    new.execute(params![bought.holder.as_str(), name, now])?;
    if !bought.payer.is_empty() {
        let address =
            HolderAddress { chain: bought.chain.clone(), address: bought.payer.clone(), network: sale.network.clone() };
        put_address(connection, &bought.holder, &address, now)?;
    }
    Ok(bought.holder.clone())
}

/// Writes a new key; the one whose place it takes opens nothing from now on.
pub(super) fn issue(
    connection: &Connection,
    key: &NewKey,
    replaces: Option<&KeyId>,
    keys_max: u32,
    now: i64,
) -> Result<(), StoreError> {
    let holder = &key.key.holder;
    // Who has more than may be, since purchases bring keys too, can put new ones in their places all the same.
    if let Some(replaced) = replaces {
        revoke(connection, holder, replaced, now)?;
        put_key(connection, holder, key, now)?;
        return changed(connection, holder, now);
    }
    let mut working =
        connection.prepare_cached("SELECT count(*) FROM keys WHERE holder_id = ? AND revoked_at IS NULL")?;
    let working: i64 = working.query_row([holder.as_str()], |row| row.get(0))?;
    if working >= i64::from(keys_max) {
        return Err(StoreError::TooManyKeys(keys_max));
    }
    put_key(connection, holder, key, now)?;
    forget_revoked(connection, holder)?;
    changed(connection, holder, now)
}

/// A key that opens nothing is kept to be listed; of one holder only so many, however often they rotate.
fn forget_revoked(connection: &Connection, holder: &HolderId) -> Result<(), StoreError> {
    let mut forgotten = connection.prepare_cached(
        "DELETE FROM keys WHERE id IN (SELECT id FROM keys WHERE holder_id = ? AND revoked_at IS NOT NULL
                                       ORDER BY revoked_at DESC, id LIMIT -1 OFFSET ?)",
    )?;
    forgotten.execute(params![holder.as_str(), REVOKED_MAX])?;
    Ok(())
}

pub(super) fn revoke(connection: &Connection, holder: &HolderId, key: &KeyId, now: i64) -> Result<(), StoreError> {
    let mut revoked = connection
        .prepare_cached("UPDATE keys SET revoked_at = ? WHERE id = ? AND holder_id = ? AND revoked_at IS NULL")?;
    if revoked.execute(params![now, key.as_str(), holder.as_str()])? == 0 {
        return Err(StoreError::NoKey(key.clone()));
    }
    changed(connection, holder, now)
}

/// An address goes over from a holder who has nothing that still runs; whoever has a plan keeps it.
pub(super) fn link(
    connection: &Connection,
    holder: &HolderId,
    address: &HolderAddress,
    now: i64,
) -> Result<Linked, StoreError> {
    let mut known = connection.prepare_cached(
        "SELECT a.holder_id, EXISTS (SELECT 1 FROM subscriptions s WHERE s.holder_id = a.holder_id
                                     AND s.replaced_by IS NULL AND s.expires_at > ?)
         FROM addresses a WHERE a.chain = ? AND a.address = ?",
    )?;
    let known = known.query_row(params![now, &*address.chain, &*address.address], |row| Ok((row.get(0)?, row.get(1)?)));
    let known: Option<(String, bool)> = known.optional()?;
    let mut theirs = connection.prepare_cached("SELECT count(*) FROM addresses WHERE holder_id = ?")?;
    let theirs: i64 = theirs.query_row([holder.as_str()], |row| row.get(0))?;
    match known {
        Some((known, _)) if known == holder.as_str() => Ok(Linked::Before),
        Some((_, true)) => Ok(Linked::Taken),
        _ if theirs >= ADDRESSES_MAX => Ok(Linked::TooMany),
        Some((before, false)) => {
            changed(connection, &HolderId::new(&before), now)?;
            put_address(connection, holder, address, now).map(|()| Linked::Now)
        }
        None => put_address(connection, holder, address, now).map(|()| Linked::Now),
    }
}

fn put_address(
    connection: &Connection,
    holder: &HolderId,
    address: &HolderAddress,
    now: i64,
) -> Result<(), StoreError> {
    let mut put = connection.prepare_cached(
        "INSERT INTO addresses (chain, address, holder_id, network, linked_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (chain, address) DO UPDATE SET holder_id = ?3, network = ?4, linked_at = ?5",
    )?;
    let (chain, network) = (&*address.chain, address.network.as_deref());
    put.execute(params![chain, &*address.address, holder.as_str(), network, now])?;
    changed(connection, holder, now)
}

fn put_key(
    connection: &Connection,
    holder: &HolderId,
    NewKey { key, hash }: &NewKey,
    now: i64,
) -> Result<(), StoreError> {
    let mut put = connection.prepare_cached(
        "INSERT INTO keys (id, hash, holder_id, origin, prefix, hint, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let (origin, prefix) = (key.origin.as_str(), key.prefix.as_deref());
    put.execute(params![key.id.as_str(), hash.0.as_slice(), holder.as_str(), origin, prefix, &*key.hint, now])?;
    // Gateways know such keys by a list, since nothing in them says that they are ours.
    if key.origin == Origin::Imported { changed(connection, &HolderId::new(""), now) } else { Ok(()) }
}

/// Tells gateways that what they have of a holder in memory is old. One row for each: who reads it reads what is now.
pub(super) fn changed(connection: &Connection, holder: &HolderId, now: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM changes WHERE holder_id = ?")?.execute([holder.as_str()])?;
    let mut change = connection.prepare_cached("INSERT INTO changes (holder_id, at) VALUES (?, ?)")?;
    change.execute(params![holder.as_str(), now])?;
    Ok(())
}
