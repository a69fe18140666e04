//! Whether a facilitator has begun to refuse payments that it took before.
//!
//! Not for whether a payment is good: that is `payment` and the facilitator. What is seen here stops nobody.
//!
//! | part | what it says |
//! |---|---|
//! | [`Seen`] | one answer of a facilitator, or none |
//! | [`Rules`] | when somebody is told |
//! | [`Counters`] | what is refused and why, for the metrics page |
//! | [`Drift`] | what was seen of late; it lives as long as the process, whatever the rules become |
//!
//! A stranger can have payments refused at will: wallets cost nothing, and empty ones are refused. Such refusals raise
//! an alarm only if good payments have stopped as well, which no stranger can bring about.

mod counters;
mod history;
mod line;
mod recents;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::json;

pub use counters::Counters;

use self::history::{History, News};
use self::line::Slot;
use self::words::Words;
use crate::clock::{Clock, iso_millis};
use crate::webhook::Events;

/// Facilitators that are remembered, each for both of its calls.
const HISTORIES_MAX: usize = 128;

/// `[drift]`: when an alarm is raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What is looked at; 5 min unless said otherwise.
    pub window: Duration,
    /// The least payments refused for one reason; 20 unless said otherwise.
    pub least: u32,
    /// The least payers that they are of; 3 unless said otherwise.
    pub payers: u32,
    /// The least share of all that counts, in percent; 30 unless said otherwise.
    pub percent: u8,
}

/// What a facilitator was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Whether a payment is good.
    Verify,
    /// To move the money.
    Settle,
}

/// What it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// Yes.
    Yes,
    /// No, for this reason; or nothing that can be used, in a word of ours.
    No(&'a str),
}

/// One payment at one facilitator.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its name in the file.
    pub facilitator: &'a str,
    /// What it was asked.
    pub call: Call,
    /// What the payment is for.
    pub offer: &'a str,
    /// Who pays, if anybody has said.
    pub payer: Option<&'a str>,
    /// Whether all of the payment was judged here before, but for what only the chain knows.
    pub sealed: bool,
    /// What came of it.
    pub said: Said<'a>,
}

/// What facilitators have said lately: in memory, for as long as the process runs. It begins empty.
pub struct Drift {
    state: Mutex<State>,
    counters: Counters,
    events: Events,
    clock: Arc<dyn Clock>,
    /// Payers are remembered by a number that nobody outside can foresee.
    hashes: RandomState,
}

#[derive(Debug, Default)]
struct State {
    /// None: nobody is told.
    rules: Option<Rules>,
    words: Words,
    latest: Slot,
    histories: HashMap<(Arc<str>, Call), History>,
}

/// Offer and reason of a refusal.
type Labels = (Arc<str>, Arc<str>);

impl Rules {
    /// Those of a file that says nothing.
    pub const USUAL: Self = Self { window: Duration::from_secs(300), least: 20, payers: 3, percent: 30 };
}

impl Call {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Settle => "settle",
        }
    }
}

impl Drift {
    /// One that has seen nothing and tells nobody yet. Alarms are sent to `events`.
    pub fn new(events: Events, counters: Counters, clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), counters, events, clock, hashes: RandomState::new() }
    }

    /// Says when somebody is told from now on. None: never; then what was raised is over.
    pub fn follow(&self, rules: Option<&Rules>) {
        let now = self.clock.now();
        let news = {
            let mut state = self.lock();
            state.rules = rules.cloned();
            state.tick(now)
        };
        self.tell(&news, now);
    }

    /// Notes what a facilitator said.
    pub fn note(&self, seen: &Seen<'_>) {
        let now = self.clock.now();
        let payer = seen.payer.map(|payer| self.hashes.hash_one(payer));
        let (news, labels) = self.lock().note(seen, payer, now);
        if let Some((offer, reason)) = labels {
            self.counters.refused(seen.facilitator, seen.call, &offer, &reason);
        }
        self.tell(&news, now);
    }

    /// Ends what is over by the time alone, and forgets what is old.
    pub fn tick(&self) {
        let now = self.clock.now();
        let news = self.lock().tick(now);
        self.tell(&news, now);
    }

    /// Nothing here is half done at any point, so a panic elsewhere leaves it good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: &[News], now: SystemTime) {
        for News { facilitator, call, reason, raised, since, share, before, offers } in news {
            let (call, count, of) = (call.as_str(), share.count, share.of);
            self.counters.alarm(facilitator, call, reason, *raised);
            let since = iso_millis(*since);
            if *raised {
                tracing::error!(
                    target: "alert",
                    facilitator = &**facilitator, call, reason = &**reason, count, of, since,
                    "a facilitator has begun to refuse payments"
                );
            } else {
                tracing::warn!(
                    target: "alert",
                    facilitator = &**facilitator, call, reason = &**reason, count, of, since,
                    "a facilitator refuses payments no more than before"
                );
            }
            let mut data = json!({
                "facilitator": facilitator, "call": call, "reason": reason, "since": since,
                "percent": share.percent(), "count": count, "of": of,
                "percentBefore": before.percent(), "countBefore": before.count, "ofBefore": before.of,
                "offers": offers,
            });
            if !*raised && let Some(data) = data.as_object_mut() {
                data.insert("until".to_owned(), iso_millis(now).into());
            }
            self.events.send(if *raised { "facilitator.drift" } else { "facilitator.drift_over" }, data);
        }
    }
}

impl State {
    fn note(&mut self, seen: &Seen<'_>, payer: Option<u64>, now: SystemTime) -> (Vec<News>, Option<Labels>) {
        let at = self.slot(now);
        let window = self.window();
        if self.histories.len() >= HISTORIES_MAX && !self.histories.keys().any(|key| is_of(key, seen)) {
            // More than a file can name: the file has changed very often within the hour.
            return (Vec::new(), None);
        }
        let Self { rules, words, histories, .. } = self;
        let history = histories.entry((seen.facilitator.into(), seen.call)).or_default();
        history.advance(at, window);
        let labels = match seen.said {
            Said::Yes => {
                history.good(payer, at);
                None
            }
            Said::No(text) => {
                let reason = words.reason(text);
                let offer = words.offer(seen.facilitator, seen.call, seen.offer, &reason);
                let by_anybody = !seen.sealed || words::is_payers_doing(text);
                history.refused(&reason, &offer, payer, by_anybody, at);
                Some((offer, reason))
            }
        };
        let mut news = Vec::new();
        if let Some(rules) = rules {
            let raised = labels.as_ref().and_then(|(_, reason)| history.raise(reason, rules, at, now));
            news.extend(raised.into_iter().chain(history.end(at, window)));
            news.iter_mut().for_each(|news| news.of(seen.facilitator.into(), seen.call));
        }
        (news, labels)
    }

    fn tick(&mut self, now: SystemTime) -> Vec<News> {
        let (at, window, off) = (self.slot(now), self.window(), self.rules.is_none());
        let mut all = Vec::new();
        self.histories.retain(|(facilitator, call), history| {
            history.advance(at, window);
            let mut news = if off { history.end_all() } else { history.end(at, window) };
            news.extend(history.forget());
            news.iter_mut().for_each(|news| news.of(Arc::clone(facilitator), *call));
            all.append(&mut news);
            !history.is_empty()
        });
        all
    }

    fn window(&self) -> u64 {
        line::slots(self.rules.as_ref().unwrap_or(&Rules::USUAL).window)
    }

    /// The slot of a time, never earlier than the last one: clocks are set back. By more than an hour, what was counted
    /// lies in the future, and is worth nothing.
    fn slot(&mut self, now: SystemTime) -> Slot {
        let at = line::slot(now);
        if at.saturating_add(line::HOUR) < self.latest {
            self.histories.values_mut().for_each(History::clear);
            self.latest = at;
        }
        self.latest = self.latest.max(at);
        self.latest
    }
}

fn is_of((facilitator, call): &(Arc<str>, Call), seen: &Seen<'_>) -> bool {
    **facilitator == *seen.facilitator && *call == seen.call
}

impl fmt::Debug for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drift").field("rules", &self.lock().rules).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Drift {
    /// One with these rules that has seen nothing.
    pub(crate) fn of(rules: Option<&Rules>, clock: Arc<dyn Clock>) -> Self {
        let drift = Self::new(Events::default(), Counters::new().expect("names differ"), clock);
        drift.follow(rules);
        drift
    }

    /// The alarms that are raised, as `facilitator call reason`, in order.
    pub(crate) fn raised(&self) -> Vec<String> {
        let raised = self.counters.raised().into_iter();
        let mut raised: Vec<_> =
            raised.map(|[call, facilitator, reason]| format!("{facilitator} {call} {reason}")).collect();
        raised.sort();
        raised
    }

    /// The labels of what was counted, as `facilitator call offer reason`, in order.
    pub(crate) fn counted(&self) -> Vec<String> {
        self.counters.counted()
    }
}
