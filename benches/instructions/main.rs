//! How many instructions of the processor a request takes, by callgrind.
//!
//! Wall-clock times change with the machine and with what else runs on it. These counts do not, to a percent or less, so
//! they can be recorded, and a change that makes a request dearer is found when it is made. What is counted is the whole
//! gateway as it is shipped: the thread that serves, from the bytes of a request to those of its answer, without the
//! kernel. A run with some requests more is compared with one without them.
//!
//! ```text
//! tests/instructions.sh                  the release build against what is recorded; it fails if a count has grown
//! tests/instructions.sh record           records new counts, and those of a bare Pingora
//! cargo bench --bench instructions       the same counts, and the ratios to a bare Pingora, of this build
//! ```
//! `TOLLGATE_BIN` is another gateway to be counted, `TOLLGATE_BENCH_REQUESTS` how many requests more. Under `cargo test
//! --benches` everything runs without callgrind, to see that it is answered as it should be.

#![allow(clippy::float_arithmetic, reason = "ratios are printed, not charged")]

#[path = "../proxies/bare.rs"]
mod bare;
mod cases;
mod counting;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/gateway.rs"]
mod gateway;
mod place;
mod record;
mod report;
#[path = "../support/upstream.rs"]
mod upstream;
#[path = "../support/wire.rs"]
mod wire;

use std::process::ExitCode;

use counting::Counting;
use place::Place;
use record::{Counts, Record};

// As in the program that a bare Pingora is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match bench() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words.as_slice() {
        ["bare", told @ ..] => bare::serve_as_told(told)?,
        ["compare"] => {
            let counts = count_gateway(&Counting::by_callgrind()?)?;
            return report::compare(&Record::read()?, &counts);
        }
        ["record"] if cfg!(debug_assertions) => {
            return Err("this is a debug build: use tests/instructions.sh record".into());
        }
        ["record"] => {
            let record = count_all(&Counting::by_callgrind()?)?;
            report::print(&record);
            record.write()?;
        }
        _ if arguments.iter().any(|argument| argument == "--bench") => {
            report::print(&count_all(&Counting::by_callgrind()?)?);
        }
        _ => {
            count_all(&Counting::of_nothing()?)?;
            Record::read()?.has_all()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn count_gateway(counting: &Counting) -> Result<Counts> {
    let mut counts = counting.count(Place::Gateway { routes: cases::ROUTES_FEW }, cases::OF_THE_GATEWAY)?;
    counts.extend(counting.count(Place::Gateway { routes: cases::ROUTES_MANY }, cases::AMONG_MANY_ROUTES)?);
    Ok(counts)
}

fn count_all(counting: &Counting) -> Result<Record> {
    Record::of_this_machine(count_gateway(counting)?, counting.count(Place::Bare, cases::OF_A_BARE_PROXY)?)
}
