use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters of clients' connections, and of what went wrong in serving them.
#[derive(Debug)]
pub struct ConnectionCounters {
    /// Those that are open.
    pub open: IntGauge,
    refused: IntCounterVec,
    cut: IntCounterVec,
    /// Defects of the gateway that ended a task.
    pub panics: IntCounter,
}

impl ConnectionCounters {
    /// Counts a connection that was closed unheard, by the limit that it met.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts a connection that was cut, by what its client was slow at, or sent too much of. None: at nothing.
    pub fn cut(&self, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.cut.with_label_values(&[reason]).inc();
        }
    }

    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = Self {
            open: IntGauge::new("gateway_connections", "Connections of clients")?,
            refused: IntCounterVec::new(
                Opts::new("gateway_connections_refused_total", "Connections closed unheard, by the limit they met"),
                &["reason"],
            )?,
            cut: IntCounterVec::new(
                Opts::new("gateway_connections_cut_total", "Connections cut, by what their client failed at"),
                &["reason"],
            )?,
            panics: IntCounter::new("gateway_panics_total", "Defects that ended a request or a task")?,
        };
        registry.register(Box::new(counters.open.clone()))?;
        registry.register(Box::new(counters.refused.clone()))?;
        registry.register(Box::new(counters.cut.clone()))?;
        registry.register(Box::new(counters.panics.clone()))?;
        Ok(counters)
    }
}
