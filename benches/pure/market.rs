//! What is sold, and a payment for it by a wallet that only this benchmark has.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::{SolStruct as _, eip712_domain, sol};
use http::Method;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Value, json};
use tollgate::config;
use tollgate::payment::QuoteMint;
use tollgate::pricing::{Found, Kinds, Offer, PriceTable, Route};
use tollgate::x402::codec;

/// When everything happens, in seconds of Unix time.
pub(super) const NOW: u64 = 1_767_225_600;

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

pub(super) struct Market {
    pub(super) table: PriceTable,
    pub(super) mint: QuoteMint,
    pub(super) authorization: TransferWithAuthorization,
    paid: Arc<Route>,
}

impl Market {
    /// As many routes, of which one has a price.
    pub(super) fn open(routes: u32) -> Self {
        let others = (1..routes).map(|number| {
            let last = if number % 2 == 0 { "fixed" } else { "{city}" };
            format!("[[routes]]\npath = \"/v1/group{}/item{number}/{last}\"\nfree = true\n", number % 100)
        });
        let text = others.collect::<String>()
            + r#"
[server]
public_url = "https://api.example.com"
unlisted = "deny"
[upstream]
url = "http://127.0.0.1:3000"
[facilitator]
url = "https://x402.org/facilitator"
[pay_to]
base = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
[[routes]]
path = "/v1/paid"
price = "$0.01"
"#;
        let config =
            config::parse(&text, "pure.toml", Path::new(""), &|_| None).expect("a file without problems").config;
        let (table, _) = config.price_table(&Kinds::unknown());
        let paid = match table.find(&Method::GET, "/v1/paid") {
            Found::Route(paid) => Some(paid),
            _ => None,
        };
        let paid = paid.expect("it is in the file");
        let terms = paid.access.offer().and_then(|offer| offer.terms.first()).expect("a price");
        let authorization = TransferWithAuthorization {
            from: Address::from_raw_public_key(&PublicKey::from_secret_key(&key()).serialize_uncompressed()[1..]),
            to: terms.pay_to.to_string().parse().expect("an address"),
            value: U256::from(10_000),
            validAfter: U256::from(NOW - 600),
            validBefore: U256::from(NOW + 50),
            nonce: B256::repeat_byte(0xcd),
        };
        Self { table, mint: QuoteMint::new(&[7; 32]), authorization, paid }
    }

    pub(super) fn offer(&self) -> &Offer {
        self.paid.access.offer().expect("a price")
    }

    /// A header that pays, with the authorization changed after it was signed.
    pub(super) fn payment(&self, change: impl FnOnce(&mut Value)) -> String {
        let signed = &self.authorization;
        let mut authorization = json!({
            "from": signed.from.to_string(), "to": signed.to.to_string(), "value": signed.value.to_string(), "nonce": signed.nonce.to_string(),
            "validAfter": signed.validAfter.to_string(), "validBefore": signed.validBefore.to_string(),
        });
        change(&mut authorization);
        let signature = sign(signed);
        let requirements = self.offer().terms[0].requirements();
        let payload = json!({ "authorization": authorization, "signature": hex::encode_prefixed(signature) });
        codec::encode(&json!({ "x402Version": 2, "accepted": requirements, "payload": payload }))
    }
}

/// What a payer signs, for USDC on Base.
pub(super) fn digest(authorization: &TransferWithAuthorization) -> B256 {
    authorization.eip712_signing_hash(&eip712_domain! {
        name: "USD Coin",
        version: "2",
        chain_id: 8453,
        verifying_contract: alloy_primitives::address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
    })
}

pub(super) fn sign(authorization: &TransferWithAuthorization) -> [u8; 65] {
    let message = Message::from_digest(digest(authorization).0);
    let (recovery, rs) = RecoverableSignature::sign_ecdsa_recoverable(message, &key()).serialize_compact();
    let mut signature = [27 + recovery.to_u8(); 65];
    signature[..64].copy_from_slice(&rs);
    signature
}

/// As the gateway does it: the library is what this measures.
pub(super) fn recover(digest: B256, signature: &[u8; 65]) -> Option<PublicKey> {
    let recovery = RecoveryId::from_u8_masked(signature[64] - 27);
    let signature = RecoverableSignature::from_compact(&signature[..64], recovery).ok()?;
    signature.recover_ecdsa(Message::from_digest(digest.0)).ok()
}

fn key() -> SecretKey {
    SecretKey::from_secret_bytes([0x11; 32]).expect("a key")
}
