//! What a wallet that signs in gets back: its plan's status, and the key that it bought.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::endpoints::status_json;
use super::error::Wanted;
use super::wording::Wording;
use crate::payment::Shortfall;
use crate::payment::siwx::SignIn;
use crate::pricing::PlanOffer;
use crate::resource_server::{Denial, Market, ResourceServer};

impl Wording<'_> {
    /// The answer to a purchase of what the wallet holds already, without a charge. None if it is for sale to it: it
    /// holds nothing or another plan, or its plan is used up.
    pub(super) async fn bought_before(
        &self,
        sign_in: &SignIn,
        plan: &PlanOffer,
        server: &ResourceServer,
        market: &Arc<Market>,
    ) -> Option<Answer> {
        match server.holding(market, sign_in).await {
            Ok(held) => {
                let held = held.filter(|held| held.subscription.plan.name == plan.plan.name && !held.is_used_up())?;
                Some(self.bought(&held.subscription, held.receipt.as_ref(), &held.key))
            }
            Err(denial) => {
                let resource = format!("{}?plan={}", market.prices.endpoint_url("purchase"), plan.plan.name);
                Some(self.denial(&denial, Wanted { offer: Some(&plan.offer), resource: &resource, plans: false }))
            }
        }
    }

    /// What the wallet holds now, and the key to it.
    pub(super) async fn status_of_wallet(
        &self,
        sign_in: &SignIn,
        server: &ResourceServer,
        market: &Arc<Market>,
    ) -> Answer {
        let body = match server.holding(market, sign_in).await {
            Ok(Some(held)) => {
                let mut body = status_json(&held.status);
                if let Some(members) = body.as_object_mut() {
                    members.insert("apiKey".to_owned(), Value::from(held.key.reveal()));
                }
                body
            }
            Ok(None) => json!({
                "plan": null,
                "quota": { "used": 0, "total": 0 },
                "expiresAt": null,
                "active": false,
                "apiKey": null,
            }),
            Err(Denial::Shortfall(Shortfall::SignIn(refused))) => {
                let details = json!({ "reason": refused.reason });
                return self.problem(401, &refused.reason, &refused.message, details).with("WWW-Authenticate", "SIWX");
            }
            Err(denial) => return self.denial(&denial, Wanted { offer: None, resource: "", plans: true }),
        };
        Answer::json(StatusCode::OK, body.to_string()).with("Cache-Control", "private, no-store")
    }
}
