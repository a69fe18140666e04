//! Words from outside as labels: a bounded number of them, whatever is said.

use std::collections::HashSet;
use std::sync::Arc;

use super::Call;

/// Reasons that have a label of their own. The specification and its implementations have about 250, most of them for
/// schemes that are not offered here.
const REASONS_MAX: usize = 200;
const REASON_BYTES_MAX: usize = 64;
/// Offers that have a label of their own.
const OFFERS_MAX: usize = 1000;
/// All labels together: each is a line of the metrics page.
const SERIES_MAX: usize = 10_000;
const OTHER: &str = "other";

/// Parts of reasons that tell of the payer's money or of the time: anybody can have a payment refused for these, with
/// a wallet that was made for it.
const PAYERS_DOING: [&str; 24] = [
    "insufficient",
    "balance",
    "funds",
    "allowance",
    "nonce",
    "used",
    "duplicate",
    "expired",
    "valid_before",
    "valid_after",
    "deadline",
    "too_early",
    "not_yet",
    "too_late",
    "block_height",
    "simulation",
    "transaction_failed",
    "transaction_state",
    "blocked",
    "blacklist",
    "sanction",
    "screening",
    "payer",
    "canceled",
];

/// Facilitator, call, offer and reason.
type Series = (Arc<str>, Call, Arc<str>, Arc<str>);

/// The words that were met.
#[derive(Debug, Default)]
pub(super) struct Words {
    reasons: HashSet<Arc<str>>,
    offers: HashSet<Arc<str>>,
    series: HashSet<Series>,
}

impl Words {
    /// A reason without the details that follow some of them.
    pub(super) fn reason(&mut self, text: &str) -> Arc<str> {
        let word = text.split_once(": ").map_or(text, |(word, _)| word);
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let fits = !word.is_empty() && word.len() <= REASON_BYTES_MAX && word.bytes().all(is_word);
        known(&mut self.reasons, if fits { word } else { OTHER }, REASONS_MAX)
    }

    /// What was to be paid for.
    pub(super) fn offer(&mut self, facilitator: &str, call: Call, offer: &str, reason: &Arc<str>) -> Arc<str> {
        let offer = known(&mut self.offers, offer, OFFERS_MAX);
        let series = (facilitator.into(), call, Arc::clone(&offer), Arc::clone(reason));
        if self.series.contains(&series) {
            return offer;
        }
        if self.series.len() >= SERIES_MAX {
            return OTHER.into();
        }
        self.series.insert(series);
        offer
    }
}

/// Whether a payer can bring a refusal about, for all that its reason says.
pub(super) fn is_payers_doing(reason: &str) -> bool {
    PAYERS_DOING.iter().any(|part| reason.contains(part))
}

fn known(words: &mut HashSet<Arc<str>>, word: &str, most: usize) -> Arc<str> {
    if let Some(known) = words.get(word) {
        return Arc::clone(known);
    }
    if words.len() >= most {
        return OTHER.into();
    }
    let word = Arc::<str>::from(word);
    words.insert(Arc::clone(&word));
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_word_and_there_are_so_many() {
        let mut words = Words::default();
        for (text, expected) in [
            ("invalid_payload", "invalid_payload"),
            ("invalid_exact_svm_transaction_failed: {\"err\": 1}", "invalid_exact_svm_transaction_failed"),
            ("", "other"),
            (": ", "other"),
            ("Internal Server Error", "other"),
            ("invalid payload", "other"),
            ("invalid_payload\n", "other"),
            ("grün", "other"),
            (&"a".repeat(64), &"a".repeat(64)),
            (&"a".repeat(65), "other"),
        ] {
            assert_eq!(&*words.reason(text), expected);
        }
        for number in 0..1000 {
            words.reason(&format!("reason_{number}"));
        }
        assert_eq!((words.reasons.len(), &*words.reason("one_more")), (REASONS_MAX, "other"));
        assert_eq!(&*words.reason("invalid_payload"), "invalid_payload");
    }

    #[test]
    fn labels_are_bounded_all_together() {
        let mut words = Words::default();
        for number in 0..30_000 {
            let reason = words.reason(&format!("reason_{}", number / 150));
            words.offer("f", Call::Verify, &format!("call:GET /{}", number % 150), &reason);
        }
        assert_eq!((words.series.len(), words.offers.len()), (SERIES_MAX, 150));
        for number in 0..2000 {
            words.offer("f", Call::Settle, &format!("call:GET /{number}"), &"reason_1".into());
        }
        assert_eq!((words.series.len(), words.offers.len()), (SERIES_MAX, OFFERS_MAX));
    }

    #[test]
    fn what_a_payer_can_bring_about_is_told_from_what_not() {
        for reason in [
            "insufficient_funds",
            "invalid_exact_evm_insufficient_balance",
            "invalid_exact_evm_payload_authorization_valid_before",
            "invalid_exact_evm_nonce_already_used",
            "invalid_exact_evm_transaction_simulation_failed",
            "permit2_allowance_required",
            "permit2_deadline_expired",
            "permit2_payment_too_early",
            "duplicate_settlement",
            "settle_exact_svm_block_height_exceeded",
        ] {
            assert!(is_payers_doing(reason), "{reason}");
        }
        for reason in [
            "invalid_payload",
            "invalid_payment_requirements",
            "invalid_exact_evm_payload_signature",
            "invalid_exact_evm_payload_recipient_mismatch",
            "invalid_exact_evm_token_name_mismatch",
            "unsupported_scheme",
            "unexpected_verify_error",
            "no_verdict",
            "timeout",
            "unreachable",
        ] {
            assert!(!is_payers_doing(reason), "{reason}");
        }
    }
}
