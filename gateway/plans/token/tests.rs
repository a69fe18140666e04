//! Tokens as other libraries make them, and their evil twins.

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// 2026-01-01T00:00:00Z, when the tokens begin.
const BEGIN: u64 = 1_767_225_600;
/// 2100-01-01T00:00:00Z, their `exp`.
const END: u64 = 4_102_444_800;
const ISSUER: &str = "https://accounts.example.com";
const AUDIENCE: &str = "https://api.example.com";

fn vectors(member: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/jwt.json")).unwrap();
    all[member].clone()
}

fn text(group: &str, name: &str) -> String {
    vectors(group)[name].as_str().unwrap_or_else(|| panic!("no vector {group}.{name}")).to_owned()
}

fn verifier(key: &str) -> TokenVerifier {
    TokenVerifier::new(&text("keys", key), Some(ISSUER), Some(AUDIENCE), "sub").unwrap()
}

/// What comes of a token: whose it is, or why not.
fn outcome(verifier: &TokenVerifier, token: &str) -> Result<String, TokenError> {
    verifier.verify(token, BEGIN).map(|claimed| claimed.subject.into())
}

fn alice() -> Result<String, TokenError> {
    Ok("alice".to_owned())
}

/// The key of tokens that are made on the spot.
fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn verifier_of_ours() -> TokenVerifier {
    let key = PublicKey::Ed25519(signing_key().verifying_key());
    TokenVerifier { key, issuer: None, audience: None, claim: "sub".into() }
}

fn signed(header: &str, payload: &str) -> String {
    let message = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = signing_key().sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn claiming(claims: &Value) -> String {
    signed(r#"{"alg":"EdDSA"}"#, &claims.to_string())
}

#[test]
fn tokens_of_other_libraries_are_good() {
    for maker in ["pyjwt", "jose"] {
        for key in ["rsa", "ed25519"] {
            let claimed = verifier(key).verify(&text(maker, key), BEGIN).unwrap();
            assert_eq!(claimed, Claimed { subject: "alice".into(), expires_at: END + LEEWAY_S }, "{maker} {key}");
        }
    }
}

#[test]
fn another_claim_may_name_the_subject() {
    let by = |claim| TokenVerifier::new(&text("keys", "rsa"), None, None, claim).unwrap();
    assert_eq!(outcome(&by("client_id"), &text("jose", "rsa")), Ok("org_42".to_owned()));
    for claim in ["org", "", "aud", "exp"] {
        assert_eq!(outcome(&by(claim), &text("jose", "rsa")), Err(TokenError::Subject), "{claim}");
    }
}

#[test]
fn a_token_has_its_time() {
    for key in ["rsa", "ed25519"] {
        let (verifier, token) = (verifier(key), text("pyjwt", key));
        for (now, expected) in [
            (0, Err(TokenError::NotYetValid)),
            (BEGIN - 31, Err(TokenError::NotYetValid)),
            (BEGIN - 30, alice()),
            (END, alice()),
            (END + 29, alice()),
            (END + 30, Err(TokenError::Expired)),
            (u64::MAX, Err(TokenError::Expired)),
        ] {
            assert_eq!(verifier.verify(&token, now).map(|claimed| claimed.subject.into()), expected, "{now}");
        }
    }
    assert_eq!(verifier("rsa").verify(&text("claims", "no_nbf"), 0).unwrap().expires_at, END + 30);
    assert_eq!(verifier("rsa").verify(&text("claims", "fractions"), BEGIN - 30).unwrap().expires_at, END + 30);
    assert_eq!(verifier("rsa").verify(&text("claims", "exp_max"), BEGIN).unwrap().expires_at, u64::MAX);
}

#[test]
fn only_the_issuers_key_signs() {
    for (key, token) in [("rsa_other", "rsa"), ("ed25519_other", "ed25519")] {
        assert_eq!(outcome(&verifier(key), &text("pyjwt", token)), Err(TokenError::Signature));
    }
    for (key, token, algorithm) in [("ed25519", "rsa", "EdDSA"), ("rsa", "ed25519", "RS256")] {
        assert_eq!(outcome(&verifier(key), &text("pyjwt", token)), Err(TokenError::Algorithm(algorithm)));
    }
    // The payload of one token under the signature of another one.
    for key in ["rsa", "ed25519"] {
        let (one, other) = (text("pyjwt", key), text("jose", key));
        let (message, signature) = (one.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
        assert_eq!(outcome(&verifier(key), &format!("{message}.{signature}")), Err(TokenError::Signature));
    }
}

#[test]
fn the_header_does_not_choose_the_algorithm() {
    for (name, token) in vectors("other_algorithms").as_object().unwrap() {
        for (key, algorithm) in [("rsa", "RS256"), ("ed25519", "EdDSA")] {
            let refused = outcome(&verifier(key), token.as_str().unwrap());
            assert_eq!(refused, Err(TokenError::Algorithm(algorithm)), "{name} {key}");
        }
    }
}

#[test]
fn a_token_whose_json_is_not_plain_is_refused() {
    for (name, token) in vectors("changed").as_object().unwrap() {
        let expected = if name.starts_with("crit") { TokenError::Critical } else { TokenError::Malformed };
        assert_eq!(outcome(&verifier("rsa"), token.as_str().unwrap()), Err(expected), "{name}");
    }
}

#[test]
fn claims_are_asked_for_as_configured() {
    use TokenError::{Audience, Claim, Issuer, Subject};
    let strict = verifier("rsa");
    let lenient = TokenVerifier::new(&text("keys", "rsa"), None, None, "sub").unwrap();
    for (group, name, expected, without_issuer_and_audience) in [
        ("claims", "no_exp", Err(Claim("exp")), Err(Claim("exp"))),
        ("claims", "no_nbf", alice(), alice()),
        ("claims", "no_iss", Err(Issuer), alice()),
        ("odd_claims", "iss_other", Err(Issuer), alice()),
        ("odd_claims", "iss_list", Err(Issuer), alice()),
        ("claims", "no_aud", Err(Audience), alice()),
        ("claims", "aud_other", Err(Audience), alice()),
        ("claims", "aud_list", alice(), alice()),
        ("claims", "aud_empty", Err(Audience), alice()),
        ("odd_claims", "aud_number", Err(Audience), alice()),
        ("odd_claims", "aud_object", Err(Audience), alice()),
        ("claims", "no_sub", Err(Subject), Err(Subject)),
        ("claims", "sub_empty", Err(Subject), Err(Subject)),
        ("claims", "sub_256", Ok("a".repeat(256)), Ok("a".repeat(256))),
        ("claims", "sub_257", Err(Subject), Err(Subject)),
        ("claims", "sub_control", Err(Subject), Err(Subject)),
        ("claims", "sub_unicode", Ok("Zoë".to_owned()), Ok("Zoë".to_owned())),
        ("odd_claims", "sub_number", Err(Subject), Err(Subject)),
        ("odd_claims", "sub_null", Err(Subject), Err(Subject)),
        ("odd_claims", "sub_list", Err(Subject), Err(Subject)),
        ("odd_claims", "exp_text", Err(Claim("exp")), Err(Claim("exp"))),
        ("odd_claims", "exp_null", Err(Claim("exp")), Err(Claim("exp"))),
        ("odd_claims", "exp_negative", Err(Claim("exp")), Err(Claim("exp"))),
        ("odd_claims", "exp_huge", Err(Claim("exp")), Err(Claim("exp"))),
        ("odd_claims", "exp_list", Err(Claim("exp")), Err(Claim("exp"))),
        ("odd_claims", "nbf_text", Err(Claim("nbf")), Err(Claim("nbf"))),
        ("odd_claims", "nbf_null", Err(Claim("nbf")), Err(Claim("nbf"))),
        ("odd_claims", "nbf_huge", Err(Claim("nbf")), Err(Claim("nbf"))),
    ] {
        assert_eq!(outcome(&strict, &text(group, name)), expected, "{name}");
        assert_eq!(outcome(&lenient, &text(group, name)), without_issuer_and_audience, "{name}, lenient");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let good = text("pyjwt", "rsa");
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let verifier = verifier("rsa");
    for bad in [
        "",
        ".",
        "..",
        "...",
        "tg_live_00112233445566778899aabbccddeeff",
        header,
        &format!("{header}.{payload}"),
        &format!(".{payload}.{signature}"),
        &format!("{header}..{signature}"),
        &format!("{good}."),
        &format!(".{good}"),
        &format!("{good}.{signature}"),
        &format!("{header}=.{payload}.{signature}"),
        &format!("{good}="),
        &format!("{good}\n"),
        &format!(" {good}"),
        &good.replace(['-', '_'], "+"),
        "é.é.é",
    ] {
        assert!(outcome(&verifier, bad).is_err(), "{bad}");
    }
    for shorter in 1..good.len() {
        assert!(outcome(&verifier, good.split_at(shorter).0).is_err(), "{shorter}");
    }
    let long = text("odd_claims", "long");
    assert!(long.len() > TOKEN_BYTES_MAX);
    assert_eq!(outcome(&verifier, &long), Err(TokenError::TooLong));
    let deep = claiming(&Value::Null).replacen("bnVsbA", &URL_SAFE_NO_PAD.encode("[".repeat(4000)), 1);
    assert_eq!(outcome(&verifier_of_ours(), &deep), Err(TokenError::Signature));
    let deep = signed(r#"{"alg":"EdDSA"}"#, &format!(r#"{{"exp":{END},"a":{}"#, "[".repeat(5000)));
    assert_eq!(outcome(&verifier_of_ours(), &deep), Err(TokenError::Malformed));
}

#[test]
fn only_sound_keys_of_the_two_kinds_are_taken() {
    let parse = |pem: &str| TokenVerifier::new(pem, None, None, "sub").map(|_| ());
    let key = |name: &str| parse(&text("keys", name));
    assert_eq!(key("rsa"), Ok(()));
    assert_eq!(key("ed25519"), Ok(()));
    assert_eq!(key("rsa_1024"), Err(KeyError::RsaBits(1024)));
    assert!(matches!(key("p256"), Err(KeyError::Algorithm(_))));
    assert!(matches!(key("rsa_pkcs1"), Err(KeyError::NotPem(_))));
    let good = text("keys", "rsa");
    for bad in [
        "",
        "-----BEGIN PUBLIC KEY-----",
        good.split_at(200).0,
        &good.replace("PUBLIC", "PRIVATE"),
        &good.replace("A", "B"),
    ] {
        assert!(matches!(parse(bad), Err(KeyError::NotPem(_))), "{bad}");
    }
    // The key of order 1 and something of the wrong length, both behind the right identifier.
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    for bytes in [&[&[1u8][..], &[0; 31]].concat(), &vec![1; 31], &vec![1; 33]] {
        let inner = [&[0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, length(bytes) + 1, 0][..], bytes].concat();
        let der = [&[0x30, length(&inner)][..], &inner].concat();
        let base64 = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        assert_eq!(parse(&pem), Err(KeyError::Unsound), "{}", bytes.len());
    }
}

#[test]
fn a_token_is_told_from_other_credentials_by_its_look() {
    let none = text("other_algorithms", "none_by_pyjwt");
    for token in [&text("pyjwt", "rsa"), &text("jose", "ed25519"), &none, "ey.a.", "eyJ.a-_9.b"] {
        assert!(looks_like_jwt(token), "{token}");
    }
    for other in [
        "",
        "..",
        "ey",
        "ey..",
        "ey.a",
        "ey.a.b.c",
        "ey.a.b.c.d",
        "EY.a.b",
        "tg_live_00112233445566778899aabbccddeeff",
        "sk-proj.abc.def",
        "ey.a.b=",
        "ey.a.b c",
        "ey.ä.b",
        " eyJ.a.b",
    ] {
        assert!(!looks_like_jwt(other), "{other}");
    }
}

#[test]
fn a_refusal_says_nothing_that_the_token_says() {
    let refused = verifier("rsa").verify(&text("odd_claims", "iss_other"), BEGIN).unwrap_err();
    assert_eq!(refused.to_string(), "the token is of another issuer");
}

proptest! {
    #[test]
    fn verifying_never_panics(text in ".{0,300}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        for token in [text, parts.join(".")] {
            let _ = looks_like_jwt(&token);
            prop_assert!(verifier_of_ours().verify(&token, BEGIN).is_err());
        }
    }

    #[test]
    fn signed_nonsense_never_panics(header in ".{0,60}", payload in ".{0,60}") {
        for token in [signed(&header, &payload), signed(r#"{"alg":"EdDSA"}"#, &payload)] {
            prop_assert!(verifier_of_ours().verify(&token, BEGIN).is_err());
        }
    }

    #[test]
    fn any_claims_in_their_time_are_good_until_expires_at(subject in "[a-z]{1,9}", exp in 1u64..10_000, now in 0u64..20_000) {
        let token = claiming(&json!({ "sub": subject, "exp": exp }));
        match verifier_of_ours().verify(&token, now) {
            Ok(claimed) => prop_assert!(now < claimed.expires_at && *claimed.subject == *subject),
            Err(error) => prop_assert!(error == TokenError::Expired && now >= exp + 30),
        }
    }

    #[test]
    fn a_changed_token_is_refused(at in 0usize..2000, with in "[A-Za-z0-9_.-]") {
        let good = text("pyjwt", "ed25519");
        let at = at % good.len();
        let changed = format!("{}{with}{}", good.split_at(at).0, good.split_at(at + 1).1);
        prop_assume!(changed != good);
        prop_assert!(outcome(&verifier("ed25519"), &changed).is_err());
    }
}
