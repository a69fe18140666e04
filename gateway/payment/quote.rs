//! Quotes: a token in each challenge that ties a payment to what it was quoted for.
//!
//! After settlement the signed authorization is public on the chain, so it proves that somebody paid, not who is
//! asking. The quote is never on the chain: v2 clients echo it in `accepted.extra`, and it is taken out before the
//! facilitator sees the payment. Nothing is stored for it: a random part, the time, and a keyed MAC over the offer
//! and the terms.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::pricing::OfferKey;

/// The member of `extra` that holds it.
pub(super) const MEMBER: &str = "quote";

const RANDOM_BYTES: usize = 8;
const TIME_BYTES: usize = 5;
const MAC_BYTES: usize = 16;
const TOKEN_BYTES: usize = RANDOM_BYTES + TIME_BYTES + MAC_BYTES;

/// A quote that was found genuine. Its `Debug` form does not show the token: with it a repeat is its buyer's.
#[derive(Clone, PartialEq, Eq)]
pub struct Quote {
    /// The token, as it goes into the ledger.
    pub token: String,
    /// When it was given, in seconds of Unix time.
    pub issued_at: u64,
}

impl std::fmt::Debug for Quote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quote").field("issued_at", &self.issued_at).finish_non_exhaustive()
    }
}

/// Gives quotes and recognises them.
#[derive(Clone)]
pub struct QuoteMint {
    mac: Hmac<Sha256>,
}

impl QuoteMint {
    /// A mint with a secret that nobody else uses.
    pub fn new(secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        Self { mac }
    }

    /// A quote of some terms of an offer.
    pub fn quote(&self, offer: &OfferKey, terms: &[u8; 32], now: u64, random: [u8; RANDOM_BYTES]) -> String {
        let mut token = [0; TOKEN_BYTES];
        let (head, mac) = token.split_at_mut(RANDOM_BYTES + TIME_BYTES);
        let time = now.to_be_bytes().into_iter().skip(8 - TIME_BYTES);
        head.iter_mut().zip(random.into_iter().chain(time)).for_each(|(to, from)| *to = from);
        mac.iter_mut().zip(self.tag(offer, terms, head)).for_each(|(to, from)| *to = from);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// A nonce for a wallet's sign-in: 32 hex digits that nobody can foresee, of the random part of the same challenge.
    pub fn nonce(&self, now: u64, random: [u8; RANDOM_BYTES]) -> String {
        let mut mac = self.mac.clone();
        // A quote's MAC is over a longer text, so that the one never stands for the other.
        mac.update(b"nonce");
        mac.update(&random);
        mac.update(&now.to_be_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        alloy_primitives::hex::encode(tag.get(..16).unwrap_or_default())
    }

    /// What the memos of the same challenge end with: sixteen hex digits.
    pub fn memo_end(random: [u8; RANDOM_BYTES]) -> String {
        alloy_primitives::hex::encode(random)
    }

    /// Whether a token was given by this gateway for these terms of this offer. Its age is the caller's to judge.
    pub fn recognise(&self, token: &str, offer: &OfferKey, terms: &[u8; 32]) -> Option<Quote> {
        let bytes: [u8; TOKEN_BYTES] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (head, mac) = bytes.split_at(RANDOM_BYTES + TIME_BYTES);
        let tag = self.tag(offer, terms, head);
        let genuine: bool = tag.get(..MAC_BYTES)?.ct_eq(mac).into();
        let issued_at = head.iter().skip(RANDOM_BYTES).fold(0, |time, &byte| (time << 8) | u64::from(byte));
        genuine.then(|| Quote { token: token.to_owned(), issued_at })
    }

    fn tag(&self, offer: &OfferKey, terms: &[u8; 32], head: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(head);
        mac.update(terms);
        mac.update(offer.as_str().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl Quote {
    /// What the memo of the challenge that it stood in ends with.
    pub fn memo_end(&self) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.token).ok()?;
        bytes.first_chunk().copied().map(QuoteMint::memo_end)
    }

    /// Whether its price is still honoured after that price has changed.
    pub fn is_fresh(&self, now: u64, ttl: Duration) -> bool {
        now <= self.issued_at.saturating_add(ttl.as_secs())
    }
}

impl std::fmt::Debug for QuoteMint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QuoteMint")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_good_for_its_own_offer_and_terms_only() {
        let (mint, offer, terms) = (QuoteMint::new(&[1; 32]), OfferKey::plan("nano"), [2; 32]);
        let token = mint.quote(&offer, &terms, 1_767_225_600, [3; 8]);
        let quote = mint.recognise(&token, &offer, &terms).unwrap();
        assert_eq!(quote.issued_at, 1_767_225_600);
        assert_eq!(mint.recognise(&token, &OfferKey::plan("pro"), &terms), None);
        assert_eq!(mint.recognise(&token, &offer, &[9; 32]), None);
        assert_eq!(QuoteMint::new(&[2; 32]).recognise(&token, &offer, &terms), None);
        for bad in ["", "AAAA", token.split_at(1).1, &format!("{token}A"), &token.to_lowercase()] {
            assert_eq!(mint.recognise(bad, &offer, &terms), None, "{bad}");
        }
    }

    #[test]
    fn a_quote_is_fresh_for_its_time() {
        let quote = Quote { token: String::new(), issued_at: 100 };
        assert!(quote.is_fresh(160, Duration::from_secs(60)));
        assert!(!quote.is_fresh(161, Duration::from_secs(60)));
    }
}
