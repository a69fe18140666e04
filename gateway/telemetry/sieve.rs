//! Which lines are written. None that quotes what another machine has sent, and of those that a stranger can cause as
//! often as he likes, no more than a disk can take: the rest is counted.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{IntCounterVec, Opts};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The most lines from one place in the code of a library in a [`PERIOD`]. There are a few dozen such places, and each
/// says the same again and again: what clients and upstreams did wrong.
const OF_OTHERS_MAX: u32 = 10;
/// The same of our own. A configuration may have many errors, and the operator is to see them all.
const OF_OURS_MAX: u32 = 100;
const PERIOD: Duration = Duration::from_secs(60);

/// What is written one for one, since it is a record.
const RECORDS: [&str; 2] = ["audit", "alert"];
/// The same, where money has moved. One good payment can be sent again and again to an upstream that fails, or for what
/// it has bought before.
const PAYMENT: &str = "payment";
const MOVED: [&str; 2] = ["settled", "settled_undelivered"];
/// The target of everything that was written by way of the `log` crate, as the framework does.
const BY_LOG: &str = "log";

/// Lines begin before there is a metrics page.
static LINES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let options = Opts::new("gateway_log_lines_total", "Log lines by level, and whether they were written or left out");
    IntCounterVec::new(options, &["level", "fate"]).expect("the name and the labels are of the form that is asked for")
});

/// Lets lines pass, or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Sieve {
    /// The lines of this period; there are no more places than the program has.
    counts: Arc<Mutex<HashMap<Place, u32>>>,
}

/// Where in the code a line comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    target: String,
    line: u64,
}

/// The counter of lines.
pub(super) fn lines() -> IntCounterVec {
    LINES.clone()
}

impl Sieve {
    /// From now on, says once in a period how many lines were left out, for as long as the process runs.
    pub(super) fn report(self) -> std::io::Result<()> {
        let reporting = move || {
            loop {
                std::thread::sleep(PERIOD);
                for (place, left_out) in self.end_period() {
                    let Place { target, line } = place;
                    tracing::warn!(left_out, place = %format_args!("{target}:{line}"), "more lines like these came");
                }
            }
        };
        std::thread::Builder::new().name("tollgate-log".to_owned()).spawn(reporting).map(drop)
    }

    /// Begins to count anew. What was left out, by the place that it came from.
    fn end_period(&self) -> Vec<(Place, u32)> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        let left_out = |(place, count): (Place, u32)| {
            let most = place.most();
            (count > most).then(|| (place, count - most))
        };
        counts.into_iter().filter_map(left_out).collect()
    }

    fn may_pass(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if RECORDS.contains(&metadata.target()) || (is_ours(metadata.target()) && *metadata.level() > Level::WARN) {
            return true;
        }
        let place = Place { target: metadata.target().to_owned(), line: metadata.line().unwrap_or(0).into() };
        let mut seen = Seen { place, quotes: false, is_moved: false };
        if [BY_LOG, PAYMENT].contains(&metadata.target()) {
            event.record(&mut seen);
        }
        if seen.is_moved {
            return true;
        }
        let most = seen.place.most();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(seen.place).or_default();
        *count = count.saturating_add(1);
        *count <= most && !seen.quotes
    }
}

impl Place {
    fn most(&self) -> u32 {
        if is_ours(&self.target) || self.target == PAYMENT { OF_OURS_MAX } else { OF_OTHERS_MAX }
    }
}

fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some("tollgate")
}

impl<S: Subscriber> Layer<S> for Sieve {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let passes = self.may_pass(event);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        LINES.with_label_values(&[level, if passes { "written" } else { "left_out" }]).inc();
        passes
    }
}

/// What a line says of itself.
struct Seen {
    place: Place,
    /// Whether it has the mark that the framework puts before bytes that another machine has sent. It writes them as an
    /// error where a message cannot be read: those in front of the bad one are most often a header with a credential.
    quotes: bool,
    /// Whether it is of a payment that was made.
    is_moved: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.quotes |= field.name() == "message" && format!("{value:?}").contains("buf: ");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => value.clone_into(&mut self.place.target),
            "outcome" => self.is_moved = self.place.target == PAYMENT && MOVED.contains(&value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.place.line = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn of_many_lines_from_one_place_the_first_are_written_and_the_rest_is_told() {
        let sieve = Sieve::default();
        let subscriber = tracing_subscriber::registry().with(sieve.clone());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..1000 {
                tracing::error!(target: "pingora_proxy", "a client's fault");
                tracing::error!(target: "tollgate::store", "ours");
                tracing::info!(target: "tollgate::app", "no trouble");
                tracing::info!(target: "payment", outcome = "settled", "payment");
                tracing::info!(target: "audit", "an act");
                tracing::info!(target: "payment", outcome = "not_charged", "payment");
            }
            tracing::error!(target: "pingora_proxy", "another place");
        });
        let mut told: Vec<_> =
            sieve.end_period().into_iter().map(|(place, left_out)| (place.target, left_out)).collect();
        told.sort();
        let expected = [("payment", 900), ("pingora_proxy", 990), ("tollgate::store", 900)];
        assert_eq!(told, expected.map(|(target, left_out)| (target.to_owned(), left_out)));
        assert_eq!(sieve.end_period(), []);
    }

    #[test]
    fn only_our_own_crate_is_ours() {
        assert!(is_ours("tollgate") && is_ours("tollgate::proxy"));
        assert!(!is_ours("tollgates::proxy") && !is_ours("pingora_core::tollgate") && !is_ours(""));
    }
}
