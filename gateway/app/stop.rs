use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::telemetry::Metrics;

/// How long connections have for what requests have left them: an HTTP/2 answer is with its connection when its request
/// is over, and not yet on the wire.
const FLUSH: Duration = Duration::from_millis(250);

/// What ends the gateway: SIGTERM, SIGINT, or a word from within the process.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Notify>);

/// Waits for the end, and then for the requests under way.
pub(super) struct Watch {
    stop: Stop,
    metrics: Arc<Metrics>,
    patience: Duration,
}

impl Stop {
    /// Ends the gateway.
    pub fn stop(&self) {
        self.0.notify_one();
    }

    pub(super) fn watch(self, metrics: Arc<Metrics>, patience: Duration) -> Watch {
        Watch { stop: self, metrics, patience }
    }

    async fn asked(&self) {
        let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            _ => {
                tracing::error!("signals cannot be received");
                return self.0.notified().await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = self.0.notified() => {}
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Watch {
    async fn recv(&self) -> ShutdownSignal {
        self.stop.asked().await;
        let (running, patience) = (&self.metrics.running, self.patience);
        tracing::info!(requests = running.count(), ?patience, "stopping: no new requests, those under way finish");
        tokio::select! {
            left = running.close(patience) => {
                if left > 0 {
                    tracing::warn!(left, "requests are cut off: they took longer than shutdown_timeout");
                }
                tokio::time::sleep(FLUSH).await;
            }
            // Asked twice: somebody is in a hurry.
            () = self.stop.asked() => {}
        }
        ShutdownSignal::FastShutdown
    }
}
