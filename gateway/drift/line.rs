use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::unix_seconds;

/// Fifteen seconds, counted from 1970: what is counted within one is not told apart.
pub(super) type Slot = u64;

/// An hour in slots.
pub(super) const HOUR: Slot = 3600 / SLOT_SECONDS;
const SLOT_SECONDS: u64 = 15;
/// What is older than the window is kept in spans of five minutes.
const SPAN: Slot = 300 / SLOT_SECONDS;

/// How often something has happened: in the window, and in the hour before it.
#[derive(Debug, Default)]
pub(super) struct Line {
    recent: VecDeque<(Slot, u32)>,
    before: VecDeque<(Slot, u32)>,
}

/// The slot of a time.
pub(super) fn slot(time: SystemTime) -> Slot {
    unix_seconds(time) / SLOT_SECONDS
}

/// How many slots a window has.
pub(super) fn slots(window: Duration) -> u64 {
    (window.as_secs() / SLOT_SECONDS).clamp(1, HOUR)
}

impl Line {
    pub(super) fn add(&mut self, at: Slot) {
        add(&mut self.recent, at, 1);
    }

    /// Moves what is older than the window to the hour before, and forgets what is older than that.
    pub(super) fn advance(&mut self, now: Slot, window: u64) {
        while let Some((at, count)) = self.recent.pop_front_if(|(at, _)| at.saturating_add(window) <= now) {
            add(&mut self.before, at / SPAN, count);
        }
        let is_old = |span: Slot| span.saturating_add(1).saturating_mul(SPAN).saturating_add(window + HOUR) <= now;
        while self.before.pop_front_if(|(span, _)| is_old(*span)).is_some() {}
    }

    pub(super) fn recent(&self) -> u64 {
        sum(&self.recent)
    }

    pub(super) fn before(&self) -> u64 {
        sum(&self.before)
    }

    /// When the first of the window was.
    pub(super) fn since(&self) -> Option<SystemTime> {
        let (at, _) = self.recent.front()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(at.saturating_mul(SLOT_SECONDS)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.before.is_empty()
    }
}

fn add(line: &mut VecDeque<(Slot, u32)>, at: Slot, count: u32) {
    match line.back_mut() {
        Some((last, counted)) if *last >= at => *counted = counted.saturating_add(count),
        _ => line.push_back((at, count)),
    }
}

fn sum(line: &VecDeque<(Slot, u32)>) -> u64 {
    line.iter().map(|(_, count)| u64::from(*count)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_window_is_counted_for_an_hour_more() {
        let (mut line, window) = (Line::default(), slots(Duration::from_secs(300)));
        let start = 40 * SPAN;
        line.add(start);
        line.add(start);
        line.advance(start + window - 1, window);
        assert_eq!((line.recent(), line.before()), (2, 0));
        line.advance(start + window, window);
        assert_eq!((line.recent(), line.before()), (0, 2));
        line.advance(start + window + HOUR, window);
        assert_eq!((line.recent(), line.before()), (0, 2));
        line.advance(start + window + HOUR + SPAN, window);
        assert!(line.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let (mut line, window) = (Line::default(), slots(Duration::from_secs(3600)));
        for at in 0..100_000 {
            line.add(at);
            line.advance(at, window);
        }
        assert!(line.recent.len() <= 241 && line.before.len() <= 14, "{} {}", line.recent.len(), line.before.len());
        assert_eq!(line.recent(), window);
    }

    #[test]
    fn a_window_has_a_slot_at_least_and_an_hour_at_most() {
        for (seconds, expected) in [(0, 1), (14, 1), (60, 4), (300, 20), (3600, 240), (u64::MAX, 240)] {
            assert_eq!(slots(Duration::from_secs(seconds)), expected);
        }
    }
}
