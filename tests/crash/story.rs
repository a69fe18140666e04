use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What has happened in a run, in one order.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    begun: Instant,
    lines: Arc<Mutex<Vec<Line>>>,
}

/// A place in that order.
pub(crate) type Moment = usize;

#[derive(Debug)]
struct Line {
    millis: u128,
    /// A payment, or nothing if it is about all of them.
    about: String,
    what: String,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), lines: Arc::default() }
    }

    pub(crate) fn tell(&self, about: &str, what: impl Into<String>) -> Moment {
        let mut lines = self.lines.lock().unwrap();
        lines.push(Line { millis: self.begun.elapsed().as_millis(), about: about.to_owned(), what: what.into() });
        lines.len() - 1
    }

    /// Everything about a payment, and what is about all of them.
    pub(crate) fn of(&self, payment: &str) -> String {
        let lines = self.lines.lock().unwrap();
        let told = lines.iter().filter(|line| line.about.is_empty() || line.about == payment);
        told.map(|line| format!("  {:>6} ms  {}\n", line.millis, line.what)).collect()
    }
}
