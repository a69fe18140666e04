//! Who runs on which processor, and how long a process has had one.

use std::fs;
use std::path::Path;
use std::process::{self, Command};
use std::time::Duration;

use super::Result;

/// A tick of `/proc/PID/stat`: Linux shows a hundredth of a second to all programs, whatever it counts in.
const TICK: Duration = Duration::from_millis(10);

/// One processor for the gateway, the others for the rest. Nothing is pinned on a machine with one, or without
/// `taskset`.
#[derive(Debug)]
pub(super) struct Pinning(Option<(String, String)>);

impl Pinning {
    pub(super) fn of_this_machine() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        let mut allowed = list.trim().split(',').flat_map(processors);
        let first = allowed.next().map(|number| number.to_string());
        let others: Vec<_> = allowed.map(|number| number.to_string()).collect();
        let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
        Ok(Self(first.filter(|_| has_taskset && !others.is_empty()).map(|first| (first, others.join(",")))))
    }

    /// Moves this process to the processors of the load.
    pub(super) fn pin_the_load(&self) -> Result<()> {
        let Some((_, others)) = &self.0 else { return Ok(()) };
        let own = process::id().to_string();
        let done = Command::new("taskset").args(["-a", "-c", "-p", others, &own]).output()?;
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into()) }
    }

    /// A command that runs on the gateway's processor and ends with this process, with the process id that it would have
    /// had.
    pub(super) fn gateway(&self, program: &str) -> Command {
        let Some((first, _)) = &self.0 else { return ending_with_us(program) };
        let mut command = ending_with_us("taskset");
        command.args(["-c", first, program]);
        command
    }
}

/// A command that is killed when this process ends, even if that is killed itself, where there is a `setpriv` that knows
/// how. The process id is the program's own.
pub(super) fn ending_with_us(program: &str) -> Command {
    const PREFIX: [&str; 2] = ["--pdeathsig", "KILL"];
    let knows = Command::new("setpriv").args(PREFIX).arg("true").output().is_ok_and(|done| done.status.success());
    if !knows {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(PREFIX).arg(program);
    command
}

impl std::fmt::Display for Pinning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some((first, others)) => write!(f, "gateway on processor {first}, load and upstream on {others}"),
            None => f.write_str("NOT PINNED: two processors and taskset are needed for figures that mean much"),
        }
    }
}

/// The numbers of `3` or `0-7`.
fn processors(range: &str) -> impl Iterator<Item = usize> + use<> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    first.parse().ok().zip(last.parse().ok()).into_iter().flat_map(|(first, last): (usize, usize)| first..=last)
}

/// The processor time that all threads of a process have had.
pub(super) fn time_of(pid: u32) -> Result<Duration> {
    let process = Path::new("/proc").join(pid.to_string());
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(process.join("task"))? {
        // Nanoseconds, where the kernel tells them.
        match fs::read_to_string(thread?.path().join("schedstat")) {
            Ok(text) => total += Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?),
            Err(_) => return ticks(&process),
        }
    }
    Ok(total)
}

/// The memory of a process that is in RAM, in bytes.
pub(super) fn memory_of(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/PID/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn ticks(process: &Path) -> Result<Duration> {
    let text = fs::read_to_string(process.join("stat"))?;
    // The second field is a name in parentheses, which may hold anything; user and system time are the 14th and 15th.
    let (_, behind_name) = text.rsplit_once(") ").ok_or("no name in /proc/PID/stat")?;
    let spent: std::result::Result<Vec<u32>, _> = behind_name.split(' ').skip(11).take(2).map(str::parse).collect();
    Ok(TICK * spent?.iter().sum())
}
