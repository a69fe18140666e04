//! Plans that are sold, and the subscriptions and API keys that come of a sale.
//!
//! Pure: the time and stored facts come in as arguments.

mod allowance;
mod key;
mod plan;
mod subscription;
mod units;

pub use allowance::{Allowance, allow};
pub use key::{ApiKey, KeyHash, KeyMint, KeyPrefix};
pub use plan::{Plan, Rate};
pub use subscription::{Subscription, SubscriptionId};
pub use units::{Units, UnitsError};
