//! Credentials that were found good, so that a client that sends the same one for an hour is checked once.

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::payment::siwx::Proof;

/// Credentials that are remembered: a few megabytes.
const CREDENTIALS_MAX: usize = 50_000;
/// How long the word of an RPC server on a contract's signature is taken, in seconds: a contract may change its owners.
const CONTRACT_S_MAX: u64 = 5 * 60;

/// What credentials have proved, by their hash, each until it ends. Refusals are not kept.
///
/// It belongs to what they were judged by: a reload with another public URL, other networks or another issuer's key
/// needs a new one, or what it no longer takes would stay good. What is kept is cloned on each call.
#[derive(Debug)]
pub(super) struct Proven<T> {
    by_hash: Cache<[u8; 32], Kept<T>>,
}

#[derive(Debug, Clone)]
struct Kept<T> {
    proved: T,
    ends_at: u64,
}

impl<T: Clone> Default for Proven<T> {
    fn default() -> Self {
        Self { by_hash: Cache::new(CREDENTIALS_MAX) }
    }
}

impl<T: Clone> Proven<T> {
    /// What this credential has proved, if that still holds at `now`, in seconds of Unix time.
    pub(super) fn get(&self, credential: &[u8], now: u64) -> Option<T> {
        let kept = self.by_hash.get(&hash(credential))?;
        (now < kept.ends_at).then_some(kept.proved)
    }

    /// Keeps what a credential has proved. It no longer holds at `ends_at`, in seconds of Unix time.
    pub(super) fn keep(&self, credential: &[u8], proved: T, ends_at: u64) {
        self.by_hash.insert(hash(credential), Kept { proved, ends_at });
    }
}

/// Until when a sign-in that was found good may be kept. A contract's is good on the network alone that was asked.
pub(super) fn holds_until(proof: &Proof, now: u64) -> u64 {
    match proof {
        Proof::Proved(_) => proof.ends_at(),
        Proof::NeedsChain { .. } => proof.ends_at().min(now.saturating_add(CONTRACT_S_MAX)),
    }
}

/// A cache that is read by the credential itself would hold secrets.
fn hash(credential: &[u8]) -> [u8; 32] {
    Sha256::digest(credential).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{Address, Network};
    use crate::payment::siwx::Proved;

    const NOW: u64 = 1_767_225_600;

    #[test]
    fn what_was_proved_holds_until_its_end_and_no_longer() {
        let proven = Proven::default();
        assert_eq!(proven.get(b"token", NOW), None);
        proven.keep(b"token", "alice", NOW + 60);
        for (now, expected) in
            [(NOW, Some("alice")), (NOW + 59, Some("alice")), (NOW + 60, None), (NOW + 61, None), (u64::MAX, None)]
        {
            assert_eq!(proven.get(b"token", now), expected, "{now}");
        }
    }

    #[test]
    fn only_the_same_bytes_are_the_same_credential() {
        let proven = Proven::default();
        proven.keep(b"token", "alice", NOW + 60);
        for other in [&b""[..], b"toke", b"token ", b"Token", b"token\0"] {
            assert_eq!(proven.get(other, NOW), None, "{other:?}");
        }
    }

    #[test]
    fn what_has_ended_when_it_is_kept_is_never_given() {
        let proven = Proven::default();
        for ends_at in [0, NOW - 1, NOW] {
            proven.keep(b"token", "alice", ends_at);
            assert_eq!(proven.get(b"token", NOW), None, "{ends_at}");
        }
    }

    #[test]
    fn a_credential_that_is_kept_again_has_its_new_end() {
        let proven = Proven::default();
        proven.keep(b"token", "alice", NOW + 1);
        proven.keep(b"token", "alice", NOW + 300);
        assert_eq!(proven.get(b"token", NOW + 299), Some("alice"));
    }

    #[test]
    fn a_flood_of_credentials_stays_within_bounds() {
        let proven = Proven::default();
        for credential in 0..u64::try_from(CREDENTIALS_MAX + 5_000).unwrap() {
            proven.keep(&credential.to_be_bytes(), credential, NOW + 60);
        }
        assert!(proven.by_hash.len() <= CREDENTIALS_MAX, "{}", proven.by_hash.len());
        for credential in 0..60_000u64 {
            assert!(proven.get(&credential.to_be_bytes(), NOW).is_none_or(|proved| proved == credential));
        }
    }

    #[test]
    fn many_at_once_see_their_own() {
        let proven = Proven::default();
        std::thread::scope(|scope| {
            for wallet in 0..8u8 {
                let proven = &proven;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        proven.keep(&[wallet], wallet, NOW + 60);
                        assert!(proven.get(&[wallet], NOW).is_none_or(|proved| proved == wallet));
                    }
                });
            }
        });
    }

    #[test]
    fn a_contracts_signature_is_asked_about_again_after_five_minutes() {
        let network = Network::parse("eip155:8453").unwrap();
        let account = Address::parse("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", &network).unwrap();
        let proved = |ends_at| Proved { network: network.clone(), account: account.clone(), ends_at };
        let contract = |ends_at| Proof::NeedsChain { account: proved(ends_at), digest: [0; 32], signature: Vec::new() };
        assert_eq!(holds_until(&Proof::Proved(proved(NOW + 3600)), NOW), NOW + 3600);
        assert_eq!(holds_until(&contract(NOW + 3600), NOW), NOW + 300);
        assert_eq!(holds_until(&contract(NOW + 10), NOW), NOW + 10);
    }
}
