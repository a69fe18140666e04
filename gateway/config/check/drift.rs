//! `[drift]`: when somebody is told that a facilitator has begun to refuse.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::quantity::{count, duration};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::drift::Rules;

const KEYS: &[&str] = &["alarm", "window", "least", "payers", "percent"];
const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3600);
const LEAST: RangeInclusive<u32> = 1..=1_000_000;
/// So many are remembered.
const PAYERS: RangeInclusive<u32> = 1..=32;

/// `[drift]`. None if nobody wants to be told.
pub(super) fn check(root: &Section<'_>) -> Option<Rules> {
    let section = root.section("drift", KEYS);
    let alarm = section.field("alarm").and_then(|field| field.flag()).unwrap_or(true);
    let window = section.field("window").and_then(|field| duration(&field, WINDOWS, "5m"));
    let number = |key, range| section.field(key).and_then(|field| count(&field, range));
    let rules = Rules {
        window: window.unwrap_or(Rules::USUAL.window),
        least: number("least", LEAST).unwrap_or(Rules::USUAL.least),
        payers: number("payers", PAYERS).unwrap_or(Rules::USUAL.payers),
        percent: section.field("percent").and_then(|field| percent(&field)).unwrap_or(Rules::USUAL.percent),
    };
    alarm.then_some(rules)
}

fn percent(field: &Field<'_>) -> Option<u8> {
    let number = field.number("a whole number")?.parse().ok().filter(|percent| (1..=100).contains(percent));
    field.read(number.ok_or("is not a whole number from 1 to 100"))
}
