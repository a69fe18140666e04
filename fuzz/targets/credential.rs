//! API keys and quotes: only what was made with our own secret is ours.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate::payment::QuoteMint;
use tollgate::plans::{KeyHash, KeyMint};
use tollgate::pricing::OfferKey;

use super::market::{MINT, NOW};
use super::{halves, text};

static KEYS: LazyLock<KeyMint> = LazyLock::new(|| KeyMint::new(&[7; 32]));
static OTHER_KEYS: LazyLock<KeyMint> = LazyLock::new(|| KeyMint::new(&[8; 32]));
static OTHER_QUOTES: LazyLock<QuoteMint> = LazyLock::new(|| QuoteMint::new(&[8; 32]));

/// Reads the bytes as a credential, and makes one of their two lines.
pub fn credential(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(hash) = KEYS.recognise(text) {
        assert_eq!(hash, KeyHash::of(text));
        assert!(text.len() <= 32 + 44 && OTHER_KEYS.recognise(text).is_none(), "{text}");
        assert!(text.bytes().rev().take(44).all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()), "{text}");
    }
    let (first, second) = halves(data);
    let [first, second] = [first, second].map(|half| std::str::from_utf8(half).unwrap_or_default());
    keys(first, second);
    quotes(first, second);
}

fn keys(prefix: &str, id: &str) {
    let key = KEYS.derive(prefix, id, "sub_1");
    let known = KEYS.recognise(key.reveal());
    assert_eq!(known, (prefix.len() <= 32).then(|| key.hash()));
    assert!(OTHER_KEYS.recognise(key.reveal()).is_none(), "a key of another secret");
    assert!(!format!("{key:?}").contains(key.reveal()), "a key is printed");
}

fn quotes(offer: &str, token: &str) {
    let (key, other, terms) = (OfferKey::new(offer), OfferKey::new(&format!("{offer} ")), [3; 32]);
    let quote = MINT.quote(&key, &terms, NOW, [5; 8]);
    let read = MINT.recognise(&quote, &key, &terms).expect("our own quote");
    assert_eq!((read.issued_at, &read.token), (NOW, &quote));
    assert!(MINT.recognise(&quote, &other, &terms).is_none() && MINT.recognise(&quote, &key, &[4; 32]).is_none());
    assert!(OTHER_QUOTES.recognise(&quote, &key, &terms).is_none(), "a quote of another secret");
    // A token has one spelling, or a payment's quote in the ledger would not be the one that is sent again.
    if let Some(read) = MINT.recognise(token, &key, &terms) {
        let bytes = URL_SAFE_NO_PAD.decode(token).expect("it was decoded before");
        let random = *bytes.first_chunk().expect("eight bytes at the beginning");
        assert_eq!(MINT.quote(&key, &terms, read.issued_at, random), token);
    }
}
