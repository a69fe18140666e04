//! A wallet with the vectors' key: for payments that a test changes and signs anew.

use alloy_primitives::{U256, hex};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};
use serde_json::Value;

use crate::file::text;

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// USDC on Base Sepolia.
fn domain() -> Eip712Domain {
    eip712_domain! {
        name: "USDC",
        version: "2",
        chain_id: 84532,
        verifying_contract: alloy_primitives::address!("036CbD53842c5426634e7929541eC2318f3dCF7e"),
    }
}

fn read(authorization: &Value) -> TransferWithAuthorization {
    let field = |name: &str| text(authorization, &format!("/{name}"));
    let number = |name: &str| field(name).parse::<U256>().unwrap();
    TransferWithAuthorization {
        from: field("from").parse().unwrap(),
        to: field("to").parse().unwrap(),
        value: number("value"),
        validAfter: number("validAfter"),
        validBefore: number("validBefore"),
        nonce: field("nonce").parse().unwrap(),
    }
}

pub(crate) fn type_string() -> String {
    TransferWithAuthorization::eip712_encode_type().into_owned()
}

pub(crate) fn type_hash() -> String {
    alloy_primitives::keccak256(type_string()).to_string()
}

pub(crate) fn domain_separator() -> String {
    domain().separator().to_string()
}

/// What a payer signs.
pub(crate) fn digest(authorization: &Value) -> String {
    read(authorization).eip712_signing_hash(&domain()).to_string()
}

/// The signature of key `0x11…11` on an authorization.
pub(crate) fn sign(authorization: &Value) -> String {
    let digest = read(authorization).eip712_signing_hash(&domain());
    let key = SecretKey::from_secret_bytes([0x11; 32]).unwrap();
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &key);
    let (recovery, rs) = signature.serialize_compact();
    format!("{}{:02x}", hex::encode_prefixed(rs), 27 + recovery.to_u8())
}

/// The Solana wallet of the vectors: a transaction with this message, which the fee payer has not signed yet, in base64.
pub(crate) fn solana_transaction(message: &[u8]) -> String {
    use ed25519_dalek::Signer as _;
    let signature = ed25519_dalek::SigningKey::from_bytes(&[0x33; 32]).sign(message).to_bytes();
    tollgate::x402::codec::encode_bytes(&[&[2], [0; 64].as_slice(), &signature, message].concat())
}
