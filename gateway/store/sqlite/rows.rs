//! Reading rows.

use http::StatusCode;
use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::kept_headers;
use crate::clock::from_unix_millis;
use crate::money::{Address, AtomicAmount, Network};
use crate::payment::{PaymentId, State};
use crate::pricing::OfferKey;
use crate::store::{Record, StoreError, StoredResponse};

pub(super) async fn payment(pool: &SqlitePool, id: &PaymentId) -> Result<Option<Record>, StoreError> {
    let row = sqlx::query(
        "SELECT id, state, offer, goods, quote, identifier, request, facilitator, network, chain, asset, amount, pay_to,
                payer, since, valid_before, transaction_hint, attempts, asked, reason, receipt, created_at
         FROM payments WHERE id = ?",
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

fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(what.to_owned());
    let state: &str = row.try_get("state")?;
    let (goods, receipt): (Option<&str>, Option<&str>) = (row.try_get("goods")?, row.try_get("receipt")?);
    let chain = Network::parse(row.try_get("chain")?).map_err(|_| corrupt("a payment's chain"))?;
    let address = |column: &str| {
        Address::parse(row.try_get(column)?, &chain).map_err(|_| StoreError::Corrupt(format!("a payment's {column}")))
    };
    let amount: &str = row.try_get("amount")?;
    Ok(Record {
        id: PaymentId::stored(row.try_get("id")?),
        state: State::parse(state).ok_or_else(|| corrupt("a payment's state"))?,
        offer: OfferKey::new(row.try_get("offer")?),
        goods: goods.map(from_json).transpose()?,
        quote: row.try_get("quote")?,
        identifier: row.try_get("identifier")?,
        request: from_json(row.try_get("request")?)?,
        facilitator: row.try_get::<Option<&str>, _>("facilitator")?.map(Into::into),
        network: row.try_get("network")?,
        asset: address("asset")?,
        amount: AtomicAmount::parse(amount).map_err(|_| corrupt("a payment's amount"))?,
        pay_to: address("pay_to")?,
        chain,
        payer: row.try_get("payer")?,
        since: from_unix_millis(row.try_get("since")?),
        valid_before: seconds(row.try_get("valid_before")?),
        transaction_hint: row.try_get("transaction_hint")?,
        attempts: row.try_get("attempts")?,
        asked: row.try_get("asked")?,
        reason: row.try_get("reason")?,
        receipt: receipt.map(from_json).transpose()?,
        created_at: from_unix_millis(row.try_get("created_at")?),
    })
}

/// The largest number stands for no end, as it was written.
pub(super) fn seconds(stored: i64) -> u64 {
    if stored == i64::MAX { u64::MAX } else { stored.unsigned_abs() }
}

pub(super) async fn response(
    pool: &SqlitePool,
    id: &PaymentId,
    now: i64,
) -> Result<Option<StoredResponse>, StoreError> {
    let row =
        sqlx::query("SELECT status, headers, body, expires_at FROM responses WHERE payment_id = ? AND expires_at > ?")
            .bind(id.as_str())
            .bind(now)
            .fetch_optional(pool)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let status: u16 = row.try_get("status")?;
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Some(StoredResponse {
        status: StatusCode::from_u16(status).map_err(|error| StoreError::Corrupt(error.to_string()))?,
        headers: kept_headers::read(row.try_get("headers")?)?,
        body: body.into(),
        expires_at: from_unix_millis(row.try_get("expires_at")?),
    }))
}

/// Payments are settling for minutes only if their outcome could not be written down.
const ORPHANED_MS: i64 = 180_000;

/// Both halves by an index. That of the second has two states, which are named as there: from one of them SQLite does not
/// conclude that it is in the index, and reads all payments.
pub(super) const DUE: &str = "
    SELECT id FROM (SELECT id, ask_at AS at FROM payments WHERE state = 'unknown' AND ask_at <= ?1
                    UNION ALL
                    SELECT id, updated_at FROM payments
                    WHERE state IN ('settling', 'unknown') AND state = 'settling' AND updated_at <= ?2)
    ORDER BY at, id LIMIT ?3";

pub(super) async fn due(pool: &SqlitePool, now: i64, limit: u32) -> Result<Vec<PaymentId>, StoreError> {
    let ids: Vec<String> =
        sqlx::query_scalar(DUE).bind(now).bind(now.saturating_sub(ORPHANED_MS)).bind(limit).fetch_all(pool).await?;
    Ok(ids.iter().map(|id| PaymentId::stored(id)).collect())
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}
