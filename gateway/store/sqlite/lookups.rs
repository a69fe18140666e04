//! What is looked up for each payment and for each credential that is not in memory: whether a payment is in the books,
//! whose a key is, and what its holder has.
//!
//! Asked on threads of their own, each of which answers together what has come meanwhile. Payments are looked up where they
//! are served, one at a time: waking a thread and being woken takes twice as long as the look-up.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row};
use tokio::sync::{mpsc, oneshot};

use super::connecting::Opening;
use super::holders::{KEY, SUBSCRIPTION};
use super::rows::from_json;
use crate::clock::from_unix_millis;
use crate::payment::PaymentId;
use crate::plans::{HolderId, Key, KeyHash, KeyId, Origin, Subscription, SubscriptionId, Units};
use crate::store::StoreError;

/// One waits for the disk while the other goes on.
const THREADS: usize = 2;

/// The most questions that wait for a thread.
const WAITING_MAX: usize = 1024;

/// The way to the threads. They end when the last handle is gone.
#[derive(Debug)]
pub(super) struct Lookups {
    /// For whoever finds it free: at most one of those who serve payments waits for the disk.
    here: Mutex<Connection>,
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
    /// Looks up and answers.
    answer: Box<dyn FnOnce(&Connection) + Send>,
    _load: Arc<()>,
}

impl Lookups {
    pub(super) fn start(opening: &Opening) -> Result<Self, StoreError> {
        let here = opening.to_look_up()?;
        // Who has the file to itself is waited for on a thread.
        here.busy_timeout(Duration::ZERO)?;
        let threads = (0..THREADS).map(|_| {
            let (questions, waiting) = mpsc::channel(WAITING_MAX);
            let connection = opening.to_look_up()?;
            thread::Builder::new()
                .name("tollgate-lookup".to_owned())
                .spawn(move || answer(&connection, waiting))
                .map_err(|error| StoreError::Failed(error.to_string()))?;
            Ok::<_, StoreError>(Reader { questions, load: Arc::default() })
        });
        Ok(Self { here: Mutex::new(here), threads: threads.collect::<Result<_, _>>()? })
    }

    /// Whether there is a row of a payment now.
    pub(super) async fn has(&self, id: &PaymentId) -> Result<bool, StoreError> {
        if let Ok(connection) = self.here.try_lock()
            && let Ok(has) = has(&connection, id)
        {
            return Ok(has);
        }
        let id = id.clone();
        self.ask(move |connection| has(connection, &id)).await
    }

    /// The key with this hash, whether it opens anything or not.
    pub(super) async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
        let hash = *hash;
        self.ask(move |connection| key(connection, &hash)).await
    }

    /// The current subscription of a holder.
    pub(super) async fn current_of(&self, holder: &HolderId) -> Result<Option<Subscription>, StoreError> {
        let holder = holder.clone();
        self.ask(move |connection| current_of(connection, &holder)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let answer = Box::new(move |connection: &Connection| {
            // If nobody waits any more, nothing was done.
            let _ = answer.send(question(connection));
        });
        // Whichever has fewer questions: the one that waits for the disk has one more than those in its queue.
        let alive = self.threads.iter().filter(|thread| !thread.questions.is_closed());
        let thread = alive.min_by_key(|thread| Arc::strong_count(&thread.load)).ok_or_else(stopped)?;
        let question = Question { answer, _load: Arc::clone(&thread.load) };
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
        for Question { answer, _load } in batch.drain(..) {
            answer(connection);
        }
    }
}

fn has(connection: &Connection, id: &PaymentId) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM payments WHERE id = ?")?;
    Ok(statement.query_row([id.as_str()], |_| Ok(())).optional()?.is_some())
}

fn key(connection: &Connection, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{KEY} WHERE hash = ?"))?;
    let mut rows = statement.query([hash.0.as_slice()])?;
    rows.next()?.map(key_row).transpose()
}

fn current_of(connection: &Connection, holder: &HolderId) -> Result<Option<Subscription>, StoreError> {
    let current = format!("{SUBSCRIPTION} WHERE holder_id = ? AND replaced_by IS NULL");
    let mut statement = connection.prepare_cached(&current)?;
    let mut rows = statement.query([holder.as_str()])?;
    rows.next()?.map(subscription_row).transpose()
}

fn key_row(row: &Row<'_>) -> Result<Key, StoreError> {
    let corrupt = || StoreError::Corrupt("a key's origin".to_owned());
    Ok(Key {
        id: KeyId::new(text(row, "id")?),
        holder: HolderId::new(text(row, "holder_id")?),
        origin: Origin::parse(text(row, "origin")?).ok_or_else(corrupt)?,
        prefix: row.get("prefix")?,
        hint: row.get("hint")?,
        created_at: from_unix_millis(row.get("created_at")?),
        revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(from_unix_millis),
    })
}

fn subscription_row(row: &Row<'_>) -> Result<Subscription, StoreError> {
    Ok(Subscription {
        id: SubscriptionId::new(text(row, "id")?),
        holder: HolderId::new(text(row, "holder_id")?),
        chain: row.get("chain")?,
        payer: row.get("payer")?,
        plan: from_json(text(row, "plan")?)?,
        key_prefix: row.get("key_prefix")?,
        expires_at: from_unix_millis(row.get("expires_at")?),
        units: row.get::<_, Option<i64>>("units")?.map(Units::from_stored),
        used: Units::from_stored(row.get("used")?),
    })
}

fn text<'r>(row: &'r Row<'_>, column: &str) -> rusqlite::Result<&'r str> {
    Ok(row.get_ref(column)?.as_str()?)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Books with one payment.
    fn books() -> Connection {
        let books = Connection::open_in_memory().unwrap();
        books.execute_batch("CREATE TABLE payments (id TEXT); INSERT INTO payments VALUES ('somebody''s')").unwrap();
        books
    }

    /// Two threads whose part is played by the test, and a connection.
    fn two(here: Connection) -> (Lookups, [mpsc::Receiver<Question>; 2]) {
        let reader = |questions| Reader { questions, load: Arc::default() };
        let [(first, of_first), (second, of_second)] = [mpsc::channel(WAITING_MAX), mpsc::channel(WAITING_MAX)];
        (Lookups { here: Mutex::new(here), threads: vec![reader(first), reader(second)] }, [of_first, of_second])
    }

    #[tokio::test]
    async fn a_payment_is_looked_up_where_it_is_asked_for() {
        let (lookups, threads) = two(books());
        drop(threads);
        for (id, has) in [("somebody's", true), ("new", false)] {
            assert_eq!(lookups.has(&PaymentId::stored(id)).await, Ok(has));
        }
    }

    /// It may be in use, or the file somebody else's for the moment.
    #[tokio::test]
    async fn what_cannot_be_looked_up_there_is_asked_of_a_thread() {
        let unusable = Connection::open_in_memory().unwrap();
        for (here, in_use) in [(books(), true), (unusable, false)] {
            let (lookups, [mut thread, _other]) = two(here);
            let used = in_use.then(|| lookups.here.lock().unwrap());
            let (id, books) = (PaymentId::stored("somebody's"), books());
            let mut asking = Box::pin(lookups.has(&id));
            assert!(asking.as_mut().now_or_never().is_none());
            (thread.try_recv().unwrap().answer)(&books);
            assert_eq!(asking.now_or_never(), Some(Ok(true)));
            drop(used);
        }
    }

    #[tokio::test]
    async fn while_one_waits_for_the_disk_the_other_is_asked() {
        let (lookups, mut threads) = two(books());
        let _used = lookups.here.lock().unwrap();
        let id = PaymentId::stored("somebody's");
        let mut asking: Vec<_> = (0..2).map(|_| Box::pin(lookups.has(&id))).collect();
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
            let (lookups, threads) = two(Connection::open_in_memory().unwrap());
            let [first, second] = threads;
            let mut runs = if stopped == 0 {
                drop(first);
                second
            } else {
                drop(second);
                first
            };
            let id = PaymentId::stored("somebody's");
            let books = books();
            let answer = async { (runs.recv().await.unwrap().answer)(&books) };
            assert_eq!(tokio::join!(lookups.has(&id), answer).0, Ok(true));
            drop(runs);
            assert_eq!(lookups.has(&id).await, Err(super::stopped()));
        }
    }
}
