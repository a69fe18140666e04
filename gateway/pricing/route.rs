use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use http::Method;

use super::{Metering, Offer, Pattern};
use crate::plans::Rate;

/// One entry of the price table.
#[derive(Debug)]
pub struct Route {
    /// Which paths.
    pub pattern: Pattern,
    /// Which methods.
    pub methods: Methods,
    /// What it takes to be served.
    pub access: Access,
    /// When the payment for a call is settled.
    pub settle: SettleTiming,
    /// The upstream's name; the usual one is `""`.
    pub upstream: Arc<str>,
    /// How many calls an address has free, without a key or a payment.
    pub free_calls: Option<Rate>,
}

/// What a caller needs for a route.
#[derive(Debug)]
pub enum Access {
    /// Nothing.
    Free,
    /// A payment for each call.
    PerCall(Offer),
    /// A credential of a plan, which pays in units.
    PlanOnly(Metering),
    /// Either of the two.
    Either(Offer, Metering),
}

/// When money moves, seen from the upstream call (x402 `extra.paymentFlow`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SettleTiming {
    /// After the upstream's answer is known to be good: flow `authorization`.
    After,
    /// Before the upstream is called: flow `upfront`.
    Before,
}

/// The methods that a route stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// Every method.
    All,
    /// These; HEAD goes with GET.
    Only(Vec<Method>),
}

impl Access {
    /// The offer of a single call, if one is for sale.
    pub fn offer(&self) -> Option<&Offer> {
        match self {
            Self::PerCall(offer) | Self::Either(offer, _) => Some(offer),
            Self::Free | Self::PlanOnly(_) => None,
        }
    }

    /// What a call takes of a plan, if a plan opens the route.
    pub fn metering(&self) -> Option<&Metering> {
        match self {
            Self::PlanOnly(metering) | Self::Either(_, metering) => Some(metering),
            Self::Free | Self::PerCall(_) => None,
        }
    }

    /// Whether nothing is asked.
    pub fn is_free(&self) -> bool {
        matches!(self, Self::Free)
    }
}

impl Route {
    /// Reads a little of all that a request needs of it. Among very many routes none of it is in the processor's cache,
    /// and to wait for its parts together takes about as long as to wait for one.
    pub(super) fn prefetch(&self) {
        let first = |text: &str| text.as_bytes().first().copied();
        let texts = self.access.offer().map(|offer| (first(offer.key.as_str()), first(&offer.description)));
        let takes = self.access.metering().map(|metering| metering.units);
        black_box((texts, takes, self.upstream.len(), self.free_calls.is_some(), self.settle));
    }

    /// Whether a path that may be read as either is this one's: the dearer, or the narrower where each is cheaper than the
    /// other in some way.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        other.undercuts(self) && (!self.undercuts(other) || self.pattern.is_narrower_than(&other.pattern))
    }

    /// Whether there is a way to be served for less than the other route takes, or one that the other has not.
    fn undercuts(&self, other: &Self) -> bool {
        let by_call = |offer: &Offer| other.access.offer().is_none_or(|other| offer.undercuts(other));
        let by_plan = |metering: &Metering| other.access.metering().is_none_or(|other| metering.undercuts(other));
        let in_some_way = self.access.is_free()
            || self.free_calls.is_some() && other.free_calls.is_none()
            || self.access.offer().is_some_and(by_call)
            || self.access.metering().is_some_and(by_plan);
        in_some_way && !other.access.is_free()
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Only(methods) => {
                let mut names: Vec<_> = methods.iter().map(Method::as_str).collect();
                names.sort_unstable();
                f.write_str(&names.join(","))
            }
        }
    }
}
