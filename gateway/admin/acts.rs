//! What the operator does through the API.

use std::time::SystemTime;

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::query::Query;
use super::reply::{Problem, reply};
use super::views;
use crate::clock::parse_rfc3339;
use crate::plans::{ApiKey, Key, KeyId, Units};
use crate::resource_server::{Gift, Registrar};

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

pub(super) async fn make(
    registrar: &Registrar<'_>,
    body: &[u8],
    query: Query,
    now: SystemTime,
) -> Result<Response<Vec<u8>>, Problem> {
    query.end()?;
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

pub(super) async fn rotate(registrar: &Registrar<'_>, id: &KeyId, query: Query) -> Result<Response<Vec<u8>>, Problem> {
    query.end()?;
    let (key, text) = registrar.rotate(id).await?;
    Ok(made(&key, &text, json!({ "replaces": id.as_str() })))
}

pub(super) async fn revoke(registrar: &Registrar<'_>, id: &KeyId, query: Query) -> Result<Response<Vec<u8>>, Problem> {
    query.end()?;
    let key = registrar.revoke(id).await?;
    Ok(reply(StatusCode::OK, &json!({ "id": id.as_str(), "holder": key.holder.as_str(), "revoked": true })))
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
    let wrong = || Problem::bad("invalid_expiry", "expiresAt is not a time like 2026-01-31T12:00:00Z");
    parse_rfc3339(text).ok_or_else(wrong)
}
