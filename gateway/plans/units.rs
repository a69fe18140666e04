use std::fmt;

use serde::{Deserialize, Serialize};

/// What a plan is counted in: an integer of thousandths, so that 0.05 is exact.
///
/// The range is 0 to 9·10¹⁵ units: the stored form is SQLite's signed integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Units(u64);

/// Why a text is not a number of units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitsError {
    /// Something other than digits and one dot.
    #[error("is not a number like 500_000 or 0.25")]
    NotDecimal,
    /// More than three digits behind the dot.
    #[error("has more than three decimals")]
    TooPrecise,
    /// Beyond the range.
    #[error("is too large")]
    TooLarge,
}

impl Units {
    /// No units.
    pub const ZERO: Self = Self(0);
    /// The most that can be stored.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// That many thousandths of a unit.
    pub fn from_thousandths(thousandths: u64) -> Self {
        Self(thousandths.min(Self::MAX.0))
    }

    /// The number of thousandths.
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// The number of thousandths as the store keeps it.
    pub fn stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// Reads a stored number; a negative one, which the store refuses, counts as none.
    pub fn from_stored(thousandths: i64) -> Self {
        Self(u64::try_from(thousandths).unwrap_or(0))
    }

    /// Reads `500000`, `500_000` or `0.25`.
    ///
    /// # Errors
    /// [`UnitsError`] if it is not such a number.
    pub fn parse(text: &str) -> Result<Self, UnitsError> {
        let text = text.replace('_', "");
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(UnitsError::NotDecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 3 {
            return Err(UnitsError::TooPrecise);
        }
        let thousandths = format!("{whole}{fraction:0<3}").parse().map_err(|_| UnitsError::TooLarge)?;
        if thousandths > Self::MAX.0 { Err(UnitsError::TooLarge) } else { Ok(Self(thousandths)) }
    }

    /// The sum; at the end of the range it stays there.
    pub fn saturating_add(self, other: Self) -> Self {
        Self::from_thousandths(self.0.saturating_add(other.0))
    }

    /// That many times as much, or nothing if it is beyond the range.
    pub fn checked_mul(self, times: u64) -> Option<Self> {
        self.0.checked_mul(times).filter(|thousandths| *thousandths <= Self::MAX.0).map(Self)
    }

    /// The difference, or nothing if there is less than `other`.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, at least zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1000, self.0 % 1000);
        // Every keyed answer has some, and `write!` is slow.
        f.write_str(itoa::Buffer::new().format(whole))?;
        match thousandths {
            0 => Ok(()),
            _ => write!(f, ".{}", format!("{thousandths:0>3}").trim_end_matches('0')),
        }
    }
}

/// A JSON number with at most three decimals, written exactly.
impl Units {
    /// The number as JSON: an integer where it is one.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::from_str(&self.to_string()).unwrap_or(serde_json::Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_decimals_are_exact() {
        for (text, thousandths) in [("1", 1000), ("500_000", 500_000_000), ("0.05", 50), ("0.005", 5), ("2.50", 2500)] {
            assert_eq!(Units::parse(text), Ok(Units(thousandths)), "{text}");
        }
        assert_eq!(Units::parse("0.0005"), Err(UnitsError::TooPrecise));
        assert_eq!(Units::parse("99999999999999999999"), Err(UnitsError::TooLarge));
        for bad in ["", "-1", "1e3", ".5", "5.", "inf"] {
            assert_eq!(Units::parse(bad), Err(UnitsError::NotDecimal), "{bad}");
        }
    }

    #[test]
    fn a_multiple_is_exact_or_none() {
        assert_eq!(Units(5).checked_mul(1001), Some(Units(5005)));
        assert_eq!(Units(5).checked_mul(0), Some(Units::ZERO));
        assert_eq!(Units(1).checked_mul(Units::MAX.0), Some(Units::MAX));
        assert_eq!(Units(1).checked_mul(Units::MAX.0 + 1), None);
        assert_eq!(Units(3).checked_mul(u64::MAX / 2), None);
    }

    #[test]
    fn it_is_shown_as_it_was_written() {
        for text in ["0", "1", "0.05", "499999.75"] {
            assert_eq!(Units::parse(text).unwrap().to_string(), text);
            assert_eq!(Units::parse(text).unwrap().to_json().to_string(), text);
        }
    }
}
