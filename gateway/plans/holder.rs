use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::KeyPrefix;

/// The identity of whoever holds a plan: one buyer, with all of their addresses and keys.
///
/// A key or an address leads to its holder, and the holder to the one subscription that is current; so a key that was
/// sold with an earlier subscription opens the one that took its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderId(Arc<str>);

/// The name of a key, which opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

/// A buyer, as the books have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which buyer.
    pub id: HolderId,
    /// What the operator calls them, and what a token of the operator's may call them.
    pub name: Option<Arc<str>>,
    /// The wallets that are theirs.
    pub addresses: Vec<HolderAddress>,
    /// When they were first seen.
    pub created_at: SystemTime,
}

/// A wallet of a holder's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderAddress {
    /// The family of its chain: `evm`, `solana`, or the namespace.
    pub chain: Arc<str>,
    /// The address in its canonical spelling.
    pub address: Arc<str>,
    /// The CAIP-2 network on which it paid or proved itself; a contract's signature is asked for there alone.
    pub network: Option<Arc<str>>,
}

/// A key, as the books have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub id: KeyId,
    /// Whose it is.
    pub holder: HolderId,
    /// Where it comes from.
    pub origin: Origin,
    /// What it begins with, if it is derived from the gateway's secret; then it can be shown again. None if it came
    /// from elsewhere.
    pub prefix: Option<KeyPrefix>,
    /// Its first characters, to tell it apart.
    pub hint: Arc<str>,
    /// When it was made.
    pub created_at: SystemTime,
    /// Since when it opens nothing.
    pub revoked_at: Option<SystemTime>,
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A payment bought it.
    Sold,
    /// Its holder asked for it, or the operator made it.
    Issued,
    /// It was brought along from another system.
    Imported,
}

impl HolderId {
    /// Takes an id from the store.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The id of a buyer who is first seen by this payment.
    pub fn of_payment(payment_id: &str) -> Self {
        Self(format!("hol_{}", payment_id.trim_start_matches("pay_")).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyId {
    /// Takes an id from the store.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The id of the key that a payment bought.
    pub fn of_payment(payment_id: &str) -> Self {
        Self(format!("key_{}", payment_id.trim_start_matches("pay_")).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// What stands behind `key_`.
    fn number(&self) -> &str {
        self.0.trim_start_matches("key_")
    }

    /// The payment that bought the key, and the subscription that it was sold with: what it was derived from.
    pub(super) fn sale(&self) -> (String, String) {
        (format!("pay_{}", self.number()), format!("sub_{}", self.number()))
    }
}

impl Origin {
    /// The word in the books.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sold => "sold",
            Self::Issued => "issued",
            Self::Imported => "imported",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Sold, Self::Issued, Self::Imported].into_iter().find(|origin| origin.as_str() == word)
    }
}

impl Key {
    /// Whether it opens anything.
    pub fn is_working(&self) -> bool {
        self.revoked_at.is_none()
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
