//! Connections of our own: requests that differ from each other, each sent once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::figures::Round;
use super::rows::Side;
use super::wire::Wire;
use super::{Result, cpu};

/// What is still to be sent.
type Queue = Arc<Mutex<std::vec::IntoIter<Vec<u8>>>>;

/// Sends them all; each must be answered with this status.
pub(super) async fn send(
    side: &Side,
    requests: Vec<Vec<u8>>,
    connections: usize,
    status: &'static str,
) -> Result<Round> {
    let mut wires = Vec::new();
    for _ in 0..connections {
        wires.push(Wire::to(side.addr).await?);
    }
    let queue: Queue = Arc::new(Mutex::new(requests.into_iter()));
    let (start, cpu) = (Instant::now(), cpu::time_of(side.pid)?);
    let asking = wires.into_iter().map(|wire| {
        let (queue, name) = (Arc::clone(&queue), side.name);
        tokio::spawn(async move { ask(wire, &queue, status).await.map_err(|error| format!("{name}: {error}")) })
    });
    let asking: Vec<_> = asking.collect();
    let mut latencies = Vec::new();
    for asked in asking {
        latencies.extend(asked.await??);
    }
    let (wall, cpu) = (start.elapsed(), cpu::time_of(side.pid)?.saturating_sub(cpu));
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
    let (requests, memory) = (u64::try_from(latencies.len())?, cpu::memory_of(side.pid)?);
    Ok(Round { requests, wall, cpu, p50: at(50), p99: at(99), memory })
}

async fn ask(mut wire: Wire, queue: &Queue, status: &str) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while let Some(request) = next(queue) {
        let asked = Instant::now();
        wire.ask(&request).await?.with_status(status)?;
        latencies.push(asked.elapsed());
    }
    Ok(latencies)
}

fn next(queue: &Queue) -> Option<Vec<u8>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}
