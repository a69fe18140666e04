//! What grows with the number of routes, of keys and of connections that rest, and what a reload does to requests.
//!
//! Gateways of different sizes run side by side, with one worker each on a processor of their own, and only one of them
//! is asked at a time. Each round takes every row once, in an order that turns round, and compares within the round.
//!
//! ```text
//! cargo bench --bench scale              all parts
//! cargo bench --bench scale -- routes    one of routes, keys, idle, reload
//! ```
//! `TOLLGATE_BENCH_ROUNDS`, `_SECONDS` (of a row in a round) and `_CONNECTIONS` change its size, `_ROUTES`, `_KEYS` and
//! `_IDLE` what it counts up to, `_RELOADED` the routes of the file that is reloaded. `TOLLGATE_BENCH_RESULTS=FILE`
//! appends the tables to a file, in Markdown. It fails if a request does or if the books are wrong at the end, and never
//! because of a figure.

#![allow(clippy::float_arithmetic, reason = "ratios are printed, not charged")]

#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../accounts/books.rs"]
mod books;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/gateway.rs"]
mod gateway;
mod idle;
mod keys;
mod load;
mod reload;
mod report;
mod routes;
mod settings;
mod shop;
#[path = "../support/upstream.rs"]
mod upstream;
#[path = "../support/wire.rs"]
mod wire;

use std::process::ExitCode;

use cpu::Pinning;
use gateway::Neighbours;
use settings::Settings;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What all parts need.
#[derive(Debug)]
struct Bench {
    settings: Settings,
    pinned: Pinning,
    neighbours: Neighbours,
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let settings = Settings::read()?;
    let pinned = Pinning::of_this_machine()?;
    // Before any thread starts: threads are pinned as the one that starts them.
    pinned.pin_the_load()?;
    let neighbours = upstream::start()?;
    let bench = Bench { settings, pinned, neighbours };
    let wants = |part| bench.settings.part.as_deref().is_none_or(|wanted| wanted == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        report::machine(&bench)?;
        if wants("routes") {
            routes::measure(&bench).await?;
        }
        if wants("keys") {
            keys::measure(&bench).await?;
        }
        if wants("idle") {
            idle::measure(&bench).await?;
        }
        if wants("reload") {
            reload::measure(&bench).await?;
        }
        Ok(())
    })
}
