//! Signatures over EIP-712 typed data.

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use super::Refused;

/// What a signature says of who signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// This account did.
    Account(Address),
    /// Not 65 bytes: a contract wallet's signature, which only the chain can judge.
    Contract,
}

/// Whether a signature that was read is an account's, and not a contract's.
pub(super) fn is_accounts(signature: &str) -> bool {
    signature.len() == "0x".len() + 2 * 65
}

/// Reads a 65-byte signature and recovers the account behind it.
///
/// USDC's contract wants `v` of 27 or 28 and the lower of the two possible `s`; others verify off chain and fail on
/// it, so they are refused here.
pub(super) fn signer(digest: B256, signature: &str) -> Result<Signer, Refused> {
    let malformed = || Refused::new("invalid_exact_evm_signature", "the signature is not hex");
    let digits = signature.strip_prefix("0x").ok_or_else(malformed)?;
    let bytes = alloy_primitives::hex::decode(digits).map_err(|_| malformed())?;
    let Ok(bytes) = <[u8; 65]>::try_from(bytes) else { return Ok(Signer::Contract) };
    let (rs, v) = bytes.split_at(64);
    let recovery = match v {
        [27] => RecoveryId::Zero,
        [28] => RecoveryId::One,
        _ => return Err(Refused::new("invalid_exact_evm_signature", "the signature's v must be 27 or 28")),
    };
    if !has_low_s(rs) {
        return Err(Refused::new("invalid_exact_evm_signature", "the signature's s is in the upper half"));
    }
    let wrong = |_| Refused::new("invalid_exact_evm_signature", "the signature is not one of secp256k1");
    let signature = RecoverableSignature::from_compact(rs, recovery).map_err(wrong)?;
    let key = signature.recover_ecdsa(Message::from_digest(digest.0)).map_err(wrong)?;
    Ok(Signer::Account(address(&key)))
}

/// The account that made a signature of `r` and `s`, if it has the form that [`signer`] takes.
pub(super) fn recovered(digest: B256, rs: &[u8; 64], v: u8) -> Option<Address> {
    let recovery = match v {
        27 => RecoveryId::Zero,
        28 => RecoveryId::One,
        _ => return None,
    };
    let signature = RecoverableSignature::from_compact(rs, recovery).ok().filter(|_| has_low_s(rs))?;
    signature.recover_ecdsa(Message::from_digest(digest.0)).ok().map(|key| address(&key))
}

/// Whether `s` is the lower of the two that are good: the other one can be made of it by anybody.
fn has_low_s(rs: &[u8]) -> bool {
    rs.get(32..).unwrap_or_default() <= HALF_ORDER.as_slice()
}

/// The account of a public key: the last twenty bytes of its hash.
fn address(key: &secp256k1::PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    Address::from_word(keccak256(uncompressed.get(1..).unwrap_or_default()))
}

/// Half of the curve's order: n / 2.
const HALF_ORDER: [u8; 32] =
    alloy_primitives::b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0").0;
