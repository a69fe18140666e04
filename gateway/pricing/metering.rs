use http::HeaderName;

use crate::plans::Units;

/// What a call takes of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metering {
    /// What a call takes by itself. Zero only beside `per_byte`.
    pub units: Units,
    /// What the upstream says that it takes, in place of `units`.
    pub reported: Option<Reported>,
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
}
