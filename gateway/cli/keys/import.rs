//! `tollgate keys import`: rows of an export, or keys in the clear of another system.

use std::collections::HashMap;
use std::io::{stderr, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use alloy_primitives::hex;

use super::{Failed, Open, print, who};
use crate::cli::payments::readable;
use crate::clock::parse_moment;
use crate::plans::{HolderId, HolderName, KeyHash, KeyId, Plan, Rate, Units};
use crate::resource_server::{Arrival, Imported, Registrar};

/// What is shorter can be guessed, and what is longer fits no header.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;
/// What a plan is called that no file has.
const UNNAMED_PLAN: &str = "imported";

/// A row by the names of its columns; what is empty is not there.
struct Row<'a>(HashMap<&'a str, &'a str>);

/// What became of the rows.
#[derive(Default)]
struct Count {
    now: u64,
    before: u64,
    revoked: u64,
    refused: u64,
}

pub(super) async fn run(open: &Open, keys: &Path) -> Result<ExitCode, Failed> {
    let (beside, who) = (open.beside()?, who());
    let registrar = open.registrar(&beside, &who);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(keys)?;
    let names = reader.headers()?.clone();
    let names: Vec<_> = names.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    if !names.iter().any(|name| ["key", "hash"].contains(name)) {
        return Err(Failed::Wrong("the file has neither a column \"key\" nor a column \"hash\"".to_owned()));
    }
    let mut count = Count::default();
    for record in reader.records() {
        let taken = match record.map_err(Failed::from) {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                take(&names, &record, &registrar).await.map_err(|reason| format!("line {line}: {reason}"))
            }
            Err(Failed::Wrong(reason)) => Err(reason),
            Err(error) => return Err(error),
        };
        match taken {
            Ok(Some(Imported::Now)) => count.now += 1,
            Ok(Some(Imported::Before)) => count.before += 1,
            Ok(None) => count.revoked += 1,
            Err(reason) => {
                count.refused += 1;
                print(stderr(), &readable(&reason));
            }
        }
    }
    let Count { now, before, revoked, refused } = count;
    let left_out = if revoked == 0 { String::new() } else { format!(", {revoked} revoked and left out") };
    print(stdout(), &format!("{now} imported, {before} there already{left_out}, {refused} refused"));
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Imports a row, unless its key was revoked where it comes from.
async fn take(
    names: &[&str],
    record: &csv::StringRecord,
    registrar: &Registrar<'_>,
) -> Result<Option<Imported>, String> {
    let cells = names.iter().copied().zip(record.iter().map(plain)).filter(|(_, cell)| !cell.is_empty());
    let row = Row(cells.collect());
    if row.get("revoked_at").is_some() {
        return Ok(None);
    }
    let arrival = row.arrival(registrar)?;
    registrar.import(&arrival).await.map(Some).map_err(|error| error.to_string())
}

impl Row<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).copied()
    }

    /// A cell that is there must be right.
    fn read<T>(&self, name: &str, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, String> {
        self.get(name).map(|text| read(text).ok_or_else(|| format!("{name} is not {what}"))).transpose()
    }

    fn arrival(&self, registrar: &Registrar<'_>) -> Result<Arrival, String> {
        let named = if self.get("for").is_some() { "for" } else { "name" };
        let (chain, address) = (self.get("chain"), self.get("address"));
        let exported = self.get("hash").is_some();
        let (hash, hint) = if exported { self.hash()? } else { self.key()? };
        let expires_at = self.read("expires_at", "a time like 2026-01-31T12:00:00Z", parse_moment)?;
        Ok(Arrival {
            id: self.read("id", "the id of a key", |id| is_id(id, "key_").then(|| KeyId::new(id)))?,
            hash,
            hint,
            holder: self.read("holder", "the id of a holder", |id| is_id(id, "hol_").then(|| HolderId::new(id)))?,
            name: self.read(named, "a name: 1 to 64 of A-Z a-z 0-9 . _ @ -", HolderName::parse)?,
            wallet: chain.zip(address).map(|(chain, address)| (chain.into(), address.into())),
            plan: if exported { self.sold_plan(expires_at)? } else { self.plan(expires_at, registrar)? },
            used: self.read("used", "a number of units", |text| Units::parse(text).ok())?.unwrap_or(Units::ZERO),
            expires_at,
        })
    }

    fn hash(&self) -> Result<(KeyHash, Arc<str>), String> {
        let hash = self.read("hash", "64 hex digits", |text| hex::decode(text).ok()?.try_into().ok().map(KeyHash))?;
        let hash = hash.ok_or("there is no hash")?;
        Ok((hash, self.get("hint").unwrap_or_default().chars().take(12).collect::<String>().into()))
    }

    /// A key in the clear: what is kept of it is its hash, and so little of its beginning that it helps nobody.
    fn key(&self) -> Result<(KeyHash, Arc<str>), String> {
        let key = self.get("key").ok_or("there is no key")?;
        if !KEY_BYTES.contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the key is not one of 16 to 1024 characters that a header can have".to_owned());
        }
        Ok((KeyHash::of(key), key.get(..(key.len() / 4).min(12)).unwrap_or_default().into()))
    }

    /// What a key of another gateway opens there, whatever is sold here.
    fn sold_plan(&self, expires_at: Option<SystemTime>) -> Result<Plan, String> {
        let name = self.get("plan").ok_or("it opens nothing: there is no plan")?;
        Ok(Plan {
            name: name.into(),
            units: self.units()?,
            duration: until(expires_at.ok_or("there is no expires_at")?),
            rate: self.read("rate", "a rate like 10/s", Rate::parse)?,
            burst: self.read("burst", "a number of calls", |text| text.parse().ok())?,
        })
    }

    /// A plan of the file, or as much as the row says.
    fn plan(&self, expires_at: Option<SystemTime>, registrar: &Registrar<'_>) -> Result<Plan, String> {
        let units = self.units()?;
        if let Some(name) = self.get("plan") {
            let plan = registrar.plan(name).map_err(|error| error.to_string())?;
            return Ok(Plan { units: units.or(plan.units), ..plan });
        }
        match (units, expires_at) {
            (Some(_), Some(end)) => {
                Ok(Plan { name: UNNAMED_PLAN.into(), units, duration: until(end), rate: None, burst: None })
            }
            _ => Err("there is neither a plan, nor units and expires_at".to_owned()),
        }
    }

    fn units(&self) -> Result<Option<Units>, String> {
        self.read("units", "a number like 500000 or 0.25", |text| Units::parse(text).ok())
    }
}

/// Without the apostrophe that keeps a spreadsheet from taking it for a formula.
fn plain(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// How long it lasts, in whole seconds; none of them if it has ended.
fn until(end: SystemTime) -> Duration {
    Duration::from_secs(end.duration_since(SystemTime::now()).map_or(0, |lasts| lasts.as_secs()))
}

fn is_id(text: &str, prefix: &str) -> bool {
    let number = text.strip_prefix(prefix).unwrap_or_default();
    (1..=64).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_alphanumeric())
}
