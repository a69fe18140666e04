use std::fmt;
use std::time::Duration;

use super::Dollars;

/// Verified and not yet settled at a time, unless said otherwise.
const USUAL_UNSETTLED: u32 = 1024;
/// Failed settlements after which a payer has to wait, unless said otherwise.
const USUAL_STRIKES: Rate = Rate { count: 10, per: Duration::from_secs(600) };

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// What a payer may pay.
    pub payments: Vec<Cap>,
    /// How many payments of one payer may be verified and not yet settled.
    pub unsettled: u32,
    /// After so many failed settlements a payer is refused.
    pub strikes: Rate,
    /// How many challenges an address is given.
    pub unpaid: Option<Rate>,
    /// How many bad payments an address may present.
    pub bad_payments: Option<Rate>,
    /// How many calls an address may make without a key or a payment, free ones too.
    pub keyless: Option<Rate>,
}

/// At most so many in any stretch of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; never zero.
    pub count: u32,
    /// The stretch; never zero.
    pub per: Duration,
}

/// Payments or money within a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cap {
    /// How much.
    pub most: Most,
    /// The window's length; never zero.
    pub per: Duration,
}

/// What is counted in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Most {
    /// Payments.
    Payments(u32),
    /// What they are worth.
    Amount(Dollars),
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub limit: Limit,
    /// How long to wait.
    pub retry_after: Duration,
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// What a payer pays.
    Payments(Cap),
    /// A payer's payments that are verified and not settled.
    Unsettled(u32),
    /// A payer's failed settlements.
    Strikes(Rate),
    /// An address's challenges.
    Unpaid(Rate),
    /// An address's bad payments.
    BadPayments(Rate),
    /// An address's calls without a key or a payment.
    Keyless(Rate),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payments: Vec::new(),
            unsettled: USUAL_UNSETTLED,
            strikes: USUAL_STRIKES,
            unpaid: None,
            bad_payments: None,
            keyless: None,
        }
    }
}

impl Limit {
    /// The name that counters have for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payments(Cap { most: Most::Payments(_), .. }) => "payment_count",
            Self::Payments(Cap { most: Most::Amount(_), .. }) => "payment_amount",
            Self::Unsettled(_) => "unsettled",
            Self::Strikes(_) => "strikes",
            Self::Unpaid(_) => "unpaid",
            Self::BadPayments(_) => "bad_payments",
            Self::Keyless(_) => "keyless",
        }
    }

    /// The stretch of time in which it counts, if it has one.
    pub const fn per(self) -> Option<Duration> {
        match self {
            Self::Payments(cap) => Some(cap.per),
            Self::Strikes(rate) | Self::Unpaid(rate) | Self::BadPayments(rate) | Self::Keyless(rate) => Some(rate.per),
            Self::Unsettled(_) => None,
        }
    }
}

/// How much it allows, without the stretch.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payments(cap) => cap.most.fmt(f),
            Self::Unsettled(count) => write!(f, "{count} unsettled payments"),
            Self::Strikes(rate) => write!(f, "{} failed settlements", rate.count),
            Self::Unpaid(rate) => write!(f, "{} unpaid requests", rate.count),
            Self::BadPayments(rate) => write!(f, "{} bad payments", rate.count),
            Self::Keyless(rate) => write!(f, "{} calls without a key", rate.count),
        }
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payments(count) => write!(f, "{count} payments"),
            Self::Amount(dollars) => dollars.fmt(f),
        }
    }
}
