//! The moves of a payment, as the database makes them. One that must not happen changes no row, and would be refused
//! by a trigger besides.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::connecting::is_taken;
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
pub(super) fn settling(connection: &Connection, row: &SettlingRow, now: i64) -> Result<(), StoreError> {
    let mut written = connection.prepare_cached(
        "INSERT INTO payments (id, state, offer, goods, quote, identifier, version, network, chain, asset, amount,
                               pay_to, payer, since, valid_before, request, facilitator, created_at, updated_at)
         VALUES (?1, 'settling', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?17)
         ON CONFLICT (id) DO UPDATE SET state = 'settling', offer = ?2, goods = ?3, quote = ?4, identifier = ?5,
             version = ?6, network = ?7, chain = ?8, asset = ?9, amount = ?10, pay_to = ?11, payer = ?12, since = ?13,
             valid_before = ?14, request = ?15, facilitator = ?16, reason = NULL, transaction_hint = NULL, attempts = 0, ask_at = NULL,
             asked = 0, updated_at = ?17
         WHERE state = 'voided'",
    )?;
    let written = written.execute(params![
        row.id.as_str(),
        row.offer,
        row.goods,
        row.quote,
        row.identifier,
        row.version,
        row.network,
        row.chain,
        row.asset,
        row.amount,
        row.pay_to,
        row.payer,
        row.since,
        row.valid_before,
        row.request,
        row.facilitator,
        now,
    ]);
    unless_taken(&row.id, written)
}

pub(super) fn settled(
    connection: &Connection,
    id: &PaymentId,
    receipt: &str,
    sale: Option<&Sale>,
    now: i64,
) -> Result<(), StoreError> {
    let mut moved = connection.prepare_cached(
        "UPDATE payments SET state = 'settled', receipt = ?, reason = NULL, ask_at = NULL, updated_at = ?
         WHERE id = ? AND state IN ('settling', 'unknown')",
    )?;
    match moved.execute(params![receipt, now, id.as_str()]) {
        Err(error) if is_taken(&error) => return Err(StoreError::TransactionTaken(id.clone())),
        moved => one(id, moved?)?,
    }
    match sale {
        Some(sale) => sales::sell(connection, Some(id), sale, now),
        None => Ok(()),
    }
}

/// The request stays, with its signature. Who reads the books could put it on the chain until its authorization ends, but
/// just as long the word that voided it may turn out wrong: then the payment is unknown, and asking for it again takes
/// the same bytes. After that end the signature is worth nothing to anybody. Where it is settled it is public.
pub(super) fn voided(connection: &Connection, id: &PaymentId, reason: &str, now: i64) -> Result<(), StoreError> {
    let mut moved = connection.prepare_cached(
        "UPDATE payments SET state = 'voided', reason = ?, ask_at = NULL, updated_at = ?
         WHERE id = ? AND state IN ('settling', 'unknown')",
    )?;
    one(id, moved.execute(params![reason, now, id.as_str()])?)
}

pub(super) fn unknown(connection: &Connection, id: &PaymentId, doubt: &Doubt, now: i64) -> Result<(), StoreError> {
    let mut moved = connection.prepare_cached(
        "UPDATE payments SET state = 'unknown', reason = ?, ask_at = ?, attempts = attempts + 1,
                             transaction_hint = coalesce(?, transaction_hint), updated_at = ?
         WHERE id = ? AND state IN ('settling', 'unknown', 'voided')",
    )?;
    let ask_at = doubt.ask_at.map(unix_millis);
    unless_taken(id, moved.execute(params![doubt.reason, ask_at, doubt.transaction, now, id.as_str()]))
}

/// Says how often.
pub(super) fn asking(connection: &Connection, id: &PaymentId) -> Result<u32, StoreError> {
    let mut asked = connection.prepare_cached("UPDATE payments SET asked = asked + 1 WHERE id = ? RETURNING asked")?;
    Ok(asked.query_row([id.as_str()], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// Says whether it moved: what is delivered already stays so.
pub(super) fn delivered(connection: &Connection, id: &PaymentId, now: i64) -> Result<bool, StoreError> {
    let mut moved = connection
        .prepare_cached("UPDATE payments SET state = 'delivered', updated_at = ? WHERE id = ? AND state = 'settled'")?;
    Ok(moved.execute(params![now, id.as_str()])? == 1)
}

/// One row, unless another payment has the payment-identifier.
fn unless_taken(id: &PaymentId, written: rusqlite::Result<usize>) -> Result<(), StoreError> {
    match written {
        Err(error) if is_taken(&error) => Err(StoreError::IdentifierTaken(id.clone())),
        written => one(id, written?),
    }
}

fn one(id: &PaymentId, rows: usize) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Moved(id.clone())) }
}
