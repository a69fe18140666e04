//! Calls in a closed loop, and keyed requests that come at their own times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::buyers::Request;
use super::gateway::Gateway;
use super::wire::{Wire, get};
use super::{Result, aside};

/// How many connections the keyed requests share.
const KEYED_CONNECTIONS: u32 = 8;

/// How exact the runtime's timer is.
const TIMER: Duration = Duration::from_millis(2);

/// What a case of a round came to.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) calls: usize,
    pub(super) wall: Duration,
    /// The gateway's processor time.
    pub(super) cpu: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Round {
    fn new(mut latencies: Vec<Duration>, wall: Duration, cpu: Duration) -> Self {
        latencies.sort_unstable();
        let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default();
        Self { calls: latencies.len(), wall, cpu, p50: at(50), p99: at(99) }
    }
}

/// Sends each list over a connection of its own, one request after the other.
pub(super) async fn run(gateway: &Gateway, lists: Vec<Vec<Request>>) -> Result<Round> {
    let mut wires = Vec::new();
    for list in lists {
        let mut wire = Wire::to(gateway.addr).await?;
        // Connecting is no part of the round.
        wire.ask(&get("/free", "")).await?.ok()?;
        wires.push((wire, list));
    }
    let (start, cpu) = (Instant::now(), gateway.time()?);
    let asking: Vec<_> = wires.into_iter().map(|(wire, list)| tokio::spawn(ask_all(wire, list))).collect();
    let mut latencies = Vec::new();
    for asked in asking {
        latencies.extend(asked.await??);
    }
    let (wall, cpu) = (start.elapsed(), gateway.time()?.saturating_sub(cpu));
    Ok(Round::new(latencies, wall, cpu))
}

async fn ask_all(mut wire: Wire, list: Vec<Request>) -> std::result::Result<Vec<Duration>, String> {
    let mut latencies = Vec::with_capacity(list.len());
    for request in list {
        let asked = Instant::now();
        ask(&mut wire, &request).await?;
        latencies.push(asked.elapsed());
    }
    Ok(latencies)
}

async fn ask(wire: &mut Wire, request: &[u8]) -> std::result::Result<(), String> {
    let answered = wire.ask(request).await.and_then(super::wire::Answer::ok);
    answered.map(drop).map_err(|error| error.to_string())
}

/// The same request at a fixed rate, whether the ones before are answered or not. Each counts from when it was due.
pub(super) async fn at_a_rate(gateway: &Gateway, request: &Request, rate: u32, time: Duration) -> Result<Round> {
    let mut wires = Vec::new();
    for _ in 0..KEYED_CONNECTIONS {
        wires.push(Wire::to(gateway.addr).await?);
    }
    let each = Duration::from_secs(1) * KEYED_CONNECTIONS / rate;
    let (start, cpu) = (Instant::now(), gateway.time()?);
    let asking = (0..).zip(wires).map(|(number, mut wire)| {
        let (request, mut due) = (Arc::clone(request), start + each * number / KEYED_CONNECTIONS);
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while due < start + time {
                tokio::time::sleep_until(due.into()).await;
                // The runtime's timer wakes up to a millisecond late, which is no request's fault; what is later than
                // that waited for the answer before it.
                let asked = Instant::now().min(due + TIMER);
                ask(&mut wire, &request).await?;
                latencies.push(asked.elapsed());
                due += each;
            }
            Ok::<_, String>(latencies)
        })
    });
    let asking: Vec<_> = asking.collect();
    let mut latencies = Vec::new();
    for asked in asking {
        latencies.extend(asked.await??);
    }
    let (wall, cpu) = (start.elapsed(), gateway.time()?.saturating_sub(cpu));
    Ok(Round::new(latencies, wall, cpu))
}

/// Buyers who pay one call after the other until they are told to stop, on a thread of their own.
#[derive(Debug)]
pub(super) struct Crowd {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    ended: oneshot::Receiver<std::result::Result<(), String>>,
}

impl Crowd {
    /// They begin within `delay`, so that their settlements do not end all at once.
    pub(super) async fn gather(gateway: &Gateway, lists: Vec<Vec<Request>>, delay: Duration) -> Result<Self> {
        let (stop, sent) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (told, count, addr) = (Arc::clone(&stop), Arc::clone(&sent), gateway.addr);
        let ended = aside::run(move || async move {
            let each = delay / u32::try_from(lists.len()).unwrap_or(u32::MAX).max(1);
            let start = Instant::now();
            let buyers = (0..).zip(lists).map(|(number, list)| {
                let buyer = Buyer { list, stop: Arc::clone(&told), sent: Arc::clone(&count) };
                tokio::spawn(aside::giving_way(buyer.pay(addr, start + each * number)))
            });
            for buyer in buyers.collect::<Vec<_>>() {
                buyer.await.map_err(|error| error.to_string())??;
            }
            Ok(())
        })?;
        // Until all are at it, and the first ones pay again.
        tokio::time::sleep(delay * 3).await;
        Ok(Self { stop, sent, ended })
    }

    /// How many payments they have sent.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it; each finishes the call that it is at.
    pub(super) async fn dismiss(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.ended.await??;
        Ok(self.sent.load(Ordering::Relaxed))
    }
}

struct Buyer {
    list: Vec<Request>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

impl Buyer {
    async fn pay(self, addr: SocketAddr, from: Instant) -> std::result::Result<(), String> {
        let mut wire = Wire::to(addr).await.map_err(|error| error.to_string())?;
        tokio::time::sleep_until(from.into()).await;
        let mut list = self.list.into_iter();
        while !self.stop.load(Ordering::Relaxed) {
            let request = list.next().ok_or("a buyer has run out of payments")?;
            self.sent.fetch_add(1, Ordering::Relaxed);
            ask(&mut wire, &request).await?;
        }
        Ok(())
    }
}
