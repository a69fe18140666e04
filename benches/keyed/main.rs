//! What a keyed request adds to a bare pass-through of the same binary.
//!
//! The gateway runs with one worker on a processor of its own; the load and the upstream have the others. Each round
//! takes every case once, in an order that turns round, and compares within the round, so that a machine which gets
//! slower or faster meanwhile does the same to all cases. The case `free, again` is the first case a second time: how
//! far its ratio is from 1 is what this measurement cannot tell apart.
//!
//! ```text
//! cargo bench --bench keyed              all cases
//! cargo bench --bench keyed -- keyed     the cases with this in their names, for a profiler
//! ```
//! `TOLLGATE_BENCH_ROUNDS`, `_SECONDS` (of a case in a round) and `_CONNECTIONS` change its size. It fails if a request
//! does or if the books are wrong at the end, and never because of a figure.

#![allow(clippy::float_arithmetic, reason = "ratios are printed, not charged")]

#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/gateway.rs"]
mod gateway;
mod load;
mod report;
mod settings;
#[path = "../support/upstream.rs"]
mod upstream;
#[path = "../support/wire.rs"]
mod wire;

use std::process::ExitCode;

use gateway::{Gateway, PLAN};
use load::{Case, Round};
use settings::Settings;

/// A plan that never ends: what is measured is the counting, not the refusal.
const TABLES: &str = r#"
[[routes]]
path = "/plain"
free = true
[[routes]]
path = "/keyed"
units = 1
"#;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

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
    let pinned = cpu::Pinning::of_this_machine()?;
    // Before any thread starts: threads are pinned as the one that starts them.
    pinned.pin_the_load()?;
    let neighbours = upstream::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::start(&neighbours, &pinned, &format!("{TABLES}{PLAN}")).await?;
        let key = gateway.buy("bench").await?;
        let cases = cases(&key, &settings);
        report::print_machine(&settings, &pinned);
        let mut rounds: Vec<Vec<Round>> = cases.iter().map(|_| Vec::new()).collect();
        let mut spent = 0;
        for number in 0..settings.rounds {
            let mut order: Vec<_> = cases.iter().zip(&mut rounds).collect();
            let turn = number % order.len().max(1);
            order.rotate_left(turn);
            for (case, rounds) in order {
                let round = load::run(&gateway, case, &settings).await?;
                spent += if case.is_keyed { round.answered } else { 0 };
                rounds.push(round);
            }
        }
        let booked = gateway.used(&key).await?;
        if booked != spent {
            return Err(format!("{spent} keyed requests were answered, and {booked} are in the books").into());
        }
        report::print_table(&cases, &rounds);
        Ok(())
    })
}

fn cases(key: &str, settings: &Settings) -> Vec<Case> {
    // As long as the key's, so that the same number of bytes is read; of no meaning to the gateway.
    let unknown = format!("X-UNK-NOW: {key}");
    let key = format!("X-API-KEY: {key}");
    let all = [
        Case::new("free", "/plain", ""),
        Case::new("free, again", "/plain", ""),
        Case::new("free, unknown header", "/plain", &unknown),
        Case::new("free, key sent", "/plain", &key),
        Case::keyed("keyed", "/keyed", &key),
    ];
    all.into_iter().filter(|case| settings.filter.as_ref().is_none_or(|part| case.name.contains(part))).collect()
}
