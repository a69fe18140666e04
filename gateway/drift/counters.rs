use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use super::Call;

/// Counters of what facilitators refused. The labels are bounded by whoever counts.
#[derive(Debug, Clone)]
pub struct Counters {
    refusals: IntCounterVec,
    drift: IntGaugeVec,
}

impl Counters {
    /// All at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] if a name is none.
    pub fn new() -> Result<Self, prometheus::Error> {
        let refusals = Opts::new("gateway_facilitator_refusals_total", "Payments that a facilitator did not take");
        let drift = Opts::new("gateway_facilitator_drift", "1 while a facilitator refuses what it took before");
        Ok(Self {
            refusals: IntCounterVec::new(refusals, &["facilitator", "call", "offer", "reason"])?,
            drift: IntGaugeVec::new(drift, &["facilitator", "call", "reason"])?,
        })
    }

    /// All of them, for the page.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.refusals.clone()), Box::new(self.drift.clone())]
    }

    pub(super) fn refused(&self, facilitator: &str, call: Call, offer: &str, reason: &str) {
        self.refusals.with_label_values(&[facilitator, call.as_str(), offer, reason]).inc();
    }

    pub(super) fn alarm(&self, facilitator: &str, call: &str, reason: &str, raised: bool) {
        self.drift.with_label_values(&[facilitator, call, reason]).set(i64::from(raised));
    }

    #[cfg(test)]
    pub(super) fn raised(&self) -> Vec<[String; 3]> {
        let family = self.drift.collect().remove(0);
        let raised = family.get_metric().iter().filter(|metric| metric.get_gauge().get_value() > 0.5);
        let labels = |metric: &prometheus::proto::Metric| {
            // By name: call, facilitator, reason.
            let mut values = metric.get_label().iter().map(|label| label.value().to_owned());
            [(); 3].map(|()| values.next().unwrap())
        };
        raised.map(labels).collect()
    }

    #[cfg(test)]
    pub(super) fn counted(&self) -> Vec<String> {
        let family = self.refusals.collect().remove(0);
        let line = |metric: &prometheus::proto::Metric| {
            let label = |name| metric.get_label().iter().find(|label| label.name() == name).unwrap().value().to_owned();
            ["facilitator", "call", "offer", "reason"].map(label).join(" ")
        };
        let mut lines: Vec<_> = family.get_metric().iter().map(line).collect();
        lines.sort();
        lines
    }
}
