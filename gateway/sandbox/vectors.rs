//! The sandbox against the reference's own payments and verdicts.

use std::sync::Arc;

use alloy_primitives::hex;
use secp256k1::SecretKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::SandboxFacilitator;
use super::desk::Desk;
use super::eip3009::{Domain, TransferWithAuthorization, number, sign, typed_data_digest};
use crate::clock::ManualClock;
use crate::money::Network;
use crate::svm::{Transaction, associated_token_account, pubkey};
use crate::x402::codec;

/// The clock that the vectors were made with.
pub(super) const NOW: u64 = 1_767_225_600;

/// A vector by its id.
pub(super) fn vector(id: &str) -> Value {
    let file: Value = serde_json::from_str(include_str!("../../tests/vectors/x402.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    vectors.iter().find(|vector| vector["id"] == id).unwrap_or_else(|| panic!("no vector {id}")).clone()
}

/// A facilitator that knows the vectors' networks and keys, `later` seconds after they were made.
pub(super) fn desk(later: u64) -> Desk {
    sandbox(later).desk()
}

pub(super) fn sandbox(later: u64) -> SandboxFacilitator {
    let networks = ["eip155:84532", "eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"];
    SandboxFacilitator::new(networks.map(|id| Network::parse(id).unwrap()).to_vec())
        .with_clock(Arc::new(ManualClock::at(NOW + later)))
        .with_fee_payer([0x44; 32])
}

fn verified(desk: &Desk, body: &Value) -> Value {
    let (status, answer) = desk.verify(body.to_string().as_bytes());
    assert_eq!(status, 200);
    answer
}

/// Signs the authorization in a body anew, as it stands.
fn sign_again(body: &mut Value) {
    let payload = &mut body["paymentPayload"]["payload"];
    let field = |name: &str| payload["authorization"][name].as_str().unwrap().to_owned();
    let authorization = TransferWithAuthorization {
        from: field("from").parse().unwrap(),
        to: field("to").parse().unwrap(),
        value: number(&field("value")).unwrap(),
        validAfter: number(&field("validAfter")).unwrap(),
        validBefore: number(&field("validBefore")).unwrap(),
        nonce: field("nonce").parse().unwrap(),
    };
    let contract = "0x036CbD53842c5426634e7929541eC2318f3dCF7e".parse().unwrap();
    let digest = typed_data_digest(&authorization, Domain { name: "USDC", version: "2", chain_id: 84532, contract });
    let signature = sign(digest, &SecretKey::from_secret_bytes([0x11; 32]).unwrap());
    payload["signature"] = hex::encode_prefixed(signature).into();
}

/// A body with one of the vectors' edits, and how much later it is asked.
fn edited(case: &str) -> (Value, u64) {
    let mut body = vector("v2-eip3009-payment")["facilitator_verify_body"].clone();
    let signature = body["paymentPayload"]["payload"]["signature"].as_str().unwrap().to_owned();
    let with_v = |v: &str| Value::from(format!("{}{v}", &signature.trim_end_matches("1b")));
    let (terms, payload) = ("/paymentRequirements", "/paymentPayload/payload");
    let mut later = 0;
    let mut set = |at: String, value: Value| *body.pointer_mut(&at).unwrap() = value;
    match case {
        "unchanged" => {}
        "requirements.amount 10001 (payload signs 10000)" => set(format!("{terms}/amount"), "10001".into()),
        "requirements.payTo is another address" => {
            set(format!("{terms}/payTo"), "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A".into());
        }
        "accepted.network eip155:8453 but requirements eip155:84532" => {
            set("/paymentPayload/accepted/network".to_owned(), "eip155:8453".into());
        }
        "extra.name USD Coin (wrong domain)" => set(format!("{terms}/extra/name"), "USD Coin".into()),
        "extra.name missing" => set(format!("{terms}/extra"), json!({"version": "2"})),
        "signature last byte flipped 1b<->1c" => set(format!("{payload}/signature"), with_v("1c")),
        "signature v as 00/01 instead of 1b/1c" => set(format!("{payload}/signature"), with_v("00")),
        "authorization.value changed to 10001 after signing" => {
            set(format!("{payload}/authorization/value"), "10001".into());
        }
        "from in lower case" => {
            set(format!("{payload}/authorization/from"), "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a".into());
        }
        "clock +54 s (6 s left)" => later = 54,
        "clock +55 s (5 s left)" => later = 55,
        "validAfter = now+1, correctly signed" => {
            set(format!("{payload}/authorization/validAfter"), (NOW + 1).to_string().into());
            sign_again(&mut body);
        }
        "overpay: value 20000 correctly signed, required 10000" => {
            set(format!("{payload}/authorization/value"), "20000".into());
            sign_again(&mut body);
        }
        other => panic!("unknown case {other}"),
    }
    (body, later)
}

#[test]
fn eip3009_verdicts_are_the_references() {
    let vector = vector("eip3009-facilitator-verdicts");
    let cases = vector["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 14);
    for case in cases {
        let name = case["case"].as_str().unwrap();
        let (body, later) = edited(name);
        let mut expected = case.as_object().unwrap().clone();
        expected.remove("case");
        if name == "signature v as 00/01 instead of 1b/1c" {
            // The simulated chain of the reference takes it; the token's contract does not, and neither does the sandbox.
            expected.insert("isValid".to_owned(), false.into());
            expected.insert("invalidReason".to_owned(), "invalid_exact_evm_signature".into());
        }
        assert_eq!(verified(&desk(later), &body), Value::Object(expected), "{name}");
    }
}

#[test]
fn version_1_is_checked_alike() {
    let body = vector("v1-eip3009-payment")["facilitator_verify_body"].clone();
    let payer = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
    assert_eq!(verified(&desk(0), &body), json!({"isValid": true, "payer": payer}));
    let mut dearer = body.clone();
    dearer["paymentRequirements"]["maxAmountRequired"] = "10001".into();
    let reason = "invalid_exact_evm_authorization_value";
    assert_eq!(verified(&desk(0), &dearer), json!({"isValid": false, "invalidReason": reason, "payer": payer}));
    let mut elsewhere = body;
    elsewhere["paymentPayload"]["network"] = "base".into();
    assert_eq!(verified(&desk(0), &elsewhere)["invalidReason"], "invalid_exact_evm_network_mismatch");
}

#[test]
fn solana_layout_hash_and_token_accounts_are_the_references() {
    let vector = vector("v2-svm-payment");
    let text = |at: &str| vector.pointer(at).unwrap().as_str().unwrap();
    let bytes = codec::decode_bytes(text("/payment_payload/payload/transaction")).unwrap();
    let transaction = Transaction::parse(&bytes).unwrap();
    assert_eq!(hex::encode(transaction.bytes), text("/layout/message_hex"));
    assert_eq!(codec::encode_bytes(&Sha256::digest(transaction.bytes)), text("/layout/message_sha256_base64"));
    let accounts: Vec<_> =
        transaction.message.accounts.iter().map(|account| bs58::encode(account).into_string()).collect();
    assert_eq!(json!(accounts), vector["layout"]["static_accounts"]);
    assert_eq!(transaction.signatures[0], [0; 64]);
    assert_eq!(hex::encode(transaction.signatures[1]), text("/layout/signature_1_client_hex"));

    let token = pubkey("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA").unwrap();
    let mint = pubkey(text("/requirements/asset")).unwrap();
    for (wallet, account) in [("/client", "/source_ata"), ("/pay_to", "/destination_ata")] {
        let derived = associated_token_account(&pubkey(text(wallet)).unwrap(), &token, &mint);
        assert_eq!(derived, pubkey(text(account)), "{account}");
    }
    for length in 0..bytes.len() {
        assert!(Transaction::parse(&bytes[..length]).is_none(), "cut to {length} bytes");
    }
    assert!(Transaction::parse(&[bytes.as_slice(), &[0]].concat()).is_none(), "one byte too many");
}

/// The body about the Solana payment, with one of the vector's edits.
fn edited_svm(case: &str) -> Value {
    let vector = vector("v2-svm-payment");
    let mut terms = vector["requirements"].clone();
    let mut payload = vector["payment_payload"].clone();
    let mut flip = |position: usize| {
        let transaction = &mut payload["payload"]["transaction"];
        let mut bytes = codec::decode_bytes(transaction.as_str().unwrap()).unwrap();
        bytes[position] ^= 1;
        *transaction = codec::encode_bytes(&bytes).into();
    };
    match case {
        "unchanged" => {}
        "requirements.amount 10001" => terms["amount"] = "10001".into(),
        "requirements.payTo = client wallet" => terms["payTo"] = vector["client"].clone(),
        "requirements.asset = devnet USDC mint" => {
            terms["asset"] = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU".into();
        }
        "extra.memo differs" => terms["extra"]["memo"] = "inv-0002".into(),
        "extra.feePayer not managed" => terms["extra"]["feePayer"] = vector["client"].clone(),
        "one bit of the client signature flipped" => flip(1 + 64 + 5),
        "one bit of the transfer amount flipped (message no longer matches the signature)" => {
            let message = hex::decode(vector["layout"]["message_hex"].as_str().unwrap()).unwrap();
            let transfer = hex::decode("0c102700000000000006").unwrap();
            let at = message.windows(transfer.len()).position(|window| window == transfer).unwrap();
            flip(129 + at + 1);
        }
        "extra.recentBlockhash removed from requirements" => {
            terms["extra"].as_object_mut().unwrap().remove("recentBlockhash").unwrap();
        }
        other => panic!("unknown case {other}"),
    }
    json!({"x402Version": 2, "paymentPayload": payload, "paymentRequirements": terms})
}

#[test]
fn solana_verdicts_are_the_references() {
    let vector = vector("v2-svm-payment");
    let cases = vector["facilitator_verdicts"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let name = case["case"].as_str().unwrap();
        let mut expected = case.as_object().unwrap().clone();
        expected.remove("case");
        assert_eq!(verified(&desk(0), &edited_svm(name)), Value::Object(expected), "{name}");
    }
}

#[test]
fn a_solana_payment_is_made_once_however_it_is_encoded() {
    let desk = desk(0);
    let settle = |body: &Value| desk.settle(body.to_string().as_bytes()).1;
    let body = edited_svm("unchanged");
    let first = settle(&body);
    assert_eq!(first["success"], true);
    assert_eq!(bs58::decode(first["transaction"].as_str().unwrap()).into_vec().unwrap().len(), 64);
    // The fee payer's empty slot is not signed by anybody: whatever stands there, it is the same payment.
    let mut twin = body.clone();
    let transaction = &mut twin["paymentPayload"]["payload"]["transaction"];
    let mut bytes = codec::decode_bytes(transaction.as_str().unwrap()).unwrap();
    bytes[1] = 1;
    *transaction = codec::encode_bytes(&bytes).into();
    for again in [body, twin] {
        assert_eq!(settle(&again)["errorReason"], "duplicate_settlement");
        assert_eq!(verified(&desk, &again)["invalidReason"], "invalid_exact_svm_transaction_simulation_failed");
    }
    assert_eq!(desk.settled(), 1);
}
