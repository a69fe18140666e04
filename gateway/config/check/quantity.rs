//! Durations, sizes and rates, which are texts with units, and numbers.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use crate::config::document::Section;
use crate::config::field::Field;
use crate::plans::{Rate, Units};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// From a millisecond to a day.
pub(super) const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;

/// A timeout within [`TIMEOUTS`].
pub(super) fn timeout(section: &Section<'_>, key: &'static str, usual: Duration) -> Duration {
    let field = section.field(key);
    field.and_then(|field| duration(&field, TIMEOUTS, "10s")).unwrap_or(usual)
}

/// A duration within limits.
pub(super) fn duration(field: &Field<'_>, range: RangeInclusive<Duration>, example: &str) -> Option<Duration> {
    let text = field.text(&format!("a duration like {example:?}"))?;
    let duration = field.read(parse(text, example))?;
    let inside = range.contains(&duration);
    if !inside {
        let (least, most) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        field.wrong(format_args!("{text:?} is not between {least} and {most}"));
    }
    inside.then_some(duration)
}

/// A size in bytes, like `16KiB`, within limits.
pub(super) fn size(field: &Field<'_>, range: RangeInclusive<u64>, example: &str) -> Option<u64> {
    let text = field.text(&format!("a size like {example:?}"))?;
    let has_unit = text.ends_with(['b', 'B']);
    let size = text.parse::<ByteSize>().ok().filter(|_| has_unit);
    let size = field.read(size.ok_or_else(|| format!("is not a size, {example:?} would be right")))?.as_u64();
    let inside = range.contains(&size);
    if !inside {
        let (least, most) = (ByteSize(*range.start()), ByteSize(*range.end()));
        field.wrong(format_args!("{text:?} is not between {least} and {most}"));
    }
    inside.then_some(size)
}

/// A rate like `10/s`.
pub(super) fn rate(field: &Field<'_>) -> Option<Rate> {
    let rate = Rate::parse(field.text("a rate like \"10/s\"")?);
    field.read(rate.ok_or("is not a rate like \"10/s\", \"100/m\" or \"5000/1d\""))
}

/// A whole number within limits.
pub(super) fn count(field: &Field<'_>, range: RangeInclusive<u32>) -> Option<u32> {
    let count = field.number("a whole number")?.replace('_', "").parse().ok().filter(|count| range.contains(count));
    field.read(count.ok_or_else(|| format!("is not a whole number from {} to {}", range.start(), range.end())))
}

/// Units of a plan: more than none.
pub(super) fn units(field: &Field<'_>) -> Option<Units> {
    let units = field.read(Units::parse(field.number("a number like 500_000 or 0.25")?))?;
    field.read(if units == Units::ZERO { Err("is nothing, a number above 0 would be right") } else { Ok(units) })
}

fn parse(text: &str, example: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| {
        let hint = match error {
            humantime::DurationError::UnknownUnit { unit, .. } if unit.is_empty() => "has no unit",
            _ => "is not a duration",
        };
        format!("{hint}, {example:?} would be right")
    })
}

/// Some words as a list for people: `a, b and c`.
pub(super) fn listed<T: fmt::Display>(words: &[T]) -> String {
    let words: Vec<_> = words.iter().map(ToString::to_string).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}
