//! `tollgate keys usage`: what was called, by key, route and day.

use clap::Args;
use serde_json::Value;

use super::sink::Sink;
use super::{Failed, Open};
use crate::cli::payments::Format;
use crate::clock::Day;
use crate::plans::Units;
use crate::store::{By, Register as _, Span, Used};

/// Groups in one read.
const PAGE: u32 = 1000;

/// Which calls, and in which groups.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct UsageArgs {
    /// The first day, in UTC.
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<Day>,
    /// The last day, in UTC.
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<Day>,
    /// Of a holder.
    #[arg(long, value_name = "ID|NAME")]
    holder: Option<String>,
    /// The groups: some of key, route, day and holder.
    #[arg(long, value_name = "LIST", default_value = "key,route,day", value_parser = groups)]
    by: Groups,
    /// CSV with a line of names, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

/// What calls are grouped by; a type of its own, since the command line takes a list for several arguments.
#[derive(Debug, Clone)]
struct Groups(Vec<By>);

pub(super) async fn run(open: &Open, args: &UsageArgs) -> Result<(), Failed> {
    let by: Vec<By> = By::ALL.into_iter().filter(|one| args.by.0.contains(one)).collect();
    let columns = by.iter().map(|by| by.as_str()).chain(["calls", "units"]).collect();
    let span = Span { from: args.from, to: args.to, holder: args.holder.clone() };
    let (mut sink, mut skip) = (Sink::new(columns, args.format)?, 0u32);
    loop {
        let page = open.store.usage(&span, &by, skip, PAGE).await?;
        page.iter().try_for_each(|used| sink.put(row(used, &by)))?;
        if u32::try_from(page.len()).is_ok_and(|read| read < PAGE) {
            return sink.end();
        }
        skip = skip.saturating_add(PAGE);
    }
}

fn row(used: &Used, by: &[By]) -> Vec<Value> {
    let group = |by: &By| match by {
        By::Day => used.day.map(|day| day.to_string()),
        By::Holder => used.holder.as_ref().map(ToString::to_string),
        By::Key => used.key.clone(),
        By::Route => used.route.clone(),
    };
    by.iter().map(|by| Value::from(group(by))).chain([Value::from(used.calls), Units::to_json(used.units)]).collect()
}

fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| "not a day like 2026-01-31".to_owned())
}

fn groups(text: &str) -> Result<Groups, String> {
    By::parse_list(text).map(Groups).ok_or_else(|| "not a list of key, route, day and holder".to_owned())
}
