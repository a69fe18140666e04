//! How long and how hard, and against whom.

use std::env;
use std::time::Duration;

use super::Result;

/// The size of a run.
#[derive(Debug)]
pub(super) struct Settings {
    /// Whether figures are wanted; else only that it runs.
    pub(super) measures: bool,
    pub(super) rounds: usize,
    /// Of one side in one round.
    pub(super) time: Duration,
    pub(super) connections: usize,
    sides: String,
    /// What a row must have in its name.
    pub(super) filter: Option<String>,
}

impl Settings {
    pub(super) fn read() -> Result<Self> {
        let arguments: Vec<_> = env::args().skip(1).collect();
        // `cargo bench` says so; `cargo test --benches` does not, and has neither nginx nor wrk nor the peers.
        let measures = arguments.iter().any(|argument| argument == "--bench");
        let usual = if measures { "tollgate,bare,nginx,axum,express,mppx" } else { "tollgate,bare" };
        Ok(Self {
            measures,
            rounds: if measures { variable("TOLLGATE_BENCH_ROUNDS", 7)? } else { 1 },
            time: Duration::try_from_secs_f64(variable("TOLLGATE_BENCH_SECONDS", 3.0)?)?,
            connections: if measures { variable("TOLLGATE_BENCH_CONNECTIONS", 64)? } else { 4 },
            sides: variable("TOLLGATE_BENCH_SIDES", usual.to_owned())?,
            filter: arguments.into_iter().find(|argument| !argument.starts_with('-')),
        })
    }

    /// Whether this side takes part.
    pub(super) fn wants(&self, side: &str) -> bool {
        self.sides.split(',').any(|name| name.trim() == side)
    }
}

fn variable<T: std::str::FromStr>(name: &str, usual: T) -> Result<T> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is {text:?}, which is not a number").into()),
        Err(_) => Ok(usual),
    }
}
