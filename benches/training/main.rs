//! Everything that a gateway is asked in its days, in such a mixture that a compiler can learn from it what is often done
//! and what is not: see `release/build`, which runs it with a build that counts.
//!
//! Small calls are most of it: free, with a key, unpaid and paid. Then come bodies both ways, streams, keys and payments
//! that are refused, paths of nothing, and the same over HTTP/2 and TLS.
//!
//! `TOLLGATE_BIN` is the gateway that is asked, `TOLLGATE_BENCH_CALLS` how many calls there are of each of the most frequent
//! kinds. It fails if an answer is not what it should be. Nothing is measured.

#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../payments/buyers.rs"]
mod buyers;
mod calls;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/instant.rs"]
mod instant;
mod multiplexed;
mod secure;
mod upstream;
#[path = "../support/wire.rs"]
mod wire;

use std::process::{Command, ExitCode};

use gateway::{Gateway, Neighbours, PLAN, program};
use instant::InstantFacilitator;
use secure::Certificate;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const TABLES: &str = r#"
[[routes]]
path = "/free/{rest...}"
free = true
[[routes]]
path = "/paid"
price = "$0.001"
[[routes]]
path = "/keyed"
units = 1
"#;

fn main() -> ExitCode {
    match train() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the training failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn train() -> Result<()> {
    let calls = match std::env::var("TOLLGATE_BENCH_CALLS") {
        Ok(text) => text.parse().map_err(|_| format!("TOLLGATE_BENCH_CALLS is {text:?}, which is not a number"))?,
        Err(_) => 160,
    };
    let facilitator = InstantFacilitator::start()?;
    let neighbours = Neighbours { upstream: upstream::start()?, facilitator: format!("http://{}", facilitator.addr) };
    let certificate = Certificate::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = certificate.listener();
        let mut gateway =
            Gateway::start_at(Command::new(program()), &neighbours, &listener, &format!("{TABLES}{PLAN}")).await?;
        let sold = calls::make(&gateway, calls).await?;
        multiplexed::make(gateway.addr, calls / 8).await?;
        certificate.make(calls / 8).await?;
        // In peace: what is learnt is written at the end.
        gateway.stop()?;
        match facilitator.settled()? {
            settled if settled == sold => Ok(()),
            settled => Err(format!("{settled} payments were settled, and {sold} were made").into()),
        }
    })
}
