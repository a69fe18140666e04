//! How long and how hard.

use std::env;
use std::time::Duration;

use super::Result;

/// The size of a run.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) rounds: usize,
    /// Of one case in one round.
    pub(super) time: Duration,
    pub(super) connections: usize,
    /// What a case must have in its name.
    pub(super) filter: Option<String>,
}

impl Settings {
    pub(super) fn read() -> Result<Self> {
        let arguments: Vec<_> = env::args().skip(1).collect();
        // `cargo bench` says so; `cargo test --benches` does not, and wants to know only whether it runs.
        let measures = arguments.iter().any(|argument| argument == "--bench");
        let (rounds, seconds) = if measures { (11, 2.0) } else { (1, 0.2) };
        Ok(Self {
            rounds: variable("TOLLGATE_BENCH_ROUNDS", rounds)?,
            time: Duration::try_from_secs_f64(variable("TOLLGATE_BENCH_SECONDS", seconds)?)?,
            connections: variable("TOLLGATE_BENCH_CONNECTIONS", 32)?,
            filter: arguments.into_iter().find(|argument| !argument.starts_with('-')),
        })
    }
}

fn variable<T: std::str::FromStr>(name: &str, usual: T) -> Result<T> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is {text:?}, which is not a number").into()),
        Err(_) => Ok(usual),
    }
}
