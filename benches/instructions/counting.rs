//! The instrument.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::cases::Case;
use super::gateway::Neighbours;
use super::place::Place;
use super::record::Counts;
use super::upstream;
use super::{Result, report};

/// How often every case is asked in every run, and the counted one after that.
const REQUESTS: [u32; 2] = [50, 1000];
/// Only to see that it works.
const REQUESTS_FEW: [u32; 2] = [2, 3];

/// Callgrind counts `rep movsb` as an instruction for each byte, while the processor moves as many at once as the loop of
/// vectors does, which the C library takes below these sizes.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000";

/// Starts places, has them asked, and counts what that took.
#[derive(Debug)]
pub(super) struct Counting {
    runtime: Runtime,
    neighbours: Neighbours,
    by_callgrind: bool,
    requests: [u32; 2],
}

impl Counting {
    pub(super) fn by_callgrind() -> Result<Self> {
        report::tool("valgrind", "--version")?;
        let [first, usual] = REQUESTS;
        let more = match std::env::var("TOLLGATE_BENCH_REQUESTS") {
            Ok(text) => {
                text.parse().map_err(|_| format!("TOLLGATE_BENCH_REQUESTS is {text:?}, which is not a number"))?
            }
            Err(_) => usual,
        };
        Self::new(true, [first, more])
    }

    /// Everything is asked, and all counts are 0.
    pub(super) fn of_nothing() -> Result<Self> {
        Self::new(false, REQUESTS_FEW)
    }

    fn new(by_callgrind: bool, requests: [u32; 2]) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, neighbours: upstream::start()?, by_callgrind, requests })
    }

    /// The instructions that a request of each case takes.
    pub(super) fn count(&self, place: Place, cases: &[Case]) -> Result<Counts> {
        let [_, more] = self.requests;
        let without = self.least(place, cases, None)?;
        let counts = cases.iter().map(|case| {
            if self.by_callgrind {
                eprintln!("counting: {}", case.name);
            }
            let with = self.least(place, cases, Some(case))?;
            Ok((case.name.to_owned(), with.saturating_sub(without) / u64::from(more)))
        });
        counts.collect()
    }

    /// The lesser of two runs: what happens once, as the end of a table that a reload has replaced, falls into some.
    fn least(&self, place: Place, cases: &[Case], counted: Option<&Case>) -> Result<u64> {
        let first = self.run(place, cases, counted)?;
        Ok(if self.by_callgrind { first.min(self.run(place, cases, counted)?) } else { first })
    }

    /// The instructions of the threads that serve, from the start to the end of the process.
    fn run(&self, place: Place, cases: &[Case], counted: Option<&Case>) -> Result<u64> {
        let folder = TempDir::new()?;
        self.runtime.block_on(async {
            let running = place.start(self.command(folder.path()), &self.neighbours).await?;
            running.ask(cases, counted, self.requests).await?;
            running.stop()
        })?;
        if self.by_callgrind { total(folder.path(), place.counted()) } else { Ok(0) }
    }

    fn command(&self, folder: &Path) -> Command {
        if !self.by_callgrind {
            return Command::new("env");
        }
        let mut command = Command::new("valgrind");
        let out = folder.join("callgrind").display().to_string();
        command.args(["--quiet", "--tool=callgrind", "--separate-threads=yes"]);
        command.arg(format!("--callgrind-out-file={out}")).env("GLIBC_TUNABLES", TUNABLES);
        command
    }
}

/// Each thread has a file. A thread's number is another in each run.
fn total(folder: &Path, counted: &[&str]) -> Result<u64> {
    let mut serving = Vec::new();
    for file in fs::read_dir(folder)? {
        let text = String::from_utf8_lossy(&fs::read(file?.path())?).into_owned();
        if counted.iter().any(|name| text.contains(name)) {
            let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("a file without a total")?;
            serving.push(total.trim().parse::<u64>()?);
        }
    }
    match serving.as_slice() {
        [] => Err("callgrind saw no thread that serves: does the program have its symbols?".into()),
        totals => Ok(totals.iter().sum()),
    }
}
