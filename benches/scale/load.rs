//! Rows that are compared: each connection asks again as soon as it is answered.

use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::gateway::Gateway;
use super::settings::Settings;
use super::wire::Wire;
use super::{Result, report};

/// Makes the request of a random number.
type Ask = Box<dyn Fn(&mut StdRng) -> Vec<u8> + Send + Sync>;

/// A kind of request to one gateway.
pub(super) struct Row<'g> {
    pub(super) name: String,
    gateway: &'g Gateway,
    ask: Ask,
    /// The status of its answers.
    status: &'static str,
    /// The row that it is compared with.
    base: usize,
    rounds: Vec<Round>,
    /// All that was answered, what came before the clock was started included.
    pub(super) answered: u64,
}

/// What a row came to in one round.
#[derive(Debug, Clone, Copy)]
struct Round {
    requests: u32,
    wall: Duration,
    /// The gateway's processor time.
    cpu: Duration,
}

impl<'g> Row<'g> {
    pub(super) fn new(
        name: impl Into<String>,
        gateway: &'g Gateway,
        base: usize,
        status: &'static str,
        ask: impl Fn(&mut StdRng) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), gateway, ask: Box::new(ask), status, base, rounds: Vec::new(), answered: 0 }
    }

    async fn run(&mut self, settings: &Settings, seed: u64) -> Result<()> {
        let mut wires = Vec::new();
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..settings.connections {
            let mut wire = Wire::to(self.gateway.addr).await?;
            // Connecting is no part of the round.
            wire.ask(&(self.ask)(&mut random)).await?.with_status(self.status)?;
            wires.push(wire);
        }
        // Drawn while the clock runs, from among a million keys, they would hold up the load, and a gateway that has less to
        // do at a time takes longer for each. One for each millisecond is more than a connection asks with a key.
        let count = settings.time.as_millis().max(1);
        let drawn = wires.into_iter().map(|wire| (wire, (0..count).map(|_| (self.ask)(&mut random)).collect()));
        let drawn: Vec<(_, Vec<_>)> = drawn.collect();
        let (start, cpu) = (Instant::now(), self.gateway.time()?);
        let end = start + settings.time;
        let asking = drawn.into_iter().map(|(wire, drawn)| tokio::spawn(ask_until(end, wire, drawn, self.status)));
        let asking: Vec<_> = asking.collect();
        let mut requests = 0;
        for asked in asking {
            requests += asked.await??;
        }
        let (wall, cpu) = (start.elapsed(), self.gateway.time()?.saturating_sub(cpu));
        self.rounds.push(Round { requests, wall, cpu });
        self.answered += u64::from(requests) + u64::try_from(settings.connections)?;
        Ok(())
    }

    fn cpu_micros(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| round.cpu.as_secs_f64() * 1e6 / f64::from(round.requests))
    }
}

/// Asks them one after the other, and those once more if the time is longer.
async fn ask_until(end: Instant, mut wire: Wire, drawn: Vec<Vec<u8>>, status: &str) -> Result<u32> {
    let (mut asked, mut drawn) = (0, drawn.iter().cycle());
    while let Some(request) = drawn.next().filter(|_| Instant::now() < end) {
        wire.ask(request).await?.with_status(status)?;
        asked += 1;
    }
    Ok(asked)
}

/// Runs all rows in all rounds.
pub(super) async fn run(rows: &mut [Row<'_>], settings: &Settings) -> Result<()> {
    for number in 0..settings.rounds {
        // Another one begins in each round.
        let (first, second) = rows.split_at_mut(number % rows.len().max(1));
        for row in second.iter_mut().chain(first) {
            row.run(settings, u64::try_from(number)?).await?;
        }
    }
    Ok(())
}

/// The rows' figures.
pub(super) fn table(rows: &[Row<'_>]) -> report::Table {
    let mut table = report::Table::new(["", "requests", "req/s", "CPU us/req", "CPU, ratio (middle half)"]);
    for row in rows {
        let total: u64 = row.rounds.iter().map(|round| u64::from(round.requests)).sum();
        let speed = report::median(row.rounds.iter().map(|round| f64::from(round.requests) / round.wall.as_secs_f64()));
        let ratio = match rows.get(row.base) {
            Some(base) if !std::ptr::eq(base, row) => report::ratio(row.cpu_micros().zip(base.cpu_micros())),
            _ => "1".to_owned(),
        };
        let cpu = report::median(row.cpu_micros());
        table.row([row.name.clone(), total.to_string(), format!("{speed:.0}"), format!("{cpu:.2}"), ratio]);
    }
    table
}
