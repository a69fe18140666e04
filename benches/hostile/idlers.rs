//! Connections whose request never ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::flood::connect;

/// How many are open at a time.
const OPEN: usize = 200;
/// How often one is opened, in place of the oldest, and how often each sends a byte.
const EVERY: Duration = Duration::from_millis(20);

/// Opens them until it is over; says how many.
pub(super) async fn open(gateway: SocketAddr, over: Arc<AtomicBool>) -> u64 {
    let (mut idle, mut opened) = (std::collections::VecDeque::new(), 0);
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(EVERY).await;
        if let Ok(mut stream) = connect(gateway, u32::try_from(opened % 100).unwrap_or_default()).await {
            let _ = stream.write_all(b"POST /premium/report HTTP/1.1\r\nHost: api.example.com\r\nX-Slow: ").await;
            idle.push_back(stream);
            opened += 1;
        }
        if idle.len() > OPEN {
            idle.pop_front();
        }
        // Whoever is told to leave has left: a write into a closed connection fails, and nobody minds.
        if let Some(mut slow) = idle.pop_front() {
            let _ = slow.write_all(b"x").await;
            idle.push_back(slow);
        }
    }
    opened
}
