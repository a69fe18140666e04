use std::ops::RangeInclusive;
use std::time::Duration;

use super::price;
use super::quantity::{count, duration, rate, units};
use super::receivers::Receivers;
use super::route::description;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{PlanConfig, ServerConfig};
use crate::plans::Plan;

const KEYS: &[&str] = &["name", "price", "units", "duration", "rate", "burst", "description"];
const BURST: RangeInclusive<u32> = 1..=1_000_000;
const NAME_BYTES_MAX: usize = 64;
/// Ten years of 365.25 days: what is sold for longer is sold for ever, and no clock overflows.
const DURATION_MAX: Duration = Duration::from_secs(10 * 31_557_600);

/// `[[plans]]`.
pub(super) fn check(root: &Section<'_>, server: &ServerConfig, receivers: &Receivers<'_>) -> Vec<PlanConfig> {
    let list = root.field("plans").and_then(|field| field.list("a list of tables, [[plans]],"));
    let mut names: Vec<(&str, Field<'_>)> = Vec::new();
    let mut plans = Vec::new();
    for element in list.unwrap_or_default() {
        let Some(section) = element.section(KEYS) else { continue };
        let name = section.required("name", "a name like \"nano\"").and_then(|field| {
            let name = name(&field)?;
            match names.iter().find(|(earlier, _)| *earlier == name) {
                Some((_, earlier)) => {
                    field.wrong(format_args!("{name:?} is the plan of line {} already", earlier.line()));
                }
                None => names.push((name, field)),
            }
            Some(name)
        });
        plans.extend(plan(&section, name.unwrap_or_default(), server, receivers));
    }
    plans
}

fn plan(section: &Section<'_>, name: &str, server: &ServerConfig, receivers: &Receivers<'_>) -> Option<PlanConfig> {
    let price = section.required("price", "a text like \"$5\"").and_then(|field| {
        let price = price::check(&field, receivers)?;
        price::warn_if_above_a_dollar(&field, &price, receivers);
        Some(price)
    });
    let units = section.field("units").and_then(|field| units(&field));
    let duration = section.required("duration", "a duration like \"30d\"");
    let duration = duration.and_then(|field| duration_of(&field));
    let rate_field = section.field("rate");
    let burst = section.field("burst").and_then(|field| burst(&field, rate_field.is_some()));
    let rate = rate_field.and_then(|field| rate(&field));
    let description = section.field("description").and_then(|field| description(&field));
    let description = description.unwrap_or_else(|| format!("{} API access: {name} plan", server.name).into());
    let plan = Plan { name: name.into(), units, duration: duration?, rate, burst };
    Some(PlanConfig { plan, price: price?, description })
}

fn duration_of(field: &Field<'_>) -> Option<Duration> {
    let duration = duration(field, Duration::from_secs(1)..=DURATION_MAX, "30d")?;
    // Buyers are told, and hold us to, a number of seconds.
    field.read(if duration.subsec_nanos() == 0 { Ok(duration) } else { Err("is not a whole number of seconds") })
}

fn burst(field: &Field<'_>, has_rate: bool) -> Option<u32> {
    if !has_rate {
        field.wrong("is for plans with a rate, which this one has not; rate = \"10/s\" beside it would be right");
    }
    count(field, BURST)
}

fn name<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text("a name like \"nano\"")?;
    let right = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    field.read(if right { Ok(text) } else { Err("is not a name of 1 to 64 letters, digits, - and _") })
}
