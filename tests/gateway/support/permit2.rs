//! A buyer that pays by Permit2.

use alloy_primitives::{U256, address, hex};
use alloy_sol_types::{SolStruct as _, eip712_domain, sol};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Value, json};

sol! {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    struct Witness {
        address to;
        uint256 validAfter;
    }

    struct PermitWitnessTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
        Witness witness;
    }
}

/// A payload of `exact` on these terms, signed for a chain by its CAIP-2 id.
pub(crate) fn exact(accepted: &Value, chain: &str, now: u64) -> Value {
    let text = |name: &str| accepted[name].as_str().unwrap().to_owned();
    let message = PermitWitnessTransferFrom {
        permitted: TokenPermissions {
            token: text("asset").parse().unwrap(),
            amount: text("amount").parse::<U256>().unwrap(),
        },
        spender: address!("402085c248EeA27D92E8b30b2C58ed07f9E20001"),
        nonce: U256::from(now),
        deadline: U256::from(now + 60),
        witness: Witness { to: text("payTo").parse().unwrap(), validAfter: U256::ZERO },
    };
    let domain = eip712_domain! {
        name: "Permit2",
        chain_id: chain.strip_prefix("eip155:").unwrap().parse::<u64>().unwrap(),
        verifying_contract: address!("000000000022D473030F116dDEE9F6B43aC78BA3"),
    };
    let key = SecretKey::from_secret_bytes([3; 32]).unwrap();
    let public = PublicKey::from_secret_key(&key).serialize_uncompressed();
    let from = alloy_primitives::Address::from_word(alloy_primitives::keccak256(&public[1..]));
    let digest = Message::from_digest(message.eip712_signing_hash(&domain).0);
    let (recovery, rs) = RecoverableSignature::sign_ecdsa_recoverable(digest, &key).serialize_compact();
    json!({
        "signature": format!("{}{:02x}", hex::encode_prefixed(rs), 27 + recovery.to_u8()),
        "permit2Authorization": {
            "from": from.to_string(),
            "permitted": { "token": text("asset"), "amount": text("amount") },
            "spender": message.spender.to_string(),
            "nonce": message.nonce.to_string(),
            "deadline": message.deadline.to_string(),
            "witness": { "to": text("payTo"), "validAfter": "0" },
        },
    })
}
