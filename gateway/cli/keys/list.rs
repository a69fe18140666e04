//! `tollgate keys list`: a table for people.

use std::io::{BufWriter, Write as _, stdout};
use std::time::SystemTime;

use super::{Failed, Open};
use crate::admin::views;
use crate::cli::payments::readable;
use crate::clock::iso_millis;
use crate::plans::{Subscription, Units};
use crate::store::{KeyEntry, Register as _, Selection};

const HEAD: [&str; 7] = ["MADE", "ID", "KEY", "HOLDER", "PLAN", "USED", "UNTIL"];

pub(super) async fn run(open: &Open, selection: &Selection, limit: u32, json: bool) -> Result<(), Failed> {
    let (page, now) = (open.store.keys(selection, None, limit).await?, SystemTime::now());
    let mut out = BufWriter::new(stdout());
    if json {
        page.iter().try_for_each(|entry| writeln!(out, "{}", views::key_entry(entry, now)))?;
    } else if page.is_empty() {
        writeln!(out, "no keys")?;
    } else {
        let lines: Vec<_> = page.iter().map(|entry| cells(entry, now)).collect();
        out.write_all(table(&lines).as_bytes())?;
        if u32::try_from(page.len()).is_ok_and(|shown| shown == limit) {
            writeln!(out, "\nThere may be more: --limit {limit} shows the newest of them.")?;
        }
    }
    Ok(out.flush()?)
}

fn cells(entry: &KeyEntry, now: SystemTime) -> [String; HEAD.len()] {
    let (key, current) = (&entry.key, entry.current.as_ref());
    let until = match (key.revoked_at, current) {
        (Some(revoked_at), _) => format!("revoked {}", minutes(revoked_at)),
        (None, Some(current)) if current.expires_at <= now => format!("ended {}", minutes(current.expires_at)),
        (None, Some(current)) => minutes(current.expires_at),
        (None, None) => String::new(),
    };
    [
        minutes(key.created_at),
        key.id.to_string(),
        readable(&format!("{}…", key.hint)),
        readable(entry.name.as_deref().unwrap_or(key.holder.as_str())),
        current.map(|current| readable(&current.plan.name)).unwrap_or_default(),
        current.map(used).unwrap_or_default(),
        until,
    ]
}

pub(super) fn used(bought: &Subscription) -> String {
    let units = bought.units.map_or("no limit".to_owned(), |units: Units| units.to_string());
    format!("{} of {units}", bought.used)
}

/// A time without its seconds.
fn minutes(time: SystemTime) -> String {
    iso_millis(time).get(..16).map(|minutes| format!("{minutes}Z")).unwrap_or_default()
}

fn table(lines: &[[String; HEAD.len()]]) -> String {
    let mut widths = HEAD.map(str::len);
    for line in lines {
        widths.iter_mut().zip(line).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let mut text = String::new();
    for line in std::iter::once(&HEAD.map(str::to_owned)).chain(lines) {
        let padded: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}
