//! Reading the register for the operator. Values are bound, never part of the query's text.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{QueryBuilder, Row as _, query};

use super::SqliteStore;
use super::holders::{key_row, subscription_row};
use super::writer::Write;
use crate::clock::{Day, from_unix_millis, unix_millis};
use crate::payment::PaymentId;
use crate::plans::{HolderId, KeyHash, KeyId, SubscriptionId, Units};
use crate::store::{
    By, Ends, HolderAct, KeyEntry, KeyStore as _, Register, Selection, Span, StoreError, SubscriptionEntry, Used,
};

const SUBSCRIPTION: &str = "SELECT s.id, s.holder_id, s.chain, s.payer, s.plan, s.key_prefix, s.expires_at, b.units,
                                   b.used, s.payment_id, s.created_at, s.replaced_by, h.name
                            FROM subscriptions s JOIN balances b ON b.id = s.id JOIN holders h ON h.id = s.holder_id
                            WHERE ";

const KEY: &str = "SELECT k.id, k.hash, k.holder_id, k.origin, k.prefix, k.hint, k.created_at, k.revoked_at, h.name
                   FROM keys k JOIN holders h ON h.id = k.holder_id
                   LEFT JOIN subscriptions s ON s.holder_id = k.holder_id AND s.replaced_by IS NULL WHERE ";

#[async_trait]
impl Register for SqliteStore {
    async fn subscriptions(
        &self,
        selection: &Selection,
        after: Option<&SubscriptionId>,
        rows: u32,
    ) -> Result<Vec<SubscriptionEntry>, StoreError> {
        let mut query = QueryBuilder::new(SUBSCRIPTION);
        query.push("TRUE");
        select(&mut query, selection);
        match selection.ends {
            Some(Ends::After(now)) => query.push(" AND s.expires_at > ").push_bind(unix_millis(now)),
            Some(Ends::By(now)) => query.push(" AND s.expires_at <= ").push_bind(unix_millis(now)),
            None => &mut query,
        };
        if selection.current {
            query.push(" AND s.replaced_by IS NULL");
        }
        if let Some(last) = after {
            query.push(" AND (s.created_at, s.id) < (SELECT created_at, id FROM subscriptions WHERE id = ");
            query.push_bind(last.as_str().to_owned()).push(")");
        }
        query.push(" ORDER BY s.created_at DESC, s.id DESC LIMIT ").push_bind(rows);
        query.build().fetch_all(&self.readers).await?.iter().map(subscription_entry).collect()
    }

    async fn subscription_entry(&self, id: &SubscriptionId) -> Result<Option<SubscriptionEntry>, StoreError> {
        let mut one = QueryBuilder::<Sqlite>::new(SUBSCRIPTION);
        one.push("s.id = ").push_bind(id.as_str().to_owned());
        one.build().fetch_optional(&self.readers).await?.map(|row| subscription_entry(&row)).transpose()
    }

    async fn keys(&self, selection: &Selection, after: Option<&KeyId>, rows: u32) -> Result<Vec<KeyEntry>, StoreError> {
        let mut query = QueryBuilder::new(KEY);
        query.push("TRUE");
        select(&mut query, selection);
        match selection.ends {
            Some(Ends::After(now)) => {
                query.push(" AND k.revoked_at IS NULL AND s.expires_at > ").push_bind(unix_millis(now));
            }
            Some(Ends::By(now)) => {
                query.push(" AND (k.revoked_at IS NOT NULL OR s.expires_at IS NULL OR s.expires_at <= ");
                query.push_bind(unix_millis(now)).push(")");
            }
            None => {}
        }
        if let Some(last) = after {
            query.push(" AND (k.created_at, k.id) < (SELECT created_at, id FROM keys WHERE id = ");
            query.push_bind(last.as_str().to_owned()).push(")");
        }
        query.push(" ORDER BY k.created_at DESC, k.id DESC LIMIT ").push_bind(rows);
        let mut entries = Vec::new();
        for row in query.build().fetch_all(&self.readers).await? {
            entries.push(self.with_current(&row).await?);
        }
        Ok(entries)
    }

    async fn key_entry(&self, id: &KeyId) -> Result<Option<KeyEntry>, StoreError> {
        let mut one = QueryBuilder::<Sqlite>::new(KEY);
        one.push("k.id = ").push_bind(id.as_str().to_owned());
        match one.build().fetch_optional(&self.readers).await? {
            Some(row) => self.with_current(&row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn usage(&self, span: &Span, by: &[By], skip: u32, rows: u32) -> Result<Vec<Used>, StoreError> {
        // In the order of the words, each once; the columns are ours, not the caller's.
        let by: Vec<By> = By::ALL.into_iter().filter(|one| by.contains(one)).collect();
        let columns: String = by.iter().map(|by| format!("{}, ", column(*by))).collect();
        let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
        query.push(&columns).push("sum(calls) AS calls, sum(units) AS units FROM usage WHERE TRUE");
        if let Some(from) = span.from {
            query.push(" AND day >= ").push_bind(from.number());
        }
        if let Some(to) = span.to {
            query.push(" AND day <= ").push_bind(to.number());
        }
        if let Some(holder) = &span.holder {
            query.push(" AND holder_id IN ");
            of_holder(&mut query, holder);
        }
        if !by.is_empty() {
            let columns = columns.trim_end_matches(", ");
            query.push(format_args!(" GROUP BY {columns} ORDER BY {columns}"));
        }
        query.push(" LIMIT ").push_bind(rows).push(" OFFSET ").push_bind(skip);
        query.build().fetch_all(&self.readers).await?.iter().map(|row| used(row, &by)).collect()
    }

    async fn acts(&self, holder: &HolderId) -> Result<Vec<HolderAct>, StoreError> {
        let rows = query("SELECT at, key_id, act, detail FROM holder_acts WHERE holder_id = ? ORDER BY number")
            .bind(holder.as_str())
            .fetch_all(&self.readers)
            .await?;
        let act = |row: &SqliteRow| {
            Ok(HolderAct {
                at: from_unix_millis(row.try_get("at")?),
                holder: holder.clone(),
                key: row.try_get::<Option<&str>, _>("key_id")?.map(KeyId::new),
                act: row.try_get("act")?,
                detail: row.try_get("detail")?,
            })
        };
        rows.iter().map(act).collect()
    }

    async fn note(&self, act: &HolderAct) -> Result<(), StoreError> {
        self.writer.write(Write::NoteHolder(act.clone())).await.map(drop)
    }
}

impl SqliteStore {
    async fn with_current(&self, row: &SqliteRow) -> Result<KeyEntry, StoreError> {
        let key = key_row(row)?;
        let hash: Vec<u8> = row.try_get("hash")?;
        let hash = hash.try_into().map(KeyHash).map_err(|_| StoreError::Corrupt("a key's hash".to_owned()))?;
        let name = row.try_get::<Option<&str>, _>("name")?.map(Into::into);
        let current = self.current_of(&key.holder).await?;
        Ok(KeyEntry { key, hash, name, current })
    }
}

/// Writes an act down.
pub(super) fn note(connection: &Connection, act: &HolderAct) -> Result<(), StoreError> {
    let mut noted = connection
        .prepare_cached("INSERT INTO holder_acts (at, holder_id, key_id, act, detail) VALUES (?, ?, ?, ?, ?)")?;
    let key = act.key.as_ref().map(KeyId::as_str);
    noted.execute(params![unix_millis(act.at), act.holder.as_str(), key, act.act, act.detail])?;
    Ok(())
}

/// What holds for subscriptions and for keys alike.
fn select(query: &mut QueryBuilder<Sqlite>, selection: &Selection) {
    if let Some(plan) = &selection.plan {
        query.push(" AND s.plan ->> '$.name' = ").push_bind(plan.clone());
    }
    if let Some(holder) = &selection.holder {
        query.push(" AND h.id IN ");
        of_holder(query, holder);
    }
    if let Some(address) = &selection.address {
        query.push(" AND h.id IN (SELECT holder_id FROM addresses WHERE address = ");
        query.push_bind(address.clone()).push(" COLLATE NOCASE");
        if !address.starts_with("0x") && !address.starts_with("0X") {
            // The index has no letter case; addresses of other chains have.
            query.push(" AND address = ").push_bind(address.clone());
        }
        query.push(")");
    }
}

/// Whoever has this id or name.
fn of_holder(query: &mut QueryBuilder<Sqlite>, holder: &str) {
    query.push("(SELECT id FROM holders WHERE id = ").push_bind(holder.to_owned());
    query.push(" OR name = ").push_bind(holder.to_owned()).push(")");
}

fn column(by: By) -> &'static str {
    match by {
        By::Day => "day",
        By::Holder => "holder_id",
        By::Key => "credential",
        By::Route => "route",
    }
}

fn subscription_entry(row: &SqliteRow) -> Result<SubscriptionEntry, StoreError> {
    Ok(SubscriptionEntry {
        subscription: subscription_row(row)?,
        name: row.try_get::<Option<&str>, _>("name")?.map(Into::into),
        payment: row.try_get::<Option<&str>, _>("payment_id")?.map(PaymentId::stored),
        created_at: from_unix_millis(row.try_get("created_at")?),
        replaced_by: row.try_get::<Option<&str>, _>("replaced_by")?.map(SubscriptionId::new),
    })
}

fn used(row: &SqliteRow, by: &[By]) -> Result<Used, StoreError> {
    let text = |one: By| match by.contains(&one) {
        true => row.try_get::<String, _>(column(one)).map(Some),
        false => Ok(None),
    };
    let number = |name: &str| row.try_get::<Option<i64>, _>(name).map(|number| number.unwrap_or(0));
    Ok(Used {
        day: if by.contains(&By::Day) { Some(Day::from_number(row.try_get("day")?)) } else { None },
        holder: text(By::Holder)?.map(|id| HolderId::new(&id)),
        key: text(By::Key)?,
        route: text(By::Route)?,
        calls: number("calls")?.unsigned_abs(),
        units: Units::from_stored(number("units")?),
    })
}
