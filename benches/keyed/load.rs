//! One case for one round: each connection asks again as soon as it is answered.

use std::time::{Duration, Instant};

use super::Result;
use super::gateway::Gateway;
use super::settings::Settings;
use super::wire::{Wire, get};

/// A kind of request.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    request: Vec<u8>,
    /// Whether each costs a unit.
    pub(super) is_keyed: bool,
}

/// What a round of one case came to.
#[derive(Debug)]
pub(super) struct Round {
    /// All requests, those before the clock was started included.
    pub(super) answered: u64,
    pub(super) requests: u64,
    pub(super) wall: Duration,
    /// The gateway's processor time.
    pub(super) cpu: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Case {
    pub(super) fn new(name: &'static str, target: &str, line: &str) -> Self {
        Self { name, request: get(target, line), is_keyed: false }
    }

    pub(super) fn keyed(name: &'static str, target: &str, line: &str) -> Self {
        Self { is_keyed: true, ..Self::new(name, target, line) }
    }
}

pub(super) async fn run(gateway: &Gateway, case: &Case, settings: &Settings) -> Result<Round> {
    let mut wires = Vec::new();
    for _ in 0..settings.connections {
        let mut wire = Wire::to(gateway.addr).await?;
        // Connecting is no part of the round.
        wire.ask(&case.request).await?.ok()?;
        wires.push(wire);
    }
    let (start, cpu) = (Instant::now(), gateway.time()?);
    let end = start + settings.time;
    let asking = wires.into_iter().map(|wire| {
        let request = case.request.clone();
        tokio::spawn(async move { ask_until(end, wire, &request).await.map_err(|error| error.to_string()) })
    });
    let asking: Vec<_> = asking.collect();
    let mut latencies = Vec::new();
    for asked in asking {
        latencies.extend(asked.await??);
    }
    let (wall, cpu) = (start.elapsed(), gateway.time()?.saturating_sub(cpu));
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
    let requests = u64::try_from(latencies.len())?;
    let answered = requests + u64::try_from(settings.connections)?;
    Ok(Round { answered, requests, wall, cpu, p50: at(50), p99: at(99) })
}

async fn ask_until(end: Instant, mut wire: Wire, request: &[u8]) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut asked = Instant::now();
    while asked < end {
        wire.ask(request).await?.ok()?;
        let answered = Instant::now();
        latencies.push(answered - asked);
        asked = answered;
    }
    Ok(latencies)
}
