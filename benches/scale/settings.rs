//! How long, how hard and how many.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use super::Result;

/// The size of a run.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) rounds: usize,
    /// Of one row in one round.
    pub(super) time: Duration,
    pub(super) connections: usize,
    /// The most routes.
    pub(super) routes: u32,
    /// The most keys.
    pub(super) keys: u32,
    /// Connections that rest.
    pub(super) idle: u32,
    /// Routes of the file that is reloaded.
    pub(super) reloaded: u32,
    /// The one part that is wanted.
    pub(super) part: Option<String>,
    /// Where the tables are put down.
    pub(super) results: Option<PathBuf>,
}

impl Settings {
    pub(super) fn read() -> Result<Self> {
        let arguments: Vec<_> = env::args().skip(1).collect();
        // `cargo bench` says so; `cargo test --benches` does not, and wants to know only whether it runs.
        let measures = arguments.iter().any(|argument| argument == "--bench");
        let of = |large, small| if measures { large } else { small };
        let seconds = variable("TOLLGATE_BENCH_SECONDS", if measures { 1.0 } else { 0.05 })?;
        Ok(Self {
            rounds: variable("TOLLGATE_BENCH_ROUNDS", if measures { 9 } else { 1 })?,
            time: Duration::try_from_secs_f64(seconds)?,
            connections: variable("TOLLGATE_BENCH_CONNECTIONS", if measures { 32 } else { 4 })?,
            routes: variable("TOLLGATE_BENCH_ROUTES", of(100_000, 200))?,
            keys: variable("TOLLGATE_BENCH_KEYS", of(1_000_000, 2000))?,
            idle: variable("TOLLGATE_BENCH_IDLE", of(10_000, 50))?,
            reloaded: variable("TOLLGATE_BENCH_RELOADED", of(10_000, 100))?,
            part: arguments.into_iter().find(|argument| !argument.starts_with('-')),
            results: env::var_os("TOLLGATE_BENCH_RESULTS").map(PathBuf::from),
        })
    }

    /// In rounds that are so many times longer, for requests that leave work behind: of a short round it would fall into the
    /// one after.
    pub(super) fn in_longer_rounds(&self, times: u32) -> Self {
        Self { time: self.time * times, ..self.clone() }
    }

    /// As long in all, in rounds that are so many times shorter: what else a machine does comes and goes in seconds, and
    /// then strikes all sides of a round alike. For requests that leave no work behind.
    pub(super) fn in_shorter_rounds(&self, times: u16) -> Self {
        let (rounds, time) = (self.rounds * usize::from(times), self.time / u32::from(times));
        Self { rounds, time, ..self.clone() }
    }
}

fn variable<T: std::str::FromStr>(name: &str, usual: T) -> Result<T> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is {text:?}, which is not a number").into()),
        Err(_) => Ok(usual),
    }
}
