//! Reading holders, their keys and their subscriptions.

use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::rows::from_json;
use crate::clock::from_unix_millis;
use crate::plans::{Holder, HolderAddress, HolderId, Key, KeyHash, KeyId, Origin, Subscription, SubscriptionId, Units};
use crate::store::{Changes, StoreError};

/// What a key's row is read by.
pub(super) const KEY: &str = "SELECT id, holder_id, origin, prefix, hint, created_at, revoked_at FROM keys ";
/// What a subscription's row is read by.
pub(super) const SUBSCRIPTION: &str = "SELECT id, holder_id, chain, payer, plan, key_prefix, expires_at, units, used FROM subscriptions JOIN balances USING (id) ";

pub(super) async fn keys_of(pool: &SqlitePool, holder: &HolderId) -> Result<Vec<Key>, StoreError> {
    let query = format!("{KEY} WHERE holder_id = ? ORDER BY created_at DESC, id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(holder.as_str()).fetch_all(pool).await?;
    rows.iter().map(key_row).collect()
}

pub(super) async fn imported(pool: &SqlitePool) -> Result<Vec<KeyHash>, StoreError> {
    let hashes: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT hash FROM keys WHERE origin = 'imported'").fetch_all(pool).await?;
    let hash = |bytes: Vec<u8>| bytes.try_into().map(KeyHash);
    hashes.into_iter().map(|bytes| hash(bytes).map_err(|_| StoreError::Corrupt("a key's hash".to_owned()))).collect()
}

pub(super) async fn holder(pool: &SqlitePool, id: &HolderId) -> Result<Option<Holder>, StoreError> {
    let row = sqlx::query("SELECT name, created_at FROM holders WHERE id = ?").bind(id.as_str());
    let Some(row) = row.fetch_optional(pool).await? else { return Ok(None) };
    let addresses =
        sqlx::query("SELECT chain, address, network FROM addresses WHERE holder_id = ? ORDER BY linked_at, address")
            .bind(id.as_str())
            .fetch_all(pool)
            .await?;
    Ok(Some(Holder {
        id: id.clone(),
        name: row.try_get::<Option<&str>, _>("name")?.map(Into::into),
        addresses: addresses.iter().map(address_row).collect::<Result<_, _>>()?,
        created_at: from_unix_millis(row.try_get("created_at")?),
    }))
}

pub(super) async fn holder_at(pool: &SqlitePool, chain: &str, address: &str) -> Result<Option<HolderId>, StoreError> {
    let query = sqlx::query_scalar("SELECT holder_id FROM addresses WHERE chain = ? AND address = ?");
    let id: Option<String> = query.bind(chain).bind(address).fetch_optional(pool).await?;
    Ok(id.map(|id| HolderId::new(&id)))
}

pub(super) async fn holder_named(pool: &SqlitePool, name: &str) -> Result<Option<HolderId>, StoreError> {
    let query = sqlx::query_scalar("SELECT id FROM holders WHERE name = ?1 OR id = ?1 ORDER BY name IS NULL LIMIT 1");
    let id: Option<String> = query.bind(name).fetch_optional(pool).await?;
    Ok(id.map(|id| HolderId::new(&id)))
}

pub(super) async fn subscription(pool: &SqlitePool, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
    let query = sqlx::query(sqlx::AssertSqlSafe(format!("{SUBSCRIPTION} WHERE id = ?"))).bind(id.as_str());
    query.fetch_optional(pool).await?.map(|row| subscription_row(&row)).transpose()
}

pub(super) async fn changes(pool: &SqlitePool, after: i64) -> Result<Changes, StoreError> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT number, holder_id FROM changes WHERE number > ? ORDER BY number LIMIT 10000")
            .bind(after)
            .fetch_all(pool)
            .await?;
    let last = rows.last().map_or(after, |(number, _)| *number);
    Ok(Changes { last, holders: rows.iter().map(|(_, holder)| HolderId::new(holder)).collect() })
}

pub(super) fn key_row(row: &SqliteRow) -> Result<Key, StoreError> {
    let origin =
        Origin::parse(row.try_get("origin")?).ok_or_else(|| StoreError::Corrupt("a key's origin".to_owned()))?;
    Ok(Key {
        id: KeyId::new(row.try_get("id")?),
        holder: HolderId::new(row.try_get("holder_id")?),
        origin,
        prefix: row.try_get::<Option<&str>, _>("prefix")?.map(Into::into),
        hint: row.try_get::<&str, _>("hint")?.into(),
        created_at: from_unix_millis(row.try_get("created_at")?),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(from_unix_millis),
    })
}

pub(super) fn subscription_row(row: &SqliteRow) -> Result<Subscription, StoreError> {
    Ok(Subscription {
        id: SubscriptionId::new(row.try_get("id")?),
        holder: HolderId::new(row.try_get("holder_id")?),
        chain: row.try_get::<&str, _>("chain")?.into(),
        payer: row.try_get::<&str, _>("payer")?.into(),
        plan: from_json(row.try_get("plan")?)?,
        key_prefix: row.try_get::<&str, _>("key_prefix")?.into(),
        expires_at: from_unix_millis(row.try_get("expires_at")?),
        units: row.try_get::<Option<i64>, _>("units")?.map(Units::from_stored),
        used: Units::from_stored(row.try_get("used")?),
    })
}

fn address_row(row: &SqliteRow) -> Result<HolderAddress, StoreError> {
    Ok(HolderAddress {
        chain: row.try_get::<&str, _>("chain")?.into(),
        address: row.try_get::<&str, _>("address")?.into(),
        network: row.try_get::<Option<&str>, _>("network")?.map(Into::into),
    })
}
