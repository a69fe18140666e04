//! The book of holders, their keys and their subscriptions.

use std::sync::Arc;

use async_trait::async_trait;

use super::{NewKey, Sale, StoreError};
use crate::plans::{Holder, HolderAddress, HolderId, Key, KeyHash, KeyId, Subscription, SubscriptionId, Units};

/// The book of holders, keys and subscriptions.
///
/// Every write is durable when its future is ready. If the future is dropped, the write may or may not happen.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The key with this hash, whether it opens anything or not.
    ///
    /// # Errors
    /// [`StoreError`]; the key must then not be served.
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError>;

    /// All keys of a holder, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn keys_of(&self, holder: &HolderId) -> Result<Vec<Key>, StoreError>;

    /// The hashes of keys that came from elsewhere: no check in them says that they are ours.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn imported(&self) -> Result<Vec<KeyHash>, StoreError>;

    /// A holder with all of their addresses.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn holder(&self, id: &HolderId) -> Result<Option<Holder>, StoreError>;

    /// Whose address this is. `chain` is the family's word, `address` its canonical text.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn holder_at(&self, chain: &str, address: &str) -> Result<Option<HolderId>, StoreError>;

    /// Who has this name, or this id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn holder_named(&self, name: &str) -> Result<Option<HolderId>, StoreError>;

    /// The subscription with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError>;

    /// The current subscription of a holder, even if it has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn current_of(&self, holder: &HolderId) -> Result<Option<Subscription>, StoreError>;

    /// Gives a plan without a payment: the operator's doing.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is given then.
    async fn grant(&self, sale: &Sale) -> Result<(), StoreError>;

    /// Writes a new key of a holder, which takes the place of another if one is named. One more is written only if fewer
    /// than `keys_max` of the holder's work.
    ///
    /// # Errors
    /// [`StoreError::TooManyKeys`], or [`StoreError::NoKey`] if the other is not theirs or does not work any more;
    /// nothing is written then.
    async fn issue(&self, key: &NewKey, replaces: Option<&KeyId>, keys_max: u32) -> Result<(), StoreError>;

    /// Writes that a holder's key opens nothing from now on.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] if it is not theirs or does not work any more.
    async fn revoke(&self, holder: &HolderId, key: &KeyId) -> Result<(), StoreError>;

    /// Writes that an address is a holder's.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    async fn link(&self, holder: &HolderId, address: &HolderAddress) -> Result<Linked, StoreError>;

    /// Whose keys or plan have changed since the change with this number, by whichever process.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn changes(&self, after: i64) -> Result<Changes, StoreError>;

    /// Sets units aside for this gateway to spend in memory; at most `want`, at least none.
    ///
    /// What is set aside and not reported as spent is free again after a crash, so a crash never costs a buyer units.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is set aside then.
    async fn lease(&self, id: &SubscriptionId, want: Units) -> Result<Units, StoreError>;

    /// Writes what was spent of earlier leases and with what, and gives back what will not be spent. What comes back to
    /// a subscription that another one extends is that one's.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    async fn report(&self, usages: Vec<Usage>) -> Result<(), StoreError>;
}

/// What became of a wish to link an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It is the holder's from now on.
    Now,
    /// It was already.
    Before,
    /// It is somebody else's, who has a plan.
    Taken,
    /// The holder has as many as one may have.
    TooMany,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The number of the last change.
    pub last: i64,
    /// Whose.
    pub holders: Vec<HolderId>,
}

/// What a gateway did with units that it had set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Whose.
    pub holder: HolderId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// How many were spent since the last report.
    pub spent: Units,
    /// How many are given back.
    pub returned: Units,
    /// The calls that were made since the last report.
    pub calls: Vec<Calls>,
}

/// Calls of one route with one credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// The id of a key, `wallet` or `token`.
    pub credential: Arc<str>,
    /// Methods and pattern of the route.
    pub route: Arc<str>,
    /// How many calls were served.
    pub calls: u64,
    /// What they took.
    pub units: Units,
}
