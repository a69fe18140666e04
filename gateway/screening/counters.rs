use prometheus::core::Collector;
use prometheus::{IntCounterVec, Opts};

use super::{Exceeded, NoVerdict, Screened};

/// Counters of what was refused and told. Labels come from closed sets: no payer, no address.
#[derive(Debug, Clone)]
pub struct Counters {
    screenings: IntCounterVec,
    limits: IntCounterVec,
    alerts: IntCounterVec,
}

impl Counters {
    /// All at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] if a name is none.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counter = |name, help, label| IntCounterVec::new(Opts::new(name, help), &[label]);
        Ok(Self {
            screenings: counter("gateway_screenings_total", "Payers screened by what was said of them", "outcome")?,
            limits: counter("gateway_limits_total", "Requests refused by a limit", "limit")?,
            alerts: counter("gateway_alerts_total", "Alerts about payers", "kind")?,
        })
    }

    /// All of them, for the page.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let all = [&self.screenings, &self.limits, &self.alerts];
        all.map(|counter| -> Box<dyn Collector> { Box::new(counter.clone()) }).into()
    }

    pub(super) fn screened(&self, screened: &Result<Screened, NoVerdict>) {
        let outcome = match screened {
            Ok(Screened::Clear) => "clear",
            Ok(Screened::Refused(_)) => "refused",
            Err(NoVerdict) => "no_verdict",
        };
        self.screenings.with_label_values(&[outcome]).inc();
    }

    pub(super) fn exceeded(&self, exceeded: &Exceeded) {
        self.limits.with_label_values(&[exceeded.limit.as_str()]).inc();
    }

    pub(super) fn alert(&self, kind: &str) {
        self.alerts.with_label_values(&[kind]).inc();
    }
}
