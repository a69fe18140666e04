//! `tollgate keys show`: everything that is known of a holder.

use std::io::{Write as _, stdout};
use std::time::SystemTime;

use super::list::used;
use super::{Failed, Open};
use crate::cli::payments::readable;
use crate::clock::iso_millis;
use crate::plans::{Holder, Key, KeyId};
use crate::resource_server::Unregistered;
use crate::store::{HolderAct, KeyStore as _, Register as _, Selection, SubscriptionEntry};

/// The most subscriptions that are shown.
const SUBSCRIPTIONS_SHOWN: u32 = 100;

pub(super) async fn run(open: &Open, named: &str) -> Result<(), Failed> {
    let by_key = open.store.key_entry(&KeyId::new(named)).await?.map(|entry| entry.key.holder);
    let id = match by_key {
        Some(id) => Some(id),
        None => open.store.holder_named(named).await?,
    };
    let nobody = || Unregistered::NoHolder(named.to_owned());
    let holder = open.store.holder(&id.ok_or_else(nobody)?).await?.ok_or_else(nobody)?;
    let theirs = Selection { holder: Some(holder.id.to_string()), ..Selection::default() };
    let subscriptions = open.store.subscriptions(&theirs, None, SUBSCRIPTIONS_SHOWN).await?;
    let (keys, acts) = (open.store.keys_of(&holder.id).await?, open.store.acts(&holder.id).await?);
    let now = SystemTime::now();
    let about = about(&holder).into_iter();
    let lines = about
        .chain(subscriptions.iter().map(|entry| ("subscription", subscription(entry, now))))
        .chain(keys.iter().map(|it| ("key", key(it))))
        .chain(acts.iter().map(|it| ("operator", act(it))));
    let text: String = lines.map(|(name, value)| format!("{name:<14} {}\n", readable(&value))).collect();
    Ok(stdout().write_all(text.as_bytes())?)
}

fn about(holder: &Holder) -> Vec<(&'static str, String)> {
    let mut lines = vec![("holder", holder.id.to_string())];
    lines.extend(holder.name.as_deref().map(|name| ("name", name.to_owned())));
    lines.push(("since", iso_millis(holder.created_at)));
    lines.extend(holder.addresses.iter().map(|it| ("address", format!("{} ({})", it.address, it.chain))));
    lines
}

fn subscription(entry: &SubscriptionEntry, now: SystemTime) -> String {
    let bought = &entry.subscription;
    let end = match (&entry.replaced_by, bought.expires_at <= now) {
        (Some(other), _) => format!("replaced by {other}"),
        (None, true) => format!("ended {}", iso_millis(bought.expires_at)),
        (None, false) => format!("until {}", iso_millis(bought.expires_at)),
    };
    let origin = entry.payment.as_ref().map_or("given".to_owned(), |payment| format!("bought by {payment}"));
    format!("{}: plan {}, {} units used, {end}, {origin}", bought.id, bought.plan.name, used(bought))
}

fn key(key: &Key) -> String {
    let revoked = key.revoked_at.map(|at| format!(", revoked {}", iso_millis(at))).unwrap_or_default();
    format!("{}: {}…, {} {}{revoked}", key.id, key.hint, key.origin.as_str(), iso_millis(key.created_at))
}

fn act(act: &HolderAct) -> String {
    let key = act.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
    format!("{} {}{key}: {}", iso_millis(act.at), act.act, act.detail)
}
