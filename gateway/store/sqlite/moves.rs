//! The moves of a payment, as the database makes them. One that must not happen changes no row, and would be refused
//! by a trigger besides.

use sqlx::query;
use sqlx::sqlite::{SqliteConnection, SqliteQueryResult};

use super::rows::to_json;
use super::sales;
use crate::clock::unix_millis;
use crate::payment::{PaymentId, Settling};
use crate::store::{Claim, Doubt, Sale, StoreError};

/// A payment as it is first written.
pub(super) struct SettlingRow {
    id: PaymentId,
    offer: String,
    goods: String,
    quote: Option<String>,
    identifier: Option<String>,
    version: i64,
    network: String,
    chain: String,
    asset: String,
    amount: String,
    pay_to: String,
    payer: Option<String>,
    since: i64,
    valid_before: i64,
    request: String,
    facilitator: String,
}

impl SettlingRow {
    pub(super) fn new(payment: &Settling<Claim>) -> Result<Self, StoreError> {
        let presented = payment.presented();
        let terms = &presented.terms;
        Ok(Self {
            id: presented.id.clone(),
            offer: presented.offer.as_str().to_owned(),
            goods: to_json(payment.goods())?,
            quote: presented.quote.as_ref().map(|quote| quote.token.clone()),
            identifier: presented.identifier.clone(),
            version: i64::from(presented.version.number()),
            network: presented.network_name().to_owned(),
            chain: terms.network.to_string(),
            asset: terms.asset.address.to_string(),
            amount: terms.amount.to_string(),
            pay_to: terms.pay_to.to_string(),
            payer: payment.payer().map(str::to_owned),
            since: i64::try_from(presented.since().saturating_mul(1000)).unwrap_or(i64::MAX),
            valid_before: i64::try_from(presented.window.valid_before).unwrap_or(i64::MAX),
            request: to_json(&presented.request)?,
            facilitator: payment.facilitator().to_string(),
        })
    }
}

/// A new row, or a voided one tried again. Any other is somebody's money already.
pub(super) async fn settling(connection: &mut SqliteConnection, row: &SettlingRow, now: i64) -> Result<(), StoreError> {
    let written = query(
        "INSERT INTO payments (id, state, offer, goods, quote, identifier, version, network, chain, asset, amount,
                               pay_to, payer, since, valid_before, request, facilitator, created_at, updated_at)
         VALUES (?1, 'settling', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?17)
         ON CONFLICT (id) DO UPDATE SET state = 'settling', offer = ?2, goods = ?3, quote = ?4, identifier = ?5,
             version = ?6, network = ?7, chain = ?8, asset = ?9, amount = ?10, pay_to = ?11, payer = ?12, since = ?13,
             valid_before = ?14, request = ?15, facilitator = ?16, reason = NULL, transaction_hint = NULL, attempts = 0, ask_at = NULL,
             asked = 0, updated_at = ?17
         WHERE state = 'voided'",
    )
    .bind(row.id.as_str())
    .bind(&row.offer)
    .bind(&row.goods)
    .bind(&row.quote)
    .bind(&row.identifier)
    .bind(row.version)
    .bind(&row.network)
    .bind(&row.chain)
    .bind(&row.asset)
    .bind(&row.amount)
    .bind(&row.pay_to)
    .bind(&row.payer)
    .bind(row.since)
    .bind(row.valid_before)
    .bind(&row.request)
    .bind(&row.facilitator)
    .bind(now);
    unless_taken(&row.id, written.execute(connection).await)
}

pub(super) async fn settled(
    connection: &mut SqliteConnection,
    id: &PaymentId,
    receipt: &str,
    sale: Option<&Sale>,
    now: i64,
) -> Result<(), StoreError> {
    let moved = query(
        "UPDATE payments SET state = 'settled', receipt = ?, reason = NULL, ask_at = NULL, updated_at = ?
         WHERE id = ? AND state IN ('settling', 'unknown')",
    )
    .bind(receipt)
    .bind(now)
    .bind(id.as_str());
    match moved.execute(&mut *connection).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(StoreError::TransactionTaken(id.clone()));
        }
        moved => one(id, &moved?)?,
    }
    match sale {
        Some(sale) => sales::sell(connection, Some(id), sale, now).await,
        None => Ok(()),
    }
}

/// The request stays, with its signature. Who reads the books could put it on the chain until its authorization ends, but
/// just as long the word that voided it may turn out wrong: then the payment is unknown, and asking for it again takes
/// the same bytes. After that end the signature is worth nothing to anybody. Where it is settled it is public.
pub(super) async fn voided(
    connection: &mut SqliteConnection,
    id: &PaymentId,
    reason: &str,
    now: i64,
) -> Result<(), StoreError> {
    let moved = query(
        "UPDATE payments SET state = 'voided', reason = ?, ask_at = NULL, updated_at = ?
         WHERE id = ? AND state IN ('settling', 'unknown')",
    )
    .bind(reason)
    .bind(now)
    .bind(id.as_str());
    one(id, &moved.execute(connection).await?)
}

pub(super) async fn unknown(
    connection: &mut SqliteConnection,
    id: &PaymentId,
    doubt: &Doubt,
    now: i64,
) -> Result<(), StoreError> {
    let moved = query(
        "UPDATE payments SET state = 'unknown', reason = ?, ask_at = ?, attempts = attempts + 1,
                             transaction_hint = coalesce(?, transaction_hint), updated_at = ?
         WHERE id = ? AND state IN ('settling', 'unknown', 'voided')",
    )
    .bind(&doubt.reason)
    .bind(doubt.ask_at.map(unix_millis))
    .bind(&doubt.transaction)
    .bind(now)
    .bind(id.as_str());
    unless_taken(id, moved.execute(connection).await)
}

/// Says whether this is the first time.
pub(super) async fn asking(connection: &mut SqliteConnection, id: &PaymentId) -> Result<bool, StoreError> {
    let first = query("UPDATE payments SET asked = 1 WHERE id = ? AND asked = 0").bind(id.as_str());
    Ok(first.execute(connection).await?.rows_affected() == 1)
}

/// Says whether it moved: what is delivered already stays so.
pub(super) async fn delivered(connection: &mut SqliteConnection, id: &PaymentId, now: i64) -> Result<bool, StoreError> {
    let moved = query("UPDATE payments SET state = 'delivered', updated_at = ? WHERE id = ? AND state = 'settled'")
        .bind(now)
        .bind(id.as_str());
    Ok(moved.execute(connection).await?.rows_affected() == 1)
}

/// One row, unless another payment has the payment-identifier.
fn unless_taken(id: &PaymentId, written: Result<SqliteQueryResult, sqlx::Error>) -> Result<(), StoreError> {
    match written {
        Ok(result) => one(id, &result),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(StoreError::IdentifierTaken(id.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

fn one(id: &PaymentId, result: &SqliteQueryResult) -> Result<(), StoreError> {
    if result.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Moved(id.clone())) }
}
