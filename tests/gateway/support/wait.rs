//! Waiting for what another thread or process does.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Something that is held back until it is opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open. A test that ended without opening it does not keep the thread for ever.
    pub(crate) fn pass(&self) {
        let closed = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(closed, PATIENCE, |open| !*open).unwrap());
    }
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, ask)
}

/// Asks again and again until there is an answer, for that long.
#[track_caller]
pub(crate) fn until_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks again and again until it is so.
#[track_caller]
pub(crate) fn until_true(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}

/// Waits until a number that has begun to grow does not grow any more.
#[track_caller]
pub(crate) fn until_still(what: &str, mut ask: impl FnMut() -> usize) {
    let mut before = 0;
    until(what, || {
        // Several turns of whoever is at work, even on a busy machine.
        std::thread::sleep(Duration::from_millis(100));
        let now = ask();
        let still = now > 0 && now == before;
        before = now;
        still.then_some(())
    });
}
