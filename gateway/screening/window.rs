//! Sliding windows in bounded memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Cap, Dollars, Most};

/// A window is kept in so many slots. What is in a slot leaves the window as late as its last payment: never too early,
/// and at most a slot's length too late.
const SLOTS: u32 = 20;

/// Windows of several lengths over the same payments.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<Window>);

#[derive(Debug)]
struct Window {
    per: Duration,
    slots: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    first: Instant,
    last: Instant,
    total: Total,
}

/// What was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Total {
    pub(super) count: u32,
    pub(super) amount: Dollars,
}

impl Windows {
    /// Keeps windows of these lengths from now on. A new one begins with what the longest one knows.
    pub(super) fn follow<'a>(&mut self, caps: impl IntoIterator<Item = &'a Cap>) {
        let mut wanted: Vec<_> = caps.into_iter().map(|cap| cap.per).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if self.0.iter().map(|window| window.per).eq(wanted.iter().copied()) {
            return;
        }
        let longest = self.0.last().map(|window| window.slots.clone()).unwrap_or_default();
        let slots =
            |per| self.0.iter().find(|window| window.per == per).map_or(&longest, |window| &window.slots).clone();
        self.0 = wanted.into_iter().map(|per| Window { per, slots: slots(per) }).collect();
    }

    pub(super) fn add(&mut self, amount: Dollars, now: Instant) {
        self.0.iter_mut().for_each(|window| window.add(amount, now));
    }

    /// Takes back what was added at that time.
    pub(super) fn take_back(&mut self, amount: Dollars, at: Instant) {
        self.0.iter_mut().for_each(|window| window.take_back(amount, at));
    }

    /// What is in a window now.
    pub(super) fn total(&self, per: Duration, now: Instant) -> Total {
        self.live(per, now).fold(Total::default(), |total, slot| total.plus(slot.total))
    }

    /// How long it takes until another payment has room. None if it has room now.
    pub(super) fn wait(&self, cap: &Cap, amount: Dollars, now: Instant) -> Option<Duration> {
        let fits = |total: Total| match cap.most {
            Most::Payments(count) => total.count < count,
            Most::Amount(most) => total.amount.plus(amount) <= most,
        };
        let mut total = self.total(cap.per, now);
        if fits(total) {
            return None;
        }
        for slot in self.live(cap.per, now) {
            total = Total {
                count: total.count.saturating_sub(slot.total.count),
                amount: total.amount.minus(slot.total.amount),
            };
            if fits(total) {
                return Some(cap.per.saturating_sub(now.saturating_duration_since(slot.last)));
            }
        }
        // Too much even for an empty window.
        Some(cap.per)
    }

    fn live(&self, per: Duration, now: Instant) -> impl Iterator<Item = &Slot> {
        let slots = self.0.iter().find(|window| window.per == per).into_iter().flat_map(|window| &window.slots);
        slots.filter(move |slot| now.saturating_duration_since(slot.last) < per)
    }
}

impl Window {
    fn add(&mut self, amount: Dollars, now: Instant) {
        let one = Total { count: 1, amount };
        while self.slots.front().is_some_and(|slot| now.saturating_duration_since(slot.last) >= self.per) {
            self.slots.pop_front();
        }
        match self.slots.back_mut() {
            Some(slot) if now.saturating_duration_since(slot.first) < self.per / SLOTS => {
                // Times of several threads need not come in order.
                *slot = Slot { first: slot.first.min(now), last: slot.last.max(now), total: slot.total.plus(one) };
            }
            _ => self.slots.push_back(Slot { first: now, last: now, total: one }),
        }
    }

    fn take_back(&mut self, amount: Dollars, at: Instant) {
        if let Some(slot) = self.slots.iter_mut().rev().find(|slot| slot.first <= at && at <= slot.last) {
            let Total { count, amount: before } = slot.total;
            slot.total = Total { count: count.saturating_sub(1), amount: before.minus(amount) };
        }
    }
}

impl Total {
    fn plus(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), amount: self.amount.plus(other.amount) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cap(most: Most, seconds: u32) -> Cap {
        Cap { most, per: SECOND * seconds }
    }

    fn dollars(text: &str) -> Dollars {
        Dollars::from_decimal(text).unwrap()
    }

    fn windows(caps: &[Cap]) -> Windows {
        let mut windows = Windows::default();
        windows.follow(caps);
        windows
    }

    #[test]
    fn a_payment_leaves_when_its_window_has_passed() {
        let (start, ten) = (Instant::now(), cap(Most::Payments(10), 60));
        let mut windows = windows(&[ten]);
        for payment in 0..10 {
            assert_eq!(windows.wait(&ten, dollars("1"), start + SECOND * payment * 4), None, "{payment}");
            windows.add(dollars("1"), start + SECOND * payment * 4);
        }
        assert_eq!(windows.wait(&ten, dollars("1"), start + SECOND * 40), Some(SECOND * 20));
        assert_eq!(windows.wait(&ten, dollars("1"), start + SECOND * 59), Some(SECOND));
        assert_eq!(windows.wait(&ten, dollars("1"), start + SECOND * 60), None);
        assert_eq!(windows.total(SECOND * 60, start + SECOND * 60).count, 9);
        assert_eq!(windows.total(SECOND * 60, start + SECOND * 1000), Total::default());
    }

    #[test]
    fn money_is_added_up_exactly() {
        let (now, five) = (Instant::now(), cap(Most::Amount(dollars("5")), 60));
        let mut windows = windows(&[five]);
        for _ in 0..499 {
            windows.add(dollars("0.01"), now);
        }
        assert_eq!(windows.wait(&five, dollars("0.01"), now), None);
        assert_eq!(windows.wait(&five, dollars("0.010000000000000001"), now), Some(SECOND * 60));
        assert_eq!(windows.wait(&five, dollars("6"), now + SECOND * 100), Some(SECOND * 60));
    }

    #[test]
    fn what_is_given_back_was_never_there() {
        let (now, two) = (Instant::now(), cap(Most::Payments(2), 60));
        let mut windows = windows(&[two]);
        windows.add(dollars("1"), now);
        windows.add(dollars("2"), now + SECOND);
        assert!(windows.wait(&two, dollars("1"), now + SECOND).is_some());
        windows.take_back(dollars("2"), now + SECOND);
        assert_eq!(windows.total(two.per, now + SECOND), Total { count: 1, amount: dollars("1") });
        windows.take_back(dollars("2"), now + SECOND * 90);
        assert_eq!(windows.total(two.per, now + SECOND).count, 1);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten_early() {
        let (start, much) = (Instant::now(), cap(Most::Payments(1_000_000), 60));
        let mut windows = windows(&[much]);
        for tick in 0..6000 {
            windows.add(dollars("1"), start + SECOND * tick / 10);
        }
        assert!(windows.0[0].slots.len() <= 22, "{}", windows.0[0].slots.len());
        let in_window = windows.total(much.per, start + SECOND * 600).count;
        assert!((600..=640).contains(&in_window), "{in_window}");
    }

    #[test]
    fn a_new_length_begins_with_what_is_known() {
        let (now, minute, hour) = (Instant::now(), cap(Most::Payments(1), 60), cap(Most::Payments(1), 3600));
        let mut windows = windows(&[minute, hour]);
        windows.add(dollars("1"), now);
        let day = cap(Most::Payments(1), 86_400);
        windows.follow(&[minute, day]);
        assert_eq!(windows.total(day.per, now + SECOND * 7200).count, 1);
        windows.follow(&[]);
        assert!(windows.0.is_empty());
    }
}
