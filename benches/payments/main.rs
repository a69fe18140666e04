//! What a paid call costs, and what payments under way cost everybody else.
//!
//! The gateway runs with one worker, and all its threads on one processor; the load, the upstream and the facilitator
//! have the others. Payments are signed before the clock starts. The facilitator believes everything, and answers at
//! once or after a delay: what is measured is the gateway, its books on this machine's disk included.
//!
//! * **calls**: free and paid, one after the other and many at once, with a facilitator that answers at once.
//! * **beside**: keyed requests at a modest rate, in quiet and beside a crowd whose settlements are slow.
//!
//! ```text
//! cargo bench --bench payments              both
//! cargo bench --bench payments -- calls     one of them
//! ```
//! `TOLLGATE_BENCH_ROUNDS`, `_CALLS`, `_SINGLES`, `_CONNECTIONS`, `_SECONDS`, `_KEYED_RATE`, `_CROWD` and `_DELAY_MS`
//! change its size; `TOLLGATE_BENCH_RESULTS` names a file to which its tables are appended. It fails if a request does, or
//! if the books, the facilitator and the upstream do not agree on every payment, and never because of a figure.

#![allow(clippy::float_arithmetic, reason = "ratios are printed, not charged")]

mod aside;
mod books;
mod buyers;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/cpu.rs"]
mod cpu;
mod disk;
#[allow(dead_code, reason = "shared, and each benchmark uses a part")]
#[path = "../support/gateway.rs"]
mod gateway;
mod load;
mod report;
mod settings;
mod upstream;
#[path = "../support/wire.rs"]
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use buyers::{Buyers, Request};
use gateway::{Gateway, PLAN};
use load::{Crowd, Round};
use report::{COLUMNS, Report, Row, median, ratio, row, spread};
use settings::Settings;
use upstream::Seen;
use wire::{Wire, get};

const TABLES: &str = r#"
[[routes]]
path = "/free"
free = true
[[routes]]
path = "/paid"
price = "$0.001"
[[routes]]
path = "/keyed"
units = 1
"#;

/// Whatever went wrong: it is printed, and nobody acts on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A running gateway with its buyers.
struct Shop {
    gateway: Gateway,
    seen: Arc<Seen>,
    buyers: Buyers,
    keyed: Request,
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
    let pinned = cpu::Pinning::of_this_machine()?;
    // Before any thread starts: threads are pinned as the one that starts them.
    pinned.pin_the_load()?;
    let (neighbours, seen) = upstream::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::start(&neighbours, &pinned, &format!("{TABLES}{PLAN}")).await?;
        let keyed = get("/keyed", &format!("X-API-KEY: {}", gateway.buy("bench").await?)).into();
        let buyers = Buyers::of(&mut Wire::to(gateway.addr).await?).await?;
        let mut shop = Shop { gateway, seen, buyers, keyed };
        let mut report = Report::begin(&settings, &pinned);
        if settings.wants("calls") {
            shop.calls(&settings, &mut report).await?;
        }
        if settings.wants("beside") {
            shop.beside(&settings, &mut report).await?;
        }
        books::agree(&shop.gateway.folder().join("tollgate.db"), &shop.seen, shop.buyers.sent).await?;
        report.end(&settings)
    })
}

impl Shop {
    async fn calls(&mut self, settings: &Settings, report: &mut Report) -> Result<()> {
        let (singles, calls, connections) = (settings.singles, settings.calls, settings.connections);
        let [mut free, mut paid, mut many_free, mut many_paid] = [const { Vec::new() }; 4];
        let mut syncs = Vec::new();
        for _ in 0..settings.rounds {
            free.push(load::run(&self.gateway, free_calls(singles, 1)).await?);
            paid.push(self.pay(singles, 1).await?);
            many_free.push(load::run(&self.gateway, free_calls(calls, connections)).await?);
            many_paid.push(self.pay(calls, connections).await?);
            syncs.push(disk::syncs_per_second(self.gateway.folder(), settings.time / 8)?);
        }
        let at_once = |name: &str| format!("{name}, {connections} at once");
        let rows = [
            row("free, one by one", &free),
            row("paid, one by one", &paid),
            row(&at_once("free"), &many_free),
            row(&at_once("paid"), &many_paid),
        ];
        report.table(&COLUMNS, &rows);
        let added = spread(paid.iter().zip(&free).map(|(paid, free)| paid.p50_micros() - free.p50_micros()), 0);
        report.say(&format!("- A paid call takes {added} us longer than a free one, at the median."));
        let sync = median(syncs.iter().copied());
        report.say(&format!(
            "- The disk syncs {sync:.0} small appends a second ({:.0} us each); a paid call waits for two.",
            1e6 / sync
        ));
        let speeds = many_paid.iter().zip(&syncs).map(|(paid, syncs)| paid.speed() / syncs);
        report.say(&format!("- Paid calls to syncs of the disk: {}.", spread(speeds, 2)));
        report.say(&format!("- CPU, paid to free, at once: {}.\n", ratio(&many_paid, &many_free, Round::cpu_micros)));
        Ok(())
    }

    async fn pay(&mut self, calls: usize, connections: usize) -> Result<Round> {
        let lists = self.buyers.sign(calls, connections)?;
        self.buyers.sent += calls;
        load::run(&self.gateway, lists).await
    }

    async fn beside(&mut self, settings: &Settings, report: &mut Report) -> Result<()> {
        self.seen.delay(settings.delay);
        // Each crowd is compared with a quiet of its own, just before it.
        let mut cases: Vec<_> =
            std::iter::once(&0).chain(&settings.crowds).map(|&crowd| (crowd, [const { Vec::new() }; 2])).collect();
        let mut speeds = vec![Vec::new(); cases.len()];
        for _ in 0..settings.rounds {
            for ((crowd, [quiet, busy]), speeds) in cases.iter_mut().zip(&mut speeds) {
                quiet.push(self.keyed(settings).await?);
                let (round, speed) = self.keyed_beside(*crowd, settings).await?;
                busy.push(round);
                speeds.push(speed);
            }
        }
        let rows = cases.iter().zip(&speeds).flat_map(|((crowd, [quiet, busy]), speeds)| {
            let beside = if *crowd == 0 { "in quiet, again".to_owned() } else { format!("beside {crowd} under way") };
            let payments = format!("{:.0}", median(speeds.iter().copied()));
            [line("in quiet", "0".to_owned(), quiet, quiet), line(&beside, payments, busy, quiet)]
        });
        let rows: Vec<_> = rows.collect();
        report.say(&format!(
            "Keyed requests, {} a second, beside payments whose settlements take {:?}.\n",
            settings.keyed_rate, settings.delay
        ));
        report.table(&["payments/s", "gateway's CPU %", "p50 us", "p99 us", "ratio of p50", "ratio of p99"], &rows);
        self.seen.delay(Duration::ZERO);
        Ok(())
    }

    async fn keyed(&self, settings: &Settings) -> Result<Round> {
        load::at_a_rate(&self.gateway, &self.keyed, settings.keyed_rate, settings.time).await
    }

    /// The same while so many payments are under way all the time, and how many end in a second.
    async fn keyed_beside(&mut self, crowd: usize, settings: &Settings) -> Result<(Round, f64)> {
        if crowd == 0 {
            return Ok((self.keyed(settings).await?, 0.0));
        }
        let turns = (settings.time + settings.delay * 3).as_micros().div_ceil(settings.delay.as_micros().max(1)) + 2;
        let lists = self.buyers.sign(crowd * usize::try_from(turns)?, crowd)?;
        let paying = Crowd::gather(&self.gateway, lists, settings.delay).await?;
        let before = paying.sent();
        let round = self.keyed(settings).await?;
        let sent = u32::try_from(paying.sent() - before)?;
        self.buyers.sent += paying.dismiss().await?;
        let speed = f64::from(sent) / round.wall.as_secs_f64();
        Ok((round, speed))
    }
}

fn free_calls(calls: usize, connections: usize) -> Vec<Vec<Request>> {
    let request: Request = get("/free", "").into();
    vec![vec![request; calls / connections]; connections]
}

fn line(name: &str, payments: String, rounds: &[Round], quiet: &[Round]) -> Row {
    let figure = |of: fn(&Round) -> f64| format!("{:.0}", median(rounds.iter().map(of)));
    let mut cells = vec![payments, figure(Round::load), figure(Round::p50_micros), figure(Round::p99_micros)];
    cells.extend([Round::p50_micros, Round::p99_micros].map(|of| ratio(rounds, quiet, of)));
    (name.to_owned(), cells)
}
