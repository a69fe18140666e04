//! An entry of `accepts` on Solana, paid as the reference's client pays it.

use ed25519_dalek::SigningKey;
use serde_json::Value;

use super::WalletError;
use crate::money::{AtomicAmount, Network};
use crate::svm::{Draft, TOKEN, pubkey};
use crate::x402::codec;
use crate::x402::v2::PaymentRequirements;

/// An entry that can be paid.
pub(super) struct SvmEntry {
    pub(super) network: Network,
    pub(super) pay_to: String,
    pub(super) amount: AtomicAmount,
    draft: Draft,
}

impl SvmEntry {
    /// Reads it. None if it is not one for Solana.
    pub(super) fn parse(terms: &PaymentRequirements, network: &Network) -> Option<Self> {
        let text = |name: &str| terms.extra.get(name).and_then(Value::as_str);
        let draft = Draft {
            fee_payer: pubkey(text("feePayer")?)?,
            program: TOKEN,
            mint: pubkey(&terms.asset)?,
            // All that the sandbox has are dollars of six decimals.
            decimals: 6,
            pay_to: pubkey(&terms.pay_to)?,
            amount: terms.amount.atomic().try_into().ok()?,
            // There is no chain to ask: nobody will miss the block.
            blockhash: text("recentBlockhash").and_then(pubkey).unwrap_or_default(),
            memo: text("memo").unwrap_or_default().as_bytes().to_vec(),
        };
        (terms.scheme == "exact").then(|| {
            let (pay_to, amount, network) = (terms.pay_to.clone(), terms.amount, network.clone());
            Self { network, pay_to, amount, draft }
        })
    }

    /// The payload, in base64. `nonce` tells it from others if the seller wants no memo.
    pub(super) fn sign(&self, key: &SigningKey, nonce: [u8; 32]) -> Result<String, WalletError> {
        let mut draft = self.draft.clone();
        if draft.memo.is_empty() {
            draft.memo = alloy_primitives::hex::encode(nonce.get(..16).unwrap_or_default()).into_bytes();
        }
        let transaction = draft.sign(key).ok_or(WalletError::NothingPayable)?;
        Ok(codec::encode_bytes(&transaction))
    }
}
