//! The figures.

use std::fs;
use std::time::Duration;

use super::cpu::Pinning;
use super::flood::Flood;
use super::honest::Calls;
use super::settings::Settings;

const MIB: f64 = 1024.0 * 1024.0;

/// Says what the figures are figures of.
pub(super) fn print_machine(settings: &Settings, pinned: &Pinning) {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let build = if cfg!(debug_assertions) { "DEBUG build: its figures mean nothing" } else { "release build" };
    let limit = settings.limit.as_ref().map(|limit| format!("; an address without a key has {limit}"));
    println!(
        "tollgate {}, {build}, {}\n{}; {pinned}\n{:?} of {} hostile requests a second, {:?} of quiet before and after{}\n",
        env!("CARGO_PKG_VERSION"),
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        model.map_or("unknown processor", |(_, model)| model),
        settings.flood,
        settings.rate,
        settings.quiet,
        limit.unwrap_or_default(),
    );
}

/// Prints what the honest and the others got.
pub(super) fn print(quiet: &Calls, flooded: &Calls, memory: &[u64], cpu: Duration, flood: &Flood) {
    let seconds = flood.lasted.as_secs_f64();
    let rate = flood.requests().to_string().parse::<f64>().unwrap_or_default() / seconds;
    println!("{:36}{:>11}  statuses (0: closed without an answer)", "attack", "requests");
    for (name, statuses) in &flood.answers {
        println!("{name:36}{:>11}  {statuses:?}", statuses.values().sum::<u64>());
    }
    println!("{:36}{:>11}", "connections that send no end", flood.idlers);
    println!("{:36}{:>11}\n", "HTTP/2 streams, reset at once", flood.resets);
    println!(
        "hostile requests a second: {rate:.0}, the gateway's processor {:.0} % busy",
        100.0 * cpu.as_secs_f64() / seconds
    );
    let mib =
        |bytes: Option<&u64>| bytes.copied().unwrap_or_default().to_string().parse::<f64>().unwrap_or_default() / MIB;
    // The first seconds fill buffers and caches.
    let settled = memory.get(memory.len() / 6..).unwrap_or_default();
    println!(
        "memory: {:.1} MiB at its start, {:.1} after a sixth of it, {:.1} at its end, at most {:.1}",
        mib(memory.first()),
        mib(settled.first()),
        mib(memory.last()),
        mib(memory.iter().max()),
    );
    println!("\n{:20}{:>10}{:>10}{:>10}{:>10}", "honest calls", "number", "p50 us", "p99 us", "p99.9 us");
    for (name, calls) in [("in quiet", quiet), ("under the flood", flooded)] {
        let [p50, p99, p999] = [500, 990, 999].map(|at| calls.at(at).as_micros());
        println!("{name:20}{:>10}{p50:>10}{p99:>10}{p999:>10}", calls.count());
    }
    let ratio = |at| flooded.at(at).as_secs_f64() / quiet.at(at).as_secs_f64();
    println!("{:20}{:>10}{:>10.2}{:>10.2}{:>10.2}", "ratio", "", ratio(500), ratio(990), ratio(999));
}
