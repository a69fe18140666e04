//! EIP-3009 authorizations: what is signed, by whom, and how (scheme_exact_evm.md).

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolStruct as _, eip712_domain, sol};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};

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

/// The parts of a token's EIP-712 domain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Domain<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) chain_id: u64,
    pub(super) contract: Address,
}

/// What the payer signs.
pub(super) fn typed_data_digest(authorization: &TransferWithAuthorization, domain: Domain<'_>) -> B256 {
    authorization.eip712_signing_hash(&eip712_domain! {
        name: domain.name.to_owned(),
        version: domain.version.to_owned(),
        chain_id: domain.chain_id,
        verifying_contract: domain.contract,
    })
}

/// The account that signed, if the signature has the form that USDC's contract takes: `v` of 27 or 28 and the lower of
/// the two possible `s`.
pub(super) fn recover(digest: B256, signature: &[u8]) -> Option<Address> {
    let (v, rs) = signature.split_last()?;
    let recovery = match v {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        _ => return None,
    };
    let signature = RecoverableSignature::from_compact(rs, recovery).ok()?;
    let given = signature.to_standard();
    let mut lower = given;
    lower.normalize_s();
    if lower != given {
        return None;
    }
    signature.recover_ecdsa(Message::from_digest(digest.0)).ok().map(|key| account(&key))
}

/// Signs as wallets do: deterministic, low `s`, `v` of 27 or 28.
pub(super) fn sign(digest: B256, key: &SecretKey) -> Vec<u8> {
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), key);
    let (recovery, rs) = signature.serialize_compact();
    let mut bytes = rs.to_vec();
    bytes.push(27 + (recovery.to_u8() & 1));
    bytes
}

/// The account of a public key: the last twenty bytes of its hash.
pub(super) fn account(key: &PublicKey) -> Address {
    Address::from_word(keccak256(key.serialize_uncompressed().get(1..).unwrap_or_default()))
}

/// A `uint256` in decimal digits, without sign or leading zero.
pub(super) fn number(text: &str) -> Option<U256> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { U256::from_str_radix(text, 10).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::super::vectors::vector;
    use super::*;

    #[test]
    fn digest_signer_and_signature_are_the_references() {
        for (id, digest_at, payload_at) in [
            ("v2-eip3009-payment", "/digest", "/payment_payload/payload"),
            ("v1-eip3009-payment", "/digest", "/payment_payload/payload"),
        ] {
            let vector = vector(id);
            let text = |at: &str| vector.pointer(at).unwrap().as_str().unwrap().to_owned();
            let field = |name: &str| text(&format!("{payload_at}/authorization/{name}"));
            let authorization = TransferWithAuthorization {
                from: field("from").parse().unwrap(),
                to: field("to").parse().unwrap(),
                value: number(&field("value")).unwrap(),
                validAfter: number(&field("validAfter")).unwrap(),
                validBefore: number(&field("validBefore")).unwrap(),
                nonce: field("nonce").parse().unwrap(),
            };
            let contract = "0x036CbD53842c5426634e7929541eC2318f3dCF7e".parse().unwrap();
            let domain = Domain { name: "USDC", version: "2", chain_id: 84532, contract };
            let digest = typed_data_digest(&authorization, domain);
            assert_eq!(digest.to_string(), text(digest_at), "{id}");
            let signature = text(&format!("{payload_at}/signature"));
            assert_eq!(recover(digest, &hex::decode(&signature).unwrap()), Some(text("/recovered").parse().unwrap()));
            let key = SecretKey::from_secret_bytes([0x11; 32]).unwrap();
            assert_eq!(hex::encode_prefixed(sign(digest, &key)), signature);
        }
    }

    #[test]
    fn signatures_that_the_contract_would_refuse_are_refused() {
        let digest = B256::repeat_byte(7);
        let key = SecretKey::from_secret_bytes([0x11; 32]).unwrap();
        let good = sign(digest, &key);
        assert_eq!(recover(digest, &good), Some(account(&PublicKey::from_secret_key(&key))));
        for v in [0, 1, 2, 26, 29, 255] {
            assert_eq!(recover(digest, &[&good[..64], &[v]].concat()), None, "v {v}");
        }
        // The other s of the same signature: n - s, with the other v.
        let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse::<U256>().unwrap();
        let high = order - U256::from_be_slice(&good[32..64]);
        let twin = [&good[..32], &high.to_be_bytes::<32>(), &[27 + 28 - good[64]]].concat();
        assert_eq!(recover(digest, &twin), None);
        for bad in [&[][..], &good[..64], &[0; 65], &[255; 65], &[good.as_slice(), &[27]].concat()] {
            assert_eq!(recover(digest, bad), None);
        }
    }

    #[test]
    fn numbers_are_plain_decimals() {
        assert_eq!(number("0"), Some(U256::ZERO));
        assert_eq!(number(&U256::MAX.to_string()), Some(U256::MAX));
        for bad in ["", "01", "-1", "+1", "0x1", "1_000", "1e3", " 1", &format!("{}0", U256::MAX)] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
