use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{HolderId, Plan, Units};

/// A plan that somebody bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its identity, derived from the payment that bought it.
    pub id: SubscriptionId,
    /// Whose it is.
    pub holder: HolderId,
    /// The family of the payer's chain: `evm`, `solana`, or the namespace.
    pub chain: Arc<str>,
    /// Who paid, as shown to the buyer.
    pub payer: Arc<str>,
    /// The plan as it was sold.
    pub plan: Arc<Plan>,
    /// From this moment on it opens nothing.
    pub expires_at: SystemTime,
    /// What the key that was sold with it begins with.
    pub key_prefix: Arc<str>,
    /// How much may be used in all: what the plan has, and what was left of the subscription that it extends.
    pub units: Option<Units>,
    /// What was used when this was read.
    pub used: Units,
}

/// What a purchase does to the subscription that its buyer still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRepurchase {
    /// The new purchase takes the place of the old subscription: full units, its duration from now.
    #[default]
    Replace,
    /// If the same plan is bought again while the old one runs, the new one ends a duration after the old one's end and
    /// has the units that were left besides its own. Another plan always replaces, and so does one of the same name that
    /// has got a limit since, or has lost it.
    Extend,
}

/// The identity of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(Arc<str>);

impl SubscriptionId {
    /// Takes an id from the store, or one derived from a payment id.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The id of what a payment bought.
    pub fn of_payment(payment_id: &str) -> Self {
        Self(format!("sub_{}", payment_id.trim_start_matches("pay_")).into())
    }

    /// The payment that bought it; one that is not there, if it was given.
    pub fn payment_id(&self) -> String {
        format!("pay_{}", self.0.trim_start_matches("sub_"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
