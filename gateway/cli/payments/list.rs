//! `tollgate payments list`: a table for people.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _, stdout};
use std::time::SystemTime;

use super::advice::{Facts, advice};
use super::export::put_json;
use super::filter::FilterArgs;
use super::row::{Row, readable};
use super::{Failed, Open};
use crate::payment::State;
use crate::store::{Books as _, Entry, Order};

/// The most payments that are advised on; the rest is counted.
const ADVISED_MAX: usize = 10;

const HEAD: [&str; 8] = ["TIME", "ID", "STATE", "AMOUNT", "NETWORK", "PAYER", "OFFER", "TRANSACTION OR REASON"];

pub(super) async fn run(open: &Open, filter: &FilterArgs, limit: u32, json: bool) -> Result<(), Failed> {
    let page = open.store.page(&filter.filter(), Order::NewestFirst, None, limit).await?;
    let rows: Vec<_> = page.iter().map(|entry| Row::new(entry, &open.config)).collect();
    let mut out = BufWriter::new(stdout());
    if json {
        rows.iter().try_for_each(|row| put_json(&mut out, row))?;
    } else {
        out.write_all(table(&rows).as_bytes())?;
        if u32::try_from(rows.len()).is_ok_and(|shown| shown == limit) {
            writeln!(out, "\nThere may be more: --limit {limit} shows the newest of them.")?;
        }
        out.write_all(to_do(open, &page).as_bytes())?;
    }
    Ok(out.flush()?)
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no payments\n".to_owned();
    }
    let lines: Vec<[String; HEAD.len()]> = rows.iter().map(cells).collect();
    let mut widths = HEAD.map(str::len);
    for line in &lines {
        widths.iter_mut().zip(line).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let mut text = String::new();
    for line in std::iter::once(&HEAD.map(str::to_owned)).chain(&lines) {
        let padded: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; HEAD.len()] {
    let seconds = row.time.split_once('.').map_or(row.time.as_str(), |(seconds, _)| seconds);
    let end = row.transaction.as_ref().or(row.reason.as_ref()).map_or("", String::as_str);
    [
        format!("{seconds}Z"),
        row.id.clone(),
        row.state.to_owned(),
        row.money(),
        row.network.clone(),
        row.payer.as_deref().map(readable).unwrap_or_default(),
        readable(&format!("{} {}", row.kind, row.offer)),
        readable(end),
    ]
}

/// What to do about payments that are open or owed.
fn to_do(open: &Open, page: &[Entry]) -> String {
    let to_do: Vec<_> =
        page.iter().filter(|entry| matches!(entry.state, State::Settling | State::Unknown | State::Settled)).collect();
    let (now, file) = (SystemTime::now(), open.file.display().to_string());
    let mut text = String::new();
    for entry in to_do.iter().take(ADVISED_MAX) {
        let row = Row::new(entry, &open.config);
        let advice = advice(&Facts::of(entry), &row, &file, now);
        let _ = write!(text, "\n{} is {}.\n  {advice}\n", entry.id, entry.state);
    }
    match to_do.len().saturating_sub(ADVISED_MAX) {
        0 => {}
        more => {
            let _ = writeln!(text, "\n{more} more are open or owed; tollgate payments show {file} ID says what to do.");
        }
    }
    text
}
