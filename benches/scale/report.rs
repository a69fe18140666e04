//! The figures, for the terminal and for a file.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::settings::Settings;
use super::{Bench, Result};

/// A table; the first column is words, the others are figures.
#[derive(Debug)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    pub(super) fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self(vec![columns.map(str::to_owned).to_vec()])
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.into());
    }

    /// Prints it, and puts it down.
    pub(super) fn publish(&self, title: &str, settings: &Settings) -> Result<()> {
        println!("\n{title}");
        let widths: Vec<_> = (0..self.0.first().map_or(0, Vec::len))
            .map(|column| self.0.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect();
        for row in &self.0 {
            let mut cells = row.iter().zip(&widths);
            if let Some((name, width)) = cells.next() {
                print!("{name:width$}");
            }
            cells.for_each(|(cell, width)| print!("  {cell:>width$}"));
            println!();
        }
        let mut markdown = format!("\n### {title}\n\n");
        for (number, row) in self.0.iter().enumerate() {
            markdown += &format!("| {} |\n", row.join(" | "));
            if number == 0 {
                let rule: Vec<_> =
                    row.iter().enumerate().map(|(column, _)| if column == 0 { "---" } else { "---:" }).collect();
                markdown += &format!("| {} |\n", rule.join(" | "));
            }
        }
        append(&markdown, settings)
    }
}

/// Says what the figures are figures of.
pub(super) fn machine(Bench { settings, pinned, .. }: &Bench) -> Result<()> {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    // What the machine has, not what this process was left when it was pinned.
    let processors = info.lines().filter(|line| line.starts_with("processor")).count();
    let build = if cfg!(debug_assertions) { "DEBUG build: its figures mean nothing" } else { "release build" };
    let text = format!(
        "tollgate {}, {build}, {}\n{}, {processors} processors; {pinned}\n{} rounds of {:?}, {} connections\n",
        env!("CARGO_PKG_VERSION"),
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        model.map_or("unknown processor", |(_, model)| model),
        settings.rounds,
        settings.time,
        settings.connections,
    );
    println!("{text}");
    append(&format!("\n## Scale\n\n{text}"), settings)
}

fn append(markdown: &str, settings: &Settings) -> Result<()> {
    let Some(path) = &settings.results else { return Ok(()) };
    Ok(OpenOptions::new().create(true).append(true).open(path)?.write_all(markdown.as_bytes())?)
}

/// The median of the rounds' own ratios, with the middle half of them.
pub(super) fn ratio(rounds: impl Iterator<Item = (f64, f64)>) -> String {
    let mut ratios: Vec<_> = rounds.map(|(figure, base)| figure / base).collect();
    let [low, middle, high] = [1, 2, 3].map(|quarter| quartile(&mut ratios, quarter));
    format!("{middle:.3} ({low:.3}-{high:.3})")
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    quartile(&mut values.collect::<Vec<_>>(), 2)
}

fn quartile(values: &mut [f64], quarter: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    // The nearest value; of an even number, the upper of the two in the middle.
    let at = values.len() * quarter / 4;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// What each of so many takes, in bytes.
pub(super) fn each(before: u64, after: u64, count: u32) -> String {
    grouped(after.saturating_sub(before).checked_div(count.into()).unwrap_or_default())
}

/// A number with its thousands apart.
pub(super) fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
