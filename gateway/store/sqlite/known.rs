//! Whether a payment is in the books: what is asked first of each one, and most are not.
//!
//! Asked on threads of their own, which answer all that have come meanwhile in one go.

use std::thread;

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::{mpsc, oneshot};

use super::connecting::Opening;
use crate::payment::PaymentId;
use crate::store::StoreError;

/// One waits for the disk while the other goes on.
const THREADS: usize = 2;

/// The most questions that wait for a thread.
const WAITING_MAX: usize = 1024;

/// The way to the threads. They end when the last handle is gone.
#[derive(Debug)]
pub(super) struct Known {
    threads: Vec<mpsc::Sender<Question>>,
}

struct Question {
    id: PaymentId,
    answer: oneshot::Sender<Result<bool, StoreError>>,
}

impl Known {
    pub(super) fn start(opening: &Opening) -> Result<Self, StoreError> {
        let threads = (0..THREADS).map(|_| {
            let (questions, waiting) = mpsc::channel(WAITING_MAX);
            let connection = opening.to_read()?;
            thread::Builder::new()
                .name("tollgate-known".to_owned())
                .spawn(move || answer(&connection, waiting))
                .map_err(|error| StoreError::Failed(error.to_string()))?;
            Ok::<_, StoreError>(questions)
        });
        Ok(Self { threads: threads.collect::<Result<_, _>>()? })
    }

    /// Whether there is a row of it now.
    pub(super) async fn has(&self, id: &PaymentId) -> Result<bool, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Whichever has fewer questions: the one that waits for the disk has more.
        let thread = self.threads.iter().max_by_key(|thread| thread.capacity()).ok_or_else(stopped)?;
        thread.send(Question { id: id.clone(), answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

fn stopped() -> StoreError {
    StoreError::Failed("a reader has stopped".to_owned())
}

fn answer(connection: &Connection, mut waiting: mpsc::Receiver<Question>) {
    while let Some(Question { id, answer }) = waiting.blocking_recv() {
        // Nobody waits any more: nothing was done.
        let _ = answer.send(has(connection, &id).map_err(Into::into));
    }
}

fn has(connection: &Connection, id: &PaymentId) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM payments WHERE id = ?")?;
    statement.query_row([id.as_str()], |_| Ok(())).optional().map(|row| row.is_some())
}
