//! What a client's connection is waiting for, and until when: shared by the connection, which reads and writes, and by
//! the hooks, which know where a request begins and ends.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pingora::proxy::Session;

use crate::config::ConnectionsConfig;

/// The bytes that begin an HTTP/2 connection (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// By how much of a time limit a connection with many requests may overrun it: it looks at the clock so often.
const LOOKS: u32 = 8;

/// Requests under way on one connection. HTTP/2 counts those no more that the client has given up, but their work goes
/// on until it looks up.
const RUNNING_MAX: u32 = 200;

/// One connection's state.
#[derive(Debug)]
pub(super) struct Line {
    limits: ConnectionsConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whether requests share it, as HTTP/2 has it.
    is_multiplexed: bool,
    /// Whether what begins such a connection has come.
    has_preface: bool,
    /// Requests under way.
    running: u32,
    /// When the bodies that are still coming must have come, with a number that tells equal ones apart.
    bodies: BTreeSet<(Instant, u64)>,
    /// Requests so far.
    begun: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Between requests.
    Idle(Instant),
    /// A head is coming, and so much of it is here.
    Head(Instant, usize),
    /// At least one request is under way.
    Busy,
}

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Idle,
    SlowHead,
    LargeHead,
    GivenUp,
    SlowBody,
    SlowReader,
    SlowHandshake,
    BadHandshake,
}

/// How long reading may wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For as long as it takes.
    Long,
    Until(Instant),
    Over(Cut),
}

/// One request; dropping it is its end.
#[derive(Debug)]
pub(super) struct Turn {
    line: Arc<Line>,
    body: Option<(Instant, u64)>,
}

impl Line {
    pub(super) fn new(limits: ConnectionsConfig, is_multiplexed: bool, now: Instant) -> Self {
        let phase = Phase::Idle(now + limits.keep_alive);
        let state = State { phase, is_multiplexed, has_preface: false, running: 0, bodies: BTreeSet::new(), begun: 0 };
        Self { limits, state: Mutex::new(state) }
    }

    /// The line of a request's connection.
    pub(super) fn of(session: &Session) -> Option<&Arc<Self>> {
        session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
    }

    pub(super) fn limits(&self) -> &ConnectionsConfig {
        &self.limits
    }

    /// The client speaks HTTP/2.
    pub(super) fn multiplex(&self) {
        let mut state = self.state();
        state.is_multiplexed = true;
        state.pass_preface(Instant::now() + self.limits.keep_alive);
    }

    /// How many bytes may be read now, or why there is to be no more.
    pub(super) fn room(&self) -> Result<usize, Cut> {
        let state = self.state();
        let most = usize::try_from(self.limits.head_bytes_max).unwrap_or(usize::MAX);
        match state.phase {
            _ if state.running > RUNNING_MAX => Err(Cut::GivenUp),
            Phase::Head(_, read) if !state.is_multiplexed && read >= most => Err(Cut::LargeHead),
            _ if state.is_multiplexed => Ok(usize::MAX),
            Phase::Idle(_) => Ok(most),
            Phase::Head(_, read) => Ok(most.saturating_sub(read)),
            Phase::Busy => Ok(usize::MAX),
        }
    }

    /// Notes that bytes have come.
    pub(super) fn heard(&self, count: usize) {
        let mut state = self.state();
        match state.phase {
            Phase::Busy => return,
            // Between requests, bytes of HTTP/2 are no request yet, and buy no time.
            Phase::Idle(_) if state.has_preface => return,
            Phase::Idle(_) => state.phase = Phase::Head(Instant::now() + self.limits.head_timeout, count),
            Phase::Head(until, read) => state.phase = Phase::Head(until, read.saturating_add(count)),
        }
        state.pass_preface(Instant::now() + self.limits.keep_alive);
    }

    /// How long reading may wait.
    pub(super) fn wait(&self, now: Instant) -> Wait {
        let state = self.state();
        let (due, cut) = match state.phase {
            Phase::Idle(until) => (Some(until), Cut::Idle),
            Phase::Head(until, _) => (Some(until), Cut::SlowHead),
            Phase::Busy => (state.bodies.first().map(|(until, _)| *until), Cut::SlowBody),
        };
        if due.is_some_and(|due| due <= now) {
            return Wait::Over(cut);
        }
        // Requests of HTTP/2 begin and end on other tasks, which do not wake this one.
        let look = state.is_multiplexed.then(|| now + self.shortest() / LOOKS);
        match due.into_iter().chain(look).min() {
            Some(due) => Wait::Until(due),
            None => Wait::Long,
        }
    }

    /// Whether an answer may still be put before the connection's end: nothing else is on it.
    pub(super) fn awaits_head(&self) -> bool {
        let state = self.state();
        !state.is_multiplexed && matches!(state.phase, Phase::Head(..))
    }

    fn shortest(&self) -> Duration {
        self.limits.body_timeout.min(self.limits.keep_alive)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// After the preface of HTTP/2, the first request has until then.
    fn pass_preface(&mut self, until: Instant) {
        if let Phase::Head(_, read) = self.phase
            && self.is_multiplexed
            && read >= PREFACE.len()
        {
            self.phase = Phase::Idle(until);
            self.has_preface = true;
        }
    }
}

impl Turn {
    /// A request whose head is here.
    pub(super) fn begin(line: &Arc<Line>, has_body: bool) -> Self {
        let mut state = line.state();
        state.running += 1;
        state.phase = Phase::Busy;
        state.begun += 1;
        let body = has_body.then(|| (Instant::now() + line.limits.body_timeout, state.begun));
        state.bodies.extend(body);
        drop(state);
        Self { line: Arc::clone(line), body }
    }

    /// Its body has come to its end, or has become something that has none.
    pub(super) fn end_body(&mut self) {
        if let Some(body) = self.body.take() {
            self.line.state().bodies.remove(&body);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end_body();
        let mut state = self.line.state();
        state.running = state.running.saturating_sub(1);
        if state.running == 0 {
            state.phase = Phase::Idle(Instant::now() + self.line.limits.keep_alive);
        }
    }
}

impl Cut {
    /// The word that the counter has for it. None if nothing is wrong with it.
    pub(super) fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Idle => None,
            Self::SlowHead => Some("head_timeout"),
            Self::LargeHead => Some("head_limit"),
            Self::GivenUp => Some("given_up"),
            Self::SlowBody => Some("body_timeout"),
            Self::SlowReader => Some("write_timeout"),
            Self::SlowHandshake => Some("handshake"),
            Self::BadHandshake => Some("bad_handshake"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn line(is_multiplexed: bool) -> Arc<Line> {
        Arc::new(Line::new(ConnectionsConfig::default(), is_multiplexed, Instant::now()))
    }

    /// What reading is told after so many seconds.
    fn after(line: &Line, seconds: u32) -> Wait {
        line.wait(Instant::now() + SECOND * seconds)
    }

    #[test]
    fn a_head_has_its_time_from_the_first_byte_and_its_bytes() {
        let line = line(false);
        assert!(matches!(after(&line, 59), Wait::Until(_)));
        assert_eq!(after(&line, 61), Wait::Over(Cut::Idle));
        line.heard(1);
        assert!(matches!(after(&line, 9), Wait::Until(_)));
        assert_eq!(after(&line, 11), Wait::Over(Cut::SlowHead));
        assert_eq!(line.room(), Ok(32 * 1024 - 1));
        line.heard(32 * 1024 - 1);
        assert_eq!((line.room(), line.awaits_head()), (Err(Cut::LargeHead), true));
    }

    #[test]
    fn a_body_has_its_time_and_an_answer_has_all() {
        let line = line(false);
        line.heard(100);
        let mut turn = Turn::begin(&line, true);
        assert_eq!((line.room(), line.awaits_head()), (Ok(usize::MAX), false));
        line.heard(1_000_000);
        assert!(matches!(after(&line, 299), Wait::Until(_)));
        assert_eq!(after(&line, 301), Wait::Over(Cut::SlowBody));
        turn.end_body();
        assert_eq!(after(&line, 1_000_000), Wait::Long);
        drop(turn);
        assert_eq!(after(&line, 61), Wait::Over(Cut::Idle));
        line.heard(1);
        assert_eq!(after(&line, 11), Wait::Over(Cut::SlowHead));
    }

    #[test]
    fn the_slowest_body_counts_where_requests_share_a_connection() {
        let line = line(true);
        line.heard(PREFACE.len() - 1);
        assert_eq!(after(&line, 11), Wait::Over(Cut::SlowHead));
        line.heard(1);
        // From here on, bytes alone buy no time.
        line.heard(1_000_000);
        assert!(matches!(after(&line, 59), Wait::Until(_)));
        assert_eq!(after(&line, 61), Wait::Over(Cut::Idle));
        let (slow, mut quick) = (Turn::begin(&line, true), Turn::begin(&line, true));
        quick.end_body();
        drop(quick);
        assert_eq!(after(&line, 301), Wait::Over(Cut::SlowBody));
        drop(slow);
        assert_eq!(after(&line, 61), Wait::Over(Cut::Idle));
        let many: Vec<_> = (0..=RUNNING_MAX).map(|_| Turn::begin(&line, false)).collect();
        assert_eq!(line.room(), Err(Cut::GivenUp));
        drop(many);
        assert_eq!(line.room(), Ok(usize::MAX));
        // The clock is looked at even while nothing is due: other tasks begin requests.
        let _turn = Turn::begin(&line, false);
        assert!(matches!(after(&line, 1_000_000), Wait::Until(_)));
    }
}
