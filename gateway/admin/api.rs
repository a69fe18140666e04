//! The operator's API: what `tollgate keys` does, by HTTP, for whoever has the token.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode};
use pingora::protocols::http::ServerSession;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::operation::{Asked, Operation, asked};
use super::query::Query;
use super::reply::{Problem, reply};
use super::{Admin, views};
use crate::plans::{ApiKey, HolderId, Key, KeyId, SubscriptionId, Units};
use crate::proxy::Snapshot;
use crate::resource_server::{Gift, Registrar};
use crate::store::Selection;

/// Below this path everything is the API's.
pub(super) const PREFIX: &str = "/api/";

/// The most that the API is told, and the longest wait for it.
const BODY_BYTES_MAX: usize = 16 * 1024;
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// The most subscriptions that are shown with a holder.
const SUBSCRIPTIONS_SHOWN: u32 = 1000;

/// Who acts here, as the books have it.
const WHO: &str = "the API";

/// A key that is to be made: with a plan for somebody, or for what a holder has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wish {
    plan: Option<String>,
    #[serde(rename = "for")]
    to: Option<String>,
    /// As it was written: a parser would make a double of it.
    units: Option<Box<RawValue>>,
    expires_at: Option<String>,
    holder: Option<String>,
}

impl Admin {
    pub(super) async fn api(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let now = self.server.clock().now();
        let answered = self.asked_of_api(session, now).await;
        answered.unwrap_or_else(|problem| {
            // What is left of a body that was not read would be taken for the next request.
            session.set_keepalive(None);
            problem.answer(now)
        })
    }

    async fn asked_of_api(&self, session: &mut ServerSession, now: SystemTime) -> Result<Response<Vec<u8>>, Problem> {
        let (snapshot, head) = (self.live.load_full(), session.req_header());
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let granted = authorize(&snapshot, &head.headers);
        let (operation, id) = match asked(&method, uri.path()) {
            // It says nothing of anybody; without a token there is no API that it would describe.
            Asked::For(Operation::Description, _) if snapshot.admin_token.is_some() => (Operation::Description, ""),
            asked => match granted.and(Ok(asked))? {
                Asked::For(operation, id) => (operation, id),
                Asked::Otherwise(allowed) => return Err(Problem::method(&allowed)),
                Asked::Nothing => return Err(Problem::missing("not_found", "There is no such endpoint.")),
            },
        };
        let body = body(session).await?;
        let (registrar, mut query) = (self.registrar(&snapshot), Query::parse(uri.query()));
        match operation {
            Operation::Description => description(),
            Operation::Holder => {
                query.end()?;
                self.holder(id, now).await
            }
            Operation::Subscriptions => {
                let (selection, rows, after) = (query.selection(now)?, query.rows()?, query.take("after"));
                query.end()?;
                let after = after.as_deref().map(SubscriptionId::new);
                let page = self.register.subscriptions(&selection, after.as_ref(), rows).await?;
                let next = page.last().map(|last| Value::from(last.subscription.id.as_str()));
                let shown = page.iter().map(|entry| views::subscription(entry, now)).collect();
                Ok(listed("subscriptions", shown, rows, next))
            }
            Operation::Subscription => {
                query.end()?;
                let entry = self.register.subscription_entry(&SubscriptionId::new(id)).await?;
                let entry =
                    entry.ok_or_else(|| Problem::missing("unknown_subscription", format!("{id:?} is not there")))?;
                Ok(reply(StatusCode::OK, &views::subscription(&entry, now)))
            }
            Operation::Keys => {
                let (selection, rows, after) = (query.selection(now)?, query.rows()?, query.take("after"));
                query.end()?;
                let after = after.as_deref().map(KeyId::new);
                let page = self.register.keys(&selection, after.as_ref(), rows).await?;
                let next = page.last().map(|last| Value::from(last.key.id.as_str()));
                let shown = page.iter().map(|entry| views::key_entry(entry, now)).collect();
                Ok(listed("keys", shown, rows, next))
            }
            Operation::Usage => {
                let (span, by, rows, skip) = (query.span()?, query.by()?, query.rows()?, query.skip()?);
                query.end()?;
                let page = self.register.usage(&span, &by, skip, rows).await?;
                let next = Some(Value::from(skip.saturating_add(rows)));
                Ok(listed("usage", page.iter().map(views::used).collect(), rows, next))
            }
            Operation::MakeKey => {
                query.end()?;
                make(&registrar, &body, now).await
            }
            Operation::RotateKey => {
                query.end()?;
                let (key, text) = registrar.rotate(&KeyId::new(id)).await?;
                Ok(made(&key, &text, json!({ "replaces": id })))
            }
            Operation::RevokeKey => {
                query.end()?;
                let key = registrar.revoke(&KeyId::new(id)).await?;
                Ok(reply(StatusCode::OK, &json!({ "id": id, "holder": key.holder.as_str(), "revoked": true })))
            }
        }
    }

    fn registrar<'a>(&'a self, snapshot: &'a Snapshot) -> Registrar<'a> {
        Registrar { server: &self.server, market: &snapshot.market, register: &*self.register, who: WHO }
    }

    /// Everything that is known of a holder, named by id or by name.
    async fn holder(&self, named: &str, now: SystemTime) -> Result<Response<Vec<u8>>, Problem> {
        let missing = || Problem::missing("unknown_holder", format!("there is no holder {named:?}"));
        let id: HolderId = self.holders.holder_named(named).await?.ok_or_else(missing)?;
        let holder = self.holders.holder(&id).await?.ok_or_else(missing)?;
        let theirs = Selection { holder: Some(id.as_str().to_owned()), ..Selection::default() };
        let subscriptions = self.register.subscriptions(&theirs, None, SUBSCRIPTIONS_SHOWN).await?;
        let (keys, acts) = (self.holders.keys_of(&id).await?, self.register.acts(&id).await?);
        Ok(reply(StatusCode::OK, &views::holder(&holder, &subscriptions, &keys, &acts, now)))
    }
}

/// Whether the request has the token. Without one in the configuration there is no API.
fn authorize(snapshot: &Snapshot, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &snapshot.admin_token else {
        let message =
            "The operator's API is off. server.admin_token = { env = \"NAME\" } in the configuration turns it on.";
        return Err(Problem::missing("api_off", message));
    };
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(sent), None) = (sent.next(), sent.next()) else { return Err(Problem::unauthorized("missing_token")) };
    let sent = sent.to_str().ok().and_then(|text| text.split_once(' '));
    let sent = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, sent)| sent.trim());
    let same: bool = sent.as_bytes().ct_eq(token.reveal().as_bytes()).into();
    if same { Ok(()) } else { Err(Problem::unauthorized("invalid_token")) }
}

fn description() -> Result<Response<Vec<u8>>, Problem> {
    let description = serde_json::from_str(include_str!("openapi.json"));
    let broken = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The description is broken.");
    Ok(reply(StatusCode::OK, &description.map_err(broken)?))
}

/// The whole body of a request.
async fn body(session: &mut ServerSession) -> Result<Vec<u8>, Problem> {
    let to_its_end = async {
        let mut body = Vec::new();
        loop {
            match session.read_request_body().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > BODY_BYTES_MAX => {
                    let message = "The body has more than 16 KiB.";
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(_) => return Err(Problem::bad("invalid_body", "The body broke off.")),
            }
        }
    };
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body did not come.");
    tokio::time::timeout(BODY_WAIT_MAX, to_its_end).await.unwrap_or_else(|_| Err(late()))
}

/// A page, and where the next one begins unless this is the last.
fn listed(name: &str, page: Vec<Value>, rows: u32, next: Option<Value>) -> Response<Vec<u8>> {
    let full = u32::try_from(page.len()).is_ok_and(|shown| shown == rows);
    let members =
        [(name.to_owned(), Value::Array(page)), ("next".to_owned(), next.filter(|_| full).unwrap_or_default())];
    let body = members.into_iter().collect();
    reply(StatusCode::OK, &body)
}

async fn make(registrar: &Registrar<'_>, body: &[u8], now: SystemTime) -> Result<Response<Vec<u8>>, Problem> {
    let wrong = |error: serde_json::Error| Problem::bad("invalid_body", format!("The body is wrong: {error}"));
    let wish: Wish = serde_json::from_slice(body).map_err(wrong)?;
    match wish {
        Wish { plan: Some(plan), to: Some(to), units, expires_at, holder: None } => {
            let units = units.map(|units| units_of(&units)).transpose()?;
            let expires_at = expires_at.map(|text| moment(&text)).transpose()?;
            let given = registrar.mint(&Gift { plan, to, units, expires_at }).await?;
            let subscription = views::held(&given.subscription, now);
            Ok(made(&given.key, &given.text, json!({ "subscription": subscription })))
        }
        Wish { plan: None, to: None, units: None, expires_at: None, holder: Some(holder) } => {
            let (key, text) = registrar.issue(&holder).await?;
            Ok(made(&key, &text, json!({})))
        }
        _ => {
            let message =
                "Send plan and for, with units and expiresAt if they differ from the plan's, or holder alone.";
            Err(Problem::bad("invalid_body", message))
        }
    }
}

/// The one answer that has a key in the clear.
fn made(key: &Key, text: &ApiKey, more: Value) -> Response<Vec<u8>> {
    let shown = views::joined(views::key(key), json!({ "apiKey": text.reveal() }));
    reply(StatusCode::CREATED, &views::joined(shown, more))
}

fn units_of(value: &RawValue) -> Result<Units, Problem> {
    let text = serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
    Units::parse(&text).map_err(|error| Problem::bad("invalid_units", format!("units {error}")))
}

fn moment(text: &str) -> Result<SystemTime, Problem> {
    let wrong = |_| Problem::bad("invalid_expiry", "expiresAt is not a time like 2026-01-31T12:00:00Z");
    text.parse::<jiff::Timestamp>().map(SystemTime::from).map_err(wrong)
}
