//! The load: wrk where figures are wanted and all requests are the same; else connections of our own.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::figures::Round;
use super::rows::{Kind, Row, Side};
use super::settings::Settings;
use super::wire::{Wire, get};
use super::{Result, wires, wrk};

/// How long each side is warmed up: Node compiles what is hot.
const WARM: Duration = Duration::from_secs(3);
/// So many requests of ours are sent where no figures are wanted, and to see how fast a side is.
const FEW: usize = 200;
/// No more payments than this are signed for a round.
const PAYMENTS_MAX: usize = 30_000;

/// Asks all sides of one row.
pub(super) struct Load<'a> {
    row: &'a Row,
    settings: &'a Settings,
    wallet: DemoWallet,
    /// How many payments a side gets in a round.
    payments: HashMap<&'static str, usize>,
    /// What the books must know of.
    pub(super) asked: Asked,
}

/// How many were asked for. Of those that wrk had under way when its time was over it does not tell.
#[derive(Debug, Default)]
pub(super) struct Asked {
    answered: u64,
    maybe: u64,
}

impl<'a> Load<'a> {
    /// Asks each side for a while, of which nothing is kept.
    pub(super) async fn warm(row: &'a Row, settings: &'a Settings) -> Result<Self> {
        let wallet = DemoWallet::random()?;
        let mut load = Self { row, settings, wallet, payments: HashMap::new(), asked: Asked::default() };
        for side in row.sides.iter().filter(|_| settings.measures) {
            match row.kind {
                // Twice, since the first ones are slow.
                Kind::Paid => {
                    for _ in 0..2 {
                        let round = load.run(side).await?;
                        load.payments.insert(side.name, round.in_time(settings.time).clamp(FEW, PAYMENTS_MAX));
                    }
                }
                Kind::Plain | Kind::Keyed => {
                    load.wrk(side, WARM)?;
                }
            }
        }
        Ok(load)
    }

    /// One side's round.
    pub(super) async fn run(&mut self, side: &Side) -> Result<Round> {
        let connections = self.settings.connections;
        let requests = match self.row.kind {
            Kind::Paid => self.paid(side).await?,
            _ if self.settings.measures => return self.wrk(side, self.settings.time),
            Kind::Plain | Kind::Keyed => vec![get(self.row.target, &self.row.line); FEW],
        };
        let round = wires::send(side, requests, connections, self.row.status).await?;
        if self.is_booked(side) {
            self.asked.answered += round.requests;
        }
        Ok(round)
    }

    fn wrk(&mut self, side: &Side, time: Duration) -> Result<Round> {
        let round = wrk::send(side, self.row, self.settings.connections, time)?;
        if self.is_booked(side) {
            self.asked.answered += round.requests;
            self.asked.maybe += u64::try_from(self.settings.connections)?;
        }
        Ok(round)
    }

    fn is_booked(&self, side: &Side) -> bool {
        self.row.kind == Kind::Paid || side.is_ours()
    }

    /// Requests with payments of their own, which all answer one challenge.
    async fn paid(&self, side: &Side) -> Result<Vec<Vec<u8>>> {
        let mut wire = Wire::to(side.addr).await?;
        let challenge = wire.ask(&get(self.row.target, "")).await?;
        let required = challenge.header("payment-required").ok_or("asked for money without a challenge")?;
        let now = unix_seconds(SystemTime::now());
        let count = self.payments.get(side.name).copied().unwrap_or(FEW);
        (0..count)
            .map(|_| {
                let payment = self.wallet.pay(required.as_bytes(), now)?;
                Ok(get(self.row.target, &format!("PAYMENT-SIGNATURE: {}", payment.header)))
            })
            .collect()
    }
}

impl Asked {
    /// Whether these are all of them, and not more.
    pub(super) fn holds(&self, booked: u64) -> bool {
        (self.answered..=self.answered + self.maybe).contains(&booked)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, and at most {} more,", self.answered, self.maybe)
    }
}
