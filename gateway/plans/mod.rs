//! Plans that are sold, and the subscriptions and API keys that come of a sale.
//!
//! Pure: the time and stored facts come in as arguments.

mod allowance;
mod holder;
mod key;
mod plan;
mod subscription;
mod token;
mod units;

pub use allowance::{Allowance, allow};
pub use holder::{Holder, HolderAddress, HolderId, HolderName, Key, KeyId, Origin};
pub use key::{ApiKey, KeyHash, KeyMint, KeyPrefix};
pub use plan::{Plan, Rate};
pub use subscription::{OnRepurchase, Subscription, SubscriptionId};
pub use token::{Claimed, KeyError, TokenError, TokenVerifier, looks_like_jwt};
pub use units::{Units, UnitsError};
