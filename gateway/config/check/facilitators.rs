//! `[facilitator]`, and `[[facilitators]]` if there are several: then the former says what holds for all of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Surroundings;
use super::facilitator::{self, Usual};
use super::quantity::{count, duration};
use super::receivers::{self, Receivers};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{FacilitatorConfig, FacilitatorsConfig, Receiver};
use crate::payment::Unproven;
use crate::pricing::Reach;

/// What holds for a facilitator that is the only one.
const OWN_KEYS: [&str; 5] = ["url", "allow_http", "headers", "cdp", "ca"];
const KEYS: &[&str] = &[
    "url",
    "allow_http",
    "headers",
    "cdp",
    "ca",
    "verify_timeout",
    "settle_timeout",
    "concurrency",
    "verify_budget",
    "hedge_after",
    "resolve_timeout",
    "unproven_settlement",
];
const EACH_KEYS: &[&str] = &[
    "name",
    "url",
    "allow_http",
    "headers",
    "cdp",
    "ca",
    "networks",
    "order",
    "weight",
    "verify_timeout",
    "settle_timeout",
    "latency_budget",
    "concurrency",
];
const UNPROVEN: &[(&str, Unproven)] = &[("hold", Unproven::Hold), ("accept", Unproven::Accept)];
/// Clients wait for the answer meanwhile.
const WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(120);
/// Without any time there would be no verdict at all.
const BUDGETS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(120);
const SHORT_WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const NUMBERS: RangeInclusive<u32> = 1..=1000;
/// The name of the only one.
const ONLY: &str = "facilitator";
const NAME_BYTES_MAX: usize = 64;
const LIST_MAX: usize = 16;
const USUAL: Usual =
    Usual { verify_timeout: Duration::from_secs(10), settle_timeout: Duration::from_secs(60), concurrency: 1024 };
const VERIFY_BUDGET: Duration = Duration::from_secs(20);

/// All facilitators of a file.
pub(super) fn check(
    root: &Section<'_>,
    receivers: &Receivers<'_>,
    around: &Surroundings<'_>,
) -> Option<FacilitatorsConfig> {
    let several = root.field("facilitators");
    let common = root.field("facilitator").map(|field| field.section(KEYS));
    let section = match (common, &several) {
        (Some(section), _) => section?,
        (None, Some(_)) => root.section("facilitator", KEYS),
        (None, None) => return None,
    };
    let usual = Usual::of(&section, USUAL);
    let list = match several {
        None => vec![FacilitatorConfig { name: ONLY.into(), ..facilitator::check(&section, usual, around) }],
        Some(field) => {
            for own in OWN_KEYS.iter().filter_map(|key| section.field(key)) {
                own.wrong_key("belongs into [[facilitators]], where each has its own", "", &[]);
            }
            all(&field, usual, receivers, around)
        }
    };
    let wait = |key: &'static str, range| section.field(key).and_then(|field| duration(&field, range, "10s"));
    let longest = list.iter().map(|facilitator| facilitator.verify_timeout).max().unwrap_or_default();
    let unproven = section.field("unproven_settlement").and_then(|field| field.choice(UNPROVEN));
    Some(FacilitatorsConfig {
        list,
        verify_budget: wait("verify_budget", BUDGETS).unwrap_or(VERIFY_BUDGET.max(longest)),
        hedge_after: wait("hedge_after", SHORT_WAITS),
        resolve_timeout: wait("resolve_timeout", WAITS).unwrap_or(Duration::from_secs(10)),
        unproven_settlement: unproven.unwrap_or(Unproven::Hold),
    })
}

/// `[[facilitators]]`.
fn all(
    field: &Field<'_>,
    usual: Usual,
    receivers: &Receivers<'_>,
    around: &Surroundings<'_>,
) -> Vec<FacilitatorConfig> {
    let Some(elements) = field.list("a list of tables, [[facilitators]],") else { return Vec::new() };
    if !(1..=LIST_MAX).contains(&elements.len()) {
        field.wrong(format_args!("must be 1 to {LIST_MAX} facilitators"));
    }
    let mut list: Vec<FacilitatorConfig> = Vec::new();
    for element in &elements {
        let Some(section) = element.section(EACH_KEYS) else { continue };
        let one = one(&section, usual, receivers, around);
        // Without a name that can be read, that is what is wrong.
        if !one.name.is_empty() && list.iter().any(|other| other.name == one.name) {
            let text = format_args!("{:?} is the name of another one, a name of its own would be right", one.name);
            section.wrong_setting("name", text);
        }
        list.push(one);
    }
    let nobodys = |receiver: &&Receiver| !list.iter().any(|one| one.reach.covers(&receiver.network));
    for receiver in receivers.list.iter().filter(|receiver| !list.is_empty() && nobodys(receiver)) {
        field.wrong(format_args!("none is for {}, which has a receiver in pay_to", receiver.name));
    }
    list
}

fn one(section: &Section<'_>, usual: Usual, receivers: &Receivers<'_>, around: &Surroundings<'_>) -> FacilitatorConfig {
    let plain = facilitator::check(section, Usual::of(section, usual), around);
    let number = |key: &'static str| section.field(key).and_then(|field| count(&field, NUMBERS)).unwrap_or(1);
    let budget = section.field("latency_budget").and_then(|field| duration(&field, SHORT_WAITS, "2s"));
    FacilitatorConfig {
        name: section.field("name").and_then(|field| name(&field)).map_or(plain.name, Into::into),
        reach: section.field("networks").map_or(Reach::everywhere(), |field| reach(&field, receivers)),
        order: number("order"),
        weight: number("weight"),
        latency_budget: budget,
        ..plain
    }
}

fn name<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text("a name like \"cdp\"")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    let right = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_name);
    field.read(if right { Ok(text) } else { Err("is not a name of 1 to 64 letters, digits and _-.:") })
}

fn reach(field: &Field<'_>, receivers: &Receivers<'_>) -> Reach {
    let Some(names) = field.list("a list of networks like [\"base\", \"solana\"]") else { return Reach::everywhere() };
    if names.is_empty() {
        field.wrong("names no network, so that it would never be asked");
    }
    Reach::of(names.iter().filter_map(|name| receivers::named_network(name, receivers)))
}
