//! What requests notice of a reload: latencies in windows with one, and in windows of the same length without.

use std::time::{Duration, Instant};

use super::gateway::Gateway;
use super::report::{self, Table};
use super::routes;
use super::wire::{Wire, get};
use super::{Bench, Result};

/// Connections that ask meanwhile, and how long each waits before it asks again: a busy gateway, not a drowning one.
const ASKING: u32 = 8;
const THINKING: Duration = Duration::from_millis(1);
/// How often it is looked whether the new file is in force.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// By then it must be.
const PATIENCE: Duration = Duration::from_secs(60);
/// The path that every other file has.
const PROBE: &str = "/probe";

/// Latencies of a window, sorted.
struct Window(Vec<Duration>);

pub(super) async fn measure(bench: &Bench) -> Result<()> {
    let routes = routes::tables(bench.settings.reloaded);
    let with_probe = format!("{routes}[[routes]]\npath = \"{PROBE}\"\nfree = true\n");
    let mut gateway = Gateway::start(&bench.neighbours, &bench.pinned, &routes).await?;
    let length = bench.settings.time.max(Duration::from_millis(200)) * 2;
    let (mut quiet, mut busy, mut taken, mut spent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut memory = vec![gateway.memory()?];
    for number in 0..bench.settings.rounds * 2 {
        let (window, _) = tokio::try_join!(load(&gateway, length), no_reload(&gateway, length))?;
        quiet.push(window);
        let (tables, status) = if number % 2 == 0 { (&with_probe, "200") } else { (&routes, "404") };
        let cpu = gateway.time()?;
        gateway.rewrite(&bench.neighbours, tables)?;
        let (window, took) = tokio::try_join!(load(&gateway, length), reload(&gateway, status))?;
        spent.push(gateway.time()?.saturating_sub(cpu));
        busy.push(window);
        taken.push(took);
        memory.push(gateway.memory()?);
    }
    gateway.stop()?;
    let mut table = Table::new(["windows", "requests", "p50 us", "p99 us", "p99.9 us", "longest us"]);
    for (name, windows) in [("quiet", &quiet), ("with a reload", &busy)] {
        let total: usize = windows.iter().map(|Window(all)| all.len()).sum();
        let [p50, p99, p999, longest] = [500, 990, 999, 1000]
            .map(|permille| format!("{:.0}", report::median(windows.iter().map(|window| window.at(permille)))));
        table.row([name.to_owned(), total.to_string(), p50, p99, p999, longest]);
    }
    let [p50, p99, p999, longest] = [500, 990, 999, 1000].map(|permille| {
        let pairs = busy.iter().zip(&quiet);
        report::ratio(pairs.map(|(busy, quiet)| (busy.at(permille), quiet.at(permille))))
    });
    table.row(["ratio (middle half)".to_owned(), String::new(), p50, p99, p999, longest]);
    let count = report::grouped(bench.settings.reloaded);
    table.publish(&format!("Reload of {count} routes: requests meanwhile"), &bench.settings)?;
    let millis = |times: &[Duration]| report::median(times.iter().map(|time| time.as_secs_f64() * 1e3));
    let mut table = Table::new(["reload", "figure"]);
    table.row(["from the file's change to its effect, p50 ms".to_owned(), format!("{:.0}", millis(&taken))]);
    table.row([
        "the gateway's processor time in a window with one, p50 ms".to_owned(),
        format!("{:.0}", millis(&spent)),
    ]);
    let [first, last] =
        [memory.first(), memory.last()].map(|memory| (memory.copied().unwrap_or_default() >> 20).to_string());
    table.row(["memory before the first, MiB".to_owned(), first]);
    table.row(["memory after the last, MiB".to_owned(), last]);
    table.publish(&format!("Reload of {count} routes: the reload itself"), &bench.settings)
}

impl Window {
    fn at(&self, permille: usize) -> f64 {
        let at = (self.0.len() * permille / 1000).min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// Requests on all connections for so long.
async fn load(gateway: &Gateway, length: Duration) -> Result<Window> {
    let end = Instant::now() + length;
    let tasks: Vec<_> = (0..ASKING).map(|_| tokio::spawn(ask_until(end, gateway.addr))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable();
    Ok(Window(latencies))
}

async fn ask_until(end: Instant, addr: std::net::SocketAddr) -> Result<Vec<Duration>> {
    let mut wire = Wire::to(addr).await?;
    let request = get("/literal/000000", "");
    wire.ask(&request).await?.ok()?;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        tokio::time::sleep(THINKING).await;
        let asked = Instant::now();
        wire.ask(&request).await?.ok()?;
        latencies.push(asked.elapsed());
    }
    Ok(latencies)
}

/// Looks until the file is in force; says how long that was.
async fn reload(gateway: &Gateway, status: &str) -> Result<Duration> {
    let (start, mut wire) = (Instant::now(), Wire::to(gateway.addr).await?);
    while wire.ask(&get(PROBE, "")).await?.status() != status {
        if start.elapsed() > PATIENCE {
            return Err("a new file is not in force".into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(start.elapsed())
}

/// Looks as often as if there were one.
async fn no_reload(gateway: &Gateway, length: Duration) -> Result<()> {
    let (start, mut wire) = (Instant::now(), Wire::to(gateway.addr).await?);
    while start.elapsed() < length / 4 {
        wire.ask(&get(PROBE, "")).await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
