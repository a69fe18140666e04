//! Solana's transactions.

use tollgate::svm::{Message, Transaction, signed_bytes};

/// The network's packet size.
const BYTES_MAX: usize = 1232;

/// Reads the bytes as a transaction, and as a message without its signatures.
pub fn transaction(data: &[u8]) {
    let _ = Message::parse(data);
    let Some(transaction) = Transaction::parse(data) else { return };
    let message = &transaction.message;
    assert!(data.len() <= BYTES_MAX && data.ends_with(transaction.bytes));
    assert_eq!(signed_bytes(data), Some(transaction.bytes));
    assert_eq!(Message::parse(transaction.bytes).as_ref(), Some(message));
    assert_eq!(1 + transaction.signatures.len() * 64 + transaction.bytes.len(), data.len());
    assert!(message.fee_payer().is_some_and(|fee_payer| message.is_signer(fee_payer)));
    let _ = transaction.is_signed_by_others();
    if let Ok(transfer) = message.transfer() {
        assert!(message.spends_of(transfer.authority), "a transfer spends of its authority");
        assert!(message.memos().count() <= 4 && (3..=7).contains(&message.instructions.len()));
    }
    // What is read is read to its end.
    for cut in 1..=2 {
        let shorter = data.get(..data.len().saturating_sub(cut)).unwrap_or_default();
        assert!(Transaction::parse(shorter).is_none(), "a part of a transaction is none");
    }
}
