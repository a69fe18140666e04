//! Whether a payment is in the books: what is asked first of each one, and most are not.
//!
//! Asked on threads of their own, each of which answers together what has come meanwhile.

use std::sync::Arc;
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
    threads: Vec<Reader>,
}

/// The way to one.
#[derive(Debug)]
struct Reader {
    questions: mpsc::Sender<Question>,
    /// Each of its questions has one too, until it is answered.
    load: Arc<()>,
}

struct Question {
    id: PaymentId,
    answer: oneshot::Sender<Result<bool, StoreError>>,
    _load: Arc<()>,
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
            Ok::<_, StoreError>(Reader { questions, load: Arc::default() })
        });
        Ok(Self { threads: threads.collect::<Result<_, _>>()? })
    }

    /// Whether there is a row of it now.
    pub(super) async fn has(&self, id: &PaymentId) -> Result<bool, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Whichever has fewer questions: the one that waits for the disk has one more than those in its queue.
        let alive = self.threads.iter().filter(|thread| !thread.questions.is_closed());
        let thread = alive.min_by_key(|thread| Arc::strong_count(&thread.load)).ok_or_else(stopped)?;
        let question = Question { id: id.clone(), answer, _load: Arc::clone(&thread.load) };
        thread.questions.send(question).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

fn stopped() -> StoreError {
    StoreError::Failed("a reader has stopped".to_owned())
}

/// What has come meanwhile is read together: a transaction of its own would cost each more than its look-up. It begins
/// after the last of them was asked, so none is answered with what was true before.
fn answer(connection: &Connection, mut waiting: mpsc::Receiver<Question>) {
    let mut batch = Vec::with_capacity(WAITING_MAX);
    while waiting.blocking_recv_many(&mut batch, WAITING_MAX) > 0 {
        // Without it each is read by itself.
        let _together = (batch.len() > 1).then(|| connection.unchecked_transaction());
        for Question { id, answer, _load } in batch.drain(..) {
            // Nobody waits any more: nothing was done.
            let _ = answer.send(has(connection, &id).map_err(Into::into));
        }
    }
}

fn has(connection: &Connection, id: &PaymentId) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM payments WHERE id = ?")?;
    statement.query_row([id.as_str()], |_| Ok(())).optional().map(|row| row.is_some())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Two threads whose part is played by the test.
    fn two() -> (Known, [mpsc::Receiver<Question>; 2]) {
        let reader = |questions| Reader { questions, load: Arc::default() };
        let [(first, of_first), (second, of_second)] = [mpsc::channel(WAITING_MAX), mpsc::channel(WAITING_MAX)];
        (Known { threads: vec![reader(first), reader(second)] }, [of_first, of_second])
    }

    #[tokio::test]
    async fn while_one_waits_for_the_disk_the_other_is_asked() {
        let (known, mut threads) = two();
        let id = PaymentId::stored("somebody's");
        let mut asking: Vec<_> = (0..2).map(|_| Box::pin(known.has(&id))).collect();
        // Each is taken out of its queue at once, and not answered.
        let asked = asking.iter_mut().map(|one| {
            assert!(one.as_mut().now_or_never().is_none());
            threads.each_mut().map(|thread| thread.try_recv().ok())
        });
        let asked: Vec<_> = asked.collect();
        let times = [0, 1].map(|at| asked.iter().filter(|of| of[at].is_some()).count());
        assert_eq!(times, [1, 1]);
    }

    #[tokio::test]
    async fn a_thread_that_has_stopped_is_not_asked() {
        for stopped in [0, 1] {
            let (known, threads) = two();
            let [first, second] = threads;
            let mut runs = if stopped == 0 {
                drop(first);
                second
            } else {
                drop(second);
                first
            };
            let id = PaymentId::stored("somebody's");
            let answer = async { runs.recv().await.unwrap().answer.send(Ok(true)) };
            assert_eq!(tokio::join!(known.has(&id), answer).0, Ok(true));
            drop(runs);
            assert_eq!(known.has(&id).await, Err(super::stopped()));
        }
    }
}
