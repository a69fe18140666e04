//! How long and how hard.

use std::env;
use std::time::Duration;

use super::Result;

/// The size of a run.
#[derive(Debug)]
pub(super) struct Settings {
    /// Before and after the flood, each.
    pub(super) quiet: Duration,
    pub(super) flood: Duration,
    /// Hostile requests a second.
    pub(super) rate: u32,
    /// What the gateway grants an address without a key, as `limits.keyless_per_address`.
    pub(super) limit: Option<String>,
}

impl Settings {
    pub(super) fn read() -> Result<Self> {
        // `cargo bench` says so; `cargo test --benches` does not, and wants to know only whether it runs.
        let measures = env::args().any(|argument| argument == "--bench");
        let (seconds, rate) = if measures { (60.0, 20_000) } else { (0.5, 500) };
        let flood = Duration::try_from_secs_f64(variable("TOLLGATE_BENCH_SECONDS", seconds)?)?;
        Ok(Self {
            quiet: flood / 4,
            flood,
            rate: variable("TOLLGATE_BENCH_RATE", rate)?,
            limit: env::var("TOLLGATE_BENCH_LIMIT").ok(),
        })
    }
}

fn variable<T: std::str::FromStr>(name: &str, usual: T) -> Result<T> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is {text:?}, which is not a number").into()),
        Err(_) => Ok(usual),
    }
}
