//! The figures.

use std::fs;
use std::time::Duration;

use super::Result;

/// What calls took, one by one. The clock itself is in it, with some 40 ns.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// What memory alone answered.
    pub(super) hits: Vec<Duration>,
    /// What the store was asked for: the key, its plan, and a block of units.
    pub(super) misses: Vec<Duration>,
}

pub(super) fn print_machine() {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let build = if cfg!(debug_assertions) { "DEBUG build: its figures mean nothing" } else { "release build" };
    println!("tollgate {}, {build}\n{}", env!("CARGO_PKG_VERSION"), model.map_or("unknown", |(_, model)| model));
}

pub(super) fn print_memory(bytes: u64, keys: usize) {
    let each = bytes.checked_div(u64::try_from(keys).unwrap_or(u64::MAX)).unwrap_or_default();
    println!("{keys} keys in memory take {} KiB, {each} bytes each", bytes / 1024);
}

pub(super) fn print_columns() {
    println!("{:22}{:>12}{:>12}{:>12}{:>12}{:>14}", "", "calls", "hit rate", "hit ns", "miss ns", "mean ns/call");
}

pub(super) fn print_speed(name: &str, threads: usize, calls: usize, took: Duration) {
    let calls = f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
    println!("{name:10} in memory, {threads} threads: {:>12.0} calls/s", calls / took.as_secs_f64());
}

impl Figures {
    pub(super) fn print(mut self, exponent: f64) {
        let [hits, misses] = [&self.hits, &self.misses].map(|times| f64::from(u32::try_from(times.len()).unwrap_or(0)));
        let total: Duration = self.hits.iter().chain(&self.misses).sum();
        let (calls, mean) = (hits + misses, total.as_secs_f64() * 1e9 / (hits + misses));
        let [hit, miss] = [&mut self.hits, &mut self.misses].map(|times| median(times));
        let name = format!("Zipf, exponent {exponent}");
        println!("{name:22}{calls:>12}{:>11.2}%{hit:>12}{miss:>12}{mean:>14.0}", 100.0 * hits / calls);
    }
}

fn median(times: &mut [Duration]) -> u128 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0, Duration::as_nanos)
}

/// What the process has in memory.
pub(super) fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
