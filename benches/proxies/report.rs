//! The figures, in Markdown: on the screen, and in the file of results.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::{env, fs};

use super::Result;
use super::cpu::Pinning;
use super::figures::{Round, median, ratio};
use super::rows::Row;
use super::settings::Settings;

/// Prints it, and adds it to the file that `TOLLGATE_BENCH_RESULTS` names.
pub(super) fn write(text: &str) -> Result<()> {
    println!("{text}");
    let Ok(name) = env::var("TOLLGATE_BENCH_RESULTS") else { return Ok(()) };
    let mut file = OpenOptions::new().create(true).append(true).open(name)?;
    Ok(writeln!(file, "{text}")?)
}

/// What the figures are figures of.
pub(super) fn machine(settings: &Settings, pinned: &Pinning) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let build = if cfg!(debug_assertions) { "DEBUG build: its figures mean nothing" } else { "release build" };
    let model = model.map_or("unknown processor", |(_, model)| model);
    let size = match settings.measures {
        true => format!("{} rounds of {:?} for each side", settings.rounds, settings.time),
        false => "A few requests for each side".to_owned(),
    };
    format!(
        "## Beside others\n\nTollgate {}, {build}; {model}; {pinned}.\n\
         {size}, {} connections that are kept, medians. A ratio is the median of the rounds' own, with the middle\n\
         half of them; above 1 Tollgate does more. \"CPU\" is processor time of the side's process.\n",
        env!("CARGO_PKG_VERSION"),
        settings.connections,
    )
}

/// One row's sides, each with what Tollgate does beside it.
pub(super) fn table(row: &Row, rounds: &[Vec<Round>]) -> String {
    let heads = ["", "req/s", "p50 us", "p99 us", "CPU us/req", "MiB", "Tollgate to it", "Tollgate to it, by CPU"];
    let mut lines = vec![format!("### {}\n", row.title), line(&heads.map(str::to_owned))];
    lines.push(format!("|---{}|", "|---:".repeat(heads.len() - 1)));
    for (side, others) in row.sides.iter().zip(rounds) {
        let ours = rounds.first().map_or(&[][..], Vec::as_slice);
        lines.push(line(&[
            side.name.to_owned(),
            format!("{:.0}", median(others, Round::speed)),
            format!("{:.0}", median(others, |round| round.p50.as_secs_f64() * 1e6)),
            format!("{:.0}", median(others, |round| round.p99.as_secs_f64() * 1e6)),
            format!("{:.1}", median(others, Round::cpu_micros)),
            format!("{:.0}", median(others, Round::mebibytes)),
            ratio(ours, others, Round::speed),
            ratio(ours, others, Round::thrift),
        ]));
    }
    lines.join("\n") + "\n"
}

fn line<const COLUMNS: usize>(cells: &[String; COLUMNS]) -> String {
    format!("| {} |", cells.join(" | "))
}
