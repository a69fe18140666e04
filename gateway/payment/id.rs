use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::money::{Address, Network};

/// The identity of a payment: the same for the same authorization, whatever header, version or spelling it came in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentId(Arc<str>);

impl PaymentId {
    /// EIP-3009: (network, asset, from, nonce).
    pub fn eip3009(network: &Network, asset: &Address, from: &Address, nonce: &[u8; 32]) -> Self {
        let (asset, from) = (asset.to_string(), from.to_string());
        Self::of("eip3009", network, &[asset.as_bytes(), from.as_bytes(), nonce])
    }

    /// Permit2: (network, from, nonce); Permit2's nonces are the owner's, whatever the token.
    pub fn permit2(network: &Network, from: &Address, nonce: &[u8; 32]) -> Self {
        Self::of("permit2", network, &[from.to_string().as_bytes(), nonce])
    }

    /// Solana: the message bytes; the signatures before them can be varied by anybody.
    pub fn svm(network: &Network, message: &[u8]) -> Self {
        Self::of("svm", network, &[message])
    }

    /// Any other scheme: the canonical JSON of its payload.
    pub fn opaque(network: &Network, canonical: &str) -> Self {
        Self::of("json", network, &[canonical.as_bytes()])
    }

    /// Takes an id from the store.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text: `pay_` and 40 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(scheme: &str, network: &Network, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in [scheme.as_bytes(), network.caip2().as_bytes()].iter().chain(parts) {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let short = digest.get(..20).unwrap_or(&digest);
        Self(format!("pay_{}", alloy_primitives::hex::encode(short)).into())
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
