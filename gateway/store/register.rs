//! The register as the operator reads it: subscriptions and keys by what they have in common, page by page, and what
//! was called with them.
//!
//! A page is a read of its own, the newest first, in an order that never changes: each row comes once, whatever the
//! gateway does meanwhile.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Day;
use crate::payment::PaymentId;
use crate::plans::{HolderId, Key, KeyHash, KeyId, Subscription, SubscriptionId, Units};

/// The operator's view of holders, keys and subscriptions.
#[async_trait]
pub trait Register: Send + Sync {
    /// The next subscriptions of a list, at most `rows`; `after` is the last one of the page before.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn subscriptions(
        &self,
        selection: &Selection,
        after: Option<&SubscriptionId>,
        rows: u32,
    ) -> Result<Vec<SubscriptionEntry>, StoreError>;

    /// One subscription.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn subscription_entry(&self, id: &SubscriptionId) -> Result<Option<SubscriptionEntry>, StoreError>;

    /// The next keys of a list, at most `rows`; `after` is the last one of the page before. Selected by their holder's
    /// current subscription.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn keys(&self, selection: &Selection, after: Option<&KeyId>, rows: u32) -> Result<Vec<KeyEntry>, StoreError>;

    /// One key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn key_entry(&self, id: &KeyId) -> Result<Option<KeyEntry>, StoreError>;

    /// What was called, in groups: at most `rows` of them, without the first `skip`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn usage(&self, span: &Span, by: &[By], skip: u32, rows: u32) -> Result<Vec<Used>, StoreError>;

    /// What the operator did about a holder, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn acts(&self, holder: &HolderId) -> Result<Vec<HolderAct>, StoreError>;

    /// Writes down what the operator does; it is never taken back. If the future is dropped, it may or may not stand.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be done.
    async fn note(&self, act: &HolderAct) -> Result<(), StoreError>;
}

/// Which subscriptions, or which keys. What is empty asks for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of the plan with this name.
    pub plan: Option<String>,
    /// Of the holder with this id or name.
    pub holder: Option<String>,
    /// Of whoever has this address; `0x…` in any spelling, any other letter by letter.
    pub address: Option<String>,
    /// By when they end.
    pub ends: Option<Ends>,
    /// Only subscriptions that no other one has replaced. A key's subscription always is the current one.
    pub current: bool,
}

/// When a subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It runs at this moment. A key must work, too.
    After(SystemTime),
    /// It has ended by this moment. A key that was revoked counts as well.
    By(SystemTime),
}

/// A subscription in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionEntry {
    /// What was sold or given.
    pub subscription: Subscription,
    /// What the operator calls its holder.
    pub name: Option<Arc<str>>,
    /// The payment that bought it; none if it was given.
    pub payment: Option<PaymentId>,
    /// When it was sold or given.
    pub created_at: SystemTime,
    /// What took its place.
    pub replaced_by: Option<SubscriptionId>,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// What the books have of it.
    pub key: Key,
    /// What it is found by.
    pub hash: KeyHash,
    /// What the operator calls its holder.
    pub name: Option<Arc<str>>,
    /// What it opens: its holder's current subscription, which may have ended.
    pub current: Option<Subscription>,
}

/// Which calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// On this day or later.
    pub from: Option<Day>,
    /// On this day or earlier.
    pub to: Option<Day>,
    /// Of the holder with this id or name.
    pub holder: Option<String>,
}

/// What calls are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The day in UTC.
    Day,
    /// Whose they were.
    Holder,
    /// The id of a key, `wallet` or `token`.
    Key,
    /// Methods and pattern of the route.
    Route,
}

/// Calls of a group. What they are not grouped by is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The day in UTC.
    pub day: Option<Day>,
    /// Whose they were.
    pub holder: Option<HolderId>,
    /// The id of a key, `wallet` or `token`.
    pub key: Option<String>,
    /// Methods and pattern of the route.
    pub route: Option<String>,
    /// How many were served.
    pub calls: u64,
    /// What they took.
    pub units: Units,
}

/// Something that the operator did about a holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderAct {
    /// When.
    pub at: SystemTime,
    /// About whom.
    pub holder: HolderId,
    /// About which of their keys.
    pub key: Option<KeyId>,
    /// What, in a word or two.
    pub act: String,
    /// With which words.
    pub detail: String,
}

impl By {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Day, Self::Holder, Self::Key, Self::Route];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Holder => "holder",
            Self::Key => "key",
            Self::Route => "route",
        }
    }

    /// Reads words like `key,route,day`.
    pub fn parse_list(text: &str) -> Option<Vec<Self>> {
        let one = |word: &str| Self::ALL.into_iter().find(|by| by.as_str() == word.trim());
        text.split(',').map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_a_list_of_words() {
        assert_eq!(By::parse_list("key,route,day"), Some(vec![By::Key, By::Route, By::Day]));
        assert_eq!(By::parse_list("holder"), Some(vec![By::Holder]));
        for bad in ["", ",", "key,", "keys", "day; DROP TABLE usage"] {
            assert_eq!(By::parse_list(bad), None, "{bad}");
        }
    }
}
