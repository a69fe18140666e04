//! The gateway's own public endpoints below `/x402`. They are never forwarded.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use super::answer::Answer;
use super::error::Wanted;
use super::facts::Facts;
use super::headers::receipt;
use super::wording::Wording;
use crate::clock::iso_millis;
use crate::payment::plans_json;
use crate::plans::{ApiKey, Subscription};
use crate::pricing::{Endpoint, PlanOffer};
use crate::resource_server::{Denial, Market, ResourceServer, Sold};
use crate::x402::facilitator::SettleResponse;

/// The answer of an endpoint, and what came of a purchase.
pub(super) struct Served {
    pub(super) answer: Answer,
    pub(super) result: Option<Result<Box<Sold>, Denial>>,
}

impl From<Answer> for Served {
    fn from(answer: Answer) -> Self {
        Self { answer, result: None }
    }
}

impl Wording<'_> {
    /// Answers a request for one of them.
    pub(super) async fn endpoint(
        &self,
        endpoint: Endpoint,
        facts: &Facts,
        body: &[u8],
        server: &Arc<ResourceServer>,
        market: &Arc<Market>,
    ) -> Served {
        let allowed: &[Method] = match endpoint {
            Endpoint::Purchase | Endpoint::Keys => &[Method::GET, Method::HEAD, Method::POST],
            Endpoint::RotateKey | Endpoint::LinkAddress => &[Method::POST],
            Endpoint::Key => &[Method::DELETE],
            _ => &[Method::GET, Method::HEAD],
        };
        if endpoint == Endpoint::Unknown {
            return self.problem(404, "not_found", "There is no such endpoint.", json!({})).into();
        }
        if !allowed.contains(&facts.method) {
            let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
            let answer = self.problem(405, "method_not_allowed", "The method is not allowed here.", json!({}));
            return answer.with("Allow", names.join(", ").as_str()).into();
        }
        match endpoint {
            Endpoint::Pricing => self.pricing().into(),
            Endpoint::Status => self.status(facts, server).await.into(),
            Endpoint::Keys if facts.method == Method::POST => self.add_key(facts, server).await.into(),
            Endpoint::Keys => self.list_keys(facts, server).await.into(),
            Endpoint::RotateKey => self.rotate_key(facts, server).await.into(),
            Endpoint::Key => {
                let id = facts.target.path().rsplit('/').next().unwrap_or_default();
                self.revoke_key(id, facts, server).await.into()
            }
            Endpoint::LinkAddress => self.link_address(facts, body, server).await.into(),
            Endpoint::Jwks => Answer::json(StatusCode::OK, server.contexts.jwks().to_owned())
                .with("Cache-Control", "public, max-age=300")
                .into(),
            Endpoint::Purchase | Endpoint::Unknown => self.purchase(facts, server, market).await,
        }
    }

    fn pricing(&self) -> Answer {
        let table = &self.market.prices;
        let mut networks: Vec<&str> = Vec::new();
        for terms in table.plans.iter().flat_map(|plan| plan.offer.terms.iter()) {
            if !networks.contains(&terms.network.caip2()) {
                networks.push(terms.network.caip2());
            }
        }
        let body = json!({
            "plans": plans_json(table),
            "currency": "USD",
            "asset": "USDC",
            "networks": networks,
            "paymentMethods": ["x402"],
            "purchaseUrl": table.endpoint_url("purchase"),
            "note": "Buy a plan by paying GET purchaseUrl?plan=NAME with any x402 client. Clients refuse more than \
                     1 USD unless their spend limit is raised.",
        });
        Answer::json(StatusCode::OK, body.to_string())
    }

    async fn purchase(&self, facts: &Facts, server: &Arc<ResourceServer>, market: &Arc<Market>) -> Served {
        let plan = match self.wanted_plan(facts) {
            Ok(plan) => plan,
            Err(answer) => return (*answer).into(),
        };
        // HEAD is the challenge's headers: a payment in it would buy something that nobody can read.
        let payment = facts.payment.as_ref().filter(|_| facts.method != Method::HEAD);
        // A payment decides over a sign-in: who sends one means to pay.
        let sign_in = facts.sign_in.as_ref().filter(|_| payment.is_none() && facts.method != Method::HEAD);
        if let Some(sign_in) = sign_in
            && let Some(answer) = self.bought_before(sign_in, &plan, server, market).await
        {
            return answer.into();
        }
        match server.purchase(market, &plan, payment.map(http::HeaderValue::as_bytes), facts.client.address).await {
            Ok(sold) => Served { answer: self.sold(&sold), result: Some(Ok(Box::new(sold))) },
            Err(Denial::Shortfall(_)) if plan.is_withdrawn() && market.prices.plan(&plan.plan.name).is_none() => {
                self.unknown_plan().into()
            }
            Err(denial) => {
                let resource = format!("{}?plan={}", market.prices.endpoint_url("purchase"), plan.plan.name);
                let wanted = Wanted { offer: Some(&plan.offer), resource: &resource, plans: false };
                Served { answer: self.denial(&denial, wanted), result: Some(Err(denial)) }
            }
        }
    }

    /// The plan that `?plan=` names. Never a 402: a client would try to pay it.
    ///
    /// One that was taken from the file is still there for a payment that was quoted for it: a quote holds for its time,
    /// and whoever has paid may ask again.
    fn wanted_plan(&self, facts: &Facts) -> Result<Arc<PlanOffer>, Box<Answer>> {
        let table = &self.market.prices;
        let query = facts.target.query().unwrap_or_default();
        let mut named = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(name, _)| *name == "plan");
        match (named.next(), named.next()) {
            (None, _) | (Some((_, "")), None) => {
                let message = "Say which plan: ?plan=NAME. The plans are listed at pricingUrl.";
                Err(Box::new(self.no_plan(400, "missing_plan", message)))
            }
            (Some(_), Some(_)) => Err(Box::new(self.no_plan(400, "ambiguous_plan", "Name one plan."))),
            (Some((_, name)), None) => match table.plan(name) {
                Some(plan) => Ok(Arc::clone(plan)),
                None => {
                    let withdrawn = facts.payment.as_ref().and_then(|_| PlanOffer::withdrawn(name));
                    withdrawn.map(Arc::new).ok_or_else(|| Box::new(self.unknown_plan()))
                }
            },
        }
    }

    fn unknown_plan(&self) -> Answer {
        self.no_plan(404, "unknown_plan", "There is no plan of that name.")
    }

    fn no_plan(&self, status: u16, error: &str, message: &str) -> Answer {
        let names: Vec<_> = self.market.prices.plans.iter().map(|plan| &*plan.plan.name).collect();
        self.problem(status, error, message, json!({ "reason": error, "plans": names }))
    }

    fn sold(&self, sold: &Sold) -> Answer {
        self.bought(&sold.subscription, Some(&sold.receipt), Some(&sold.key)).with_all(receipt(&sold.receipt))
    }

    /// What the buyer of a plan is told, now and whenever it is asked for again.
    pub(super) fn bought(
        &self,
        bought: &Subscription,
        receipt: Option<&SettleResponse>,
        key: Option<&ApiKey>,
    ) -> Answer {
        let body = json!({
            "status": "ok",
            "plan": &*bought.plan.name,
            "chain": &*bought.chain,
            "address": &*bought.payer,
            "expiresAt": iso_millis(bought.expires_at),
            "txHash": receipt.map(|receipt| &receipt.transaction),
            "apiKey": key.map(ApiKey::reveal),
        });
        Answer::json(StatusCode::OK, body.to_string()).with("Cache-Control", "private, no-store")
    }
}
