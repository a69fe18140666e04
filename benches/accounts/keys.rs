//! The keys of all holders, and who calls next.

use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, Zipf};

/// A prime, so that keys which call often do not lie side by side in the store.
const STRIDE: usize = 7_368_787;
/// All keys.
#[derive(Debug)]
pub(super) struct Keys(pub(super) Vec<Arc<str>>);

impl Keys {
    /// Each of the first keys once, in the order of how often they call.
    pub(super) fn first(&self, count: u32) -> Vec<Arc<str>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.0.len());
        (0..count).filter_map(|rank| self.ranked(rank)).collect()
    }

    /// Calls of the first `among` keys; the same for the same seed.
    pub(super) fn drawn(&self, among: u32, exponent: f64, calls: u32, seed: u64) -> Vec<Arc<str>> {
        let among = f64::from(among.min(u32::try_from(self.0.len()).unwrap_or(u32::MAX)));
        let Ok(law) = Zipf::new(among, exponent) else { return Vec::new() };
        let mut random = StdRng::seed_from_u64(seed);
        (0..calls).filter_map(|_| self.ranked(index(law.sample(&mut random)))).collect()
    }

    fn ranked(&self, rank: usize) -> Option<Arc<str>> {
        self.0.get(rank.wrapping_mul(STRIDE).checked_rem(self.0.len())?).cloned()
    }
}

/// The law counts from 1.
#[allow(clippy::as_conversions, reason = "a rank is a small whole number")]
fn index(rank: f64) -> usize {
    rank as usize - 1
}
