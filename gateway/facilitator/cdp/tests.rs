//! Keys in all the forms that they come in, and tokens read by a library that did not sign them.

use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value, json};

use super::*;

/// Seed and public half: 32 times the byte 0x66, and what belongs to it.
const ED25519_KEY: &str = "ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY0tNkEMVbLbc8L6wopSbdVnJQNK8ttvoxTqbMCeOOnRg==";

/// One key of P-256 as OpenSSL writes it: the curve in a block of its own, then SEC1.
const SEC1: &str = "\
-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIP4TkWgNSEHxF/wVr8qcCtR8oih2RyEAtSnnvuIf9PtkoAoGCCqGSM49
AwEHoUQDQgAEjIPh0puLn8iJsNLVSb4iA2aQn2pDElxqETNzAstrqRpeNqPWZIDY
Z8at73BN4fENVWql9betKboZnyU952IDlQ==
-----END EC PRIVATE KEY-----
";
/// The same without its public half.
const SEC1_BARE: &str = "\
-----BEGIN EC PRIVATE KEY-----
MDECAQEEIP4TkWgNSEHxF/wVr8qcCtR8oih2RyEAtSnnvuIf9PtkoAoGCCqGSM49
AwEH
-----END EC PRIVATE KEY-----\n";
/// The same as PKCS#8.
const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/hORaA1IQfEX/BWv
ypwK1HyiKHZHIQC1Kee+4h/0+2ShRANCAASMg+HSm4ufyImw0tVJviIDZpCfakMS
XGoRM3MCy2upGl42o9ZkgNhnxq3vcE3h8Q1VaqX1t60puhmfJT3nYgOV
-----END PRIVATE KEY-----\n";
/// The same without its public half.
const PKCS8_BARE: &str = "\
-----BEGIN PRIVATE KEY-----
MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCD+E5FoDUhB8Rf8Fa/K
nArUfKIodkchALUp577iH/T7ZA==
-----END PRIVATE KEY-----\n";
/// The public half of all of them, as a point.
const PUBLIC: &str = "BIyD4dKbi5/IibDS1Um+IgNmkJ9qQxJcahEzcwLLa6kaXjaj1mSA2GfGre9wTeHxDVVqpfW3rSm6GZ8lPediA5U=";

/// What a token says, if `public` has signed it.
fn read(token: &str, how: &'static dyn VerificationAlgorithm, public: &[u8]) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(how, public).verify(signed.as_bytes(), &signature).ok()?;
    let (header, claims) = signed.split_once('.').unwrap();
    let part = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    Some((part(header), part(claims)))
}

fn token(secret: &str) -> String {
    let nonce = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
    CdpKey::parse("organizations/1/apiKeys/2", secret).unwrap().token("GET a.example/supported", nonce, 1_767_225_600)
}

fn expected(alg: &str) -> (Value, Value) {
    let id = "organizations/1/apiKeys/2";
    let header = json!({ "alg": alg, "kid": id, "typ": "JWT", "nonce": "000102030405060708090a0b0c0d0eff" });
    let claims = json!({
        "sub": id, "iss": "cdp", "aud": ["cdp_service"], "uris": ["GET a.example/supported"],
        "iat": 1_767_225_600, "nbf": 1_767_225_600, "exp": 1_767_225_720,
    });
    (header, claims)
}

fn standard(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn an_ed25519_key_signs_eddsa() {
    let public = &standard(ED25519_KEY)[32..];
    let said = read(&token(ED25519_KEY), &ED25519, public).unwrap();
    assert_eq!(said, expected("EdDSA"));
    assert_eq!(read(&token(ED25519_KEY).replacen("ey", "ez", 1), &ED25519, public), None);
    for form in [ED25519_KEY.trim_end_matches('='), &format!(" {ED25519_KEY}\r\n")] {
        assert_eq!(token(form), token(ED25519_KEY), "{form:?}");
    }
}

#[test]
fn a_p256_key_signs_es256_in_whatever_form_it_comes() {
    for pem in [SEC1, SEC1_BARE, PKCS8, PKCS8_BARE] {
        for form in [
            pem.to_owned(),
            pem.trim_end().to_owned(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', "\\n"),
            pem.replace('\n', "\\r\\n"),
            pem.replace('\n', "\n   "),
            format!("\n\n{}", pem.replace('\n', "\n\n")),
        ] {
            let said = read(&token(&form), &ECDSA_P256_SHA256_FIXED, &standard(PUBLIC));
            assert_eq!(said, Some(expected("ES256")), "{form:?}");
        }
    }
    let other = read(&token(SEC1).replacen("ey", "ez", 1), &ECDSA_P256_SHA256_FIXED, &standard(PUBLIC));
    assert_eq!(other, None);
}

#[test]
fn other_secrets_are_refused_by_what_is_wrong_with_them() {
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let whole = standard(ED25519_KEY);
    let swapped = [&whole[32..], &whole[..32]].concat();
    let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    for (secret, error) in [
        (String::new(), CdpKeyError::Length(0)),
        ("no base64!".to_owned(), CdpKeyError::Form),
        (encoded(&whole[..32]), CdpKeyError::Length(32)),
        (encoded(&whole[..63]), CdpKeyError::Length(63)),
        (encoded(&[&*whole, &[0]].concat()), CdpKeyError::Length(65)),
        (encoded(&swapped), CdpKeyError::Halves),
        (SEC1.split("-----END EC PRIVATE").next().unwrap().to_owned(), CdpKeyError::Curve),
        (block("EC PRIVATE KEY", ""), CdpKeyError::Curve),
        (block("EC PRIVATE KEY", "AAAA"), CdpKeyError::Curve),
        (block("EC PRIVATE KEY", "!"), CdpKeyError::Curve),
        // secp256k1 with and without its public half, P-384, Ed25519 in PKCS#8, a public key, an encrypted one, and the
        // public half of another key.
        (
            block(
                "EC PRIVATE KEY",
                "MHQCAQEEIIpi5cOylhqNkoOq6rxCfM8M1pfW4ROUtYlxebcB5QNHoAcGBSuBBAAK\noUQDQgAEx/ENNvCYMtWidVGS5BBCA/D0yZ8yAh1TMSpgTzR9Qxp4d+KQMuw8rGAR\nhoTxeA5W7wuruMHZhv9A2UeSPBhqhw==",
            ),
            CdpKeyError::Curve,
        ),
        (
            block("EC PRIVATE KEY", "MC4CAQEEIIpi5cOylhqNkoOq6rxCfM8M1pfW4ROUtYlxebcB5QNHoAcGBSuBBAAK"),
            CdpKeyError::Curve,
        ),
        (
            block(
                "EC PRIVATE KEY",
                "MIGkAgEBBDBWPNQQBwqxdFeNG9cZELZKP8/5mnRHTRwwNMmztFTxGoI3thK8uVZw\nO/aH/N/KPT+gBwYFK4EEACKhZANiAAR7N8BtcviFgAB/6umyv2S5m4VShexE9HZ7\nfbOrwtNXJFxOkNWDE9pAGB7B3a9/0JgUKzkghyWLzf5tMjB/embUIrmU7FYMDajb\nQIpVuvcESCUzMIgTYErvdqMSR0nRDug=",
            ),
            CdpKeyError::Curve,
        ),
        (block("PRIVATE KEY", "MC4CAQAwBQYDK2VwBCIEIHws9duNwnOgqEQXEAbBbSmBieAR4Mba07FGZPdMI/XB"), CdpKeyError::Curve),
        (
            block(
                "PUBLIC KEY",
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjIPh0puLn8iJsNLVSb4iA2aQn2pD\nElxqETNzAstrqRpeNqPWZIDYZ8at73BN4fENVWql9betKboZnyU952IDlQ==",
            ),
            CdpKeyError::Curve,
        ),
        (
            block(
                "EC PRIVATE KEY",
                "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,1976991F530547FB8AA628F68802834F\n\nvZeV5npUuJAithZNDhfQiwNapYKWwOxZHZNJvIDLInAIzazJ/ZNFXNOs3gqwwOwR\nZMoXk4E8lN3rnssCajNYX3OGhmhHCjj33xbuamPMxn717cXeI3diXl489TTaJD5a\nQvDt2vhIyFct7D3c6hiqeauuOZYzfhtRDgoowcWNoIY=",
            ),
            CdpKeyError::Curve,
        ),
        (
            block(
                "EC PRIVATE KEY",
                "MHcCAQEEIP4TkWgNSEHxF/wVr8qcCtR8oih2RyEAtSnnvuIf9PtkoAoGCCqGSM49\nAwEHoUQDQgAEb9Nhe1Vbl3ivikQPW6A6obpb32i7nEV08yU6ejtL26mY4jM/ugrz\nOdrF+nb0uJ/MjDErfcwe9gF0OggfTibMrw==",
            ),
            CdpKeyError::Curve,
        ),
    ] {
        assert_eq!(CdpKey::parse("id", &secret).err(), Some(error), "{secret:?}");
    }
}

#[test]
fn a_key_is_not_printed() {
    assert_eq!(format!("{:?}", CdpKey::parse("id", ED25519_KEY).unwrap()), "CdpKey(…)");
}
