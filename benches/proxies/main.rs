//! Tollgate beside a bare Pingora, nginx, and what sells an API otherwise: the same requests, in one run.
//!
//! Every side runs with one worker on the same processor, one at a time; the load, the upstream (nginx) and the
//! facilitator (which answers at once) have the others. Each round takes every side of a row once, in an order that
//! turns round, and compares within the round, so that a machine which gets slower or faster meanwhile does the same to
//! all. The side `tollgate, again` is the first one a second time: how far its ratio is from 1 is what this measurement
//! cannot tell apart.
//!
//! ```text
//! benches/compare proxies                installs what is needed, and runs it
//! cargo bench --bench proxies            all rows
//! cargo bench --bench proxies -- free    the rows with this in their names
//! ```
//! `TOLLGATE_BENCH_ROUNDS`, `_SECONDS` (of a side in a round), `_CONNECTIONS` and `_SIDES` (`tollgate,bare,nginx` are
//! enough without Node) change its size; `TOLLGATE_BENCH_RESULTS` names a file that the tables are added to. It fails
//! if an answer is another than the row asks for, if a challenge of the others is not as large as Tollgate's, or if the
//! books are wrong at the end, and never because of a figure. `cargo test --bench proxies` needs neither nginx nor wrk.

#![allow(clippy::float_arithmetic, reason = "ratios are printed, not charged")]

mod bare;
mod challenge;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/cpu.rs"]
mod cpu;
mod figures;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/instant.rs"]
mod instant;
mod load;
mod nginx;
mod report;
mod rows;
mod server;
mod settings;
mod sides;
#[path = "../support/upstream.rs"]
mod upstream;
#[path = "../support/wire.rs"]
mod wire;
mod wires;
mod wrk;

use std::process::ExitCode;

use figures::Round;
use load::Load;
use rows::{Kind, Row};
use settings::Settings;
use sides::Stage;

// As in the program that is measured: the bare Pingora is this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bare", arguments @ ..] => bare::serve_as_told(arguments),
        _ => bench(),
    };
    match done {
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stage = Stage::set(&settings, &pinned).await?;
        report::write(&report::machine(&settings, &pinned))?;
        let rows = rows::all(&stage).into_iter();
        for row in rows.filter(|row| settings.filter.as_ref().is_none_or(|part| row.name.contains(part))) {
            let rounds = measure(&row, &stage, &settings).await?;
            report::write(&report::table(&row, &rounds))?;
        }
        Ok(())
    })
}

/// All rounds of each side. What the books say at the end is what was answered.
async fn measure(row: &Row, stage: &Stage, settings: &Settings) -> Result<Vec<Vec<Round>>> {
    let booked = stage.booked(row.kind).await?;
    let mut load = Load::warm(row, settings).await?;
    let mut rounds: Vec<Vec<Round>> = row.sides.iter().map(|_| Vec::new()).collect();
    for number in 0..settings.rounds {
        let mut order: Vec<_> = row.sides.iter().zip(&mut rounds).collect();
        let turn = number % order.len().max(1);
        order.rotate_left(turn);
        for (side, rounds) in order {
            rounds.push(load.run(side).await?);
        }
    }
    let booked = stage.booked(row.kind).await? - booked;
    match row.kind {
        Kind::Keyed | Kind::Paid if !load.asked.holds(booked) => {
            Err(format!("{}: {} were asked for, and {booked} are in the books", row.name, load.asked).into())
        }
        Kind::Plain | Kind::Keyed | Kind::Paid => Ok(rounds),
    }
}
