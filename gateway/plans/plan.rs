use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Units;

/// What a buyer gets for the price of a plan. The price itself is in the plan's offer.
///
/// A subscription keeps a copy, so that editing a plan changes nothing already sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name, as in `?plan=`.
    pub name: Arc<str>,
    /// How much may be used; none for no limit.
    pub units: Option<Units>,
    /// How long it lasts from the moment of settlement.
    pub duration: Duration,
    /// How fast it may be used; none for no limit.
    pub rate: Option<Rate>,
    /// How many calls may come at once after a pause; as many as the rate has unless said otherwise.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// A number of calls in a stretch of time, for example 10 in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Calls; never zero.
    pub calls: u32,
    /// The stretch; never zero.
    pub per: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.calls),
            60 => write!(f, "{}/m", self.calls),
            3600 => write!(f, "{}/h", self.calls),
            86_400 => write!(f, "{}/d", self.calls),
            _ => write!(f, "{}/{:?}", self.calls, self.per),
        }
    }
}
