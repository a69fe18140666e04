use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::http::ResponseHeader;
use tokio::task::JoinHandle;

use super::Snapshot;
use super::facts::Facts;
use super::kept::Kept;
use super::line::Turn;
use super::meter::Meter;
use super::upstream::Upstream;
use crate::crash::crash_point;
use crate::payment::PaymentId;
use crate::pricing::Route;
use crate::resource_server::{Denial, Pass, Settled, Sold};
use crate::store::Claim;
use crate::telemetry::{InFlight, Outcome};

/// One request and its answer, from the first hook to the last.
#[derive(Default)]
pub struct Exchange {
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) facts: Option<Facts>,
    pub(super) route: Option<Arc<Route>>,
    pub(super) upstream: Option<Arc<Upstream>>,
    /// The right to the upstream call, until it is used.
    pub(super) pass: Option<Pass>,
    /// The payment of a call whose answer may leave.
    pub(super) settled: Option<Box<Settled>>,
    /// Whether the upstream gave what was paid for.
    pub(super) earned: bool,
    /// What the upstream gave, for a repeat.
    pub(super) kept: Option<Kept>,
    /// Has the answer paid byte by byte.
    pub(super) meter: Option<Meter>,
    /// The body that leaves in place of the upstream's, which is only kept.
    pub(super) instead: Option<Option<Bytes>>,
    /// Why the upstream's answer may not leave.
    pub(super) denial: Option<Denial>,
    /// The claim on a payment of unknown outcome, until what the upstream said is kept.
    pub(super) claim: Option<Claim>,
    /// Keeps what the upstream said to it.
    pub(super) keeping: Option<JoinHandle<()>>,
    /// Connections that could not be made.
    pub(super) connect_failures: usize,
    pub(super) outcome: Option<Outcome>,
    /// The payment of this request, for its event.
    pub(super) payment: Option<Payment>,
    pub(super) upstream_asked: Option<Instant>,
    /// Whether there is a connection to the upstream, on which the request goes out.
    pub(super) forwarded: bool,
    /// Whether the request's body has gone out to its end.
    pub(super) body_forwarded: bool,
    /// Whether the upstream was asked to speak another protocol.
    pub(super) asks_to_switch: bool,
    /// Its time on the connection. Dropped with the exchange, when the connection is done with it.
    pub(super) turn: Option<Turn>,
    /// The bytes of the request's body so far.
    pub(super) body_bytes: u64,
    /// Counts the request as running.
    pub(super) in_flight: Option<InFlight>,
}

/// What a payment's event says of it.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub(super) id: PaymentId,
    pub(super) payer: Option<String>,
    pub(super) scheme: String,
    pub(super) network: String,
    pub(super) asset: String,
    pub(super) amount_atomic: String,
    pub(super) transaction: Option<String>,
    /// The plan, if that is what was bought, the beginning of its key, and whether it had been sold before.
    pub(super) plan: Option<(String, String, bool)>,
    pub(super) verify: Duration,
    pub(super) upstream: Duration,
    pub(super) settle: Duration,
}

impl Exchange {
    /// Whether the request is paid for in money, units or free calls, so that it may reach the upstream once only.
    pub(super) fn is_metered(&self) -> bool {
        self.settled.is_some() || !matches!(self.pass, None | Some(Pass::Free))
    }

    /// Whether serving it twice does the same work once.
    pub(super) fn is_safe(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.method.is_safe())
    }

    /// Begins to keep an answer that is paid for, or may be.
    pub(super) fn keep(&mut self, response: &ResponseHeader) {
        let (Some(snapshot), Some(facts)) = (&self.snapshot, &self.facts) else { return };
        crash_point!("header.leaving");
        self.kept = Kept::begin(response, &facts.method, snapshot.market.risk.replay_body_bytes_max);
    }

    /// Waits until the disk has an answer whose payment has an unknown outcome, or it is known that it will not.
    pub(super) async fn until_kept(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            drop(keeping.await);
        }
    }

    /// How long it is kept.
    pub(super) fn replay_ttl(&self) -> Duration {
        self.snapshot.as_ref().map_or(Duration::ZERO, |snapshot| snapshot.market.risk.replay_ttl)
    }

    /// Notes the payment behind a pass, and how long it took to get there.
    pub(super) fn note_payment(&mut self, pass: &Pass, took: Duration) {
        let (presented, payer, transaction) = match pass {
            Pass::Verified(verified) => (verified.presented(), verified.payer(), None),
            Pass::Settled(settled) => {
                (&settled.presented, settled.receipt.payer.as_deref(), Some(settled.receipt.transaction.clone()))
            }
            Pass::Free | Pass::Trial(_) | Pass::Plan(_) => return,
        };
        let (verify, settle) = if transaction.is_none() { (took, Duration::ZERO) } else { (Duration::ZERO, took) };
        self.payment = Some(Payment {
            id: presented.id.clone(),
            payer: payer.map(str::to_owned),
            network: presented.terms.network.to_string(),
            asset: presented.terms.asset.address.to_string(),
            scheme: presented.terms.scheme.to_string(),
            amount_atomic: presented.amount().to_string(),
            transaction,
            plan: None,
            verify,
            upstream: Duration::ZERO,
            settle,
        });
    }

    /// Notes the payment that bought a plan.
    pub(super) fn note_sale(&mut self, sold: &Sold, took: Duration) {
        let presented = &sold.presented;
        self.payment = Some(Payment {
            id: presented.id.clone(),
            payer: sold.receipt.payer.clone(),
            network: presented.terms.network.to_string(),
            asset: presented.terms.asset.address.to_string(),
            scheme: presented.terms.scheme.to_string(),
            amount_atomic: presented.amount().to_string(),
            transaction: Some(sold.receipt.transaction.clone()),
            plan: Some((sold.subscription.plan.name.to_string(), sold.key.beginning().to_owned(), sold.repeated)),
            verify: Duration::ZERO,
            upstream: Duration::ZERO,
            settle: took,
        });
    }
}

impl Payment {
    /// The one line that each paid request has in the log.
    pub(super) fn event(&self, route: Option<&Route>, outcome: &str, reason: &str, status: u16) {
        let (plan, key_prefix) = self.plan.as_ref().map_or(("", ""), |(plan, prefix, _)| (plan, prefix));
        tracing::info!(
            target: "payment",
            payment_id = %self.id,
            route_id = route.map_or("", |route| route.pattern.as_str()),
            plan_id = plan,
            key_prefix,
            payer = self.payer.as_deref().unwrap_or(""),
            network = self.network,
            asset = self.asset,
            amount_atomic = self.amount_atomic,
            scheme = self.scheme,
            outcome,
            reason,
            transaction = self.transaction.as_deref().unwrap_or(""),
            status,
            verify_ms = millis(self.verify),
            upstream_ms = millis(self.upstream),
            settle_ms = millis(self.settle),
            "payment"
        );
    }
}

/// Why the money did not move, for a payment's event.
pub(super) fn reason(denial: Option<&Denial>) -> Cow<'static, str> {
    match denial {
        Some(Denial::NotSettled(refused, _)) => refused.reason.clone(),
        _ => "".into(),
    }
}

/// As a number: the log has none of 128 bits, and would write a text.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
