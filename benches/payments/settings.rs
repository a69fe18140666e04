//! How long and how hard.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use super::Result;

/// The size of a run.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) rounds: usize,
    /// Paid calls of a round, one after the other.
    pub(super) singles: usize,
    /// Paid calls of a round, many at once.
    pub(super) calls: usize,
    pub(super) connections: usize,
    /// Of the keyed traffic in one case of a round.
    pub(super) time: Duration,
    /// Keyed requests in a second.
    pub(super) keyed_rate: u32,
    /// How many payments are under way all the time, beside the keyed traffic.
    pub(super) crowds: Vec<usize>,
    /// How long their settlements take.
    pub(super) delay: Duration,
    /// The cases to run, by a part of their name: `calls` or `beside`.
    pub(super) filter: Option<String>,
    /// Where the tables are appended.
    pub(super) results: Option<PathBuf>,
}

impl Settings {
    pub(super) fn read() -> Result<Self> {
        let arguments: Vec<_> = env::args().skip(1).collect();
        // `cargo bench` says so; `cargo test --benches` does not, and wants to know only whether it runs.
        let measures = arguments.iter().any(|argument| argument == "--bench");
        let (rounds, singles, calls, seconds, crowd) =
            if measures { (7, 300, 6000, 4.0, 1000) } else { (1, 5, 40, 0.2, 10) };
        let crowd = variable("TOLLGATE_BENCH_CROWD", crowd)?;
        Ok(Self {
            rounds: variable("TOLLGATE_BENCH_ROUNDS", rounds)?,
            singles: variable("TOLLGATE_BENCH_SINGLES", singles)?,
            calls: variable("TOLLGATE_BENCH_CALLS", calls)?,
            connections: variable("TOLLGATE_BENCH_CONNECTIONS", if measures { 128 } else { 8 })?,
            time: Duration::try_from_secs_f64(variable("TOLLGATE_BENCH_SECONDS", seconds)?)?,
            keyed_rate: variable("TOLLGATE_BENCH_KEYED_RATE", 250)?,
            crowds: vec![crowd, crowd * 2 / 5, crowd / 10],
            delay: Duration::from_millis(variable("TOLLGATE_BENCH_DELAY_MS", if measures { 400 } else { 20 })?),
            filter: arguments.into_iter().find(|argument| !argument.starts_with('-')),
            results: env::var_os("TOLLGATE_BENCH_RESULTS").map(PathBuf::from),
        })
    }

    pub(super) fn wants(&self, case: &str) -> bool {
        self.filter.as_ref().is_none_or(|part| case.contains(part.as_str()))
    }
}

fn variable<T: std::str::FromStr>(name: &str, usual: T) -> Result<T> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is {text:?}, which is not a number").into()),
        Err(_) => Ok(usual),
    }
}
