//! What a flood of hostile requests does to honest buyers: their latency in quiet and under the flood, in one run.
//!
//! The gateway runs with one worker on a processor of its own; whoever asks, honest or not, and the upstream share the
//! others, the attackers at the lowest priority: they would have machines of their own. Every kind of attack is sent as
//! often as the others, at a rate that does not wait for answers; meanwhile connections are opened that never finish
//! their request, and HTTP/2 streams that are reset as soon as they are open.
//!
//! ```text
//! cargo bench --bench hostile
//! ```
//! `TOLLGATE_BENCH_SECONDS` (of the flood; 60) and `TOLLGATE_BENCH_RATE` (hostile requests a second; 20,000) change its
//! size; `TOLLGATE_BENCH_LIMIT=20/s` sets `limits.keyless_per_address`, as an operator under such a flood would. It fails if an honest call does, if an attack is served, or if the books are wrong at the end; never because of
//! a figure.

#![allow(clippy::float_arithmetic, reason = "ratios are printed, not charged")]

mod attack;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/cpu.rs"]
mod cpu;
mod flood;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/gateway.rs"]
mod gateway;
mod honest;
mod idlers;
mod report;
mod resets;
mod settings;
#[path = "../support/upstream.rs"]
mod upstream;
#[path = "../support/wire.rs"]
mod wire;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use flood::Flood;
use gateway::Gateway;
use honest::Calls;
use settings::Settings;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is sold: per call and by a plan, so that every kind of attack has something to go for.
const TABLES: &str = r#"
[[routes]]
path = "/premium/{rest...}"
price = "$0.01"
units = 1
[[plans]]
name = "bench"
price = "$1"
units = 1_000_000_000
duration = "30d"
"#;

/// How often the gateway's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
        let limit = settings.limit.as_ref().map(|limit| format!("[limits]\nkeyless_per_address = {limit:?}\n"));
        let tables = format!("{TABLES}{}", limit.unwrap_or_default());
        let gateway = Gateway::start(&neighbours, &pinned, &tables).await?;
        let key = gateway.buy("bench").await?;
        report::print_machine(&settings, &pinned);
        let mut quiet = honest::call(&gateway, &key, settings.quiet).await?;
        let (flooded, memory, cpu, flood) = flooded(&gateway, &key, &settings).await?;
        quiet.add(honest::call(&gateway, &key, settings.quiet).await?);
        let (booked, spent) = (gateway.used(&key).await?, quiet.count() + flooded.count());
        if booked != spent {
            return Err(format!("{spent} honest calls were answered, and {booked} are in the books").into());
        }
        report::print(&quiet, &flooded, &memory, cpu, &flood);
        flood.check()
    })
}

/// The honest calls while the flood lasts, the gateway's memory meanwhile, and its processor time.
async fn flooded(gateway: &Gateway, key: &str, settings: &Settings) -> Result<(Calls, Vec<u64>, Duration, Flood)> {
    let cpu = gateway.time()?;
    let flood = flood::start(gateway.addr, settings)?;
    let calls = honest::call(gateway, key, settings.flood);
    let looking = async {
        let (end, mut memory) = (Instant::now() + settings.flood, Vec::new());
        while Instant::now() < end {
            memory.push(gateway.memory()?);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok::<_, Box<dyn std::error::Error>>(memory)
    };
    let (calls, memory) = tokio::join!(calls, looking);
    let cpu = gateway.time()?.saturating_sub(cpu);
    Ok((calls?, memory?, cpu, flood.stop()?))
}
