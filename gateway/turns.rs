//! Work that stands behind requests is done in turns: a [priority](crate::priority) is not enough. Linux looks who goes next
//! when a thread wakes up or goes to sleep, and else at the ticks of its clock, 250 times a second on many machines. A
//! thread that wakes up just after it went to sleep has had its share, and is passed over; the next look may be 4 ms away,
//! if some hundred payments go on together after one write.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a thread works on before others may go first: longer than what a payment takes at a stretch. One that is alone
/// would only let the books go first, with what it has brought them already.
const TURN: Duration = Duration::from_micros(200);

/// In a crowd, where somebody waits more often.
const TURN_IN_A_CROWD: Duration = Duration::from_micros(50);

/// From how many pieces of work on there is a crowd. A payment is up to three of them.
const CROWD: usize = 12;

/// How many pieces of work are done in turns, in the whole process.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// When the current thread's turn began.
    static BEGAN: Cell<Instant> = Cell::new(Instant::now());
}

/// Begins a turn: the current thread had nothing to do and goes on.
pub fn begin() {
    BEGAN.set(Instant::now());
}

/// Lets those go first that wait for this processor. Nothing happens if nobody does.
pub fn give_way() {
    std::thread::yield_now();
    begin();
}

/// Lets those go first that wait for this processor, if the current thread's turn is over.
pub fn give_way_when_due() {
    if BEGAN.get().elapsed() >= length(UNDER_WAY.load(Ordering::Relaxed)) {
        give_way();
    }
}

/// Lets all other work of this thread come as far as the current one, if there is a crowd: what is brought together costs
/// less than each alone.
pub async fn gather() {
    if is_crowd(UNDER_WAY.load(Ordering::Relaxed)) {
        tokio::task::yield_now().await;
    }
}

/// Work that gives way before it goes on, when that is due.
pub async fn in_turns<F: Future + Unpin>(mut work: F) -> F::Output {
    let _under_way = UnderWay::begin();
    poll_fn(|context| {
        give_way_when_due();
        Pin::new(&mut work).poll(context)
    })
    .await
}

const fn length(under_way: usize) -> Duration {
    if is_crowd(under_way) { TURN_IN_A_CROWD } else { TURN }
}

const fn is_crowd(under_way: usize) -> bool {
    under_way >= CROWD
}

/// A piece of work. It counts as long as it lives.
struct UnderWay;

impl UnderWay {
    fn begin() -> Self {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::FutureExt as _;
    use futures_util::future::pending;

    use super::*;

    #[test]
    fn work_gives_way_before_it_goes_on_if_the_turn_is_over() {
        let now = Instant::now();
        let goes_on = |began| {
            BEGAN.set(began);
            in_turns(poll_fn(|_| Poll::Ready(BEGAN.get()))).now_or_never()
        };
        assert!(goes_on(now.checked_sub(TURN).unwrap()) >= Some(now), "another one has begun");
        let later = now + Duration::from_secs(3600);
        assert_eq!(goes_on(later), Some(later));
    }

    /// Other tests have work under way, and end it: what is held here is what there is at least.
    #[test]
    fn turns_are_short_where_much_is_under_way() {
        let mut crowd: Vec<_> = (0..CROWD).map(|_| Box::pin(in_turns(pending::<()>()))).collect();
        assert!(crowd.iter_mut().all(|work| work.now_or_never().is_none()));
        assert!(is_crowd(UNDER_WAY.load(Ordering::Relaxed)));
        assert_eq!([0, CROWD - 1, CROWD].map(length), [TURN, TURN, TURN_IN_A_CROWD]);
    }

    #[tokio::test]
    async fn in_a_crowd_all_come_as_far_before_one_goes_on() {
        let _crowd: Vec<_> = (0..CROWD).map(|_| UnderWay::begin()).collect();
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..3 {
            let said = said.clone();
            tokio::spawn(async move {
                said.send("comes").unwrap();
                gather().await;
                said.send("goes on").unwrap();
            });
        }
        let mut order = Vec::new();
        while order.len() < 6 {
            heard.recv_many(&mut order, 6).await;
        }
        assert_eq!(order, [["comes"; 3], ["goes on"; 3]].concat());
    }
}
