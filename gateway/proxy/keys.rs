//! A buyer's own keys and addresses: `/x402/keys` and `/x402/link-address`.
//!
//! | request | does |
//! |---|---|
//! | `GET /x402/keys` | lists the keys, without showing them |
//! | `POST /x402/keys` | makes one more |
//! | `POST /x402/keys/rotate?id=` | makes one in place of another, or of the one that was sent |
//! | `DELETE /x402/keys/ID` | makes one open nothing |
//! | `POST /x402/link-address` | makes another wallet the buyer's |
//!
//! Who asks sends one of the keys, or the sign-in of one of the wallets.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Wanted;
use super::facts::Facts;
use super::wording::Wording;
use crate::clock::iso_millis;
use crate::payment::siwx::SignIn;
use crate::plans::{HolderId, Key, KeyHash, KeyId};
use crate::resource_server::{Credentials, Denial, ResourceServer};
use crate::x402::codec;

/// What `/x402/link-address` is sent: an address, and the text that its wallet signed.
#[derive(Deserialize)]
struct Link {
    chain: String,
    address: String,
    message: String,
    signature: String,
}

impl Wording<'_> {
    pub(super) async fn list_keys(&self, facts: &Facts, server: &ResourceServer) -> Answer {
        self.told(self.listed(facts, server).await)
    }

    pub(super) async fn add_key(&self, facts: &Facts, server: &ResourceServer) -> Answer {
        let added = async {
            let holder = self.manager(facts, server).await?;
            self.issued(server, &holder, None).await
        };
        self.told(added.await)
    }

    pub(super) async fn rotate_key(&self, facts: &Facts, server: &ResourceServer) -> Answer {
        self.told(self.rotated(facts, server).await)
    }

    pub(super) async fn revoke_key(&self, id: &str, facts: &Facts, server: &ResourceServer) -> Answer {
        let revoked = async {
            let holder = self.manager(facts, server).await?;
            server.revoke(&holder, &KeyId::new(id)).await?;
            Ok(Answer::json(StatusCode::OK, json!({ "status": "ok", "id": id, "revoked": true }).to_string()))
        };
        self.told(revoked.await)
    }

    pub(super) async fn link_address(&self, facts: &Facts, body: &[u8], server: &ResourceServer) -> Answer {
        let Ok(Link { chain, address, message, signature }) = serde_json::from_slice(body) else {
            let details = json!({ "reason": "invalid_body" });
            let message = "Send JSON with chain, address, message and signature.";
            return self.problem(400, "invalid_body", message, details);
        };
        let linked = async {
            let holder = self.manager(facts, server).await?;
            let sign_in = SignIn::Authorization(format!("{}.{signature}", codec::encode_bytes(message.as_bytes())));
            let linked = server.link(self.market, &holder, &chain, &address, &sign_in).await?;
            let body = json!({ "status": "ok", "chain": &*linked.chain, "address": &*linked.address });
            Ok(Answer::json(StatusCode::OK, body.to_string()))
        };
        self.told(linked.await)
    }

    async fn listed(&self, facts: &Facts, server: &ResourceServer) -> Result<Answer, Denial> {
        let holder = self.manager(facts, server).await?;
        let keys: Vec<_> = server.keys_of(&holder).await?.iter().map(key_json).collect();
        Ok(Answer::json(StatusCode::OK, json!({ "holder": holder.as_str(), "keys": keys }).to_string()))
    }

    async fn rotated(&self, facts: &Facts, server: &ResourceServer) -> Result<Answer, Denial> {
        let holder = self.manager(facts, server).await?;
        let named = facts.target.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("id=")));
        let replaced = match (named, &facts.credential) {
            (Some(id), _) => KeyId::new(id),
            (None, Some(credential)) => server.key_id(&KeyHash::of(&credential.key)).await?,
            (None, None) => {
                let details = json!({ "reason": "missing_key_id" });
                return Ok(self.problem(400, "missing_key_id", "Say which key: ?id=KEY_ID.", details));
            }
        };
        self.issued(server, &holder, Some(&replaced)).await
    }

    async fn issued(
        &self,
        server: &ResourceServer,
        holder: &HolderId,
        replaces: Option<&KeyId>,
    ) -> Result<Answer, Denial> {
        let (prefix, most) = (&self.market.key_prefix, self.market.terms.keys_max);
        let (key, text) = server.issue(prefix, holder, replaces, most).await?;
        let mut body = key_json(&key);
        if let Some(members) = body.as_object_mut() {
            members.insert("apiKey".to_owned(), Value::from(text.reveal()));
            members.extend(replaces.map(|replaced| ("replaces".to_owned(), Value::from(replaced.as_str()))));
        }
        Ok(Answer::json(StatusCode::CREATED, body.to_string()).with("Cache-Control", "private, no-store"))
    }

    /// Whose keys they are. A token of the operator's says who calls, not who owns.
    async fn manager(&self, facts: &Facts, server: &ResourceServer) -> Result<HolderId, Denial> {
        let credentials = Credentials { token: None, ..facts.credentials(self.market) };
        server.holder_of(self.market, credentials).await
    }

    /// Whoever is not known gets 401: nothing can be bought here.
    fn told(&self, result: Result<Answer, Denial>) -> Answer {
        match result {
            Ok(answer) => answer,
            Err(Denial::Shortfall(shortfall)) => self.unknown_caller(shortfall.reason()),
            Err(denial) => self.denial(&denial, Wanted { offer: None, resource: "", plans: true }),
        }
    }

    /// 401: no credential, or one that leads nowhere.
    pub(super) fn unknown_caller(&self, reason: &str) -> Answer {
        let message = "Send a working API key, or a wallet's sign-in, of whoever asks.";
        self.problem(401, reason, message, json!({ "reason": reason })).with("WWW-Authenticate", "Bearer, SIWX")
    }
}

fn key_json(key: &Key) -> Value {
    json!({
        "id": key.id.as_str(),
        "hint": format!("{}…", key.hint),
        "origin": key.origin.as_str(),
        "createdAt": iso_millis(key.created_at),
        "revokedAt": key.revoked_at.map(iso_millis),
        "active": key.is_working(),
    })
}
