//! The one writer. It takes what has arrived, makes one transaction of it, and answers after the commit.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteQueryResult};
use sqlx::{Connection as _, query};
use tokio::sync::{mpsc, oneshot};

use super::rows::to_json;
use crate::clock::{Clock, unix_millis};
use crate::payment::{PaymentId, Settling};
use crate::plans::{SubscriptionId, Units};
use crate::store::{Claim, Sale, StoreError, Usage};

/// The most writes in one transaction, and the most that wait for the next.
const BATCH_MAX: usize = 1024;

/// The way to the writer. The task ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

/// Something to be written.
pub(super) enum Write {
    Settling(Box<SettlingRow>),
    Settled { id: PaymentId, receipt: String, sale: Option<Box<Sale>> },
    Voided { id: PaymentId, reason: String },
    Unknown { id: PaymentId, reason: String },
    Delivered { id: PaymentId },
    Lease { id: SubscriptionId, want: Units },
    Report { usages: Vec<Usage> },
}

pub(super) struct SettlingRow {
    id: PaymentId,
    offer: String,
    quote: Option<String>,
    version: i64,
    network: String,
    chain: String,
    asset: String,
    amount: String,
    pay_to: String,
    payer: Option<String>,
    valid_before: i64,
    request: String,
}

struct Job {
    write: Write,
    done: oneshot::Sender<Result<Units, StoreError>>,
}

impl Writer {
    pub(super) fn start(connection: SqliteConnection, clock: Arc<dyn Clock>) -> Self {
        let (jobs, waiting) = mpsc::channel(BATCH_MAX);
        tokio::spawn(run(connection, waiting, clock));
        Self { jobs }
    }

    /// Writes, and waits until the disk has it. The number is what a lease got.
    pub(super) async fn write(&self, write: Write) -> Result<Units, StoreError> {
        let (done, answer) = oneshot::channel();
        let stopped = || StoreError::Failed("the writer has stopped".to_owned());
        self.jobs.send(Job { write, done }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

async fn run(mut connection: SqliteConnection, mut waiting: mpsc::Receiver<Job>, clock: Arc<dyn Clock>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let now = unix_millis(clock.now());
        let mut answers = Vec::with_capacity(batch.len());
        let committed = commit(&mut connection, &mut batch, &mut answers, now).await;
        for (done, answer) in answers {
            // Nobody waits any more: the write stands all the same.
            let _ = done.send(committed.clone().and(answer));
        }
        if let Err(error) = committed {
            for job in batch.drain(..) {
                let _ = job.done.send(Err(error.clone()));
            }
        }
    }
}

type Answer = (oneshot::Sender<Result<Units, StoreError>>, Result<Units, StoreError>);

/// One transaction. Each write is a savepoint, so that one that is refused takes nobody with it.
async fn commit(
    connection: &mut SqliteConnection,
    batch: &mut Vec<Job>,
    answers: &mut Vec<Answer>,
    now: i64,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for job in batch.drain(..) {
        let answer = apply_whole(&mut transaction, &job.write, now).await;
        answers.push((job.done, answer));
    }
    transaction.commit().await?;
    Ok(())
}

async fn apply_whole(connection: &mut SqliteConnection, write: &Write, now: i64) -> Result<Units, StoreError> {
    if !matches!(write, Write::Settled { sale: Some(_), .. } | Write::Report { .. }) {
        return apply(connection, write, now).await;
    }
    let mut savepoint = connection.begin().await?;
    let answer = apply(&mut savepoint, write, now).await;
    match answer {
        Ok(units) => savepoint.commit().await.map(|()| units).map_err(Into::into),
        Err(error) => savepoint.rollback().await.map_err(Into::into).and(Err(error)),
    }
}

async fn apply(connection: &mut SqliteConnection, write: &Write, now: i64) -> Result<Units, StoreError> {
    match write {
        Write::Settling(row) => settling(connection, row, now).await,
        Write::Settled { id, receipt, sale } => {
            let moved = query(
                "UPDATE payments SET state = 'settled', receipt = ?, reason = NULL, updated_at = ?
                 WHERE id = ? AND state IN ('settling', 'unknown')",
            )
            .bind(receipt)
            .bind(now)
            .bind(id.as_str());
            one(id, &moved.execute(&mut *connection).await?)?;
            match sale {
                Some(sale) => sell(connection, id, sale, now).await,
                None => Ok(Units::ZERO),
            }
        }
        Write::Voided { id, reason } => outcome(connection, id, "voided", reason, now).await,
        Write::Unknown { id, reason } => outcome(connection, id, "unknown", reason, now).await,
        Write::Delivered { id } => {
            let moved =
                query("UPDATE payments SET state = 'delivered', updated_at = ? WHERE id = ? AND state = 'settled'");
            moved.bind(now).bind(id.as_str()).execute(connection).await?;
            Ok(Units::ZERO)
        }
        Write::Lease { id, want } => lease(connection, id, *want).await,
        Write::Report { usages } => report(connection, usages).await,
    }
}

/// A new row, or a voided one tried again. Any other is somebody's money already.
async fn settling(connection: &mut SqliteConnection, row: &SettlingRow, now: i64) -> Result<Units, StoreError> {
    let written = query(
        "INSERT INTO payments (id, state, offer, quote, version, network, chain, asset, amount, pay_to, payer,
                               valid_before, request, created_at, updated_at)
         VALUES (?1, 'settling', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
         ON CONFLICT (id) DO UPDATE SET state = 'settling', offer = ?2, quote = ?3, version = ?4, network = ?5,
             chain = ?6, asset = ?7, amount = ?8, pay_to = ?9, payer = ?10, valid_before = ?11, request = ?12, reason = NULL, updated_at = ?13
         WHERE state = 'voided'",
    )
    .bind(row.id.as_str())
    .bind(&row.offer)
    .bind(&row.quote)
    .bind(row.version)
    .bind(&row.network)
    .bind(&row.chain)
    .bind(&row.asset)
    .bind(&row.amount)
    .bind(&row.pay_to)
    .bind(&row.payer)
    .bind(row.valid_before)
    .bind(&row.request)
    .bind(now);
    one(&row.id, &written.execute(connection).await?)
}

async fn outcome(
    connection: &mut SqliteConnection,
    id: &PaymentId,
    state: &str,
    reason: &str,
    now: i64,
) -> Result<Units, StoreError> {
    let moved = query(
        "UPDATE payments SET state = ?, reason = ?, updated_at = ? WHERE id = ? AND state IN ('settling', 'unknown')",
    )
    .bind(state)
    .bind(reason)
    .bind(now)
    .bind(id.as_str());
    one(id, &moved.execute(connection).await?)
}

async fn sell(connection: &mut SqliteConnection, id: &PaymentId, sale: &Sale, now: i64) -> Result<Units, StoreError> {
    let bought = &sale.subscription;
    query(
        "INSERT INTO subscriptions (id, payment_id, chain, payer, plan, key_prefix, expires_at, units, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(bought.id.as_str())
    .bind(id.as_str())
    .bind(&*bought.chain)
    .bind(&*bought.payer)
    .bind(to_json(&bought.plan)?)
    .bind(&*bought.key_prefix)
    .bind(unix_millis(bought.expires_at))
    .bind(bought.plan.units.map(Units::stored))
    .bind(now)
    .execute(&mut *connection)
    .await?;
    query("INSERT INTO keys (hash, subscription_id, created_at) VALUES (?, ?, ?)")
        .bind(sale.key.0.as_slice())
        .bind(bought.id.as_str())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(Units::ZERO)
}

async fn lease(connection: &mut SqliteConnection, id: &SubscriptionId, want: Units) -> Result<Units, StoreError> {
    let granted: Option<i64> = sqlx::query_scalar(
        "SELECT max(0, min(?, units - used - leased)) FROM subscriptions WHERE id = ? AND units IS NOT NULL",
    )
    .bind(want.stored())
    .bind(id.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let granted = granted.unwrap_or(0);
    if granted == 0 {
        return Ok(Units::ZERO);
    }
    query("UPDATE subscriptions SET leased = leased + ? WHERE id = ?")
        .bind(granted)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(Units::from_stored(granted))
}

async fn report(connection: &mut SqliteConnection, usages: &[Usage]) -> Result<Units, StoreError> {
    for usage in usages {
        let (spent, returned) = (usage.spent.stored(), usage.returned.stored());
        query("UPDATE subscriptions SET used = used + ?1, leased = max(0, leased - ?1 - ?2) WHERE id = ?3")
            .bind(spent)
            .bind(returned)
            .bind(usage.subscription.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(Units::ZERO)
}

fn one(id: &PaymentId, result: &SqliteQueryResult) -> Result<Units, StoreError> {
    if result.rows_affected() == 1 { Ok(Units::ZERO) } else { Err(StoreError::Moved(id.clone())) }
}

impl Write {
    pub(super) fn settling(payment: &Settling<Claim>) -> Result<Self, StoreError> {
        let presented = payment.presented();
        let terms = &presented.terms;
        Ok(Self::Settling(Box::new(SettlingRow {
            id: presented.id.clone(),
            offer: presented.offer.as_str().to_owned(),
            quote: presented.quote.as_ref().map(|quote| quote.token.clone()),
            version: i64::from(presented.version.number()),
            network: presented.network_name().to_owned(),
            chain: terms.network.to_string(),
            asset: terms.asset.address.to_string(),
            amount: terms.amount.to_string(),
            pay_to: terms.pay_to.to_string(),
            payer: payment.payer().map(str::to_owned),
            valid_before: i64::try_from(presented.window.valid_before).unwrap_or(i64::MAX),
            request: to_json(&presented.request)?,
        })))
    }
}
