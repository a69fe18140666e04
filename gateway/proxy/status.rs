//! `GET /x402/status`: how a subscription stands.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Wanted;
use super::facts::Facts;
use super::wording::Wording;
use crate::clock::iso_millis;
use crate::payment::Shortfall;
use crate::plans::Units;
use crate::resource_server::{Credentials, Denial, ResourceServer, Status};

impl Wording<'_> {
    /// Of a key, a token, a wallet that signs in, or, if the operator lets anybody ask, of an address.
    pub(super) async fn status(&self, facts: &Facts, server: &ResourceServer) -> Answer {
        let credentials = facts.credentials(self.market);
        let result = match (credentials.sign_in, by_address(facts)) {
            (Some(sign_in), _) if credentials.key.is_none() && credentials.token.is_none() => {
                self.of_wallet(server, sign_in).await
            }
            (None, Some((chain, address))) if credentials.is_empty() && self.market.terms.status_by_address => {
                self.of_address(server, chain, address).await
            }
            _ => self.of_credential(server, credentials).await,
        };
        match result {
            Ok(body) => Answer::json(StatusCode::OK, body.to_string()).with("Cache-Control", "private, no-store"),
            Err(Denial::Shortfall(Shortfall::SignIn(refused))) => {
                let details = json!({ "reason": refused.reason });
                self.problem(401, &refused.reason, &refused.message, details).with("WWW-Authenticate", "SIWX")
            }
            Err(Denial::Shortfall(Shortfall::MissingCredentials)) => {
                let message = "Send the API key whose status you want, or a wallet's sign-in.";
                let details = json!({ "reason": "missing_credentials" });
                self.problem(401, "missing_credentials", message, details).with("WWW-Authenticate", "Bearer")
            }
            Err(Denial::Shortfall(shortfall)) => {
                let details = json!({ "reason": shortfall.reason() });
                self.problem(401, shortfall.reason(), "The API key is not valid.", details)
                    .with("WWW-Authenticate", "Bearer error=\"invalid_token\"")
            }
            Err(denial) => self.denial(&denial, Wanted { offer: None, resource: "", plans: true }),
        }
    }

    async fn of_credential(&self, server: &ResourceServer, credentials: Credentials<'_>) -> Result<Value, Denial> {
        Ok(status_json(&server.status(self.market, credentials).await?))
    }

    /// The wallet's owner is also shown the key.
    async fn of_wallet(
        &self,
        server: &ResourceServer,
        sign_in: &crate::payment::siwx::SignIn,
    ) -> Result<Value, Denial> {
        let held = server.holding(self.market, sign_in).await?;
        let mut body = held.as_ref().map_or_else(nothing, |held| status_json(&held.status));
        if let Some(members) = body.as_object_mut() {
            let key = held.and_then(|held| held.key);
            members.insert("apiKey".to_owned(), key.map_or(Value::Null, |key| Value::from(key.reveal())));
        }
        Ok(body)
    }

    async fn of_address(&self, server: &ResourceServer, chain: &str, address: &str) -> Result<Value, Denial> {
        let status = server.status_at(self.market, chain, address).await?;
        Ok(status.as_ref().map_or_else(nothing, status_json))
    }
}

/// `?chain=evm&address=0x…`
fn by_address(facts: &Facts) -> Option<(&str, &str)> {
    let query = facts.target.query()?;
    let named = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    Some((named("chain")?, named("address")?))
}

fn status_json(status: &Status) -> Value {
    json!({
        "plan": &*status.plan.name,
        "quota": {
            "used": status.used.to_json(),
            // -1 is what clients of this kind of product read as "no limit".
            "total": status.units.map_or(Value::from(-1), Units::to_json),
        },
        "rate": status.plan.rate.map(|rate| rate.to_string()),
        "expiresAt": iso_millis(status.expires_at),
        "active": status.active,
    })
}

/// The status of whoever has no plan.
fn nothing() -> Value {
    json!({ "plan": null, "quota": { "used": 0, "total": 0 }, "expiresAt": null, "active": false })
}
