use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Plan, Units};

/// A plan that somebody bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its identity, derived from the payment that bought it.
    pub id: SubscriptionId,
    /// The family of the payer's chain: `evm`, `solana`, or the namespace.
    pub chain: Arc<str>,
    /// Who paid, as shown to the buyer.
    pub payer: Arc<str>,
    /// The plan as it was sold.
    pub plan: Plan,
    /// From this moment on it opens nothing.
    pub expires_at: SystemTime,
    /// What the key that was sold with it begins with.
    pub key_prefix: Arc<str>,
    /// What was used when this was read.
    pub used: Units,
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
