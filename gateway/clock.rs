//! The time, as an argument.

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(Mutex<SystemTime>);

impl ManualClock {
    /// A clock that shows `seconds` of Unix time.
    pub fn at(seconds: u64) -> Self {
        Self(Mutex::new(UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    /// Sets it, back too.
    #[cfg(test)]
    pub(crate) fn set(&self, seconds: u64) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = UNIX_EPOCH + Duration::from_secs(seconds);
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Seconds of Unix time.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds of Unix time, as the store keeps them.
pub fn unix_millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time of a stored number of milliseconds.
pub fn from_unix_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// ISO 8601 in UTC with three decimals and `Z`, as buyers see times: `2026-04-25T12:00:00.000Z`.
pub fn iso_millis(time: SystemTime) -> String {
    thread_local! {
        /// The second that was written last, and its text: most times that are written are of the same one.
        static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    LAST.with_borrow_mut(|(last, text)| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if *last != since.as_secs() {
            let Ok(second) = jiff::Timestamp::try_from(UNIX_EPOCH + Duration::from_secs(since.as_secs())) else {
                return "9999-12-31T23:59:59.999Z".to_owned();
            };
            (*last, *text) = (since.as_secs(), format!("{second:.0}"));
        }
        // With a leading one, so that there are always three behind it.
        let mut digits = itoa::Buffer::new();
        let millis = digits.format(1000 + since.subsec_millis()).get(1..).unwrap_or_default();
        [text.trim_end_matches('Z'), ".", millis, "Z"].concat()
    })
}

/// Reads a time in RFC 3339, with any fraction and offset.
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(text.parse::<jiff::Timestamp>().ok()?).ok()
}

/// Reads a time in RFC 3339, or `2026-01-31` for the begin of that day in UTC.
pub fn parse_moment(text: &str) -> Option<SystemTime> {
    parse_rfc3339(text).or_else(|| parse_rfc3339(&format!("{text}T00:00:00Z")))
}

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    const MILLIS: i64 = 24 * 60 * 60 * 1000;

    /// The day of a time.
    pub fn of(time: SystemTime) -> Self {
        Self(unix_millis(time).div_euclid(Self::MILLIS))
    }

    /// The day that is so many days after 1970-01-01.
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// How many days it is after 1970-01-01.
    pub fn number(self) -> i64 {
        self.0
    }

    /// Reads `2026-01-31`, or a time in RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        parse_moment(text).map(Self::of)
    }
}

/// `2026-01-31`.
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = iso_millis(from_unix_millis(self.0.saturating_mul(Self::MILLIS)));
        f.write_str(time.split_once('T').map_or("", |(day, _)| day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_utc() {
        for (text, number, day) in [
            ("1970-01-01", 0, "1970-01-01"),
            ("2026-01-31", 20_484, "2026-01-31"),
            ("2026-01-31T23:59:59.999Z", 20_484, "2026-01-31"),
            ("2026-02-01T00:30:00+01:00", 20_484, "2026-01-31"),
        ] {
            assert_eq!(Day::parse(text), Some(Day(number)), "{text}");
            assert_eq!(Day(number).to_string(), day);
        }
        for bad in ["", "2026-02-30", "yesterday", "2026-1-1", "2026-01-31T"] {
            assert_eq!(Day::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_is_read_with_any_fraction_and_offset() {
        for (text, millis) in [
            ("2026-04-25T12:00:00Z", 1_777_118_400_000),
            ("2026-04-25t14:00:00.0015+02:00", 1_777_118_400_001),
            ("1970-01-01T00:00:00.000Z", 0),
        ] {
            assert_eq!(parse_rfc3339(text).map(unix_millis), Some(millis), "{text}");
        }
        for bad in ["", "now", "2026-04-25", "2026-04-25T12:00:00", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59"]
        {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_have_three_decimals() {
        assert_eq!(iso_millis(UNIX_EPOCH + Duration::from_secs(1_777_118_400)), "2026-04-25T12:00:00.000Z");
        assert_eq!(iso_millis(UNIX_EPOCH + Duration::from_millis(1)), "1970-01-01T00:00:00.001Z");
        assert_eq!(iso_millis(UNIX_EPOCH + Duration::from_micros(1_777_118_400_123_999)), "2026-04-25T12:00:00.123Z");
        assert_eq!(iso_millis(from_unix_millis(i64::MAX)), "9999-12-31T23:59:59.999Z");
        assert_eq!(iso_millis(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
