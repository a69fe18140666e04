//! Honest buyers: a few connections with a key, each asking at its own pace.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Result;
use super::gateway::Gateway;
use super::wire::{Wire, get};

const BUYERS: u32 = 8;
/// Between two calls of one buyer.
const PACE: Duration = Duration::from_millis(10);

/// How long each call took.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Duration>);

impl Calls {
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn add(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.sort_unstable();
    }

    /// What so many of a thousand calls did not take longer than.
    pub(super) fn at(&self, permille: usize) -> Duration {
        self.0.get(self.0.len() * permille / 1000).copied().unwrap_or_default()
    }
}

/// Calls with a key for so long. Every call must be served.
pub(super) async fn call(gateway: &Gateway, key: &str, time: Duration) -> Result<Calls> {
    let (request, end) = (get("/premium/report", &format!("X-API-KEY: {key}")), Instant::now() + time);
    let buyers: Vec<_> = (0..BUYERS)
        .map(|number| {
            let (addr, request, first) = (gateway.addr, request.clone(), PACE * number / BUYERS);
            tokio::spawn(async move { buyer(addr, &request, first, end).await.map_err(|error| error.to_string()) })
        })
        .collect();
    let mut calls = Calls::default();
    for buyer in buyers {
        calls.0.extend(buyer.await??);
    }
    calls.0.sort_unstable();
    Ok(calls)
}

async fn buyer(addr: SocketAddr, request: &[u8], first: Duration, end: Instant) -> Result<Vec<Duration>> {
    tokio::time::sleep(first).await;
    let (mut wire, mut calls) = (Wire::to(addr).await?, Vec::new());
    while Instant::now() < end {
        let asked = Instant::now();
        wire.ask(request).await?.ok()?;
        calls.push(asked.elapsed());
        tokio::time::sleep(PACE).await;
    }
    Ok(calls)
}
