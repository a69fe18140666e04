//! What a call with a key costs where there are a million keys: memory, look-ups, and threads that share nothing.
//!
//! The use cases run in this process on a real store, without HTTP and without an upstream. Which key calls next is
//! drawn from Zipf's law: with exponent 1 the second key calls half as often as the first, the third a third.
//!
//! `TOLLGATE_BENCH_KEYS` and `_CALLS` change its size. It fails if a call does, and never because of a figure.

#![allow(clippy::float_arithmetic, reason = "times are printed, not charged")]

mod books;
mod keys;
mod report;
mod shop;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;

use keys::Keys;
use report::Figures;
use shop::{Seen, Shop};

// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// As many keys are brought into memory to see what each takes.
const WARM: u32 = 100_000;
/// What is compared with the many.
const FEW: u32 = 1000;
/// As many calls are under way at once while memory fills.
const AT_ONCE: usize = 64;

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
    // `cargo bench` says so; `cargo test --benches` does not, and wants to know only whether it runs.
    let measures = std::env::args().any(|argument| argument == "--bench");
    let (many, calls) = if measures { (1_000_000, 400_000) } else { (4000, 2000) };
    let (many, calls) = (variable("TOLLGATE_BENCH_KEYS", many)?, variable("TOLLGATE_BENCH_CALLS", calls)?);
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    report::print_machine();
    for count in [FEW.min(many), many] {
        let started = Instant::now();
        let shop = Arc::new(runtime.block_on(Shop::open(count))?);
        println!("\n{count} keys, in the store after {:.1} s", started.elapsed().as_secs_f64());
        let keys = shop.keys(count);
        runtime.block_on(memory(&shop, &keys))?;
        report::print_columns();
        for exponent in [1.0, 1.2] {
            runtime.block_on(warm(&shop, &keys.drawn(count, exponent, calls, 1)))?;
            let figures = runtime.block_on(one_by_one(&shop, &keys.drawn(count, exponent, calls / 8, 2)))?;
            figures.print(exponent);
        }
        threads(&shop, &keys, runtime.handle(), calls)?;
        runtime.block_on(shop.close())?;
    }
    Ok(())
}

/// What a key takes that is in memory.
async fn memory(shop: &Arc<Shop>, keys: &Keys) -> Result<()> {
    let first = keys.first(FEW / 2);
    warm(shop, &first).await?;
    shop.write_down().await?;
    let (before, known) = (report::resident_bytes()?, shop.known());
    // As often as the gateway writes down, more or less: what a large report takes meanwhile is no key's.
    for keys in keys.first(WARM).chunks(1000) {
        warm(shop, keys).await?;
        shop.write_down().await?;
    }
    report::print_memory(report::resident_bytes()?.saturating_sub(before), shop.known() - known);
    Ok(())
}

/// Calls many at once: the store writes what has come meanwhile in one go.
async fn warm(shop: &Arc<Shop>, calls: &[Arc<str>]) -> Result<()> {
    let each = calls.len().div_ceil(AT_ONCE).max(1);
    let mut tasks = JoinSet::new();
    for calls in calls.chunks(each) {
        let (shop, calls) = (Arc::clone(shop), calls.to_vec());
        tasks.spawn(async move { call_all(&shop, &calls).await });
    }
    while let Some(called) = tasks.join_next().await {
        called??;
    }
    Ok(())
}

async fn call_all(shop: &Shop, calls: &[Arc<str>]) -> Result<()> {
    for key in calls {
        shop.call(key).await?;
    }
    Ok(())
}

/// Calls one after the other, each with its time.
async fn one_by_one(shop: &Shop, calls: &[Arc<str>]) -> Result<Figures> {
    let mut figures = Figures::default();
    for key in calls {
        let started = Instant::now();
        let seen = shop.call(key).await?;
        match seen {
            Seen::InMemory => figures.hits.push(started.elapsed()),
            Seen::InStore => figures.misses.push(started.elapsed()),
        }
    }
    Ok(figures)
}

/// The same calls on one thread and on all: of different keys, and of one.
fn threads(shop: &Arc<Shop>, keys: &Keys, runtime: &Handle, calls: u32) -> Result<()> {
    let all = std::thread::available_parallelism()?.get();
    let hot = keys.first(WARM / 2);
    for (name, drawn) in [("many keys", keys.drawn(WARM / 2, 1.0, calls, 3)), ("one key", keys.drawn(1, 1.0, calls, 3))]
    {
        // What was pushed out of memory comes back first.
        runtime.block_on(warm(shop, &hot))?;
        for count in [1, all] {
            let took = in_threads(shop, &drawn, runtime, count)?;
            report::print_speed(name, count, drawn.len() * count, took);
        }
    }
    Ok(())
}

fn in_threads(shop: &Shop, calls: &[Arc<str>], runtime: &Handle, count: usize) -> Result<Duration> {
    let started = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| runtime.block_on(call_all(shop, calls)))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })?;
    Ok(started.elapsed())
}

fn variable(name: &str, usual: u32) -> Result<u32> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is {text:?}, which is not a number").into()),
        Err(_) => Ok(usual),
    }
}
