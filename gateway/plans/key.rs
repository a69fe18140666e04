//! API keys: derived from the payment and a secret, so that a repeat of a purchase gives the same key and no key is
//! ever stored.
//!
//! `tg_live_` + 44 hex digits: 16 secret bytes and 6 of a keyed check. The check lets a forged key be refused without
//! a look-up, whatever its prefix, so that a changed prefix kills no key already sold. The store holds a hash.

use std::fmt;
use std::sync::Arc;

use super::{Key, Origin};
use alloy_primitives::hex;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What keys begin with, for example `tg_live_`.
pub type KeyPrefix = Arc<str>;

const BODY_BYTES: usize = 16;
const CHECK_BYTES: usize = 6;
const DIGITS: usize = 2 * (BODY_BYTES + CHECK_BYTES);
const PREFIX_BYTES_MAX: usize = 32;

/// An API key. Its `Debug` form shows the beginning only.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(zeroize::Zeroizing<String>);

/// What the store knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// Makes keys and recognises them.
#[derive(Clone)]
pub struct KeyMint {
    mac: Hmac<Sha256>,
}

impl KeyMint {
    /// A mint with a secret that nobody else uses.
    pub fn new(secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        Self { mac }
    }

    /// The key of a sale: the same for the same payment, for ever.
    pub fn derive(&self, prefix: &str, payment_id: &str, subscription_id: &str) -> ApiKey {
        let tag = self.tag(b"key", &[payment_id.as_bytes(), subscription_id.as_bytes()]);
        let body = tag.get(..BODY_BYTES).unwrap_or(&tag);
        let digits = hex::encode([body, &self.check(body)].concat());
        ApiKey(zeroize::Zeroizing::new(format!("{prefix}{digits}")))
    }

    /// A key of the books in the clear. None if it came from elsewhere.
    pub fn text(&self, key: &Key) -> Option<ApiKey> {
        let prefix = key.prefix.as_deref()?;
        match key.origin {
            Origin::Sold => {
                let (payment, subscription) = key.id.sale();
                Some(self.derive(prefix, &payment, &subscription))
            }
            Origin::Issued => Some(self.derive(prefix, key.id.as_str(), key.holder.as_str())),
            Origin::Imported => None,
        }
    }

    /// Recognises a key of ours by its form and check; says nothing of its validity.
    pub fn recognise(&self, text: &str) -> Option<KeyHash> {
        let (prefix, digits) = text.split_at_checked(text.len().checked_sub(DIGITS)?)?;
        let mut bytes = [0u8; BODY_BYTES + CHECK_BYTES];
        let lower = digits.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if prefix.len() > PREFIX_BYTES_MAX || !lower || hex::decode_to_slice(digits, &mut bytes).is_err() {
            return None;
        }
        let (body, check) = bytes.split_at(BODY_BYTES);
        let right: bool = self.check(body).ct_eq(check).into();
        right.then(|| KeyHash::of(text))
    }

    fn check(&self, body: &[u8]) -> [u8; CHECK_BYTES] {
        let mut check = [0; CHECK_BYTES];
        check.iter_mut().zip(self.tag(b"check", &[body])).for_each(|(to, from)| *to = from);
        check
    }

    fn tag(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(purpose);
        for part in parts {
            // A separator that ids never hold keeps ("a", "bc") and ("ab", "c") apart.
            mac.update(&[0]);
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl KeyHash {
    /// The hash of a whole key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl ApiKey {
    /// The key in the clear: for the buyer's answer and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its first characters, for telling keys apart in logs.
    pub fn beginning(&self) -> &str {
        self.0.get(..12).unwrap_or("")
    }

    /// What may be stored of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.beginning())
    }
}

impl fmt::Debug for KeyMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMint")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: u8, payment: &str) -> ApiKey {
        KeyMint::new(&[secret; 32]).derive("tg_live_", payment, "sub_1")
    }

    #[test]
    fn the_same_payment_gives_the_same_key() {
        assert_eq!(key(7, "pay_1"), key(7, "pay_1"));
        assert_ne!(key(7, "pay_1"), key(7, "pay_2"));
        assert_ne!(key(7, "pay_1"), key(8, "pay_1"));
        assert!(key(7, "pay_1").reveal().starts_with("tg_live_"));
    }

    #[test]
    fn only_our_own_keys_are_recognised() {
        let (mint, key) = (KeyMint::new(&[7; 32]), key(7, "pay_1"));
        assert_eq!(mint.recognise(key.reveal()), Some(key.hash()));
        let flipped = if key.reveal().ends_with('0') { "1" } else { "0" };
        let forged = format!("{}{flipped}", key.reveal().split_at(key.reveal().len() - 1).0);
        let upper = format!("tg_live_{}", key.reveal().split_at(8).1.to_uppercase());
        for bad in ["", "tg_live_", "tg_live_abc", &forged, &upper, &"1".repeat(500), &"é".repeat(60)] {
            assert_eq!(mint.recognise(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = key(7, "pay_1");
        assert!(!format!("{key:?}").contains(key.reveal()));
    }
}
