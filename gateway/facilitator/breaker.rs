//! Whether a facilitator does its work: what its last calls came to, and when it is tried again after it failed.
//!
//! ```text
//! closed ─ too many calls failed ─► open ─ the wait is over ─► one trial ─ it succeeds ─► closed
//!                                    ▲                            │
//!                                    └── the wait is twice as long ┘
//! ```
//!
//! An open breaker forbids nothing: it says that others should be asked first. Where there is no other, asking this one
//! is better than not to sell.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many calls in a row that failed open it.
const IN_A_ROW: u32 = 5;
/// So many of the last [`u32::BITS`] calls that failed open it too: one that answers now and then is of no use.
const OF_THE_LAST: u32 = 16;
/// The first wait before a trial; doubled each time.
const WAIT: Duration = Duration::from_secs(5);
/// Its longest wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The health of one facilitator in one kind of call.
#[derive(Debug, Default)]
pub struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last calls, the latest in the lowest bit; a failure is 1.
    last: u32,
    /// None while it is closed.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// When it may be tried.
    until: Instant,
    /// The wait that led there.
    wait: Duration,
    /// Whether a trial is under way.
    tried: bool,
}

/// What may be done with a facilitator, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It works.
    Closed,
    /// It failed, and it is time for one trial.
    Trial,
    /// It failed: others first.
    Open,
}

impl Breaker {
    /// Whether it works.
    pub fn health(&self, now: Instant) -> Health {
        match self.state().open {
            None => Health::Closed,
            Some(open) if open.until <= now => Health::Trial,
            Some(_) => Health::Open,
        }
    }

    /// Notes that it is being called: takes the trial if there is one.
    pub fn asked(&self, now: Instant) {
        if let Some(open) = self.state().open.as_mut().filter(|open| open.until <= now) {
            // If nothing is heard of this trial, there is another one after the same wait.
            (open.until, open.tried) = (now + open.wait, true);
        }
    }

    /// Whether it has failed and not been called with success since.
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Notes a call that was answered. Says whether that closed it.
    pub fn succeeded(&self) -> bool {
        let mut state = self.state();
        let was_open = state.open.take().is_some();
        state.last = if was_open { 0 } else { state.last << 1 };
        was_open
    }

    /// Notes a call that came to nothing. Says whether that opened it.
    pub fn failed(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.last = state.last << 1 | 1;
        let too_many = state.last.trailing_ones() >= IN_A_ROW || state.last.count_ones() >= OF_THE_LAST;
        match &mut state.open {
            None if too_many => {
                state.open = Some(Open { until: now + WAIT, wait: WAIT, tried: false });
                return true;
            }
            // Calls that were under way when it opened say nothing new.
            Some(open) if open.tried => {
                let wait = (open.wait * 2).min(WAIT_MAX);
                *open = Open { until: now + wait, wait, tried: false };
            }
            _ => {}
        }
        false
    }

    /// It was heard of otherwise: the next payment may be its trial.
    pub fn heard(&self, now: Instant) {
        if let Some(open) = &mut self.state().open {
            open.until = now;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the trial if there is one.
    fn turn(breaker: &Breaker, now: Instant) -> Health {
        let health = breaker.health(now);
        breaker.asked(now);
        health
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        let opens: Vec<_> = (0..IN_A_ROW).map(|_| breaker.failed(now)).collect();
        assert_eq!(opens, [false, false, false, false, true]);
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..100 {
            (1..IN_A_ROW).for_each(|_| assert!(!breaker.failed(now)));
            (0..=IN_A_ROW).for_each(|_| assert!(!breaker.succeeded()));
        }
        assert_eq!((breaker.health(now), breaker.is_open()), (Health::Closed, false));
        assert_eq!(opened(now).health(now), Health::Open);
    }

    #[test]
    fn it_opens_when_half_of_its_calls_fail() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let opens = (0..u32::BITS).filter(|_| !breaker.succeeded() && breaker.failed(now)).count();
        assert_eq!(opens, 1);
    }

    #[test]
    fn there_is_one_trial_at_a_time_and_each_wait_is_longer() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.health(now + Duration::from_secs(seconds) - Duration::from_millis(1)), Health::Open);
            now += Duration::from_secs(seconds);
            assert_eq!([turn(&breaker, now), turn(&breaker, now)], [Health::Trial, Health::Open]);
            assert!(!breaker.failed(now));
            (0..50).for_each(|_| assert!(!breaker.failed(now), "what was under way says nothing new"));
        }
        assert_eq!(breaker.health(now + WAIT_MAX), Health::Trial);
        assert!(breaker.succeeded() && !breaker.succeeded());
        assert_eq!(breaker.health(now), Health::Closed);
        (1..IN_A_ROW).for_each(|_| assert!(!breaker.failed(now), "it begins anew"));
    }

    #[test]
    fn a_trial_of_which_nothing_is_heard_is_followed_by_another() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(turn(&breaker, now + WAIT), Health::Trial);
        assert_eq!([breaker.health(now + WAIT), breaker.health(now + WAIT * 2)], [Health::Open, Health::Trial]);
    }

    #[test]
    fn whoever_is_heard_of_is_tried_at_once() {
        let now = Instant::now();
        let breaker = opened(now);
        breaker.heard(now);
        assert_eq!([turn(&breaker, now), turn(&breaker, now)], [Health::Trial, Health::Open]);
        let closed = Breaker::default();
        closed.heard(now);
        assert_eq!(closed.health(now), Health::Closed);
    }
}
