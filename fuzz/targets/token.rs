//! Tokens (JWT): bytes as they are, and as header and claims that the issuer has signed.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::Value;
use tollgate::plans::{TokenVerifier, looks_like_jwt};

use super::market::NOW;
use super::{halves, text};

/// What stands before the 32 bytes of an Ed25519 key (RFC 8410).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// How far clocks may differ, in seconds.
const LEEWAY_S: u64 = 30;

static OURS: LazyLock<TokenVerifier> = LazyLock::new(|| verifier(&issuer()));
static OTHERS: LazyLock<TokenVerifier> = LazyLock::new(|| verifier(&SigningKey::from_bytes(&[8; 32])));

/// Reads the bytes as a token, and its two lines as what was signed.
pub fn token(data: &[u8]) {
    if let Some(whole) = text(data) {
        let _ = (OURS.verify(whole, NOW), looks_like_jwt(whole), TokenVerifier::new(whole, None, None, "sub").is_ok());
    }
    let (header, claims) = halves(data);
    let signed = sign(header, claims);
    assert!(OTHERS.verify(&signed, NOW).is_err(), "another issuer's token");
    let Ok(claimed) = OURS.verify(&signed, NOW) else { return };
    let json = |part| serde_json::from_slice::<Value>(part).expect("it was read before");
    let (header, claims) = (json(header), json(claims));
    assert!(header["alg"] == "EdDSA" && header.get("crit").is_none(), "{header}");
    assert_eq!(claims["sub"], *claimed.subject);
    assert!((1..=256).contains(&claimed.subject.len()) && !claimed.subject.contains(char::is_control));
    assert!(claimed.expires_at > NOW && claims["exp"].is_number(), "{claims}");
    assert!(OURS.verify(&signed, claimed.expires_at).is_err(), "a token that never ends");
    let exp = claims["exp"].as_u64();
    assert!(exp.is_none_or(|exp| claimed.expires_at == exp.saturating_add(LEEWAY_S)), "{claims}");
    let (signed, signature) = signed.rsplit_once('.').expect("three parts");
    assert!(OURS.verify(&format!("{signed}A.{signature}"), NOW).is_err(), "a changed token");
    assert!(OURS.verify(&format!("{signed}."), NOW).is_err(), "a token without a signature");
}

fn issuer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn verifier(key: &SigningKey) -> TokenVerifier {
    let spki = [&SPKI_HEAD[..], key.verifying_key().as_bytes()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
    TokenVerifier::new(&pem, None, None, "sub").expect("a good key")
}

fn sign(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = issuer().sign(signed.as_bytes()).to_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
