//! Proofs of wallets: bytes as they are, and as messages that two wallets have signed.

use std::sync::LazyLock;

use alloy_primitives::{eip191_hash_message, hex, keccak256};
use ed25519_dalek::{Signer as _, SigningKey};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};
use tollgate::money::Network;
use tollgate::payment::Refused;
use tollgate::payment::siwx::{Proof, SignIn, prove};
use tollgate::x402::codec;

use super::market::{NOW, ORIGIN};
use super::text;

/// The longest life of a proof, in seconds, and how far a wallet's clock may be ahead.
const LIFE_S_MAX: u64 = 24 * 60 * 60 + 60 + 1;

static EVM: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_secret_bytes([0x11; 32]).expect("a key"));
static SOLANA: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[7; 32]));
static NETWORKS: LazyLock<[Network; 2]> = LazyLock::new(|| {
    ["eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"].map(|id| Network::parse(id).expect("an id"))
});

/// Reads the bytes as either form of a proof, as the JSON inside one, and as a message that is signed here.
pub fn sign_in(data: &[u8]) {
    if let Some(text) = text(data) {
        let _ = outcome(&SignIn::Header(text.to_owned()));
        let _ = outcome(&SignIn::Authorization(text.to_owned()));
    }
    let inside = codec::encode_bytes(data);
    let _ = outcome(&SignIn::Header(inside.clone()));
    let evm = outcome(&SignIn::Authorization(format!("{inside}.{}", by_evm(data))));
    if let Ok(Proof::Proved(proved)) = &evm {
        assert_eq!(proved.account.to_string(), evm_account(), "somebody else's sign-in");
    }
    let solana = outcome(&SignIn::Authorization(format!("{inside}.{}", by_solana(data))));
    if let Ok(Proof::Proved(proved)) = &solana {
        let account = bs58::encode(SOLANA.verifying_key().as_bytes()).into_string();
        assert_eq!(proved.account.to_string(), account, "somebody else's sign-in");
    }
    // A message names one account, so that one of the two is not who signed.
    let proved = |proof: &Result<Proof, Refused>| matches!(proof, Ok(Proof::Proved(_)));
    assert!(!(proved(&evm) && proved(&solana)), "two accounts by one message");
}

fn outcome(sent: &SignIn) -> Result<Proof, Refused> {
    let at = |now| prove(sent, now, ORIGIN, NETWORKS.iter());
    let proof = at(NOW)?;
    assert!(sent.is_for(ORIGIN), "a sign-in somewhere else");
    assert!(NETWORKS.contains(&proof.claimed().network));
    assert!((NOW + 1..=NOW + LIFE_S_MAX).contains(&proof.ends_at()), "it ends at {}", proof.ends_at());
    assert!(at(proof.ends_at()).is_err(), "it is good after its end");
    Ok(proof)
}

fn by_evm(message: &[u8]) -> String {
    let digest = Message::from_digest(eip191_hash_message(message).0);
    let (recovery, rs) = RecoverableSignature::sign_ecdsa_recoverable(digest, &EVM).serialize_compact();
    format!("{}{:02x}", hex::encode_prefixed(rs), 27 + recovery.to_u8())
}

fn by_solana(message: &[u8]) -> String {
    bs58::encode(SOLANA.sign(message).to_bytes()).into_string()
}

fn evm_account() -> String {
    let key = PublicKey::from_secret_key(&EVM).serialize_uncompressed();
    let account = keccak256(key.split_first().expect("65 bytes").1);
    alloy_primitives::Address::from_word(account).to_checksum(None)
}
