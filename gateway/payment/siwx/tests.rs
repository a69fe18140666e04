//! Proofs as the reference makes them, and their evil twins.

use alloy_primitives::{eip191_hash_message, hex};
use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message as Digest, SecretKey};
use serde_json::{Value, json};

use super::*;
use crate::payment::testing::NOW;
use crate::x402::codec;

const ORIGIN: &str = "https://api.example.com";
pub(super) const EVM: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
pub(super) const SOLANA: &str = "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene";
pub(super) const MAINNET: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

fn vector(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/siwx.json")).unwrap();
    all[name].clone()
}

pub(super) fn text(name: &str, member: &str) -> String {
    vector(name)[member].as_str().unwrap().to_owned()
}

fn networks() -> Vec<Network> {
    ["eip155:8453", MAINNET].map(|id| Network::parse(id).unwrap()).to_vec()
}

pub(super) fn prove_at(sent: &SignIn, now: u64) -> Result<Proof, Refused> {
    prove(sent, now, ORIGIN, &networks())
}

pub(super) fn header(payload: &Value) -> SignIn {
    SignIn::Header(codec::encode(payload))
}

fn token(message: &str, signature: &str) -> SignIn {
    SignIn::Authorization(format!("{}.{signature}", codec::encode_bytes(message.as_bytes())))
}

#[test]
fn a_sign_in_is_not_printed() {
    let sent = header(&payload("evm_full"));
    let Ok(Proof::Proved(account)) = prove_at(&sent, NOW) else { panic!("the vector is good") };
    let of_a_contract = Proof::NeedsChain { account, digest: [0; 32], signature: vec![0xab; 65] };
    let printed = format!("{sent:?} {of_a_contract:?}");
    for secret in [text("evm_full", "header"), format!("{:?}", [0xab_u8])] {
        assert!(!printed.contains(secret.trim_matches(['[', ']'])), "{printed}");
    }
}

/// What comes of a proof: the account, `contract?`, or why not.
pub(super) fn outcome(sent: &SignIn, now: u64) -> String {
    match prove_at(sent, now) {
        Ok(Proof::Proved(proved)) => format!("{} {}", proved.network.family().as_str(), proved.account),
        Ok(Proof::NeedsChain { .. }) => "contract?".to_owned(),
        Err(refused) => refused.reason.into_owned(),
    }
}

/// The payload of a proof of the reference.
pub(super) fn payload(name: &str) -> Value {
    serde_json::from_str(&codec::decode(text(name, "header").as_bytes()).unwrap()).unwrap()
}

/// What comes of a good proof with one member changed after signing.
pub(super) fn changed(name: &str, member: &str, value: Value) -> String {
    let mut payload = payload(name);
    payload[member] = value;
    outcome(&header(&payload), NOW)
}

fn sign_evm(message: &str) -> String {
    let digest = Digest::from_digest(eip191_hash_message(message.as_bytes()).0);
    let key = SecretKey::from_secret_bytes([0x11; 32]).unwrap();
    let (recovery, rs) = RecoverableSignature::sign_ecdsa_recoverable(digest, &key).serialize_compact();
    hex::encode_prefixed([&rs[..], &[27 + recovery.to_u8()]].concat())
}

fn sign_solana(message: &str) -> [u8; 64] {
    SigningKey::from_bytes(&[33; 32]).sign(message.as_bytes()).to_bytes()
}

/// What comes of a proof that is signed as it stands after the change.
fn resigned(member: &str, value: Value, now: u64) -> String {
    let mut payload = payload("evm_full");
    payload[member] = value;
    let message: message::Message = serde_json::from_value(payload.clone()).unwrap();
    let network = Network::parse(&message.chain_id).unwrap();
    let account = crate::money::Address::parse(&message.address, &network).unwrap();
    payload["signature"] = sign_evm(&message.text(&network, &account)).into();
    outcome(&header(&payload), now)
}

#[test]
fn proofs_of_the_reference_are_good() {
    for name in ["bare", "full", "usual", "empty_resources"] {
        let good = |family, account| {
            let name = format!("{family}_{name}");
            assert_eq!(outcome(&SignIn::Header(text(&name, "header")), NOW), format!("{family} {account}"), "{name}");
            let token = token(&text(&name, "message"), &text(&name, "signature"));
            assert_eq!(outcome(&token, NOW), format!("{family} {account}"), "{name} as a token");
        };
        good("evm", EVM);
        good("solana", SOLANA);
    }
}

#[test]
fn messages_are_the_references_and_read_back() {
    for name in ["bare", "full", "usual", "empty_resources"] {
        for family in ["evm", "solana"] {
            let name = format!("{family}_{name}");
            let theirs = text(&name, "message");
            let message: message::Message = serde_json::from_value(payload(&name)).unwrap();
            let network = Network::parse(&message.chain_id).unwrap();
            let account = crate::money::Address::parse(&message.address, &network).unwrap();
            assert_eq!(message.text(&network, &account), theirs, "{name}");
            let read = message::Message::parse(&theirs).unwrap();
            assert_eq!(read.text(&network, &account), theirs, "{name}");
        }
    }
}

#[test]
fn a_lower_case_address_signs_for_its_checksummed_text() {
    assert_eq!(changed("evm_usual", "address", EVM.to_lowercase().into()), format!("evm {EVM}"));
    assert_eq!(changed("evm_usual", "address", EVM.replacen('E', "e", 1).into()), format!("evm {EVM}"));
}

#[test]
fn a_proof_for_another_place_is_refused() {
    for domain in ["evil.example", "", "api.example.com:443", "API.example.com", "api.example.com.evil.example"] {
        assert_eq!(resigned("domain", domain.into(), NOW), "invalid_siwx_domain_mismatch", "{domain}");
    }
    for uri in [
        "",
        "/x402/purchase",
        "https://evil.example/",
        "http://api.example.com/",
        "https://api.example.com.evil.example/",
        "https://api.example.com@evil.example/",
        "https://api.example.com:8443/",
    ] {
        assert_eq!(resigned("uri", uri.into(), NOW), "invalid_siwx_uri_mismatch", "{uri}");
    }
    for uri in ["https://api.example.com", "https://api.example.com/?a", "https://api.example.com#b"] {
        assert_eq!(resigned("uri", uri.into(), NOW), format!("evm {EVM}"), "{uri}");
    }
    assert_eq!(resigned("version", "2".into(), NOW), "invalid_siwx_version");
}

#[test]
fn a_proof_has_its_time() {
    let header = SignIn::Header(text("evm_usual", "header"));
    let good = format!("evm {EVM}");
    for (now, expected) in [
        (NOW - 61, "invalid_siwx_issued_at_in_future"),
        (NOW - 60, &good),
        (NOW, &good),
        (NOW + 300, &good),
        (NOW + 301, "invalid_siwx_issued_at_too_old"),
        (u64::MAX, "invalid_siwx_issued_at_too_old"),
        (0, "invalid_siwx_issued_at_in_future"),
    ] {
        assert_eq!(outcome(&header, now), expected, "{now}");
    }
    let issued = |text: &str| resigned("issuedAt", text.into(), NOW);
    for text in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456+00:00", "2026-01-01T05:30:00+05:30"] {
        assert_eq!(issued(text), good, "{text}");
    }
    for text in ["", "now", "2026-01-01", "2026-01-01T00:00:00", "1767225600", "-9999999-01-01T00:00:00Z"] {
        assert_eq!(issued(text), "invalid_siwx_issued_at", "{text}");
    }
    assert_eq!(resigned("expirationTime", "2026-01-01T00:00:01Z".into(), NOW), good);
    assert_eq!(resigned("expirationTime", "2026-01-01T00:00:00Z".into(), NOW), "invalid_siwx_expired");
    assert_eq!(resigned("expirationTime", "never".into(), NOW), "invalid_siwx_expiration_time");
    assert_eq!(resigned("notBefore", "2026-01-01T00:00:01Z".into(), NOW), "invalid_siwx_not_yet_valid");
    assert_eq!(resigned("notBefore", "soon".into(), NOW), "invalid_siwx_not_before");
}

#[test]
fn a_token_is_good_until_its_expiry_but_no_longer_than_a_day() {
    let made = |expiry: &str| {
        let expiry = if expiry.is_empty() { String::new() } else { format!("\nExpiration Time: {expiry}") };
        let message = format!("{}{expiry}", text("evm_bare", "message"));
        token(&message, &sign_evm(&message))
    };
    let (good, day) = (format!("evm {EVM}"), 24 * 60 * 60);
    for (expiry, now, expected) in [
        ("", NOW + 300, good.as_str()),
        ("", NOW + 301, "invalid_siwx_issued_at_too_old"),
        ("2026-01-01T01:00:00.000001+00:00", NOW + 3599, &good),
        ("2026-01-01T01:00:00.000001+00:00", NOW + 3600, "invalid_siwx_expired"),
        ("2027-01-01T00:00:00Z", NOW + day, &good),
        ("2027-01-01T00:00:00Z", NOW + day + 1, "invalid_siwx_issued_at_too_old"),
    ] {
        assert_eq!(outcome(&made(expiry), now), expected, "{expiry} {now}");
    }
}

#[test]
fn tokens_of_clients_in_the_field_are_read() {
    let message = text("solana_usual", "message").replace("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "mainnet");
    let message = message.replace("00.000Z", "00.123456+00:00");
    let (signature, good) = (sign_solana(&message), format!("solana {SOLANA}"));
    let base64 = codec::encode_bytes(&signature);
    for signature in [base64.trim_end_matches('=').to_owned(), base64, bs58::encode(signature).into_string()] {
        assert_eq!(outcome(&token(&message, &signature), NOW), good, "{signature}");
    }
    let message = text("evm_bare", "message").replace("\n\n\n", "\n\n");
    let signature = sign_evm(&message);
    let base64 = codec::encode_bytes(&hex::decode(&signature).unwrap());
    for signature in [signature, base64] {
        assert_eq!(outcome(&token(&message, &signature), NOW), format!("evm {EVM}"), "{signature}");
    }
    // In the header, signatures have one form each.
    assert_eq!(changed("solana_usual", "signature", codec::encode_bytes(&[9; 64]).into()), MALFORMED);
    assert_eq!(changed("evm_usual", "signature", codec::encode_bytes(&[9; 65]).into()), MALFORMED);
}

/// As they are: fractions of a second or none, an offset for `Z`, a cluster as a word, and whatever form a signer gives
/// its signature. They are sent for an hour.
#[test]
fn tokens_of_the_python_sdk_are_good_for_their_hour() {
    let all = vector("sdk_tokens");
    for (name, token) in all.as_object().unwrap().iter().filter(|(name, _)| *name != "readme") {
        let token = SignIn::Authorization(token.as_str().unwrap().to_owned());
        let good = if name.starts_with("evm") { format!("evm {EVM}") } else { format!("solana {SOLANA}") };
        for (now, expected) in [(NOW, good.as_str()), (NOW + 3599, &good), (NOW + 3600, "invalid_siwx_expired")] {
            assert_eq!(outcome(&token, now), expected, "{name} {now}");
        }
        assert_eq!(prove_at(&token, NOW).unwrap().ends_at(), NOW + 3600, "{name}");
    }
    // In the header, digits alone are no signature.
    let bare = text("evm_usual", "signature").split_off(2);
    assert_eq!(changed("evm_usual", "signature", bare.into()), MALFORMED);
}

#[test]
fn a_proof_ends_when_it_is_refused() {
    let made = |expiry: &str| {
        let message = format!("{}{expiry}", text("evm_bare", "message"));
        token(&message, &sign_evm(&message))
    };
    let day = 24 * 60 * 60;
    for (sent, ends_at) in [
        (SignIn::Header(text("evm_usual", "header")), NOW + 301),
        (SignIn::Header(text("evm_full", "header")), NOW + 300),
        (SignIn::Header(text("solana_usual", "header")), NOW + 301),
        (made(""), NOW + 301),
        (made("\nExpiration Time: 2026-01-01T00:00:10Z"), NOW + 10),
        (made("\nExpiration Time: 2026-01-01T00:59:59.999999+00:00"), NOW + 3599),
        (made("\nExpiration Time: 2027-01-01T00:00:00Z"), NOW + day + 1),
    ] {
        assert_eq!(prove_at(&sent, NOW).unwrap().ends_at(), ends_at);
        assert!(prove_at(&sent, ends_at - 1).is_ok(), "{ends_at}");
        assert!(prove_at(&sent, ends_at).is_err(), "{ends_at}");
    }
}

pub(super) const MALFORMED: &str = "invalid_siwx_malformed_signature";

#[test]
fn a_token_that_is_not_a_whole_message_is_refused() {
    let good = text("evm_full", "message");
    for (from, to) in [
        ("Ethereum", "Bitcoin"),
        (" account:", ""),
        ("account:\n", "account:\n\n"),
        ("bought.\n\n", "bought.\n"),
        ("Version: 1\n", ""),
        ("Version: 1\nChain ID: 8453\n", "Chain ID: 8453\nVersion: 1\n"),
        ("Expiration Time: ", "Expiration Time:"),
        ("- ipfs", "ipfs"),
        ("Resources:", "Resources: "),
        ("ipfs://Qm/", "ipfs://Qm/\n"),
        ("ipfs://Qm/", "ipfs://Qm/\nNot Before: 2020-01-01T00:00:00Z"),
        ("Version: 1", "Version: 1\r"),
    ] {
        let message = good.replace(from, to);
        assert_ne!(message, good, "{from}");
        assert_eq!(outcome(&token(&message, &sign_evm(&message)), NOW), "invalid_siwx_payload", "{from:?} {to:?}");
    }
    for bad in ["", ".", "e30=.0x", "%.0x", "e30="] {
        assert_eq!(outcome(&SignIn::Authorization(bad.to_owned()), NOW), "invalid_siwx_payload", "{bad}");
    }
}

#[test]
fn a_nonce_is_eight_letters_or_digits_and_may_be_anybodys() {
    assert_eq!(resigned("nonce", "Abcd1234".into(), NOW), format!("evm {EVM}"));
    for nonce in ["", "abc1234", "abcd-1234", "abcd 1234", "äbcd1234"] {
        assert_eq!(resigned("nonce", nonce.into(), NOW), "invalid_siwx_nonce", "{nonce}");
    }
}

#[test]
fn a_field_of_two_lines_is_refused() {
    for member in ["domain", "statement", "uri", "nonce", "issuedAt", "requestId", "expirationTime", "notBefore"] {
        for end in ["\n", "\r", "\u{85}", "\u{0}"] {
            let mut changed = payload("evm_full");
            changed[member] = format!("{}{end}", changed[member].as_str().unwrap()).into();
            assert_eq!(outcome(&header(&changed), NOW), "invalid_siwx_payload", "{member}");
        }
    }
    assert_eq!(changed("evm_full", "resources", json!(["a\n- b"])), "invalid_siwx_payload");
}

#[test]
fn what_is_no_proof_is_refused() {
    let huge = "A".repeat(20_000);
    for bad in ["", "e30=", "%%%", "bnVsbA==", "W10=", "eyJkb21haW4iOjF9", &huge] {
        assert_eq!(outcome(&SignIn::Header(bad.to_owned()), NOW), "invalid_siwx_payload", "{bad}");
    }
    for member in ["domain", "address", "uri", "version", "chainId", "type", "nonce", "issuedAt", "signature"] {
        let mut missing = payload("evm_usual");
        missing.as_object_mut().unwrap().remove(member).unwrap();
        assert_eq!(outcome(&header(&missing), NOW), "invalid_siwx_payload", "{member}");
    }
    for address in ["", "0x12", SOLANA, "vitalik.eth"] {
        assert_eq!(changed("evm_usual", "address", address.into()), "invalid_siwx_payload", "{address}");
    }
    for address in ["", EVM, "1", &"1".repeat(9000)] {
        assert_eq!(changed("solana_usual", "address", address.into()), "invalid_siwx_payload");
    }
    // A megabyte of base58 would cost seconds.
    assert_eq!(changed("solana_usual", "signature", "2".repeat(9000).into()), MALFORMED);
}

#[test]
fn whose_business_a_sign_in_is_follows_from_its_domain() {
    let token = |domain: &str| token(&text("evm_bare", "message").replace("api.example.com", domain), "0x");
    assert!(token("api.example.com").is_for(ORIGIN));
    assert!(SignIn::Header(text("evm_bare", "header")).is_for(ORIGIN));
    for foreign in [token("upstream.example"), SignIn::Authorization("opaque".to_owned())] {
        assert!(!foreign.is_for(ORIGIN));
    }
    assert_eq!(format!("{:?}", token("api.example.com")), "SignIn::Authorization");
}

proptest! {
    #[test]
    fn proving_never_panics(text in ".{0,300}", in_header: bool) {
        let sent = if in_header { SignIn::Header(text) } else { SignIn::Authorization(text) };
        let _ = prove_at(&sent, NOW);
    }

    #[test]
    fn a_message_with_other_bytes_in_it_proves_nothing(at in 0usize..400, with in "[ -~\n]{0,4}", removed in 0usize..4) {
        let (message, signature) = (text("evm_full", "message"), text("evm_full", "signature"));
        let at = at % message.len();
        let end = (at + removed).min(message.len());
        let (before, after) = (message.split_at(at).0, message.split_at(end).1);
        let changed = format!("{before}{with}{after}");
        prop_assume!(changed != message);
        prop_assert!(!matches!(prove_at(&token(&changed, &signature), NOW), Ok(Proof::Proved(_))));
    }

    #[test]
    fn a_text_is_one_message(
        statement in proptest::option::of("[ -~]{1,20}"),
        request_id in proptest::option::of("[ -~]{0,9}"),
        resources in proptest::option::of(proptest::collection::vec("[ -~]{0,9}", 0..3)),
        times in (proptest::option::of("[ -~]{1,9}"), proptest::option::of("[ -~]{1,9}")),
    ) {
        prop_assume!(!statement.as_ref().is_some_and(|statement| statement.starts_with("URI: ")));
        let mut message: message::Message = serde_json::from_value(payload("evm_bare")).unwrap();
        message = message::Message { statement, request_id, resources, ..message };
        (message.expiration_time, message.not_before) = times;
        let network = Network::parse("eip155:8453").unwrap();
        let account = crate::money::Address::parse(EVM, &network).unwrap();
        prop_assert_eq!(message::Message::parse(&message.text(&network, &account)), Some(message));
    }
}
