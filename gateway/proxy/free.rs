//! Calls that cost nothing: those on paths that no route names, and those that an address has free.

use std::sync::Arc;
use std::time::Duration;

use pingora::http::ResponseHeader;

use super::Gateway;
use super::answer::Answer;
use super::error::Wanted;
use super::exchange::Exchange;
use super::facts::Facts;
use super::wording::Wording;
use crate::resource_server::{Market, Pass};
use crate::screening::FreeCall;

impl Gateway {
    /// Lets a call pass to a path that no route names, or says why not.
    pub(super) fn admit_unlisted(
        &self,
        market: &Arc<Market>,
        facts: &Facts,
        exchange: &mut Exchange,
    ) -> Option<Answer> {
        let key = facts.credential.as_ref().map(|credential| credential.key.as_str());
        match self.server.may_call(market, key, facts.client.address) {
            Ok(()) => {
                exchange.upstream = exchange.snapshot.as_ref().and_then(|all| all.upstreams.get("").cloned());
                exchange.pass = Some(Pass::Free);
                None
            }
            Err(denial) => {
                exchange.outcome = Some(denial.outcome());
                self.metrics.denied(&denial);
                let wanted = Wanted { offer: None, resource: "", plans: false };
                Some(Wording::new(market, &self.server).denial(&denial, wanted))
            }
        }
    }
}

/// Ends a free call by its answer: an upstream's own failures are not the caller's. Says how many are left, in the words
/// of draft-ietf-httpapi-ratelimit-headers.
pub(super) fn count(call: FreeCall, response: &mut ResponseHeader) -> pingora::Result<()> {
    let failed = response.status.is_server_error();
    let left = call.remaining + u32::from(failed);
    let policy = format!("\"free\";q={};w={}", call.limit, whole_seconds(call.per));
    let state = format!("\"free\";r={left};t={}", whole_seconds(call.resets_in));
    if !failed {
        call.keep();
    }
    response.insert_header("RateLimit-Policy", policy)?;
    response.insert_header("RateLimit", state)
}

/// Rounded up: who waits so long has waited long enough.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
