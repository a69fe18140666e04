use std::collections::VecDeque;

use super::line::Slot;

/// The most that are remembered, the latest ones.
pub(super) const RECENTS_MAX: usize = 32;

/// Different ones that were there lately, and when last.
#[derive(Debug)]
pub(super) struct Recents<T>(VecDeque<(T, Slot)>);

impl<T> Default for Recents<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq> Recents<T> {
    pub(super) fn add(&mut self, one: T, at: Slot) {
        self.0.retain(|(other, _)| *other != one);
        if self.0.len() >= RECENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((one, at));
    }

    /// Those that were there later than `slots` ago.
    pub(super) fn within(&self, slots: u64, now: Slot) -> impl Iterator<Item = &T> {
        self.0.iter().filter(move |(_, at)| at.saturating_add(slots) > now).map(|(one, _)| one)
    }
}
