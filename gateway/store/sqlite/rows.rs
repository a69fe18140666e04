//! Reading rows.

use std::time::SystemTime;

use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::clock::{from_unix_millis, unix_millis};
use crate::payment::{PaymentId, State};
use crate::plans::{KeyHash, Plan, Subscription, SubscriptionId, Units};
use crate::pricing::OfferKey;
use crate::store::{Record, StoreError};

pub(super) async fn payment(pool: &SqlitePool, id: &PaymentId) -> Result<Option<Record>, StoreError> {
    let row = sqlx::query(
        "SELECT state, offer, quote, request, network, payer, receipt, created_at FROM payments WHERE id = ?",
    )
    .bind(id.as_str())
    .fetch_optional(pool)
    .await?;
    row.map(|row| record(&row)).transpose()
}

pub(super) async fn open_payments(pool: &SqlitePool) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM payments WHERE state IN ('settling', 'unknown')")
        .fetch_one(pool)
        .await?;
    Ok(count.unsigned_abs())
}

pub(super) async fn subscription_of(pool: &SqlitePool, key: &KeyHash) -> Result<Option<Subscription>, StoreError> {
    let row = sqlx::query(
        "SELECT s.id, s.chain, s.payer, s.plan, s.key_prefix, s.expires_at, s.used
         FROM keys k JOIN subscriptions s ON s.id = k.subscription_id WHERE k.hash = ?",
    )
    .bind(key.0.as_slice())
    .fetch_optional(pool)
    .await?;
    row.map(|row| subscription_row(&row)).transpose()
}

pub(super) async fn subscription(pool: &SqlitePool, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
    let row =
        sqlx::query("SELECT id, chain, payer, plan, key_prefix, expires_at, used FROM subscriptions WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(pool)
            .await?;
    row.map(|row| subscription_row(&row)).transpose()
}

pub(super) async fn current_of(
    pool: &SqlitePool,
    chain: &str,
    payer: &str,
    now: SystemTime,
) -> Result<Option<(Subscription, PaymentId)>, StoreError> {
    let row = sqlx::query(
        "SELECT id, payment_id, chain, payer, plan, key_prefix, expires_at, used FROM subscriptions
         WHERE chain = ? AND payer = ? AND expires_at > ? ORDER BY created_at DESC, id LIMIT 1",
    )
    .bind(chain)
    .bind(payer)
    .bind(unix_millis(now))
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok((subscription_row(&row)?, PaymentId::stored(row.try_get("payment_id")?)))).transpose()
}

fn subscription_row(row: &SqliteRow) -> Result<Subscription, StoreError> {
    Ok(Subscription {
        id: SubscriptionId::new(row.try_get("id")?),
        chain: row.try_get::<&str, _>("chain")?.into(),
        payer: row.try_get::<&str, _>("payer")?.into(),
        plan: from_json::<Plan>(row.try_get("plan")?)?,
        key_prefix: row.try_get::<&str, _>("key_prefix")?.into(),
        expires_at: from_unix_millis(row.try_get("expires_at")?),
        used: Units::from_stored(row.try_get("used")?),
    })
}

fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let state: &str = row.try_get("state")?;
    let receipt: Option<&str> = row.try_get("receipt")?;
    Ok(Record {
        state: State::parse(state).ok_or_else(|| StoreError::Corrupt(format!("payment state {state}")))?,
        offer: OfferKey::new(row.try_get("offer")?),
        quote: row.try_get("quote")?,
        request: from_json(row.try_get("request")?)?,
        network: row.try_get("network")?,
        payer: row.try_get("payer")?,
        receipt: receipt.map(from_json).transpose()?,
        created_at: from_unix_millis(row.try_get("created_at")?),
    })
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}
