//! The figures.

use std::fs;

use super::cpu::Pinning;
use super::load::{Case, Round};
use super::settings::Settings;

/// Says what the figures are figures of.
pub(super) fn print_machine(settings: &Settings, pinned: &Pinning) {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    // What the machine has, not what this process was left when it was pinned.
    let processors = info.lines().filter(|line| line.starts_with("processor")).count();
    let build = if cfg!(debug_assertions) { "DEBUG build: its figures mean nothing" } else { "release build" };
    println!(
        "tollgate {}, {build}, {}\n{}, {processors} processors; {pinned}\n{} rounds of {:?}, {} connections\n",
        env!("CARGO_PKG_VERSION"),
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        model.map_or("unknown processor", |(_, model)| model),
        settings.rounds,
        settings.time,
        settings.connections,
    );
}

/// Prints the medians of all rounds. A ratio is the median of the rounds' own, with the middle half of them.
pub(super) fn print_table(cases: &[Case], rounds: &[Vec<Round>]) {
    let columns = ["requests", "req/s", "CPU us/req", "p50 us", "p99 us"];
    print!("{:21}", "");
    columns.iter().for_each(|column| print!("{column:>11}"));
    println!("  {:>21}  {:>21}", "ratio of CPU", "ratio of req/s");
    let Some(base) = rounds.first() else { return };
    for (case, rounds) in cases.iter().zip(rounds) {
        let total: u64 = rounds.iter().map(|round| round.requests).sum();
        let [speed, cpu] = [Round::speed, Round::cpu_micros].map(|figure| median(rounds.iter().map(figure)));
        let [p50, p99] = [|round: &Round| round.p50, |round: &Round| round.p99]
            .map(|latency| median(rounds.iter().map(|round| latency(round).as_secs_f64() * 1e6)));
        let [cpu_ratio, speed_ratio] = [Round::cpu_micros, Round::speed].map(|figure| ratio(rounds, base, figure));
        println!(
            "{:21}{total:>11}{speed:>11.0}{cpu:>11.2}{p50:>11.0}{p99:>11.0}  {cpu_ratio:>21}  {speed_ratio:>21}",
            case.name
        );
    }
    let named = |name: &str| cases.iter().zip(rounds).find(|(case, _)| case.name == name).map(|(_, rounds)| rounds);
    if let (Some(free), Some(sent), Some(keyed)) = (named("free"), named("free, key sent"), named("keyed")) {
        println!("\nCPU, keyed to free:            {}", ratio(keyed, free, Round::cpu_micros));
        println!("CPU, keyed to free, key sent:  {}", ratio(keyed, sent, Round::cpu_micros));
    }
}

impl Round {
    fn speed(&self) -> f64 {
        self.count() / self.wall.as_secs_f64()
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count()
    }

    fn count(&self) -> f64 {
        u32::try_from(self.requests).unwrap_or(u32::MAX).into()
    }
}

fn ratio(rounds: &[Round], base: &[Round], figure: fn(&Round) -> f64) -> String {
    let ratios = || rounds.iter().zip(base).map(|(round, base)| figure(round) / figure(base));
    let [low, middle, high] = [1, 2, 3].map(|quarter| quartile(ratios(), quarter));
    format!("{middle:.3} ({low:.3}-{high:.3})")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quartile(values, 2)
}

fn quartile(values: impl Iterator<Item = f64>, quarter: usize) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    // The nearest value; of an even number, the upper of the two in the middle.
    let at = values.len() * quarter / 4;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
