//! `tollgate keys export`: all keys by their hashes, page by page.

use alloy_primitives::hex;
use serde_json::Value;

use super::sink::Sink;
use super::{Failed, Open};
use crate::cli::payments::Format;
use crate::clock::iso_millis;
use crate::plans::{Rate, Units};
use crate::store::{KeyEntry, Register as _, Selection};

/// Keys in one read.
const PAGE: u32 = 500;

/// What an import of the same reads back.
const COLUMNS: [&str; 16] = [
    "id",
    "hash",
    "hint",
    "origin",
    "holder",
    "name",
    "plan",
    "units",
    "used",
    "expires_at",
    "rate",
    "burst",
    "chain",
    "address",
    "created_at",
    "revoked_at",
];

pub(super) async fn run(open: &Open, selection: &Selection, format: Format) -> Result<(), Failed> {
    let (mut sink, mut last) = (Sink::new(COLUMNS.to_vec(), format)?, None);
    loop {
        let page = open.store.keys(selection, last.as_ref(), PAGE).await?;
        page.iter().try_for_each(|entry| sink.put(row(entry)))?;
        last = page.into_iter().next_back().map(|entry| entry.key.id);
        if last.is_none() {
            return sink.end();
        }
    }
}

fn row(entry: &KeyEntry) -> Vec<Value> {
    let (key, current) = (&entry.key, entry.current.as_ref());
    vec![
        Value::from(key.id.as_str()),
        Value::from(hex::encode(entry.hash.0)),
        Value::from(&*key.hint),
        Value::from(key.origin.as_str()),
        Value::from(key.holder.as_str()),
        Value::from(entry.name.as_deref()),
        Value::from(current.map(|current| &*current.plan.name)),
        Value::from(current.and_then(|current| current.units).map(Units::to_json)),
        Value::from(current.map(|current| current.used.to_json())),
        Value::from(current.map(|current| iso_millis(current.expires_at))),
        Value::from(current.and_then(|current| current.plan.rate).map(|rate: Rate| rate.to_string())),
        Value::from(current.and_then(|current| current.plan.burst)),
        Value::from(current.map(|current| &*current.chain)),
        Value::from(current.map(|current| &*current.payer)),
        Value::from(iso_millis(key.created_at)),
        Value::from(key.revoked_at.map(iso_millis)),
    ]
}
