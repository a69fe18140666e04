//! The one writer. It takes what has arrived, makes one transaction of it, and answers after the commit.

use std::sync::Arc;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::responses::Responses;
use super::{books, moves, sales, units};
use crate::clock::{Clock, unix_millis};
use crate::crash::crash_point;
use crate::payment::PaymentId;
use crate::plans::{HolderAddress, HolderId, KeyId, SubscriptionId, Units};
use crate::store::{Act, Doubt, Linked, NewKey, Sale, StoreError, StoredResponse, Swept, Usage};

/// The most writes in one transaction, and the most that wait for the next.
const BATCH_MAX: usize = 1024;

/// The way to the writer. The task ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

/// Something to be written.
pub(super) enum Write {
    Settling(Box<moves::SettlingRow>),
    Settled { id: PaymentId, receipt: String, sale: Option<Box<Sale>> },
    Voided { id: PaymentId, reason: String },
    Unknown { id: PaymentId, doubt: Doubt },
    Delivered { id: PaymentId, response: Option<Box<StoredResponse>> },
    Asking { id: PaymentId },
    Keep { id: PaymentId, response: Box<StoredResponse> },
    Lease { id: SubscriptionId, want: Units },
    Report { usages: Vec<Usage> },
    Grant(Box<Sale>),
    Issue { key: Box<NewKey>, replaces: Option<KeyId>, keys_max: u32 },
    Revoke { holder: HolderId, key: KeyId },
    Link { holder: HolderId, address: HolderAddress },
    Sweep,
    Note(Act),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// It was not written before.
    First,
    /// What a lease got.
    Leased(Units),
    Linked(Linked),
    Swept(Swept),
}

struct Job {
    write: Write,
    done: oneshot::Sender<Result<Written, StoreError>>,
}

/// The writer's own: its connection, and what it has to know between transactions.
pub(super) struct Desk {
    pub(super) connection: SqliteConnection,
    pub(super) responses: Responses,
    pub(super) clock: Arc<dyn Clock>,
}

impl Writer {
    pub(super) fn start(desk: Desk) -> Self {
        let (jobs, waiting) = mpsc::channel(BATCH_MAX);
        tokio::spawn(run(desk, waiting));
        Self { jobs }
    }

    /// Writes, and waits until the disk has it.
    pub(super) async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let (done, answer) = oneshot::channel();
        let stopped = || StoreError::Failed("the writer has stopped".to_owned());
        self.jobs.send(Job { write, done }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

async fn run(mut desk: Desk, mut waiting: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut answers = Vec::with_capacity(batch.len());
        let committed = commit(&mut desk, &mut batch, &mut answers).await;
        if committed.is_err() {
            desk.responses.forget_count();
        }
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

type Answer = (oneshot::Sender<Result<Written, StoreError>>, Result<Written, StoreError>);

/// One transaction. A write of several statements is a savepoint, so that one that is refused leaves nothing behind
/// and takes nobody with it.
async fn commit(desk: &mut Desk, batch: &mut Vec<Job>, answers: &mut Vec<Answer>) -> Result<(), StoreError> {
    let now = unix_millis(desk.clock.now());
    let mut transaction = desk.connection.begin_with("BEGIN IMMEDIATE").await?;
    for job in batch.drain(..) {
        let answer = apply_whole(&mut transaction, &mut desk.responses, &job.write, now).await;
        answers.push((job.done, answer));
    }
    crash_point!("writer.committing");
    transaction.commit().await?;
    crash_point!("writer.committed");
    Ok(())
}

async fn apply_whole(
    connection: &mut SqliteConnection,
    responses: &mut Responses,
    write: &Write,
    now: i64,
) -> Result<Written, StoreError> {
    let several = matches!(
        write,
        Write::Settled { sale: Some(_), .. }
            | Write::Report { .. }
            | Write::Grant(_)
            | Write::Issue { .. }
            | Write::Revoke { .. }
            | Write::Link { .. }
            | Write::Delivered { response: Some(_), .. }
            | Write::Keep { .. }
            | Write::Sweep
    );
    if !several {
        return apply(connection, responses, write, now).await;
    }
    let mut savepoint = connection.begin().await?;
    match apply(&mut savepoint, responses, write, now).await {
        Ok(written) => savepoint.commit().await.map(|()| written).map_err(Into::into),
        Err(error) => {
            responses.forget_count();
            savepoint.rollback().await.map_err(Into::into).and(Err(error))
        }
    }
}

async fn apply(
    connection: &mut SqliteConnection,
    responses: &mut Responses,
    write: &Write,
    now: i64,
) -> Result<Written, StoreError> {
    match write {
        Write::Settling(row) => moves::settling(connection, row, now).await?,
        Write::Settled { id, receipt, sale } => moves::settled(connection, id, receipt, sale.as_deref(), now).await?,
        Write::Voided { id, reason } => moves::voided(connection, id, reason, now).await?,
        Write::Unknown { id, doubt } => moves::unknown(connection, id, doubt, now).await?,
        Write::Delivered { id, response } => {
            let moved = moves::delivered(connection, id, now).await?;
            if let Some(response) = response.as_deref().filter(|_| moved) {
                responses.keep(connection, id, response).await?;
            }
        }
        Write::Asking { id } if moves::asking(connection, id).await? => return Ok(Written::First),
        Write::Asking { .. } => {}
        Write::Keep { id, response } => responses.keep(connection, id, response).await?,
        Write::Lease { id, want } => return units::lease(connection, id, *want).await.map(Written::Leased),
        Write::Report { usages } => units::report(connection, usages, now).await?,
        Write::Grant(sale) => sales::sell(connection, None, sale, now).await?,
        Write::Issue { key, replaces, keys_max } => {
            sales::issue(connection, key, replaces.as_ref(), *keys_max, now).await?;
        }
        Write::Revoke { holder, key } => sales::revoke(connection, holder, key, now).await?,
        Write::Link { holder, address } => {
            return sales::link(connection, holder, address, now).await.map(Written::Linked);
        }
        Write::Note(act) => books::note(connection, act).await?,
        Write::Sweep => return responses.sweep(connection, now).await.map(Written::Swept),
    }
    Ok(Written::Done)
}
