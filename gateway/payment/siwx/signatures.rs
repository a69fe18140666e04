//! Signatures: of the account that the message names, or of nobody.

use alloy_primitives::{U256, eip191_hash_message, hex};
use ed25519_dalek::SigningKey;
use serde_json::json;

use super::tests::{EVM, MAINNET, MALFORMED, SOLANA, changed, header, outcome, payload, prove_at, text};
use super::{Proof, Proved};
use crate::money::{Address, Network};
use crate::payment::testing::NOW;

#[test]
fn whatever_is_changed_after_signing_proves_nothing() {
    for (member, value) in [
        ("statement", json!("Show something else.")),
        ("uri", json!("https://api.example.com/else")),
        ("nonce", json!("ffeeddccbbaa99887766554433221100")),
        ("issuedAt", json!("2026-01-01T00:00:00Z")),
        ("expirationTime", json!("2027-01-01T00:00:00.000Z")),
        ("notBefore", json!("2020-01-01T00:00:00.000Z")),
        ("requestId", json!("r-2")),
        ("resources", json!([])),
        ("resources", json!(["ipfs://Qm/"])),
        ("resources", json!(null)),
    ] {
        assert_eq!(changed("evm_full", member, value.clone()), "contract?", "{member} {value}");
        assert_eq!(changed("solana_full", member, value.clone()), "invalid_siwx_signature", "{member} {value}");
    }
    assert_eq!(changed("evm_full", "address", "0x1563915e194D8CfBA1943570603F7606A3115508".into()), "contract?");
    let other = bs58::encode(SigningKey::from_bytes(&[44; 32]).verifying_key().as_bytes()).into_string();
    assert_eq!(changed("solana_full", "address", other.into()), "invalid_siwx_signature");
}

#[test]
fn an_evm_signature_has_one_good_form_for_each_recovery_id() {
    let good = hex::decode(text("evm_usual", "signature")).unwrap();
    let with = |bytes: &[u8]| changed("evm_usual", "signature", hex::encode_prefixed(bytes).into());
    let (rs, v) = good.split_at(64);
    assert_eq!(with(&[rs, &[v[0] - 27]].concat()), format!("evm {EVM}"));
    for v in [28 - (v[0] - 27), 1 - (v[0] - 27), 2, 26, 29, 31, 255] {
        assert_eq!(with(&[rs, &[v]].concat()), "contract?", "{v}");
    }
    // The other s of the same signature: n - s, with the other v.
    let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse().unwrap();
    let high = (order - U256::from_be_slice(&rs[32..])).to_be_bytes::<32>();
    assert_eq!(with(&[&rs[..32], &high, &[55 - v[0]]].concat()), "contract?");
    assert_eq!(with(&[0; 65]), "contract?");
    assert_eq!(with(&[good.as_slice(), &[0; 31]].concat()), "contract?");
    for bad in ["", "0x", "0x1", "0xzz", "not hex"] {
        assert_eq!(changed("evm_usual", "signature", bad.into()), MALFORMED, "{bad}");
    }
}

#[test]
fn what_only_the_chain_can_judge_is_handed_on_whole() {
    let signature = vec![7; 96];
    let mut payload = payload("evm_usual");
    payload["signature"] = hex::encode_prefixed(&signature).into();
    let proof = prove_at(&header(&payload), NOW).unwrap();
    let digest = eip191_hash_message(text("evm_usual", "message").as_bytes()).0;
    let network = Network::parse("eip155:8453").unwrap();
    let account = Proved { account: Address::parse(EVM, &network).unwrap(), network, ends_at: NOW + 301 };
    assert_eq!(proof, Proof::NeedsChain { account, digest, signature });
    assert_eq!(proof.without_chain().unwrap_err().reason, "invalid_siwx_signature");
}

#[test]
fn a_solana_signature_is_strict() {
    let with = |bytes: &[u8]| changed("solana_usual", "signature", bs58::encode(bytes).into_string().into());
    let good = bs58::decode(text("solana_usual", "signature")).into_vec().unwrap();
    assert_eq!(with(&good), format!("solana {SOLANA}"));
    // The same signature with the group's order added to s.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0;
    let high: Vec<u8> = good[32..]
        .iter()
        .zip(&order)
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(*b) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect();
    assert_eq!(with(&[&good[..32], &high].concat()), "invalid_siwx_signature");
    assert_eq!(with(&[0; 64]), "invalid_siwx_signature");
    for bad in [&good[..63], &[], &[0; 65]] {
        assert_eq!(with(bad), MALFORMED);
    }
    // A key of small order would take one signature for many messages.
    let mut weak = payload("solana_usual");
    let mut identity = [0; 64];
    identity[0] = 1;
    weak["address"] = bs58::encode(&identity[..32]).into_string().into();
    weak["signature"] = bs58::encode(identity).into_string().into();
    assert_eq!(outcome(&header(&weak), NOW), "invalid_siwx_signature");
}

#[test]
fn only_networks_that_are_paid_on_are_taken() {
    for (chain, reason) in [
        ("eip155:1", "invalid_siwx_unsupported_chain"),
        ("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "invalid_siwx_unsupported_chain"),
        ("cosmos:cosmoshub-4", "invalid_siwx_unsupported_chain"),
        ("eip155:08453", "invalid_siwx_chain_id"),
        ("8453", "invalid_siwx_chain_id"),
        ("", "invalid_siwx_chain_id"),
        (MAINNET, "invalid_siwx_chain_id"),
    ] {
        assert_eq!(changed("evm_usual", "chainId", chain.into()), reason, "{chain}");
    }
    assert_eq!(changed("evm_usual", "type", "ed25519".into()), "invalid_siwx_chain_id");
    assert_eq!(changed("solana_usual", "type", "eip191".into()), "invalid_siwx_chain_id");
    assert_eq!(changed("evm_usual", "type", "secp256r1".into()), "invalid_siwx_payload");
}
