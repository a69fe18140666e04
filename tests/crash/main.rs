//! The real program under `kill -9`, with buyers who never give up and a facilitator that keeps true books: nobody is
//! charged twice, nothing is served free, and what was paid for is delivered or stands in the ledger.
//!
//! A run has one database and several lives of the gateway on it. A life ends by `kill -9` at a random moment or, with
//! the feature `crash-points`, at a named point in the code. At the end everything is healed, the books are compared
//! (see `judge`), and a table says what came of it. A run is what its seed says, but for the order that the system
//! gives to threads and processes.
//!
//! ```text
//! cargo test --features crash-points --test crash
//! TOLLGATE_CRASH_RUNS=300 TOLLGATE_CRASH_SEED=1 cargo test --features crash-points --test crash -- --nocapture
//! ```
//! The first takes every point once, for calls and for purchases, and is over in two minutes. The second is the whole
//! campaign. A run that fails prints its seed; `TOLLGATE_CRASH_RUNS=1` and that seed repeat it alone.

// The lints are for code that money depends on; here a surprise is a failed test, whichever way it shows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod books;
mod buyer;
mod facilitator;
mod gateway;
mod http;
mod judge;
mod ledger;
#[allow(dead_code, reason = "the tests of the sockets use the rest")]
#[path = "../gateway/support/message.rs"]
mod message;
mod points;
mod rng;
mod run;
mod story;
mod totals;
mod upstream;

use run::Plan;
#[cfg(feature = "crash-points")]
use {rng::Rng, run::Kill, run::Work};

const SEED: u64 = 1;
/// Runs with kills at random, unless the environment says how many.
const RUNS: u64 = 12;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn no_payment_is_lost_or_charged_twice_whenever_the_gateway_is_killed() {
    let (runs, seed) = (number("TOLLGATE_CRASH_RUNS", RUNS), number("TOLLGATE_CRASH_SEED", SEED));
    let totals = run::run_all((seed..seed + runs).map(Plan::random).collect());
    totals.report(&format!("seeds {seed} to {}", seed + runs - 1));
}

#[cfg(feature = "crash-points")]
#[test]
fn no_payment_is_lost_or_charged_twice_at_any_point() {
    let mut plans = Vec::new();
    for work in [Work::Calls, Work::Purchases] {
        let points: Vec<_> = points::POINTS.iter().filter(|point| point.is_reached_by(work)).collect();
        for (seed, points) in (SEED..).zip(points.chunks(4)) {
            let mut rng = Rng::new(seed);
            let kills = points.iter().map(|point| Kill::at(point, &mut rng)).collect();
            plans.push(Plan { kills, ..Plan::of(seed, work) });
        }
    }
    let totals = run::run_all(plans);
    totals.report("every point");
    for work in [Work::Calls, Work::Purchases] {
        for point in points::POINTS.iter().filter(|point| point.is_reached_by(work)) {
            assert!(totals.has_struck(point.name, work), "{} was not reached by {work:?}", point.name);
        }
    }
}
