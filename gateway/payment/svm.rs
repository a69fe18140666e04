//! Payments on Solana: what can be checked without the chain (scheme_exact_svm.md).
//!
//! A facilitator may take wallets that are programs of their own, in any layout; only it can judge those, by trying
//! them out. So what is refused here is what is wrong in every layout, and what is wrong in a layout that is understood.

use serde::Deserialize;

use super::eip3009::malformed;
use super::{PaymentId, Refused};
use crate::money::Address;
use crate::pricing::{MEMO, Terms};
use crate::svm::{self, Message, Transaction, Transfer};
use crate::x402::codec;

/// The scheme's payload as it stands on the wire.
#[derive(Deserialize)]
pub(super) struct Payload {
    transaction: String,
}

impl Payload {
    fn bytes(&self) -> Result<Vec<u8>, Refused> {
        codec::decode_bytes(&self.transaction).map_err(|_| malformed("transaction", "standard base64"))
    }
}

/// Who pays the fees of a payment; nobody if it cannot be read.
pub(super) fn fee_payer(payload: &str) -> Option<String> {
    let bytes = serde_json::from_str::<Payload>(payload).ok()?.bytes().ok()?;
    Transaction::parse(&bytes)?.message.fee_payer().map(svm::base58)
}

/// Finds the identity of a payment and who pays, in the reference's order. Without a payer it is one that only the
/// facilitator can judge.
pub(super) fn check(payload: &Payload, terms: &Terms) -> Result<(PaymentId, Option<Address>), Refused> {
    let bytes = payload.bytes()?;
    let transaction = Transaction::parse(&bytes).ok_or_else(|| {
        Refused::new(
            "invalid_exact_svm_payload_transaction_could_not_be_decoded",
            "the transaction is not base64 of a signed Solana transaction",
        )
    })?;
    let message = &transaction.message;
    let fee_payer = message.fee_payer().map(svm::base58).unwrap_or_default();
    if terms.fee_payer() != Some(&fee_payer) {
        let text = format!("the fees must be paid by {}", terms.fee_payer().unwrap_or("nobody"));
        return Err(Refused::new("invalid_exact_svm_fee_payer_mismatch", text));
    }
    if !transaction.is_signed_by_others() {
        return Err(unsigned("a signature is missing or not good for this transaction"));
    }
    check_memo(message, terms)?;
    check_spender(message, terms)?;
    let payer = match message.transfer() {
        Ok(transfer) => check_transfer(message, &transfer, terms)?,
        Err(_) => None,
    };
    Ok((PaymentId::svm(&terms.network, transaction.bytes), payer))
}

fn unsigned(text: &'static str) -> Refused {
    Refused::new("invalid_exact_svm_payload_signature_invalid", text)
}

/// The seller's text has to stand there once, in every layout.
fn check_memo(message: &Message<'_>, terms: &Terms) -> Result<(), Refused> {
    let Some(wanted) = terms.extra.get(MEMO).and_then(serde_json::Value::as_str) else { return Ok(()) };
    let mut memos = message.memos();
    let text = || format!("the transaction must have one memo, {wanted:?}");
    match (memos.next(), memos.next()) {
        (Some(memo), None) if memo == wanted.as_bytes() => Ok(()),
        (Some(_), None) => Err(Refused::new("invalid_exact_svm_payload_memo_mismatch", text())),
        _ => Err(Refused::new("invalid_exact_svm_payload_memo_count", text())),
    }
}

/// The facilitator signs for the fees and must not give its own money away by that.
fn check_spender(message: &Message<'_>, terms: &Terms) -> Result<(), Refused> {
    let is_facilitators = |account: &svm::Pubkey| terms.fee_payers.contains(&svm::base58(account));
    let is_spent = message.fee_payer().is_some_and(|account| message.spends_of(account))
        || message.transfer().is_ok_and(|transfer| is_facilitators(transfer.authority));
    if is_spent {
        let text = "the facilitator's own money would be paid with";
        return Err(Refused::new("invalid_exact_svm_payload_transaction_fee_payer_transferring_funds", text));
    }
    Ok(())
}

/// Checks the one transfer of an ordinary wallet. None is the payer of one that several people dispose of: whether they
/// have signed, only the chain knows.
fn check_transfer(message: &Message<'_>, transfer: &Transfer<'_>, terms: &Terms) -> Result<Option<Address>, Refused> {
    let asset = terms.asset.address.to_string();
    if svm::base58(transfer.mint) != asset {
        return Err(Refused::new("invalid_exact_svm_payload_mint_mismatch", format!("the token must be {asset}")));
    }
    let pay_to = svm::pubkey(&terms.pay_to.to_string());
    let ours = pay_to.and_then(|pay_to| svm::associated_token_account(&pay_to, transfer.program, transfer.mint));
    if ours.as_ref() != Some(transfer.destination) {
        let text = format!("the money must go to the token account of {}", terms.pay_to);
        return Err(Refused::new("invalid_exact_svm_payload_recipient_mismatch", text));
    }
    if u128::from(transfer.amount) != terms.amount.atomic() {
        let text = format!("the transfer is of {}, the price is {}", transfer.amount, terms.amount);
        return Err(Refused::new("invalid_exact_svm_payload_amount_mismatch", text));
    }
    match message.is_signer(transfer.authority) {
        true => Ok(Some(Address::Text(svm::base58(transfer.authority).into()))),
        false if transfer.has_more_accounts => Ok(None),
        false => Err(unsigned("whose money it is has not signed")),
    }
}
