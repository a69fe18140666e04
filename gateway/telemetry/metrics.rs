use std::time::Duration;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::{ConnectionCounters, Running};
use crate::resource_server::Denial;

/// Counters of the gateway. Labels come from closed sets: no payer, no path.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// A counter for each outcome, so that nothing is looked up by its name.
    requests: Vec<(Outcome, IntCounter)>,
    payments: IntCounterVec,
    reloads: IntCounterVec,
    facilitator: HistogramVec,
    works: IntGaugeVec,
    keys_cached: IntGauge,
    open_payments: IntGauge,
    config_ok: IntGauge,
    /// Of clients' connections.
    pub connections: ConnectionCounters,
    /// The requests under way.
    pub running: Running,
    in_flight: IntGauge,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Forwarded, free.
    Free,
    /// Forwarded for units of a plan.
    Keyed,
    /// Forwarded and paid.
    Paid,
    /// 402 with a challenge.
    Challenged,
    /// Refused for another reason of the client's.
    Refused,
    /// No verdict, no store, or an unknown outcome.
    Unavailable,
    /// Answered by one of our own endpoints.
    Endpoint,
    /// The upstream failed; not charged.
    UpstreamFailed,
}

impl Outcome {
    const ALL: [Self; 8] = [
        Self::Free,
        Self::Keyed,
        Self::Paid,
        Self::Challenged,
        Self::Refused,
        Self::Unavailable,
        Self::Endpoint,
        Self::UpstreamFailed,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Keyed => "keyed",
            Self::Paid => "paid",
            Self::Challenged => "challenged",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Endpoint => "endpoint",
            Self::UpstreamFailed => "upstream_failed",
        }
    }
}

impl Denial {
    /// The word that counters and events have for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Shortfall(_) => "refused",
            Self::NotSettled(..) => "not_settled",
            Self::Forbidden(_) => "payer_refused",
            Self::Exceeded(exceeded) => exceeded.limit.as_str(),
            Self::RateLimited(..) => "rate_limited",
            Self::Exhausted(_) => "quota_exhausted",
            Self::Unauthorized(..) => "unauthorized",
            Self::NoKey(_) | Self::TooManyKeys(_) | Self::AddressTaken | Self::TooManyAddresses => "refused",
            Self::InFlight(_) => "in_progress",
            Self::Spent(..) | Self::Undelivered(..) => "repeated",
            Self::IdentifierTaken(_) => "identifier_taken",
            Self::Unresolved(_) => "unknown",
            Self::NoVerdict(_) => "no_verdict",
            Self::StoreFailed => "store_failed",
        }
    }

    /// How the request ended with it.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Shortfall(_) | Self::NotSettled(..) | Self::Exhausted(_) => Outcome::Challenged,
            Self::Forbidden(_) | Self::Exceeded(_) => Outcome::Refused,
            Self::Unauthorized(..)
            | Self::NoKey(_)
            | Self::TooManyKeys(_)
            | Self::AddressTaken
            | Self::TooManyAddresses => Outcome::Refused,
            Self::RateLimited(..) | Self::InFlight(_) | Self::IdentifierTaken(_) => Outcome::Refused,
            Self::Spent(..) | Self::Undelivered(..) => Outcome::Refused,
            Self::Unresolved(_) | Self::NoVerdict(_) | Self::StoreFailed => Outcome::Unavailable,
        }
    }
}

impl Metrics {
    /// All counters at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two of them have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name, help, label| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let buckets = vec![0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
        let options = HistogramOpts::new("gateway_facilitator_seconds", "Time of calls to facilitators");
        let facilitator = HistogramVec::new(options.buckets(buckets), &["facilitator", "call", "outcome"])?;
        registry.register(Box::new(facilitator.clone()))?;
        let options = Opts::new("gateway_facilitator_works", "1 if a facilitator answers, 0 if others are asked first");
        let works = IntGaugeVec::new(options, &["facilitator"])?;
        registry.register(Box::new(works.clone()))?;
        registry.register(Box::new(super::sieve::lines()))?;
        let requests = counter("gateway_requests_total", "Requests by how they ended", "outcome")?;
        let of = |outcome: Outcome| (outcome, requests.with_label_values(&[outcome.as_str()]));
        Ok(Self {
            requests: Outcome::ALL.map(of).to_vec(),
            payments: counter("gateway_payments_total", "Payments by how they ended", "outcome")?,
            reloads: counter("gateway_reloads_total", "Reloads of the configuration", "result")?,
            keys_cached: gauge("gateway_keys_cached", "API keys in memory")?,
            open_payments: gauge("gateway_open_payments", "Payments whose outcome is not known")?,
            config_ok: gauge("gateway_config_ok", "1 if the file is what is running, 0 if it has errors")?,
            in_flight: gauge("gateway_requests_in_flight", "Requests under way")?,
            connections: ConnectionCounters::new(&registry)?,
            running: Running::default(),
            facilitator,
            works,
            registry,
        })
    }

    /// Puts counters of others onto the page.
    ///
    /// # Errors
    /// [`prometheus::Error`] if one has the name of another.
    pub fn add(&self, counter: Box<dyn prometheus::core::Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(counter)
    }

    /// Counts a request at its end.
    pub fn request(&self, outcome: Outcome) {
        if let Some((_, counter)) = self.requests.iter().find(|(known, _)| *known == outcome) {
            counter.inc();
        }
    }

    /// Counts a payment at its end.
    pub fn payment(&self, outcome: &str) {
        self.payments.with_label_values(&[outcome]).inc();
    }

    /// Counts a payment that did not come as far as the upstream.
    pub fn denied(&self, denial: &Denial) {
        use crate::payment::Shortfall;
        use crate::screening::Limit;
        match denial {
            // No payment was sent, so none ended.
            Denial::RateLimited(..) | Denial::Exhausted(_) | Denial::Unauthorized(..) => {}
            Denial::Exceeded(exceeded) if matches!(exceeded.limit, Limit::Unpaid(_) | Limit::Keyless(_)) => {}
            Denial::Shortfall(shortfall) if !matches!(shortfall, Shortfall::Payment(_)) => {}
            denial => self.payment(denial.as_str()),
        }
    }

    /// Counts a reload, and notes whether what runs is what the file says.
    pub fn reload(&self, ok: bool) {
        self.reloads.with_label_values(&[if ok { "ok" } else { "refused" }]).inc();
        self.config_ok.set(i64::from(ok));
    }

    /// Notes that the configuration was read at the start.
    pub fn started(&self) {
        self.config_ok.set(1);
    }

    /// Counts a call to a facilitator.
    pub fn facilitator(&self, name: &str, call: &str, outcome: &str, took: Duration) {
        self.facilitator.with_label_values(&[name, call, outcome]).observe(took.as_secs_f64());
    }

    /// Notes whether a facilitator works.
    pub fn facilitator_works(&self, name: &str, works: bool) {
        self.works.with_label_values(&[name]).set(i64::from(works));
    }

    /// The page for Prometheus.
    pub fn page(&self, keys_cached: usize, open_payments: Option<u64>) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.keys_cached.set(number(keys_cached));
        self.in_flight.set(number(self.running.count()));
        if let Some(open) = open_payments {
            self.open_payments.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        let mut page = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            tracing::error!(%error, "the metrics page could not be written");
        }
        String::from_utf8(page).unwrap_or_default()
    }
}
