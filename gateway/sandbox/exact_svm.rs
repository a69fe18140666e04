//! The exact scheme on Solana, as the reference facilitator checks it without a chain: same order, same reasons.
//!
//! Only the fixed layout (compute limit, compute price, transfer, memos), not the one for smart wallets, which needs a
//! simulation.

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::asked::{Asked, Refused, refused};
use super::play_money::Transfer;
use crate::svm::{Pubkey, Transaction, Transfer as SvmTransfer, Unusual, associated_token_account, pubkey};
use crate::x402::codec;

/// 5 lamports for a compute unit.
const COMPUTE_PRICE_MICROLAMPORTS_MAX: u64 = 5_000_000;
/// Why an instruction behind the transfer is not accepted, by its place.
const UNKNOWN_OPTIONAL: [&str; 4] = [
    "invalid_exact_svm_payload_unknown_fourth_instruction",
    "invalid_exact_svm_payload_unknown_fifth_instruction",
    "invalid_exact_svm_payload_unknown_sixth_instruction",
    "invalid_exact_svm_payload_unknown_seventh_instruction",
];

/// Checks a payment, all but balance and repetition.
pub(super) fn check(asked: &Asked, fee_payer: &SigningKey) -> Result<Transfer, Refused> {
    let ours = fee_payer.verifying_key().to_bytes();
    let bytes = check_asked(asked, &ours).map_err(refused)?;
    let transaction = Transaction::parse(&bytes).ok_or_else(|| refused(UNDECODABLE))?;
    check_signed(&transaction, &ours).map_err(refused)?;
    let transfer = transaction.message.transfer().map_err(|unusual| refused(reason(unusual)))?;
    let payer = bs58::encode(transfer.authority).into_string();
    check_transfer(asked, &transaction, &transfer, &ours)
        .and_then(|()| check_memos(asked, &transaction))
        .map_err(|reason| Refused { reason: reason.to_owned(), payer: payer.clone() })?;
    Ok(Transfer {
        identity: format!("{} {:x?}", asked.network, Sha256::digest(transaction.bytes).as_slice()),
        network: asked.network.clone(),
        asset: asked.asset.clone(),
        from: payer.clone(),
        to: asked.pay_to.clone(),
        amount: asked.amount,
        payer,
        // On Solana the fee payer's signature is the transaction's name.
        transaction: bs58::encode(fee_payer.sign(transaction.bytes).to_bytes()).into_string(),
    })
}

/// What the reference answers when a chain would not take the transaction.
pub(super) const SIMULATION_FAILED: &str = "invalid_exact_svm_transaction_simulation_failed";
const NO_TRANSFER: &str = "invalid_exact_svm_payload_no_transfer_instruction";

const UNDECODABLE: &str = "invalid_exact_svm_payload_transaction_could_not_be_decoded";

/// What is asked must be about us; then the transaction's bytes are of interest.
fn check_asked(asked: &Asked, ours: &Pubkey) -> Result<Vec<u8>, &'static str> {
    if asked.scheme != "exact" || asked.payer_scheme != "exact" {
        return Err("invalid_exact_svm_unsupported_scheme");
    }
    if asked.payer_network != asked.network_name {
        return Err("invalid_exact_svm_network_mismatch");
    }
    let fee_payer = asked.extra_text("feePayer").ok_or("invalid_exact_svm_payload_missing_fee_payer")?;
    if pubkey(fee_payer).as_ref() != Some(ours) {
        return Err("invalid_exact_svm_fee_payer_not_managed_by_facilitator");
    }
    let base64 = asked.payload.get("transaction").and_then(Value::as_str).ok_or(UNDECODABLE)?;
    codec::decode_bytes(base64).map_err(|_| UNDECODABLE)
}

fn check_signed(transaction: &Transaction<'_>, ours: &Pubkey) -> Result<(), &'static str> {
    if transaction.message.fee_payer() != Some(ours) {
        return Err("invalid_exact_svm_fee_payer_mismatch");
    }
    if !transaction.is_signed_by_others() {
        return Err("invalid_exact_svm_payload_signature_invalid");
    }
    Ok(())
}

/// The reference's word for what does not fit the layout.
fn reason(unusual: Unusual) -> &'static str {
    match unusual {
        Unusual::Length => "invalid_exact_svm_payload_transaction_instructions_length",
        Unusual::ComputeLimit => "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction",
        Unusual::ComputePrice => "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction",
        Unusual::NoTransfer => NO_TRANSFER,
        Unusual::Optional(place) => UNKNOWN_OPTIONAL.get(place).unwrap_or(&NO_TRANSFER),
    }
}

fn check_transfer(
    asked: &Asked,
    transaction: &Transaction<'_>,
    transfer: &SvmTransfer<'_>,
    fee_payer: &Pubkey,
) -> Result<(), &'static str> {
    if transfer.compute_price > COMPUTE_PRICE_MICROLAMPORTS_MAX {
        return Err("invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high");
    }
    if transfer.authority == fee_payer {
        return Err("invalid_exact_svm_payload_transaction_fee_payer_transferring_funds");
    }
    let mint = pubkey(&asked.asset).ok_or("invalid_payment_requirements")?;
    if *transfer.mint != mint {
        return Err("invalid_exact_svm_payload_mint_mismatch");
    }
    let pay_to = pubkey(&asked.pay_to).ok_or("invalid_payment_requirements")?;
    if associated_token_account(&pay_to, transfer.program, &mint).as_ref() != Some(transfer.destination) {
        return Err("invalid_exact_svm_payload_recipient_mismatch");
    }
    if u128::from(transfer.amount) != asked.amount.atomic() {
        return Err("invalid_exact_svm_payload_amount_mismatch");
    }
    // The token program would refuse it in the simulation.
    if transaction.message.is_signer(transfer.authority) { Ok(()) } else { Err(SIMULATION_FAILED) }
}

fn check_memos(asked: &Asked, transaction: &Transaction<'_>) -> Result<(), &'static str> {
    let Some(wanted) = asked.extra_text("memo") else { return Ok(()) };
    match &*transaction.message.memos().collect::<Vec<_>>() {
        [memo] if *memo == wanted.as_bytes() => Ok(()),
        [_] => Err("invalid_exact_svm_payload_memo_mismatch"),
        _ => Err("invalid_exact_svm_payload_memo_count"),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use serde_json::json;

    use super::super::vectors::{desk, vector};
    use super::*;

    /// Replaces bytes of the reference's message (hex, once), signs it anew as the client, and asks for the verdict
    /// on `amount`.
    fn verdict(from: &str, to: &str, amount: &str) -> String {
        let vector = vector("v2-svm-payment");
        let message = vector["layout"]["message_hex"].as_str().unwrap();
        assert_eq!(message.matches(from).count(), 1, "{from}");
        let message = hex::decode(message.replace(from, to)).unwrap();
        let signature = SigningKey::from_bytes(&[0x33; 32]).sign(&message).to_bytes();
        let transaction = [&[2][..], &[0; 64], &signature, &message].concat();
        let mut terms = vector["requirements"].clone();
        terms["amount"] = amount.into();
        let payload = json!({"accepted": terms, "payload": {"transaction": codec::encode_bytes(&transaction)}});
        let body = json!({"x402Version": 2, "paymentPayload": payload, "paymentRequirements": terms});
        let answer = desk(0).verify(body.to_string().as_bytes()).1;
        match answer["isValid"] == true {
            true => "valid".to_owned(),
            false => answer["invalidReason"].as_str().unwrap().trim_start_matches("invalid_exact_svm_").to_owned(),
        }
    }

    /// The transfer: program, accounts (source, mint, destination, authority), amount, decimals.
    const TRANSFER: &str = "0704020503010a0c102700000000000006";
    const LIMIT: &str = "04000502204e0000";
    const PRICE: &str = "040009030100000000000000";
    const MEMO_CALL: &str = "060008696e762d30303031";

    #[test]
    fn a_signature_alone_is_not_enough() {
        assert_eq!(verdict(TRANSFER, TRANSFER, "10000"), "valid");
        for (from, to, reason) in [
            // Authority: the fee payer, and an account that has not signed.
            (TRANSFER, "0704020503000a0c102700000000000006", "payload_transaction_fee_payer_transferring_funds"),
            (TRANSFER, "0704020503020a0c102700000000000006", "transaction_simulation_failed"),
            // An account of a lookup table, or of nothing at all.
            (TRANSFER, "0704020503630a0c102700000000000006", "payload_no_transfer_instruction"),
            // The payer's own account as destination, and another mint.
            (TRANSFER, "0704020502010a0c102700000000000006", "payload_recipient_mismatch"),
            (TRANSFER, "0704020703010a0c102700000000000006", "payload_mint_mismatch"),
            // One unit more, and a plain transfer in place of the checked one.
            (TRANSFER, "0704020503010a0c112700000000000006", "payload_amount_mismatch"),
            (TRANSFER, "0704020503010a03102700000000000006", "payload_no_transfer_instruction"),
            (TRANSFER, "0604020503010a0c102700000000000006", "payload_no_transfer_instruction"),
            (LIMIT, "04000501204e0000", "payload_transaction_instructions_compute_limit_instruction"),
            (PRICE, "040009020100000000000000", "payload_transaction_instructions_compute_price_instruction"),
            (PRICE, "04000903414b4c0000000000", "payload_transaction_instructions_compute_price_instruction_too_high"),
            (PRICE, "04000903404b4c0000000000", "valid"),
            (MEMO_CALL, "050008696e762d30303031", "payload_unknown_fourth_instruction"),
            (MEMO_CALL, "060008696e762d30303032", "payload_memo_mismatch"),
        ] {
            assert_eq!(verdict(from, to, "10000"), reason, "{to}");
        }
        assert_eq!(verdict(TRANSFER, "0704020503010a0c112700000000000006", "10001"), "valid");
    }

    #[test]
    fn the_number_of_memos_and_instructions_is_bounded() {
        let all = format!("04{LIMIT}{PRICE}{TRANSFER}{MEMO_CALL}00");
        let with = |count: &str, memos: usize| format!("{count}{LIMIT}{PRICE}{TRANSFER}{}00", MEMO_CALL.repeat(memos));
        assert_eq!(verdict(&all, &with("04", 1), "10000"), "valid");
        assert_eq!(verdict(&all, &with("03", 0), "10000"), "payload_memo_count");
        assert_eq!(verdict(&all, &with("05", 2), "10000"), "payload_memo_count");
        assert_eq!(verdict(&all, &with("08", 5), "10000"), "payload_transaction_instructions_length");
        assert_eq!(verdict(&all, &format!("02{LIMIT}{PRICE}00"), "10000"), "payload_transaction_instructions_length");
        assert_eq!(verdict(&all, &with("05", 1), "10000"), "payload_transaction_could_not_be_decoded");
    }
}
