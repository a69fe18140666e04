//! What an upstream is shown, so that it can refuse whoever goes around the gateway: headers of the operator's, and what
//! the gateway knows of the call, signed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr as _};

use super::facts::Facts;
use super::upstream::Upstream;
use super::{Exchange, Gateway, Snapshot};
use crate::config::ContextConfig;
use crate::context::{Access, Claims};
use crate::payment::Presented;
use crate::resource_server::Pass;

const CONTEXT: &str = "X-Tollgate-Context";
/// As many as a UUID has.
const ID_BYTES: usize = 16;

impl Snapshot {
    /// Whether some upstream is told what the gateway knows.
    pub(super) fn signs_contexts(&self) -> bool {
        self.upstreams.values().any(|upstream| upstream.config().context.is_some())
    }
}

impl Gateway {
    /// Adds what the upstream asks for. To be called last: nothing that the client sent may be left under these names.
    pub(super) fn vouch(
        &self,
        request: &mut RequestHeader,
        facts: &Facts,
        upstream: &Upstream,
        pass: &Pass,
        exchange: &Exchange,
    ) -> pingora::Result<()> {
        for (name, value) in &upstream.headers {
            request.insert_header(name.clone(), value.clone())?;
        }
        let (Some(context), Some(snapshot)) = (&upstream.config().context, &exchange.snapshot) else { return Ok(()) };
        let issuer = &snapshot.market.prices.public_url;
        let route = exchange.route.as_ref().map(|route| route.pattern.as_str());
        let mut value = HeaderValue::try_from(self.context(context, issuer, route, facts, pass))
            .or_err(ErrorType::InternalError, "a token that is no header")?;
        value.set_sensitive(true);
        request.insert_header(CONTEXT, value)
    }

    fn context(
        &self,
        context: &ContextConfig,
        issuer: &str,
        route: Option<&str>,
        facts: &Facts,
        pass: &Pass,
    ) -> String {
        let mut random = [0; ID_BYTES];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let issued_at = self.server.now();
        self.server.contexts.token(&Claims {
            issuer,
            audience: &context.audience,
            issued_at,
            expires_at: issued_at.saturating_add(context.ttl.as_secs()),
            id: &URL_SAFE_NO_PAD.encode(random),
            method: facts.method.as_str(),
            path: facts.target.as_str(),
            route,
            access: access(pass),
        })
    }
}

fn access(pass: &Pass) -> Access<'_> {
    match pass {
        Pass::Free => Access::Free,
        Pass::Trial(_) => Access::Trial,
        Pass::Plan(reservation) => {
            let bought = reservation.account().subscription();
            let payer = Some(&*bought.payer).filter(|payer| !payer.is_empty());
            Access::Plan { plan: &bought.plan.name, payer }
        }
        Pass::Verified(verified) => paid(verified.presented(), verified.payer(), false),
        Pass::Settled(settled) => paid(&settled.presented, settled.receipt.payer.as_deref(), true),
    }
}

fn paid<'a>(presented: &'a Presented, payer: Option<&'a str>, settled: bool) -> Access<'a> {
    Access::Paid {
        settled,
        payment_id: presented.id.as_str(),
        payer,
        network: presented.terms.network.caip2(),
        asset: presented.terms.asset.address.to_string(),
        amount: presented.amount().to_string(),
    }
}
