//! The one writer. It takes what has arrived, makes one transaction of it, and answers after the commit.
//!
//! It has a thread of its own, on which it waits for the disk: a statement is a call there, and no question to somebody
//! else.
//!
//! A transaction that fails (a full disk) says that the next one would fail too. Until a write of some size has gone
//! well again, the writer is known as failing, so that nobody begins what could not be written down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::connecting::Opening;
use super::responses::Responses;
use super::{books, moves, register, room, sales, units};
use crate::clock::{Clock, unix_millis};
use crate::crash::crash_point;
use crate::payment::PaymentId;
use crate::plans::{HolderAddress, HolderId, KeyId, SubscriptionId, Units};
use crate::priority::Behind;
use crate::store::{Act, Doubt, HolderAct, Linked, NewKey, Sale, StoreError, StoredResponse, Swept, Usage};
use crate::turns;

/// The most writes in one transaction, and the most that wait for the next.
const BATCH_MAX: usize = 1024;

/// How often it is tried whether a failing store can be written again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The way to the writer. Its thread ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    health: watch::Receiver<Result<(), StoreError>>,
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
    NoteHolder(HolderAct),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// How often that was so, this time included.
    Asked(u32),
    /// What a lease got.
    Leased(Units),
    Linked(Linked),
    Swept(Swept),
}

type Answer = Result<Written, StoreError>;

struct Job {
    write: Write,
    done: oneshot::Sender<Answer>,
}

/// The writer's own: its connection, and what it has to know between transactions.
pub(super) struct Desk {
    pub(super) connection: Connection,
    /// For the next connection, after one that failed.
    pub(super) opening: Opening,
    pub(super) responses: Responses,
    pub(super) clock: Arc<dyn Clock>,
}

impl Writer {
    /// Starts it. The current runtime has the clock by which it tries again.
    pub(super) fn start(desk: Desk) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel(BATCH_MAX);
        let (failing, health) = watch::channel(Ok(()));
        let (runtime, thread) = (Handle::current(), thread::Builder::new().name("tollgate-books".to_owned()));
        let started = thread.spawn(move || {
            Behind::Books.step();
            runtime.block_on(run(desk, waiting, failing));
        });
        started.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { jobs, health })
    }

    /// Writes, and waits until the disk has it.
    pub(super) async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let (done, answer) = oneshot::channel();
        // The books wake up when the others have come as far: what is written together costs little more than this alone.
        turns::gather().await;
        self.jobs.send(Job { write, done }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Whether writes go well, as far as the last one tells.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        if self.jobs.is_closed() { Err(stopped()) } else { self.health.borrow().clone() }
    }

    /// Waits until writes go well again.
    #[cfg(test)]
    pub(super) async fn healed(&self) {
        self.health.clone().wait_for(Result::is_ok).await.unwrap();
    }
}

fn stopped() -> StoreError {
    StoreError::Failed("the writer has stopped".to_owned())
}

async fn run(mut desk: Desk, mut waiting: mpsc::Receiver<Job>, health: watch::Sender<Result<(), StoreError>>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut try_at = Instant::now();
    loop {
        let failing = health.borrow().is_err();
        tokio::select! {
            count = waiting.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            () = tokio::time::sleep_until(try_at), if failing => {
                if desk.try_room().is_ok() {
                    tracing::info!("the store can be written again");
                    health.send_modify(|health| *health = Ok(()));
                }
                try_at = Instant::now() + TRY_EVERY;
                continue;
            }
        }
        // From here on, so that a write that is alone gives way to nobody.
        turns::begin();
        // There is a crowd: whoever is about to bring more goes first.
        if batch.len() > 1 {
            turns::give_way();
            while batch.len() < BATCH_MAX
                && let Ok(job) = waiting.try_recv()
            {
                batch.push(job);
            }
        }
        // There is no other writer: one that ended by a panic would end all sales until the next start.
        let committed = catch_unwind(AssertUnwindSafe(|| commit(&mut desk, &batch)));
        match committed.unwrap_or_else(|_| Err(StoreError::Failed("a write panicked".to_owned()))) {
            Ok(answers) => {
                for (job, answer) in batch.drain(..).zip(answers) {
                    // Nobody waits any more: the write stands all the same.
                    let _ = job.done.send(answer);
                }
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "the store cannot be written: no payment is taken until it can");
                    try_at = Instant::now() + TRY_EVERY;
                }
                // Before anybody is told, so that whoever asks next is refused.
                health.send_modify(|health| *health = Err(error.clone()));
                desk.begin_anew();
                for job in batch.drain(..) {
                    let _ = job.done.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Desk {
    /// Takes another connection after a failure: a transaction that could not be rolled back would keep the next from
    /// being begun.
    fn begin_anew(&mut self) {
        self.responses.forget_count();
        if let Ok(connection) = self.opening.to_write() {
            self.connection = connection;
        }
    }

    /// Whether there is room for what is to come.
    fn try_room(&mut self) -> Result<(), StoreError> {
        let tried = room::make(&mut self.connection);
        if tried.is_err() {
            self.begin_anew();
        }
        tried
    }
}

/// One transaction. A write of several statements is a savepoint, so that one that is refused leaves nothing behind
/// and takes nobody with it. One that fails takes all: SQLite may have rolled everything back, and each write after it
/// would be a transaction of its own.
///
/// A savepoint copies each page that is changed after it. A write that is alone has the transaction for one; deliveries,
/// which nobody knows a reason to refuse, go without at first. If one is refused all the same, the whole is done again with
/// a savepoint for each.
fn commit(desk: &mut Desk, batch: &[Job]) -> Result<Vec<Answer>, StoreError> {
    let is_alone = batch.len() == 1;
    let answers = attempt(desk, batch, |write| !is_alone && write.is_several() && !write.is_delivery())?;
    match answers {
        Some(answers) => Ok(answers),
        None => {
            attempt(desk, batch, Write::is_several)?.ok_or_else(|| StoreError::Failed("a write was half done".into()))
        }
    }
}

/// One transaction in which these writes are savepoints. None, with nothing written, if another one of several was refused
/// half way.
fn attempt(
    desk: &mut Desk,
    batch: &[Job],
    is_savepoint: impl Fn(&Write) -> bool,
) -> Result<Option<Vec<Answer>>, StoreError> {
    let now = unix_millis(desk.clock.now());
    let transaction = desk.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut answers = Vec::with_capacity(batch.len());
    for Job { write, .. } in batch {
        turns::give_way_when_due();
        let guarded = is_savepoint(write);
        let answer = match guarded {
            true => apply_whole(&transaction, &mut desk.responses, write, now),
            false => apply(&transaction, &mut desk.responses, write, now),
        };
        match answer {
            Err(StoreError::Failed(_)) => return answer.map(|_| None),
            Err(refused) if write.is_several() && !guarded => {
                desk.responses.forget_count();
                transaction.rollback()?;
                return Ok((batch.len() == 1).then(|| vec![Err(refused)]));
            }
            answer => answers.push(answer),
        }
    }
    crash_point!("writer.committing");
    transaction.commit()?;
    crash_point!("writer.committed");
    Ok(Some(answers))
}

fn apply_whole(connection: &Connection, responses: &mut Responses, write: &Write, now: i64) -> Answer {
    // Prepared once: the library's own savepoint is parsed each time.
    let say = |statement: &str| connection.prepare_cached(statement)?.execute([]).map(drop);
    say("SAVEPOINT whole")?;
    let answer = apply(connection, responses, write, now);
    if matches!(answer, Err(StoreError::Failed(_))) {
        // All of the transaction goes with it, and its savepoints may be gone already.
        return answer;
    }
    if answer.is_err() {
        responses.forget_count();
        say("ROLLBACK TO whole")?;
    }
    say("RELEASE whole")?;
    answer
}

impl Write {
    /// Whether it is more than one statement.
    fn is_several(&self) -> bool {
        matches!(
            self,
            Self::Settled { sale: Some(_), .. }
                | Self::Report { .. }
                | Self::Grant(_)
                | Self::Issue { .. }
                | Self::Revoke { .. }
                | Self::Link { .. }
                | Self::Delivered { response: Some(_), .. }
                | Self::Keep { .. }
                | Self::Sweep
        )
    }

    /// Whether it is written for nearly each payment, and nothing is known by which it could be refused.
    fn is_delivery(&self) -> bool {
        matches!(self, Self::Delivered { .. })
    }
}

fn apply(connection: &Connection, responses: &mut Responses, write: &Write, now: i64) -> Result<Written, StoreError> {
    match write {
        Write::Settling(row) => moves::settling(connection, row, now)?,
        Write::Settled { id, receipt, sale } => moves::settled(connection, id, receipt, sale.as_deref(), now)?,
        Write::Voided { id, reason } => moves::voided(connection, id, reason, now)?,
        Write::Unknown { id, doubt } => moves::unknown(connection, id, doubt, now)?,
        Write::Delivered { id, response } => {
            let moved = moves::delivered(connection, id, now)?;
            if let Some(response) = response.as_deref().filter(|_| moved) {
                responses.keep(connection, id, response)?;
            }
        }
        Write::Asking { id } => return moves::asking(connection, id).map(Written::Asked),
        Write::Keep { id, response } => responses.keep(connection, id, response)?,
        Write::Lease { id, want } => return units::lease(connection, id, *want).map(Written::Leased),
        Write::Report { usages } => units::report(connection, usages, now)?,
        Write::Grant(sale) => sales::sell(connection, None, sale, now)?,
        Write::Issue { key, replaces, keys_max } => {
            sales::issue(connection, key, replaces.as_ref(), *keys_max, now)?;
        }
        Write::Revoke { holder, key } => sales::revoke(connection, holder, key, now)?,
        Write::Link { holder, address } => {
            return sales::link(connection, holder, address, now).map(Written::Linked);
        }
        Write::Note(act) => books::note(connection, act)?,
        Write::NoteHolder(act) => register::note(connection, act)?,
        Write::Sweep => return responses.sweep(connection, now).map(Written::Swept),
    }
    Ok(Written::Done)
}
