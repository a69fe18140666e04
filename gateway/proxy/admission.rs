//! What becomes of a request whose route is known: a pass to the upstream, or an answer of ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::proxy::Session;

use super::answer::{Answer, read_body};
use super::error::Wanted;
use super::facts::Facts;
use super::wording::Wording;
use super::{Exchange, Gateway, kept};
use crate::crash::crash_point;
use crate::pricing::{Endpoint, Route};
use crate::resource_server::{Admitted, Call, Denial, Market};
use crate::telemetry::Outcome;

impl Gateway {
    /// The answer of an endpoint of ours.
    pub(super) async fn serve(
        &self,
        endpoint: Endpoint,
        market: &Arc<Market>,
        facts: &Facts,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Answer {
        exchange.outcome = Some(Outcome::Endpoint);
        let started = Instant::now();
        // The key is there only where some upstream is shown what it has signed.
        let unasked = endpoint == Endpoint::Jwks && !exchange.snapshot.as_ref().is_some_and(|all| all.signs_contexts());
        let endpoint = if unasked { Endpoint::Unknown } else { endpoint };
        let body = match endpoint {
            Endpoint::LinkAddress => read_body(session).await,
            _ => Vec::new(),
        };
        let served = Wording::new(market, &self.server).endpoint(endpoint, facts, &body, &self.server, market).await;
        match served.result {
            Some(Ok(sold)) => exchange.note_sale(&sold, started.elapsed()),
            Some(Err(denial)) => self.metrics.denied(&denial),
            None => {}
        }
        served.answer
    }

    /// Asks for a pass; an answer if there is none, or if the call was answered before.
    pub(super) async fn admit(
        &self,
        market: &Arc<Market>,
        route: Arc<Route>,
        facts: &Facts,
        exchange: &mut Exchange,
    ) -> Option<Answer> {
        // Of the others nobody says how long it took.
        let started = facts.payment.is_some().then(Instant::now);
        let call = Call {
            route: &route,
            method: &facts.method,
            target: facts.target.as_str(),
            credentials: facts.credentials(market),
            payment: facts.payment.as_ref().map(http::HeaderValue::as_bytes),
            client: facts.client.address,
        };
        let admitted = self.server.admit(market, call).await;
        crash_point!("call.admitted");
        exchange.upstream = exchange.snapshot.as_ref().and_then(|all| all.upstreams.get(&route.upstream).cloned());
        exchange.route = Some(Arc::clone(&route));
        match admitted {
            Ok(Admitted::Stored(response, receipt)) => {
                exchange.outcome = Some(Outcome::Paid);
                self.metrics.payment("repeated");
                Some(kept::replay(*response, &receipt))
            }
            Ok(Admitted::Pass(pass)) => {
                exchange.note_payment(&pass, started.map_or(Duration::ZERO, |started| started.elapsed()));
                exchange.pass = Some(pass);
                None
            }
            Err(denial) => {
                exchange.outcome = Some(denial.outcome());
                self.metrics.denied(&denial);
                Some(self.deny(market, &denial, &route, facts))
            }
        }
    }

    /// The answer to a call that is not served.
    pub(super) fn deny(&self, market: &Arc<Market>, denial: &Denial, route: &Route, facts: &Facts) -> Answer {
        let resource = format!("{}{}", market.prices.public_url, facts.target);
        let plans = route.access.metering().is_some();
        let wanted = Wanted { offer: route.access.offer(), resource: &resource, plans };
        Wording::new(market, &self.server).denial(denial, wanted)
    }
}
