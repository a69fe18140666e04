use alloy_primitives::{B256, eip191_hash_message};
use ed25519_dalek::{Signature, VerifyingKey};

use super::sent::{Kind, Signed};
use crate::money::{Address, Family, Network};
use crate::payment::Refused;
use crate::payment::eip712::recovered;

/// A wallet that is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The network that the message names. The same key is the same account on all EVM chains; a contract is not.
    pub network: Network,
    /// Whose it is; its text is the canonical one.
    pub account: Address,
    /// The first second of Unix time at which the same sign-in is refused.
    pub ends_at: u64,
}

/// What a signature proves. Its `Debug` form does not show the signature.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The account's own key signed.
    Proved(Proved),
    /// It did not; but a contract may stand at the account's address on that network, and only the chain can say
    /// whether it takes the signature (EIP-1271). Until then nothing is proved.
    NeedsChain {
        /// Who is said to have signed.
        account: Proved,
        /// The EIP-191 hash of the message.
        digest: [u8; 32],
        /// As it was sent.
        signature: Vec<u8>,
    },
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Proved(_) => "Proved",
            Self::NeedsChain { .. } => "NeedsChain",
        };
        f.debug_tuple(name).field(self.claimed()).finish()
    }
}

impl Proof {
    /// The proof without a word of the chain.
    ///
    /// # Errors
    /// [`Refused`] with `invalid_siwx_signature` if only the chain could say.
    pub fn without_chain(self) -> Result<Proved, Refused> {
        match self {
            Self::Proved(proved) => Ok(proved),
            Self::NeedsChain { .. } => Err(wrong_signature()),
        }
    }

    /// The first second of Unix time at which the same sign-in is refused.
    pub fn ends_at(&self) -> u64 {
        self.claimed().ends_at
    }

    /// Who is said to have signed.
    pub fn claimed(&self) -> &Proved {
        match self {
            Self::Proved(account) | Self::NeedsChain { account, .. } => account,
        }
    }
}

impl Signed {
    /// The account that the message names, on a network that payments are taken on.
    pub(super) fn account<'a>(
        &self,
        ends_at: u64,
        networks: impl IntoIterator<Item = &'a Network>,
    ) -> Result<Proved, Refused> {
        let message = &self.message;
        let network = Network::parse(&message.chain_id)
            .map_err(|error| Refused::new("invalid_siwx_chain_id", format!("{:?} {error}", message.chain_id)))?;
        let kind = match network.family() {
            Family::Evm(_) => Some(Kind::Eip191),
            Family::Solana => Some(Kind::Ed25519),
            Family::Other => None,
        };
        if kind.is_none() || !networks.into_iter().any(|taken| *taken == network) {
            let why = format!("no payments are taken on {network}");
            return Err(Refused::new("invalid_siwx_unsupported_chain", why));
        }
        if self.kind.is_some() && self.kind != kind {
            let why = format!("the type of the signature is not that of {network}");
            return Err(Refused::new("invalid_siwx_chain_id", why));
        }
        let account = Address::parse(&message.address, &network)
            .map_err(|error| Refused::new("invalid_siwx_payload", format!("{:?} {error}", message.address)))?;
        Ok(Proved { network, account, ends_at })
    }

    /// Judges the signature.
    pub(super) fn proof(&self, account: Proved) -> Result<Proof, Refused> {
        let made;
        let text = match &self.text {
            Some(text) => text,
            None => {
                made = self.message.text(&account.network, &account.account);
                &made
            }
        };
        match account.account.evm() {
            Some(evm) => {
                let signature = self.evm_signature().filter(|signature| !signature.is_empty());
                let signature = signature.ok_or_else(malformed_signature)?;
                let digest = eip191_hash_message(text.as_bytes());
                Ok(match signed_by(digest, &signature) == Some(evm) {
                    true => Proof::Proved(account),
                    false => Proof::NeedsChain { account, digest: digest.0, signature },
                })
            }
            None => {
                let signature = self.solana_signature().ok_or_else(malformed_signature)?;
                match is_of_solana(&account.account, text, signature) {
                    true => Ok(Proof::Proved(account)),
                    false => Err(wrong_signature()),
                }
            }
        }
    }
}

/// The account whose key made a 65-byte signature. Of the two possible `s` only the lower one is taken, which is what
/// wallets make: everything else could be made of it by anybody.
fn signed_by(digest: B256, signature: &[u8]) -> Option<alloy_primitives::Address> {
    let (&v, rs) = signature.split_last()?;
    // Some wallets give the recovery id as it is, most with Ethereum's 27 added.
    let v = if v < 27 { v.checked_add(27)? } else { v };
    recovered(digest, rs.try_into().ok()?, v)
}

/// Strict: neither a key of small order nor a second form of a signature is taken.
fn is_of_solana(account: &Address, text: &str, signature: [u8; 64]) -> bool {
    let key = bs58::decode(account.to_string()).into_vec().ok();
    let key = key.and_then(|key| VerifyingKey::from_bytes(&key.try_into().ok()?).ok());
    key.is_some_and(|key| key.verify_strict(text.as_bytes(), &Signature::from_bytes(&signature)).is_ok())
}

fn wrong_signature() -> Refused {
    Refused::new("invalid_siwx_signature", "the sign-in is not signed by its account")
}

fn malformed_signature() -> Refused {
    Refused::new("invalid_siwx_malformed_signature", "the signature is not one of the account's network")
}
