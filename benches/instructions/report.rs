//! What is printed, and what fails.

use std::process::{Command, ExitCode};

use super::Result;
use super::cases::{AMONG_MANY_ROUTES, OF_THE_GATEWAY};
use super::record::{Counts, Record, Tools};

/// How many thousandths a count may be above the recorded one. Counts of one program, on a busy machine,
/// lie within five of each other; a compiler lays the same code out in another way in another folder.
const TOLERANCE_THOUSANDTHS: u64 = 30;
/// The same where the compiler, the C library or valgrind is another one than that of the record.
const TOLERANCE_OF_OTHER_TOOLS: u64 = 100;

/// Prints counts, and their ratios to a bare Pingora's.
pub(super) fn print(record: &Record) {
    println!("\n{:<28}{:>14}{:>10}", "instructions of a request", "", "of bare");
    for (name, count) in &record.gateway {
        println!("{name:<28}{count:>14}{:>10}", of_bare(name, *count, &record.bare));
    }
    record.bare.iter().for_each(|(name, count)| println!("bare: {name:<22}{count:>14}"));
}

/// Prints counts beside the recorded ones. Fails if one has grown.
pub(super) fn compare(recorded: &Record, counts: &Counts) -> Result<ExitCode> {
    let differences = recorded.tools.differences(&Tools::of_this_machine()?);
    let tolerance = if differences.is_empty() { TOLERANCE_THOUSANDTHS } else { TOLERANCE_OF_OTHER_TOOLS };
    println!("{:<28}{:>10}{:>10}{:>9}{:>10}", "instructions of a request", "recorded", "now", "", "of bare");
    let (mut grown, mut shrunk) = (Vec::new(), false);
    for (name, now) in counts {
        let Some(then) = recorded.gateway.get(name) else {
            grown.push(format!("{name}: no count is recorded, {now} now"));
            continue;
        };
        let of_bare = of_bare(name, *now, &recorded.bare);
        println!("{name:<28}{then:>10}{now:>10}{:>9}{of_bare:>10}", percent(*then, *now));
        if is_above(*then, *now, tolerance) {
            grown.push(format!("{name}: {then} recorded, {now} now, {}", percent(*then, *now)));
        }
        shrunk |= is_above(*now, *then, tolerance);
    }
    if shrunk {
        println!("a count has become smaller: record it, so that it stays so (tests/instructions.sh record)");
    }
    if grown.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\na request takes more instructions than recorded (tolerance {} %):", tolerance / 10);
    grown.iter().for_each(|line| eprintln!("  {line}"));
    differences.iter().for_each(|line| eprintln!("  {line}: that alone can be the reason"));
    eprintln!("if that is as it should be, record the new counts: tests/instructions.sh record");
    Ok(ExitCode::FAILURE)
}

/// The first line that a program prints of itself.
pub(super) fn tool(program: &str, argument: &str) -> Result<String> {
    let said = Command::new(program).arg(argument).output().map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8(said.stdout)?;
    text.lines().next().map(str::to_owned).ok_or_else(|| format!("{program} {argument} says nothing").into())
}

fn is_above(then: u64, now: u64, tolerance: u64) -> bool {
    now.saturating_mul(1000) > then.saturating_mul(1000 + tolerance)
}

fn percent(then: u64, now: u64) -> String {
    ratio(now, then).map_or_else(String::new, |ratio| format!("{:+.1} %", (ratio - 1.0) * 100.0))
}

fn of_bare(name: &str, count: u64, bare: &Counts) -> String {
    let case = OF_THE_GATEWAY.iter().chain(AMONG_MANY_ROUTES).find(|case| case.name == name);
    let bare = case.and_then(|case| bare.get(case.of)).and_then(|bare| ratio(count, *bare));
    bare.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
}

fn ratio(of: u64, to: u64) -> Option<f64> {
    let (of, to) = (u32::try_from(of).ok()?, u32::try_from(to).ok()?);
    (to > 0).then(|| f64::from(of) / f64::from(to))
}
