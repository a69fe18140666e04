//! The edge: Pingora's hooks, a few lines each. What they decide is decided by `resource_server`.
//!
//! | hook | what happens |
//! |---|---|
//! | `request_filter` | facts, route, admission; our own answers; the way of a request with a small body or none (`forward`), and of a tunnel |
//! | `upstream_peer`, `upstream_request_filter` | where to, and with which headers |
//! | `response_filter` | settle, then release: nothing has left before it is done |
//! | `response_body_filter` | keep it for a repeat; take units for each byte |
//! | `fail_to_proxy` | the answer in place of an upstream's that may not leave, or that never came |
//! | `logging` | delivered or not; the payment's event |
//!
//! They are called by the framework, or, for most requests of HTTP/1, in the same order by `serving`; our own answers to
//! those leave by `brief`.

mod abandoned;
mod admission;
mod answer;
mod apart;
mod beginning;
mod booking;
mod bounds;
mod brief;
mod client;
mod context;
mod credential;
mod crowd;
mod ending;
mod endpoints;
mod error;
mod exchange;
mod facts;
mod forward;
mod frames;
mod free;
mod guarded;
mod headers;
mod kept;
mod keys;
mod line;
mod meter;
mod metering;
mod panics;
mod pool;
mod preflight;
mod query_key;
mod receive;
mod reception;
mod recovery;
mod refusals;
mod serving;
mod sign_in;
mod standing;
mod status;
mod tunnel;
mod unsent;
mod upstream;
mod withheld;
mod wording;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderName, StatusCode};
use pingora::connectors::TransportConnector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, ErrorSource, ErrorType, HttpPeer};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};

pub use exchange::Exchange;
pub use frames::{Frames, Passed};
pub use panics::watch_panics;
pub use reception::{Entrance, Reception};
pub use upstream::Upstream;

use self::meter::UNPAID;
use self::withheld::WITHHELD;
use crate::config::{ConnectionsConfig, Secret, TrustedProxies};
use crate::crash::crash_point;
use crate::payment::{Chargeable, chargeable};
use crate::resource_server::{Market, Pass, ResourceServer};
use crate::telemetry::{Metrics, Outcome};

/// What a request is served by; a reload makes a new one.
#[derive(Debug)]
pub struct Snapshot {
    /// Prices and the facilitator.
    pub market: Arc<Market>,
    /// Upstreams by name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// Headers that may carry an API key.
    pub key_headers: Vec<HeaderName>,
    /// Headers that some upstream gets from the gateway alone.
    pub upstream_headers: Vec<HeaderName>,
    /// The query parameter that may carry one in a WebSocket's handshake.
    pub key_query: Option<Arc<str>>,
    /// What the operator's API asks for. None if there is none.
    pub admin_token: Option<Secret>,
    /// Proxies that are believed what they say of their clients.
    pub trusted_proxies: TrustedProxies,
    /// What clients may take, and for how long.
    pub connections: ConnectionsConfig,
}

/// The public side of the gateway.
#[derive(Clone)]
pub struct Gateway {
    /// The snapshot that new requests get.
    pub live: Arc<ArcSwap<Snapshot>>,
    /// The use cases.
    pub server: Arc<ResourceServer>,
    /// Counters, and the number of running requests.
    pub metrics: Arc<Metrics>,
    /// What connects to upstreams.
    pub connector: Arc<TransportConnector>,
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// The framework moves it from hand to hand with each request.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        Box::default()
    }

    /// None: the framework's own would compress answers, which is the upstream's business.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> pingora::Result<bool> {
        if let Some(answer) = self.answer(session, exchange).await {
            return answer.write(session).await.map(|()| true);
        }
        let is_plain = forward::is_plain(session);
        if is_plain {
            Box::pin(self.forward(session, exchange)).await?;
        }
        Ok(is_plain)
    }

    async fn upstream_peer(&self, _: &mut Session, exchange: &mut Box<Exchange>) -> pingora::Result<Box<HttpPeer>> {
        let (upstream, address) = exchange.choose_upstream()?;
        Ok(Box::new(upstream.peer(address, self.group())))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        if let (Some(facts), Some(snapshot)) = (&exchange.facts, &exchange.snapshot) {
            sign_in::strip(request, facts, &snapshot.market.prices);
        }
        exchange.forwarded = true;
        exchange.asks_to_switch = request.headers.contains_key(UPGRADE);
        match (&exchange.facts, &exchange.upstream, &exchange.pass) {
            (Some(facts), Some(upstream), Some(pass)) => {
                headers::to_upstream(request, facts, upstream, pass)?;
                self.vouch(request, facts, upstream, pass, exchange)
            }
            // Closed when in doubt: without a pass nothing goes upstream.
            _ => Error::e_explain(ErrorType::InternalError, "a request without a pass"),
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        exchange.body_forwarded |= end_of_stream;
        exchange.count_body(session, body.as_ref(), end_of_stream)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        headers::from_upstream(response);
        let report = exchange.take_report(response);
        let verdict = chargeable(response.status);
        if verdict == Chargeable::Interim {
            return Ok(());
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !exchange.may_switch(session, response) {
            // It answers nothing that was asked, so nobody pays for it.
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "an upstream that switches unasked").into_up());
        }
        crash_point!("answer.heard");
        let browser = exchange.facts.as_ref().is_some_and(|facts| facts.from_browser);
        if let (Some(payment), Some(asked)) = (&mut exchange.payment, exchange.upstream_asked) {
            payment.upstream = asked.elapsed();
        }
        match exchange.pass.take() {
            None => return Error::e_explain(ErrorType::InternalError, "an answer without a pass"),
            Some(Pass::Free) => {
                exchange.outcome = Some(Outcome::Free);
                return Ok(());
            }
            Some(Pass::Trial(call)) => {
                exchange.outcome = Some(Outcome::Free);
                free::count(call, response)?;
                return headers::change(response, |headers| headers::make_private(headers, browser));
            }
            Some(Pass::Plan(reservation)) => {
                exchange.outcome = Some(Outcome::Keyed);
                // The upstream's own failures are not the buyer's; dropped, the units come back.
                let charged = !response.status.is_server_error();
                let standing = charged.then(|| {
                    let standing = exchange.charge(&self.server, reservation, report, response);
                    crash_point!("units.charged");
                    standing
                });
                return headers::change(response, |headers| {
                    headers::make_private_for_credential(headers, browser);
                    let now = self.server.clock().now();
                    let said = standing.iter().flat_map(|standing| standing::headers(standing, now));
                    said.for_each(|(name, value)| drop(headers.insert(name, value)));
                });
            }
            Some(Pass::Verified(_)) if verdict == Chargeable::No => {
                exchange.outcome = Some(Outcome::UpstreamFailed);
                // Kept by a cache, it would be in the next buyer's way.
                return headers::change(response, |headers| headers::make_private(headers, browser));
            }
            Some(Pass::Verified(verified)) => match Box::pin(self.settle(*verified, exchange)).await {
                Ok(settled) => exchange.settled = Some(settled),
                Err(error) => return Box::pin(self.withhold(response, exchange, error)).await,
            },
            Some(Pass::Settled(settled)) => exchange.settled = Some(settled),
        }
        exchange.earned = verdict == Chargeable::Yes;
        exchange.outcome = Some(if exchange.earned { Outcome::Paid } else { Outcome::UpstreamFailed });
        headers::change(response, |headers| headers::make_private(headers, browser))?;
        if exchange.earned {
            exchange.keep(response);
        }
        headers::change(response, |headers| {
            let receipt = exchange.settled.iter().flat_map(|settled| headers::receipt(&settled.receipt));
            receipt.for_each(|(name, value)| drop(headers.insert(name, value)));
        })
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<Option<Duration>> {
        if let Some(meter) = &mut exchange.meter {
            meter.pass(session, body)?;
        }
        // Larger than what is kept: it streams on all the same.
        if exchange.kept.as_mut().is_some_and(|kept| !kept.add(body.as_ref(), end_of_stream)) {
            exchange.kept = None;
        }
        if let Some(instead) = &mut exchange.instead {
            let is_kept = exchange.kept.is_some();
            if !is_kept && instead.is_none() {
                return Error::e_explain(WITHHELD, "an answer that is too large to be kept");
            }
            // Not before the upstream's end: a client that has its answer hangs up, and what was paid for is lost.
            *body = if end_of_stream || !is_kept { instead.take() } else { None };
            if end_of_stream {
                self.keep_unresolved(exchange);
            }
        }
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Box<Exchange>,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
        let is_answered =
            session.response_written().is_some_and(|answer| chargeable(answer.status) != Chargeable::Interim);
        let once = is_answered || exchange.is_metered() || !session.req_header().method.is_idempotent();
        if once || session.as_ref().retry_buffer_truncated() {
            // The upstream may have done the work already.
            error.set_retry(false);
        } else {
            error.retry.decide_reuse(client_reused);
        }
        error
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        exchange: &mut Box<Exchange>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent, so the next address may be tried whatever was paid.
        exchange.connect_failures += 1;
        if let Some(upstream) = &exchange.upstream {
            upstream.move_on();
            error.set_retry(exchange.connect_failures < upstream.len());
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Box<Exchange>) -> FailToProxy {
        if let Some(meter) = exchange.meter.take_if(|meter| meter.ended()) {
            let purchase = exchange.snapshot.as_ref().map(|snapshot| snapshot.market.prices.endpoint_url("purchase"));
            ending::end(session, meter, &purchase.unwrap_or_default()).await;
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        let answer = if session.response_written().is_some() { None } else { self.failure(error, exchange) };
        let error_code = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        if let Some(answer) = answer
            && let Err(error) = answer.last().write(session).await
        {
            tracing::debug!(%error, "an error answer could not be written");
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// What the framework's errors say of a request. A query is its caller's own, and may hold a credential.
    fn request_summary(&self, session: &Session, _: &Box<Exchange>) -> String {
        let head = session.req_header();
        format!("{} {}", head.method, head.uri.path())
    }

    /// What clients do wrong is counted, and no trouble of the operator's.
    fn suppress_error_log(&self, _: &Session, exchange: &Box<Exchange>, error: &Error) -> bool {
        exchange.denial.is_some() || *error.etype() == UNPAID || *error.esource() == ErrorSource::Downstream
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Box<Exchange>) {
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        exchange.charge_abandoned(session, error);
        // What was switched to has no end of its own: it is there once the upstream has said something.
        let has_spoken = status == 101 && session.body_bytes_sent() > 0;
        self.book(exchange, status, error.is_none() || has_spoken);
    }
}
