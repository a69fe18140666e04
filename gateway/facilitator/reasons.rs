//! What the reason of a settlement that did not succeed says of the money. Reasons are an open set: these are the ones
//! that facilitators are known to give.

/// Sent and not confirmed; the answer names the transaction (x402-specification-v2.md §9).
pub(super) const SETTLEMENT_PENDING: &str = "settlement_pending";
/// `errorReason` values with which the transaction may be on its way although `success` is false.
const REASONS_OPEN: [&str; 4] = [
    SETTLEMENT_PENDING,
    "unexpected_settle_error",
    "post_settlement_transfer_not_confirmed",
    "settle_exact_svm_transaction_confirmation_timed_out",
];

/// Ends of `errorReason` values with which a transaction was sent and failed, so that no money has moved.
const REASONS_FAILED: [&str; 4] =
    ["transaction_failed", "invalid_transaction_state", "insufficient_funds", "block_height_exceeded"];

/// Ends of those with which a transaction may have been sent and may still succeed, if the answer names none: so say
/// facilitators whose node did not answer while they sent or waited (`@x402/svm` 2.27.0; `node_failure` is CDP's).
const REASONS_SENT: [&str; 3] = ["transaction_failed", "timed_out", "node_failure"];

/// Whether the transaction may be on its way, whatever else the answer says.
pub(super) fn is_open(reason: &str) -> bool {
    REASONS_OPEN.contains(&reason)
}

/// Whether the transaction that the answer names has failed for good.
pub(super) fn says_failed(reason: &str) -> bool {
    REASONS_FAILED.iter().any(|failed| reason.ends_with(failed))
}

/// Whether a settlement without a transaction may have been cut short after one was sent. The words of an exception say
/// so too: of version 1, the reference puts them in the reason's place whenever it was thrown (`@x402/evm` 2.27.0).
pub(super) fn may_be_sent(reason: &str) -> bool {
    let code = reason.split(':').next().unwrap_or_default();
    REASONS_SENT.iter().any(|sent| code.ends_with(sent))
        || code.contains(char::is_whitespace)
        || ["Error", "Exception"].iter().any(|thrown| code.ends_with(thrown))
}

/// Whether a reason says that the authorization has been used: by our own earlier call, by somebody else's, or by the
/// payer for something else.
pub fn says_used(reason: &str) -> bool {
    reason.contains("already_used") || reason.contains("duplicate_settlement")
}

/// Whether a refusal is for a trouble of the facilitator's own, which no payer can help: `unexpected_verify_error` and
/// its kin.
pub fn is_its_own_trouble(reason: &str) -> bool {
    reason.starts_with("unexpected_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The node did not say what became of it, so the facilitator does not either.
    #[test]
    fn a_transaction_that_is_not_named_may_have_been_sent() {
        for reason in [
            "transaction_failed",
            "invalid_exact_svm_transaction_failed",
            "invalid_exact_evm_transaction_failed: nonce too low",
            "settle_exact_evm_transaction_confirmation_timed_out",
            "settle_exact_node_failure",
            "Timed out while waiting for transaction with hash \"0x1\" to be confirmed.",
            "TimeoutError: aborted",
            "Exception",
        ] {
            assert!(may_be_sent(reason), "{reason}");
        }
        for reason in [
            "",
            "insufficient_funds",
            "settle_exact_failed_onchain",
            "invalid_transaction_state",
            "transaction_failed_before",
            "not_for_you: sorry, no",
        ] {
            assert!(!may_be_sent(reason), "{reason}");
        }
    }
}
