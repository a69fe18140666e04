use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use alloy_primitives::hex;
use sha2::{Digest as _, Sha256};

use super::KeyPrefix;

/// The identity of whoever holds a plan: one buyer, with all of their addresses and keys.
///
/// A key or an address leads to its holder, and the holder to the one subscription that is current; so a key that was
/// sold with an earlier subscription opens the one that took its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderId(Arc<str>);

/// What the operator calls a holder, and what a token of the operator's may call them: 1 to 64 of `A-Za-z0-9._@-`.
///
/// It is not an id: what begins like one is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HolderName(Arc<str>);

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

    const PREFIX: &str = "hol_";

    /// The id of whoever is first known by a name: always the same, so that of two who give it a plan at the same moment
    /// both derive the key for the one holder that there will be.
    pub fn of_name(name: &HolderName) -> Self {
        let digest = Sha256::digest(format!("holder {}", name.as_str()).as_bytes());
        Self(format!("{}{}", Self::PREFIX, hex::encode(digest.get(..20).unwrap_or_default())).into())
    }

    /// The id of a buyer who is first seen by this payment.
    pub fn of_payment(payment_id: &str) -> Self {
        Self(format!("{}{}", Self::PREFIX, payment_id.trim_start_matches("pay_")).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HolderName {
    const BYTES_MAX: usize = 64;

    /// Reads a name. None if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let right = |b: u8| b.is_ascii_alphanumeric() || b"._@-".contains(&b);
        let is_name = (1..=Self::BYTES_MAX).contains(&text.len()) && text.bytes().all(right);
        (is_name && !text.starts_with(HolderId::PREFIX)).then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["a", "acme", "Bob.B-1@example.com", &"x".repeat(64), "0x1", "key_1"] {
            assert_eq!(HolderName::parse(name).map(|name| name.as_str().to_owned()).as_deref(), Some(name));
        }
        for bad in ["", " acme", "a b", "ä", "a/b", "a\n", "=1", &"x".repeat(65), "hol_1"] {
            assert_eq!(HolderName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_name_has_one_id() {
        let id = |name| HolderId::of_name(&HolderName::parse(name).unwrap());
        assert_eq!(id("acme"), id("acme"));
        assert_ne!(id("acme"), id("acme2"));
        assert_eq!(id("acme").as_str().len(), 44);
    }
}
