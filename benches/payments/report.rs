//! The figures, as tables that are Markdown and can be read as they are.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::Result;
use super::cpu::Pinning;
use super::load::Round;
use super::settings::Settings;

/// What is printed, and appended to a file if one is named.
#[derive(Debug, Default)]
pub(super) struct Report(String);

/// A table's line: its name, and a text for each column.
pub(super) type Row = (String, Vec<String>);

impl Report {
    /// Says what the figures are figures of.
    pub(super) fn begin(settings: &Settings, pinned: &Pinning) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        // What the machine has, not what this process was left when it was pinned.
        let processors = info.lines().filter(|line| line.starts_with("processor")).count();
        let build = if cfg!(debug_assertions) { "DEBUG build: its figures mean nothing" } else { "release build" };
        let mut report = Self::default();
        report.say(&format!(
            "## Paid calls\n\ntollgate {}, {build}, {}; {}, {processors} processors; {pinned}. Medians of {} rounds; a ratio is \
             the median of the rounds' own, with the middle half of them.\n",
            env!("CARGO_PKG_VERSION"),
            jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
            model.map_or("unknown processor", |(_, model)| model),
            settings.rounds,
        ));
        report
    }

    pub(super) fn say(&mut self, text: &str) {
        println!("{text}");
        self.0.push_str(text);
        self.0.push('\n');
    }

    pub(super) fn table(&mut self, columns: &[&str], rows: &[Row]) {
        let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let width = |at: usize| rows.iter().filter_map(|(_, cells)| cells.get(at)).map(String::len).max().unwrap_or(0);
        let widths: Vec<_> = columns.iter().enumerate().map(|(at, name)| width(at).max(name.len())).collect();
        let rules: Vec<_> = widths.iter().map(|width| format!("{}:", "-".repeat(width - 1))).collect();
        let line = |name: &str, cells: &mut dyn Iterator<Item = &str>| {
            let cells: String = cells.zip(&widths).map(|(cell, width)| format!(" {cell:>width$} |")).collect();
            format!("| {name:names$} |{cells}\n")
        };
        let head =
            [line("", &mut columns.iter().copied()), line(&"-".repeat(names), &mut rules.iter().map(String::as_str))];
        let rows = rows.iter().map(|(name, cells)| line(name, &mut cells.iter().map(String::as_str)));
        let text: String = head.into_iter().chain(rows).collect();
        self.say(&text);
    }

    /// Appends it all to the file of the settings.
    pub(super) fn end(self, settings: &Settings) -> Result<()> {
        let Some(path) = &settings.results else { return Ok(()) };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", self.0.trim_end()).map_err(Into::into)
    }
}

/// A line of the figures that every case has.
pub(super) fn row(name: &str, rounds: &[Round]) -> Row {
    let figure = |of: fn(&Round) -> f64| median(rounds.iter().map(of));
    let calls: usize = rounds.iter().map(|round| round.calls).sum();
    let cells = vec![
        calls.to_string(),
        format!("{:.0}", figure(Round::speed)),
        format!("{:.0}", figure(Round::cpu_micros)),
        format!("{:.0}", figure(Round::p50_micros)),
        format!("{:.0}", figure(Round::p99_micros)),
    ];
    (name.to_owned(), cells)
}

/// The columns of [`row`].
pub(super) const COLUMNS: [&str; 5] = ["calls", "calls/s", "CPU us/call", "p50 us", "p99 us"];

impl Round {
    pub(super) fn speed(&self) -> f64 {
        self.count() / self.wall.as_secs_f64()
    }

    pub(super) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count()
    }

    /// How much of one processor the gateway had.
    pub(super) fn load(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    pub(super) fn p50_micros(&self) -> f64 {
        self.p50.as_secs_f64() * 1e6
    }

    pub(super) fn p99_micros(&self) -> f64 {
        self.p99.as_secs_f64() * 1e6
    }

    fn count(&self) -> f64 {
        u32::try_from(self.calls).unwrap_or(u32::MAX).into()
    }
}

pub(super) fn ratio(rounds: &[Round], base: &[Round], figure: fn(&Round) -> f64) -> String {
    spread(rounds.iter().zip(base).map(|(round, base)| figure(round) / figure(base)), 2)
}

/// A median, with the middle half.
pub(super) fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let values: Vec<_> = values.collect();
    let [low, middle, high] = [1, 2, 3].map(|quarter| quartile(values.clone(), quarter));
    format!("{middle:.digits$} ({low:.digits$}-{high:.digits$})")
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    quartile(values.collect(), 2)
}

fn quartile(mut values: Vec<f64>, quarter: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    // The nearest value; of an even number, the upper of the two in the middle.
    let at = values.len() * quarter / 4;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
