//! What costs what: one canonical path, patterns, routes, prices and the offers made of them.
//!
//! Pure. A [`PriceTable`] is built once for each configuration (and each change of what the facilitator supports) and
//! never changes; a request holds one for its whole life.

#[cfg(test)]
mod comparing;
#[cfg(test)]
mod dearest;
mod fee_payers;
#[cfg(test)]
mod finding;
mod kinds;
mod metering;
mod node;
mod offer;
mod path;
mod pattern;
mod price;
mod reach;
mod route;
mod svm;
mod table;
mod tree;
mod twin;

pub use fee_payers::FeePayers;
pub use kinds::Kinds;
pub use metering::{Metering, Reported};
pub use offer::{Offer, OfferKey, PlanOffer, Terms, digest};
pub use path::{PathError, Target};
pub use pattern::{Pattern, PatternError};
pub use price::{Price, PriceError};
pub use reach::Reach;
pub use route::{Access, Methods, Route, SettleTiming};
pub use svm::{MEMO, OnSolana, Varying};
pub use table::{Conflict, Endpoint, Found, PriceTable, Router, Unlisted};
