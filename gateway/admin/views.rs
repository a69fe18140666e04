//! What the operator is shown of the register, as JSON: by the API, and by the commands with `--json`.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::clock::iso_millis;
use crate::plans::{Allowance, Holder, Key, Subscription, Units, allow};
use crate::store::{HolderAct, KeyEntry, SubscriptionEntry, Used};

/// A subscription in a list.
pub fn subscription(entry: &SubscriptionEntry, now: SystemTime) -> Value {
    let more = json!({
        "name": entry.name.as_deref(),
        "payment": entry.payment.as_ref().map(ToString::to_string),
        "createdAt": iso_millis(entry.created_at),
        "replacedBy": entry.replaced_by.as_ref().map(ToString::to_string),
        "active": entry.replaced_by.is_none() && runs(&entry.subscription, now),
    });
    joined(held(&entry.subscription, now), more)
}

/// What somebody holds.
pub fn held(bought: &Subscription, now: SystemTime) -> Value {
    json!({
        "id": bought.id.as_str(),
        "holder": bought.holder.as_str(),
        "plan": &*bought.plan.name,
        "units": bought.units.map(Units::to_json),
        "used": bought.used.to_json(),
        "rate": bought.plan.rate.map(|rate| rate.to_string()),
        "expiresAt": iso_millis(bought.expires_at),
        "active": runs(bought, now),
        "chain": text(&bought.chain),
        "address": text(&bought.payer),
    })
}

/// A key in a list, with what it opens.
pub fn key_entry(entry: &KeyEntry, now: SystemTime) -> Value {
    let current = entry.current.as_ref();
    let more = json!({
        "name": entry.name.as_deref(),
        "active": entry.key.is_working() && current.is_some_and(|current| runs(current, now)),
        "subscription": current.map(|current| held(current, now)),
    });
    joined(key(&entry.key), more)
}

/// A key, without what it opens, and never in the clear.
pub fn key(key: &Key) -> Value {
    json!({
        "id": key.id.as_str(),
        "holder": key.holder.as_str(),
        "hint": format!("{}…", key.hint),
        "origin": key.origin.as_str(),
        "createdAt": iso_millis(key.created_at),
        "revokedAt": key.revoked_at.map(iso_millis),
    })
}

/// A holder with all that is known of them.
pub fn holder(
    holder: &Holder,
    subscriptions: &[SubscriptionEntry],
    keys: &[Key],
    acts: &[HolderAct],
    now: SystemTime,
) -> Value {
    let address = |it: &crate::plans::HolderAddress| json!({ "chain": &*it.chain, "address": &*it.address, "network": it.network.as_deref() });
    json!({
        "id": holder.id.as_str(),
        "name": holder.name.as_deref(),
        "addresses": holder.addresses.iter().map(address).collect::<Vec<_>>(),
        "createdAt": iso_millis(holder.created_at),
        "subscriptions": subscriptions.iter().map(|entry| subscription(entry, now)).collect::<Vec<_>>(),
        "keys": keys.iter().map(key).collect::<Vec<_>>(),
        "acts": acts.iter().map(act).collect::<Vec<_>>(),
    })
}

/// Calls of a group; what they are not grouped by is left out.
pub fn used(used: &Used) -> Value {
    let groups = [
        ("day", used.day.map(|day| day.to_string())),
        ("holder", used.holder.as_ref().map(ToString::to_string)),
        ("key", used.key.clone()),
        ("route", used.route.clone()),
    ];
    let groups = groups.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    joined(groups.collect(), json!({ "calls": used.calls, "units": used.units.to_json() }))
}

fn act(act: &HolderAct) -> Value {
    json!({
        "at": iso_millis(act.at),
        "act": act.act,
        "key": act.key.as_ref().map(ToString::to_string),
        "detail": act.detail,
    })
}

/// The members of both; where both have one, that of the second.
pub(super) fn joined(mut one: Value, other: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (one.as_object_mut(), other) {
        members.extend(more);
    }
    one
}

fn runs(bought: &Subscription, now: SystemTime) -> bool {
    allow(bought.expires_at, now) == Allowance::Allowed
}

fn text(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
