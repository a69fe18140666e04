use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// The requests under way, and whether new ones are let in.
#[derive(Debug, Default)]
pub struct Running {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    count: AtomicUsize,
    closed: AtomicBool,
    idle: Notify,
}

/// One request under way; dropping it is its end.
#[derive(Debug)]
pub struct InFlight(Arc<State>);

impl Running {
    /// Counts a request, unless the gateway is being stopped.
    pub fn enter(&self) -> Option<InFlight> {
        // Counted first and looked at second, so that a stop either sees the request or is seen by it.
        self.state.count.fetch_add(1, Ordering::SeqCst);
        let request = InFlight(Arc::clone(&self.state));
        (!self.state.closed.load(Ordering::SeqCst)).then_some(request)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::Relaxed)
    }

    /// Whether new ones are let in.
    pub fn is_open(&self) -> bool {
        !self.state.closed.load(Ordering::SeqCst)
    }

    /// Lets no more in, and waits for those under way, but not longer than `patience`. Says how many are left.
    pub async fn close(&self, patience: Duration) -> usize {
        self.state.closed.store(true, Ordering::SeqCst);
        let idle = async {
            loop {
                let notified = self.state.idle.notified();
                if self.count() == 0 {
                    return;
                }
                notified.await;
            }
        };
        let _ = tokio::time::timeout(patience, idle).await;
        self.count()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            // `notify_one` keeps its permit, so a stop that is about to wait does not miss it.
            self.0.idle.notify_one();
        }
    }
}
