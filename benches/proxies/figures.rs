//! What was measured, and what it comes to.

use std::time::Duration;

/// What a round of one side came to.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) requests: u64,
    pub(super) wall: Duration,
    /// The side's processor time.
    pub(super) cpu: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// In RAM at its end, in bytes.
    pub(super) memory: u64,
}

impl Round {
    /// Requests a second.
    pub(super) fn speed(&self) -> f64 {
        self.count() / self.wall.as_secs_f64()
    }

    /// How many there would have been in another time.
    pub(super) fn in_time(&self, time: Duration) -> usize {
        let nanos = u128::from(self.requests) * time.as_nanos() / self.wall.as_nanos().max(1);
        usize::try_from(nanos).unwrap_or(usize::MAX)
    }

    pub(super) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count()
    }

    /// Requests in a second of processor time.
    pub(super) fn thrift(&self) -> f64 {
        self.count() / self.cpu.as_secs_f64()
    }

    pub(super) fn mebibytes(&self) -> f64 {
        f64::from(u32::try_from(self.memory / 1024).unwrap_or(u32::MAX)) / 1024.0
    }

    fn count(&self) -> f64 {
        u32::try_from(self.requests).unwrap_or(u32::MAX).into()
    }
}

/// The median of the rounds' own ratios of `side` to `reference`, with the middle half of them.
pub(super) fn ratio(side: &[Round], reference: &[Round], figure: fn(&Round) -> f64) -> String {
    let ratios = || side.iter().zip(reference).map(|(side, reference)| figure(side) / figure(reference));
    let [low, middle, high] = [1, 2, 3].map(|quarter| quartile(ratios(), quarter));
    format!("{middle:.2} ({low:.2}-{high:.2})")
}

pub(super) fn median(rounds: &[Round], figure: fn(&Round) -> f64) -> f64 {
    quartile(rounds.iter().map(figure), 2)
}

fn quartile(values: impl Iterator<Item = f64>, quarter: usize) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    // The nearest value; of an even number, the upper of the two in the middle.
    let at = values.len() * quarter / 4;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
