//! Payments: from an offer to a challenge, from a request's header to one [`Presented`] payment, and the steps that
//! follow.
//!
//! Pure: the time and stored facts come in as arguments. A payment's identity is the authorization itself, never the
//! text that it came in, so that the same money is recognised in every wrapping.

mod challenge;
mod chargeable;
mod eip3009;
mod eip712;
mod goods;
mod hints;
mod id;
mod identifier;
#[cfg(test)]
mod identity;
mod judged;
mod permit2;
mod plan_list;
mod presented;
mod quote;
#[cfg(test)]
mod quoting;
#[cfg(test)]
mod reading;
mod refused;
mod sealed;
pub mod siwx;
mod steps;
mod svm;
#[cfg(test)]
mod svm_wallet;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod transferring;
mod unproven;
mod upto;

pub use challenge::{Challenge, Shortfall, Unserved};
pub use chargeable::{Chargeable, chargeable};
pub use goods::{Goods, RequestHash};
pub use hints::Hints;
pub use id::PaymentId;
pub use plan_list::plans_json;
pub use presented::{Presented, SETTLE_MARGIN_S, Window};
pub use quote::{Quote, QuoteMint};
pub use refused::Refused;
pub use steps::{Claimed, Settled, Settling, State, Verified};
pub use unproven::Unproven;
