//! Solana transactions, as far as a payment's identity needs them: the message behind the signatures.
//!
//! Everything else in them is the facilitator's to judge.

use serde::Deserialize;

use super::eip3009::malformed;
use super::{PaymentId, Refused};
use crate::pricing::Terms;
use crate::x402::codec;

/// The largest transaction of the network, in bytes (its packet size).
const TRANSACTION_BYTES_MAX: usize = 1232;
const SIGNATURE_BYTES: usize = 64;

/// The scheme's payload as it stands on the wire.
#[derive(Deserialize)]
pub(super) struct Payload {
    transaction: String,
}

/// Finds the identity of a payment.
pub(super) fn check(payload: &Payload, terms: &Terms) -> Result<PaymentId, Refused> {
    let wrong = || {
        Refused::new(
            "invalid_exact_svm_payload_transaction_could_not_be_decoded",
            "the transaction is not base64 of a signed Solana transaction",
        )
    };
    let bytes = codec::decode_bytes(&payload.transaction).map_err(|_| malformed("transaction", "standard base64"))?;
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return Err(wrong());
    }
    let message = message(&bytes).ok_or_else(wrong)?;
    Ok(PaymentId::svm(&terms.network, message))
}

/// The bytes behind the signature section. A payment has few signatures, so their count is one byte.
fn message(transaction: &[u8]) -> Option<&[u8]> {
    let (&count, rest) = transaction.split_first()?;
    if !(1..=12).contains(&count) {
        return None;
    }
    let message = rest.get(usize::from(count) * SIGNATURE_BYTES..)?;
    (message.len() > 4).then_some(message)
}
