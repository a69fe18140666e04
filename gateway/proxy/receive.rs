//! A request's way from its head to a pass, or to an answer of ours.

use std::sync::Arc;

use pingora::proxy::Session;
use serde_json::json;

use super::answer::Answer;
use super::client::Client;
use super::facts::{Facts, check_lost};
use super::preflight::preflight;
use super::wording::Wording;
use super::{Exchange, Gateway, bounds, query_key};
use crate::crash::crash_point;
use crate::pricing::{Found, Unlisted};
use crate::telemetry::Outcome;

impl Gateway {
    /// The answer to a request whose head is here. None if it goes upstream, with a pass.
    pub(super) async fn receive(&self, session: &mut Session, exchange: &mut Exchange) -> Option<Answer> {
        let snapshot = self.live.load_full();
        let market = Arc::clone(&snapshot.market);
        exchange.snapshot = Some(Arc::clone(&snapshot));
        exchange.in_flight = self.metrics.running.enter();
        let wording = || Wording::new(&market, &self.server);
        if exchange.in_flight.is_none() {
            exchange.outcome = Some(Outcome::Refused);
            let details = json!({ "reason": "shutting_down" });
            let answer = wording().problem(503, "shutting_down", "The gateway is being stopped.", details);
            return Some(answer.with("Retry-After", "1").last());
        }
        let client = Client::of(session, &snapshot.trusted_proxies);
        let head = session.req_header();
        let read = |()| Facts::read(head, client, &snapshot, &self.server);
        let facts = match check_lost(session).and_then(read) {
            Ok(facts) => facts,
            Err(bad) => {
                exchange.outcome = Some(Outcome::Refused);
                let answer = wording().bad_request(bad);
                return Some(if bad.leaves_connection() { answer } else { answer.last() });
            }
        };
        if let Some(answer) = bounds::too_large(session, &snapshot, wording) {
            exchange.outcome = Some(Outcome::Refused);
            return Some(answer);
        }
        if snapshot.key_query.is_some() {
            query_key::hide(session, &facts);
        }
        crash_point!("request.read");
        let answer = match market.prices.find(&facts.method, facts.target.path()) {
            Found::Endpoint(_) if facts.preflight => Some(preflight(session.req_header())),
            Found::Endpoint(endpoint) => Some(Box::pin(self.serve(endpoint, &market, &facts, session, exchange)).await),
            Found::Unlisted if market.prices.unlisted == Unlisted::Deny => {
                exchange.outcome = Some(Outcome::Refused);
                let details = json!({ "reason": "unlisted_path" });
                Some(wording().problem(404, "not_found", "There is nothing at this path.", details))
            }
            Found::Unlisted => self.admit_unlisted(&market, &facts, exchange),
            Found::Route(route) if facts.preflight && !route.access.is_free() => Some(preflight(session.req_header())),
            Found::Route(route) => self.admit(&market, route, &facts, exchange).await,
        };
        exchange.facts = Some(facts);
        if answer.is_none() {
            // An interim answer would go out before the settlement does.
            session.set_ignore_info_resp(exchange.is_metered());
        }
        answer
    }
}
