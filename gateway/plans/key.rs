//! API keys: derived from the payment and a secret, so that a repeat of a purchase gives the same key and no key is
//! ever stored.
//!
//! `tg_live_` + base58 of 24 secret bytes and a 6-byte keyed check. The check lets a forged key be refused
//! without a look-up; the store holds a hash of the whole.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What all keys of this gateway begin with, for example `tg_live_`.
pub type KeyPrefix = Arc<str>;

const BODY_BYTES: usize = 24;
const CHECK_BYTES: usize = 6;

/// An API key. Its `Debug` form shows the beginning only.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(zeroize::Zeroizing<String>);

/// What the store knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// Makes keys and recognises them.
#[derive(Clone)]
pub struct KeyMint {
    prefix: KeyPrefix,
    mac: Hmac<Sha256>,
}

impl KeyMint {
    /// A mint for keys of this prefix. The secret is the gateway's own; other uses of it derive other secrets.
    pub fn new(prefix: KeyPrefix, secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        Self { prefix, mac }
    }

    /// The key of a sale: the same for the same payment, for ever.
    pub fn derive(&self, payment_id: &str, subscription_id: &str) -> ApiKey {
        let body = self.tag(b"key", &[payment_id.as_bytes(), subscription_id.as_bytes()]);
        let body = body.get(..BODY_BYTES).unwrap_or(&body);
        let mut bytes = body.to_vec();
        bytes.extend_from_slice(&self.check(body));
        ApiKey(zeroize::Zeroizing::new(format!("{}{}", self.prefix, bs58::encode(bytes).into_string())))
    }

    /// Recognises a key of ours by its form and check; says nothing of its validity.
    pub fn recognise(&self, text: &str) -> Option<KeyHash> {
        let digits = text.strip_prefix(&*self.prefix)?;
        let mut bytes = [0u8; BODY_BYTES + CHECK_BYTES];
        if digits.len() > 64 || bs58::decode(digits).onto(&mut bytes).ok()? != bytes.len() {
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

    /// What may be stored of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.0.get(..12).unwrap_or(""))
    }
}

impl fmt::Debug for KeyMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMint({})", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mint() -> KeyMint {
        KeyMint::new("tg_live_".into(), &[7; 32])
    }

    #[test]
    fn the_same_payment_gives_the_same_key() {
        let key = mint().derive("pay_1", "sub_1");
        assert_eq!(mint().derive("pay_1", "sub_1"), key);
        assert_ne!(mint().derive("pay_2", "sub_1"), key);
        assert_ne!(KeyMint::new("tg_live_".into(), &[8; 32]).derive("pay_1", "sub_1"), key);
        assert!(key.reveal().starts_with("tg_live_"));
    }

    #[test]
    fn only_our_own_keys_are_recognised() {
        let key = mint().derive("pay_1", "sub_1");
        assert_eq!(mint().recognise(key.reveal()), Some(key.hash()));
        let mut forged = key.reveal().to_owned();
        let last = if forged.ends_with('z') { 'y' } else { 'z' };
        forged.pop();
        forged.push(last);
        for bad in ["", "tg_live_", "tg_live_abc", &forged, &key.reveal()[8..], "cs_live_abc", &"1".repeat(500)] {
            assert_eq!(mint().recognise(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = mint().derive("pay_1", "sub_1");
        assert!(!format!("{key:?}").contains(key.reveal()));
    }
}
