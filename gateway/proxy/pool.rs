//! Connections to an upstream that rest between requests.
//!
//! The framework's own pool watches each of them by a task of its own, which is made and ended with every request. Here
//! all are looked at together, once a second, and each again before it is used.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt as _;
use tokio::task::unconstrained;

/// How many rest at most.
const RESTING_MAX: usize = 1024;
/// How often those that the upstream has closed, or that have rested too long, are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The connections to one upstream.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    resting: Arc<Mutex<Resting>>,
    /// How long one may rest.
    idle_timeout: Duration,
}

#[derive(Debug, Default)]
struct Resting {
    /// The one that was used last is at the end.
    connections: Vec<Connection>,
    /// Whether somebody looks at them.
    is_swept: bool,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    to: SocketAddr,
    since: Instant,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration) -> Self {
        Self { resting: Arc::default(), idle_timeout }
    }

    /// A connection to this address that may be used again.
    pub(super) fn take(&self, to: SocketAddr) -> Option<Stream> {
        loop {
            let mut connection = self.resting().take(to)?;
            if connection.since.elapsed() < self.idle_timeout && is_quiet(&mut connection.stream) {
                return Some(connection.stream);
            }
        }
    }

    /// Lets a connection rest whose last answer has been read to its end.
    pub(super) fn rest(&self, stream: Stream, to: SocketAddr) {
        let mut resting = self.resting();
        if resting.connections.len() >= RESTING_MAX {
            return;
        }
        resting.connections.push(Connection { stream, to, since: Instant::now() });
        if !std::mem::replace(&mut resting.is_swept, true) {
            drop(tokio::spawn(self.clone().sweep()));
        }
    }

    /// Ends those that are of no use, until there are none.
    async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let mut resting = self.resting();
            let useful = |connection: &mut Connection| {
                connection.since.elapsed() < self.idle_timeout && is_quiet(&mut connection.stream)
            };
            resting.connections.retain_mut(useful);
            if resting.connections.is_empty() {
                resting.is_swept = false;
                return;
            }
        }
    }

    fn resting(&self) -> MutexGuard<'_, Resting> {
        // What a panic leaves is a list of connections all the same.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resting {
    fn take(&mut self, to: SocketAddr) -> Option<Connection> {
        let found = self.connections.iter().rposition(|connection| connection.to == to)?;
        Some(self.connections.swap_remove(found))
    }
}

/// Whether the other side has neither ended the connection nor said a word that nobody asked for.
fn is_quiet(stream: &mut Stream) -> bool {
    // What is ready is to be seen, however much the task has done already.
    unconstrained(stream.read(&mut [0])).now_or_never().is_none()
}
