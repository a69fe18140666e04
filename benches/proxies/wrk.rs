//! wrk: the same request over and over, at little cost.

use std::process::Command;
use std::time::Duration;

use super::figures::Round;
use super::rows::{Row, Side};
use super::{Result, cpu};

/// Prints one line of numbers.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/proxies/wrk.lua");

/// Asks on so many connections for so long. Every answer must have the row's status.
pub(super) fn send(side: &Side, row: &Row, connections: usize, time: Duration) -> Result<Round> {
    let mut command = Command::new("wrk");
    let seconds = time.as_secs().max(1);
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout=10s", "-s", SCRIPT]);
    command.args(["-H", "Host: api.example.com"]);
    if !row.line.is_empty() {
        command.args(["-H", &row.line]);
    }
    let cpu = cpu::time_of(side.pid)?;
    let done = command.arg(format!("http://{}{}", side.addr, row.target)).output();
    let done = done.map_err(|error| format!("wrk: {error}; `benches/compare` installs it"))?;
    let cpu = cpu::time_of(side.pid)?.saturating_sub(cpu);
    let (text, memory) = (String::from_utf8_lossy(&done.stdout), cpu::memory_of(side.pid)?);
    let figures = text.lines().find_map(|line| line.strip_prefix("figures ")).map(|figures| figures.split(' '));
    let figures: std::result::Result<Vec<u64>, _> = figures.into_iter().flatten().map(str::parse).collect();
    let [requests, wall, p50, p99, refused, failed] = figures?[..] else {
        return Err(format!("wrk: {text}{}", String::from_utf8_lossy(&done.stderr)).into());
    };
    // It counts 400 and above as refused.
    let expected = if row.status < "400" { 0 } else { requests };
    if requests == 0 || refused != expected || failed != 0 {
        return Err(format!("{}, {}: not all were answered with {}: {text}", side.name, row.name, row.status).into());
    }
    let [wall, p50, p99] = [wall, p50, p99].map(Duration::from_micros);
    Ok(Round { requests, wall, cpu, p50, p99, memory })
}
