//! Times as an operator says them.

use std::time::SystemTime;

use crate::clock::parse_moment;

/// The end of something: a moment, or a duration from now on.
pub(super) fn end(text: &str) -> Result<SystemTime, String> {
    end_at(text, SystemTime::now())
}

fn end_at(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let lasts = || humantime::parse_duration(text).ok().and_then(|lasts| now.checked_add(lasts));
    parse_moment(text)
        .or_else(lasts)
        .ok_or_else(|| "neither a time like 2026-01-31T12:00:00Z nor a duration like 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn an_end_is_a_time_a_day_or_a_duration() {
        let now = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        for (text, seconds) in [
            ("2026-01-01T00:00:00Z", 1_767_225_600),
            ("2026-01-01T02:00:00+02:00", 1_767_225_600),
            ("2026-01-02", 1_767_312_000),
            ("24h", 1_767_312_000),
            ("30d", 1_769_817_600),
        ] {
            assert_eq!(end_at(text, now), Ok(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "tomorrow", "2026-13-01", "-1d", "99999999999999y"] {
            assert!(end_at(bad, now).is_err(), "{bad}");
        }
    }
}
