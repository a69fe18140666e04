//! What the API tells of the register.

use std::time::SystemTime;

use http::{Response, StatusCode};
use serde_json::Value;

use super::query::Query;
use super::reply::{Problem, reply};
use super::{Admin, views};
use crate::plans::{HolderId, KeyId, SubscriptionId};
use crate::store::Selection;

/// The most subscriptions that are shown with a holder.
const SUBSCRIPTIONS_SHOWN: u32 = 1000;

impl Admin {
    /// Everything that is known of a holder, named by id or by name.
    pub(super) async fn holder(
        &self,
        named: &str,
        query: Query,
        now: SystemTime,
    ) -> Result<Response<Vec<u8>>, Problem> {
        query.end()?;
        let missing = || Problem::missing("unknown_holder", format!("there is no holder {named:?}"));
        let id: HolderId = self.holders.holder_named(named).await?.ok_or_else(missing)?;
        let holder = self.holders.holder(&id).await?.ok_or_else(missing)?;
        let theirs = Selection { holder: Some(id.as_str().to_owned()), ..Selection::default() };
        let subscriptions = self.register.subscriptions(&theirs, None, SUBSCRIPTIONS_SHOWN).await?;
        let (keys, acts) = (self.holders.keys_of(&id).await?, self.register.acts(&id).await?);
        Ok(reply(StatusCode::OK, &views::holder(&holder, &subscriptions, &keys, &acts, now)))
    }

    pub(super) async fn subscriptions(&self, mut query: Query, now: SystemTime) -> Result<Response<Vec<u8>>, Problem> {
        let (selection, rows, after) = (query.selection(now)?, query.rows()?, query.take("after"));
        query.end()?;
        let after = after.as_deref().map(SubscriptionId::new);
        let page = self.register.subscriptions(&selection, after.as_ref(), rows).await?;
        let next = page.last().map(|last| Value::from(last.subscription.id.as_str()));
        let shown = page.iter().map(|entry| views::subscription(entry, now)).collect();
        Ok(listed("subscriptions", shown, rows, next))
    }

    pub(super) async fn subscription(
        &self,
        id: &str,
        query: Query,
        now: SystemTime,
    ) -> Result<Response<Vec<u8>>, Problem> {
        query.end()?;
        let missing = || Problem::missing("unknown_subscription", format!("there is no subscription {id:?}"));
        let entry = self.register.subscription_entry(&SubscriptionId::new(id)).await?.ok_or_else(missing)?;
        Ok(reply(StatusCode::OK, &views::subscription(&entry, now)))
    }

    pub(super) async fn keys(&self, mut query: Query, now: SystemTime) -> Result<Response<Vec<u8>>, Problem> {
        let (selection, rows, after) = (query.selection(now)?, query.rows()?, query.take("after"));
        query.end()?;
        let after = after.as_deref().map(KeyId::new);
        let page = self.register.keys(&selection, after.as_ref(), rows).await?;
        let next = page.last().map(|last| Value::from(last.key.id.as_str()));
        let shown = page.iter().map(|entry| views::key_entry(entry, now)).collect();
        Ok(listed("keys", shown, rows, next))
    }

    pub(super) async fn usage(&self, mut query: Query) -> Result<Response<Vec<u8>>, Problem> {
        let (span, by, rows, skip) = (query.span()?, query.by()?, query.rows()?, query.skip()?);
        query.end()?;
        let page = self.register.usage(&span, &by, skip, rows).await?;
        let next = Some(Value::from(skip.saturating_add(rows)));
        Ok(listed("usage", page.iter().map(views::used).collect(), rows, next))
    }
}

/// A page, and where the next one begins unless this is the last.
fn listed(name: &str, page: Vec<Value>, rows: u32, next: Option<Value>) -> Response<Vec<u8>> {
    let full = u32::try_from(page.len()).is_ok_and(|shown| shown == rows);
    let members =
        [(name.to_owned(), Value::Array(page)), ("next".to_owned(), next.filter(|_| full).unwrap_or_default())];
    let body = members.into_iter().collect();
    reply(StatusCode::OK, &body)
}
