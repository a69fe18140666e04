use http::HeaderName;

use crate::plans::{Units, UnitsError};

/// What a call takes of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metering {
    /// What a call takes by itself. Zero only beside `per_byte`.
    pub units: Units,
    /// What the upstream says that it takes, in place of `units`. Apart, since few routes have it and all have the room.
    pub reported: Option<Box<Reported>>,
    /// What each byte takes that is pushed to the client: the body of an answer, or the data of a WebSocket.
    pub per_byte: Option<Units>,
}

/// A response header in which the upstream says what a call took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Its name. Clients never see it.
    pub header: HeaderName,
    /// The most that a call can take: reserved before the upstream is asked.
    pub units_max: Units,
}

impl Metering {
    /// A fixed number of units for each call.
    pub fn fixed(units: Units) -> Self {
        Self { units, reported: None, per_byte: None }
    }

    /// What is reserved before the upstream is asked: the most that a call can take before its body, and at least a
    /// byte's worth if bytes are counted.
    pub fn reserved(&self) -> Units {
        let call = self.reported.as_ref().map_or(self.units, |reported| reported.units_max.max(self.units));
        call.max(self.per_byte.unwrap_or(Units::ZERO))
    }

    /// Whether it may take less than the other.
    pub(super) fn undercuts(&self, other: &Self) -> bool {
        let per_byte = |metering: &Self| metering.per_byte.unwrap_or(Units::ZERO);
        self.units < other.units || self.reserved() < other.reserved() || per_byte(self) < per_byte(other)
    }
}

impl Reported {
    /// What the header's value says, but at most `units_max`.
    ///
    /// # Errors
    /// [`UnitsError`] if it is not a decimal number of units.
    pub fn read(&self, value: &str) -> Result<Units, UnitsError> {
        // A word of programs: the underscores are for people.
        match Units::parse(value).map(|units| units.min(self.units_max)) {
            _ if value.contains('_') => Err(UnitsError::NotDecimal),
            Err(UnitsError::TooLarge) => Ok(self.units_max),
            read => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_decimal_number_and_has_a_bound() {
        let units = Units::from_thousandths;
        let reported = Reported { header: HeaderName::from_static("x-units"), units_max: units(5000) };
        for (value, said) in
            [("0", 0), ("0.25", 250), ("5", 5000), ("5.001", 5000), ("007", 5000), ("99999999999999999999", 5000)]
        {
            assert_eq!(reported.read(value), Ok(units(said)), "{value}");
        }
        for bad in ["", " ", "-1", "+1", "1e3", "0x1", ".5", "1.", "1,5", "NaN", "inf", "1_000", "1 2"] {
            assert_eq!(reported.read(bad), Err(UnitsError::NotDecimal), "{bad:?}");
        }
        assert_eq!(reported.read("0.0005"), Err(UnitsError::TooPrecise));
    }
}
