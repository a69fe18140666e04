//! What a sale brings into the world, and what becomes of keys and addresses afterwards.

use sqlx::sqlite::SqliteConnection;
use sqlx::{query, query_as, query_scalar};

use super::holders::{SUBSCRIPTION, subscription_row};
use super::rows::to_json;
use crate::clock::unix_millis;
use crate::payment::PaymentId;
use crate::plans::{HolderAddress, HolderId, KeyId, OnRepurchase, Origin, Subscription, Units};
use crate::store::{Linked, NewKey, Sale, StoreError};

/// The most revoked keys, and the most addresses, of one holder.
const REVOKED_MAX: i64 = 100;
const ADDRESSES_MAX: i64 = 100;

/// Writes the subscription, its key, and its holder if nobody has the address or the name yet.
pub(super) async fn sell(
    connection: &mut SqliteConnection,
    payment: Option<&PaymentId>,
    sale: &Sale,
    now: i64,
) -> Result<(), StoreError> {
    let holder = holder(connection, sale, now).await?;
    let earlier = format!("{SUBSCRIPTION} WHERE holder_id = ? AND replaced_by IS NULL");
    let earlier = query(sqlx::AssertSqlSafe(earlier)).bind(holder.as_str()).fetch_optional(&mut *connection).await?;
    let earlier = earlier.map(|row| subscription_row(&row)).transpose()?;
    let leased = query_scalar("SELECT leased FROM subscriptions WHERE holder_id = ? AND replaced_by IS NULL");
    let leased: Option<i64> = leased.bind(holder.as_str()).fetch_optional(&mut *connection).await?;
    let leased = Units::from_stored(leased.unwrap_or(0));
    let (bought, extends) = succeed(sale, earlier.as_ref(), leased, now);
    if let Some(earlier) = earlier {
        query("UPDATE subscriptions SET replaced_by = ? WHERE id = ?")
            .bind(bought.id.as_str())
            .bind(earlier.id.as_str())
            .execute(&mut *connection)
            .await?;
    }
    query(
        "INSERT INTO subscriptions (id, holder_id, payment_id, chain, payer, plan, key_prefix, expires_at, units, used,
                                    created_at, extends)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(bought.id.as_str())
    .bind(holder.as_str())
    .bind(payment.map(PaymentId::as_str))
    .bind(&*bought.chain)
    .bind(&*bought.payer)
    .bind(to_json(&bought.plan)?)
    .bind(&*bought.key_prefix)
    .bind(unix_millis(bought.expires_at))
    .bind(bought.units.map(Units::stored))
    .bind(bought.used.stored())
    .bind(now)
    .bind(extends)
    .execute(&mut *connection)
    .await?;
    put_key(connection, &holder, &sale.key, now).await?;
    changed(connection, &holder, now).await
}

/// The subscription as it will stand, and whether it extends the one before it. What is `leased` of that one may be
/// spent already: it comes when it is given back.
fn succeed(sale: &Sale, earlier: Option<&Subscription>, leased: Units, now: i64) -> (Subscription, bool) {
    let mut bought = sale.subscription.clone();
    let extended = earlier.filter(|earlier| {
        let runs = unix_millis(earlier.expires_at) > now;
        // A plan that had no limit and has one now is another plan: what is left of it has no number.
        let same = earlier.plan.name == bought.plan.name && earlier.units.is_some() == bought.units.is_some();
        sale.on_repurchase == OnRepurchase::Extend && same && runs
    });
    if let Some(earlier) = extended {
        bought.expires_at = earlier.expires_at.checked_add(bought.plan.duration).unwrap_or(bought.expires_at);
        let left = earlier.units.map(|units| units.saturating_sub(earlier.used).saturating_sub(leased));
        bought.units = bought.units.zip(left).map(|(units, left)| units.saturating_add(left));
    }
    (bought, extended.is_some())
}

/// Who has the name or the address, or the id; else a new one, and both become theirs.
async fn holder(connection: &mut SqliteConnection, sale: &Sale, now: i64) -> Result<HolderId, StoreError> {
    let (bought, name) = (&sale.subscription, sale.name.as_deref());
    let known: Option<String> = match name {
        Some(name) => query_scalar("SELECT id FROM holders WHERE name = ?").bind(name),
        None => query_scalar("SELECT holder_id FROM addresses WHERE chain = ? AND address = ?")
            .bind(&*bought.chain)
            .bind(&*bought.payer),
    }
    .fetch_optional(&mut *connection)
    .await?;
    // The operator may mean somebody who has no name.
    let known = match known {
        Some(known) => Some(known),
        None => {
            query_scalar("SELECT id FROM holders WHERE id = ?")
                .bind(bought.holder.as_str())
                .fetch_optional(&mut *connection)
                .await?
        }
    };
    if let Some(known) = known {
        return Ok(HolderId::new(&known));
    }
    query("INSERT INTO holders (id, name, created_at) VALUES (?, ?, ?)")
        .bind(bought.holder.as_str())
        .bind(name)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    if !bought.payer.is_empty() {
        let address =
            HolderAddress { chain: bought.chain.clone(), address: bought.payer.clone(), network: sale.network.clone() };
        put_address(connection, &bought.holder, &address, now).await?;
    }
    Ok(bought.holder.clone())
}

/// Writes a new key; the one whose place it takes opens nothing from now on.
pub(super) async fn issue(
    connection: &mut SqliteConnection,
    key: &NewKey,
    replaces: Option<&KeyId>,
    keys_max: u32,
    now: i64,
) -> Result<(), StoreError> {
    let holder = &key.key.holder;
    // Who has more than may be, since purchases bring keys too, can put new ones in their places all the same.
    if let Some(replaced) = replaces {
        revoke(connection, holder, replaced, now).await?;
        put_key(connection, holder, key, now).await?;
        return changed(connection, holder, now).await;
    }
    let working: i64 = query_scalar("SELECT count(*) FROM keys WHERE holder_id = ? AND revoked_at IS NULL")
        .bind(holder.as_str())
        .fetch_one(&mut *connection)
        .await?;
    if working >= i64::from(keys_max) {
        return Err(StoreError::TooManyKeys(keys_max));
    }
    put_key(connection, holder, key, now).await?;
    forget_revoked(connection, holder).await?;
    changed(connection, holder, now).await
}

/// A key that opens nothing is kept to be listed; of one holder only so many, however often they rotate.
async fn forget_revoked(connection: &mut SqliteConnection, holder: &HolderId) -> Result<(), StoreError> {
    query(
        "DELETE FROM keys WHERE id IN (SELECT id FROM keys WHERE holder_id = ? AND revoked_at IS NOT NULL
                                       ORDER BY revoked_at DESC, id LIMIT -1 OFFSET ?)",
    )
    .bind(holder.as_str())
    .bind(REVOKED_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn revoke(
    connection: &mut SqliteConnection,
    holder: &HolderId,
    key: &KeyId,
    now: i64,
) -> Result<(), StoreError> {
    let revoked = query("UPDATE keys SET revoked_at = ? WHERE id = ? AND holder_id = ? AND revoked_at IS NULL")
        .bind(now)
        .bind(key.as_str())
        .bind(holder.as_str())
        .execute(&mut *connection)
        .await?;
    if revoked.rows_affected() == 0 {
        return Err(StoreError::NoKey(key.clone()));
    }
    changed(connection, holder, now).await
}

/// An address goes over from a holder who has nothing that still runs; whoever has a plan keeps it.
pub(super) async fn link(
    connection: &mut SqliteConnection,
    holder: &HolderId,
    address: &HolderAddress,
    now: i64,
) -> Result<Linked, StoreError> {
    let known: Option<(String, bool)> = query_as(
        "SELECT a.holder_id, EXISTS (SELECT 1 FROM subscriptions s WHERE s.holder_id = a.holder_id
                                     AND s.replaced_by IS NULL AND s.expires_at > ?)
         FROM addresses a WHERE a.chain = ? AND a.address = ?",
    )
    .bind(now)
    .bind(&*address.chain)
    .bind(&*address.address)
    .fetch_optional(&mut *connection)
    .await?;
    let theirs: i64 = query_scalar("SELECT count(*) FROM addresses WHERE holder_id = ?")
        .bind(holder.as_str())
        .fetch_one(&mut *connection)
        .await?;
    match known {
        Some((known, _)) if known == holder.as_str() => Ok(Linked::Before),
        Some((_, true)) => Ok(Linked::Taken),
        _ if theirs >= ADDRESSES_MAX => Ok(Linked::TooMany),
        Some((before, false)) => {
            changed(connection, &HolderId::new(&before), now).await?;
            put_address(connection, holder, address, now).await.map(|()| Linked::Now)
        }
        None => put_address(connection, holder, address, now).await.map(|()| Linked::Now),
    }
}

async fn put_address(
    connection: &mut SqliteConnection,
    holder: &HolderId,
    address: &HolderAddress,
    now: i64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO addresses (chain, address, holder_id, network, linked_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (chain, address) DO UPDATE SET holder_id = ?3, network = ?4, linked_at = ?5",
    )
    .bind(&*address.chain)
    .bind(&*address.address)
    .bind(holder.as_str())
    .bind(address.network.as_deref())
    .bind(now)
    .execute(&mut *connection)
    .await?;
    changed(connection, holder, now).await
}

async fn put_key(
    connection: &mut SqliteConnection,
    holder: &HolderId,
    NewKey { key, hash }: &NewKey,
    now: i64,
) -> Result<(), StoreError> {
    query("INSERT INTO keys (id, hash, holder_id, origin, prefix, hint, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(key.id.as_str())
        .bind(hash.0.as_slice())
        .bind(holder.as_str())
        .bind(key.origin.as_str())
        .bind(key.prefix.as_deref())
        .bind(&*key.hint)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    // Gateways know such keys by a list, since nothing in them says that they are ours.
    if key.origin == Origin::Imported { changed(connection, &HolderId::new(""), now).await } else { Ok(()) }
}

/// Tells gateways that what they have of a holder in memory is old. One row for each: who reads it reads what is now.
pub(super) async fn changed(connection: &mut SqliteConnection, holder: &HolderId, now: i64) -> Result<(), StoreError> {
    query("DELETE FROM changes WHERE holder_id = ?").bind(holder.as_str()).execute(&mut *connection).await?;
    let change = query("INSERT INTO changes (holder_id, at) VALUES (?, ?)").bind(holder.as_str()).bind(now);
    change.execute(connection).await?;
    Ok(())
}
