//! Reading for the operator. Values are bound, never part of the query's text.

use async_trait::async_trait;
use http::StatusCode;
use rusqlite::{Connection, params};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{QueryBuilder, Row as _, query};

use super::SqliteStore;
use super::rows;
use super::writer::Write;
use crate::clock::{from_unix_millis, unix_millis};
use crate::money::{AtomicAmount, Network};
use crate::payment::{PaymentId, State};
use crate::plans::SubscriptionId;
use crate::pricing::OfferKey;
use crate::store::{Act, Books, Detail, Entry, Filter, GoodsFilter, Kept, KeyStore as _, Order, StoreError};

const ENTRY: &str = "SELECT id, state, offer, chain, asset, amount, pay_to, payer, facilitator,
                            receipt ->> '$.transaction' AS hash, transaction_hint, reason, valid_before, ask_at, created_at, updated_at
                     FROM payments WHERE ";

#[async_trait]
impl Books for SqliteStore {
    async fn page(
        &self,
        filter: &Filter,
        order: Order,
        after: Option<&Entry>,
        rows: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut query = select(filter);
        let (beyond, direction) = match order {
            Order::NewestFirst => (" < ", "DESC"),
            Order::OldestFirst => (" > ", "ASC"),
        };
        if let Some(last) = after {
            query.push(" AND (created_at, id)").push(beyond);
            query.push("(").push_bind(unix_millis(last.created_at)).push(", ");
            query.push_bind(last.id.as_str().to_owned()).push(")");
        }
        query.push(format_args!(" ORDER BY created_at {direction}, id {direction} LIMIT ")).push_bind(rows);
        let rows = query.build().fetch_all(&self.readers).await?;
        rows.iter().map(entry).collect()
    }

    async fn detail(&self, id: &PaymentId) -> Result<Option<Detail>, StoreError> {
        let mut one = QueryBuilder::<Sqlite>::new(ENTRY);
        one.push("id = ").push_bind(id.as_str().to_owned());
        let Some(row) = one.build().fetch_optional(&self.readers).await? else { return Ok(None) };
        let Some(record) = rows::payment(&self.readers, id).await? else { return Ok(None) };
        let subscription = self.subscription(&SubscriptionId::of_payment(id.as_str())).await?;
        let (kept, acts) = (self.kept(id).await?, self.acts(id).await?);
        Ok(Some(Detail { entry: entry(&row)?, record, kept, subscription, acts }))
    }

    async fn note(&self, act: &Act) -> Result<(), StoreError> {
        self.writer.write(Write::Note(act.clone())).await.map(drop)
    }
}

impl SqliteStore {
    async fn kept(&self, id: &PaymentId) -> Result<Option<Kept>, StoreError> {
        let row = query("SELECT status, length(body) AS bytes, expires_at FROM responses WHERE payment_id = ?")
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let status: u16 = row.try_get("status")?;
        Ok(Some(Kept {
            status: StatusCode::from_u16(status).map_err(|error| StoreError::Corrupt(error.to_string()))?,
            body_bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
            expires_at: from_unix_millis(row.try_get("expires_at")?),
        }))
    }

    async fn acts(&self, id: &PaymentId) -> Result<Vec<Act>, StoreError> {
        let rows = query("SELECT at, act, detail FROM operator_acts WHERE payment_id = ? ORDER BY number")
            .bind(id.as_str())
            .fetch_all(&self.readers)
            .await?;
        let act = |row: &SqliteRow| {
            let at = from_unix_millis(row.try_get("at")?);
            Ok(Act { at, payment: id.clone(), act: row.try_get("act")?, detail: row.try_get("detail")? })
        };
        rows.iter().map(act).collect()
    }
}

/// Writes an act down.
pub(super) fn note(connection: &Connection, act: &Act) -> Result<(), StoreError> {
    let mut noted =
        connection.prepare_cached("INSERT INTO operator_acts (at, payment_id, act, detail) VALUES (?, ?, ?, ?)")?;
    noted.execute(params![unix_millis(act.at), act.payment.as_str(), act.act, act.detail])?;
    Ok(())
}

/// The query of a filter, open at its end.
fn select(filter: &Filter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(ENTRY);
    query.push("TRUE");
    if let Some(since) = filter.since {
        query.push(" AND created_at >= ").push_bind(unix_millis(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND created_at < ").push_bind(unix_millis(until));
    }
    if let Some(payer) = &filter.payer {
        query.push(" AND payer = ").push_bind(payer.clone()).push(" COLLATE NOCASE");
        if !payer.starts_with("0x") && !payer.starts_with("0X") {
            // The index has no letter case; other chains' addresses have.
            query.push(" AND payer = ").push_bind(payer.clone());
        }
    }
    match &filter.goods {
        Some(GoodsFilter::Plan(name)) => {
            query.push(" AND offer = ").push_bind(OfferKey::plan(name).as_str().to_owned());
        }
        Some(GoodsFilter::Route(route)) => match route.split_once(' ') {
            Some((methods, pattern)) => {
                query.push(" AND offer = ").push_bind(OfferKey::call(methods, pattern).as_str().to_owned());
            }
            None => {
                query.push(" AND offer GLOB 'call:*' AND substr(offer, instr(offer, ' ') + 1) = ");
                query.push_bind(route.clone());
            }
        },
        None => {}
    }
    if !filter.states.is_empty() {
        query.push(" AND state IN (");
        let mut states = query.separated(", ");
        for state in &filter.states {
            states.push_bind(state.as_str());
        }
        query.push(")");
    }
    if let Some(network) = &filter.network {
        query.push(" AND chain = ").push_bind(network.caip2().to_owned());
    }
    query
}

fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(what.to_owned());
    let moment = |column: &str| row.try_get(column).map(from_unix_millis);
    Ok(Entry {
        id: PaymentId::stored(row.try_get("id")?),
        state: State::parse(row.try_get("state")?).ok_or_else(|| corrupt("a payment's state"))?,
        offer: OfferKey::new(row.try_get("offer")?),
        chain: Network::parse(row.try_get("chain")?).map_err(|_| corrupt("a payment's chain"))?,
        asset: row.try_get("asset")?,
        amount: AtomicAmount::parse(row.try_get("amount")?).map_err(|_| corrupt("a payment's amount"))?,
        pay_to: row.try_get("pay_to")?,
        payer: row.try_get("payer")?,
        facilitator: row.try_get("facilitator")?,
        transaction: row.try_get("hash")?,
        transaction_hint: row.try_get("transaction_hint")?,
        reason: row.try_get("reason")?,
        valid_before: rows::seconds(row.try_get("valid_before")?),
        ask_at: row.try_get::<Option<i64>, _>("ask_at")?.map(from_unix_millis),
        created_at: moment("created_at")?,
        updated_at: moment("updated_at")?,
    })
}
