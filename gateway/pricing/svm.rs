use std::sync::Arc;

use serde_json::{Map, Value};

use super::offer::{v1_head_of, v2_head_of};
use super::{FeePayers, Terms, digest};
use crate::money::Family;
use crate::x402::v2;

/// The member of `extra` that holds the seller's text for the transaction.
///
/// In terms it ends with a slash: what follows is of each challenge's own, or two like payments of one block would be
/// one transaction.
pub const MEMO: &str = "memo";
const FEE_PAYER: &str = "feePayer";

/// What only the facilitator and the operator can say of a way to pay on Solana.
#[derive(Debug, Clone, Copy)]
pub struct OnSolana<'a> {
    /// Who pays the fees.
    pub fee_payer: &'a str,
    /// Who pays them in version 1. Without one it is not offered there.
    pub fee_payer_v1: Option<&'a str>,
    /// Who else may.
    pub fee_payers: &'a FeePayers,
    /// What the memo begins with.
    pub memo: Option<&'a str>,
}

impl Terms {
    /// The same terms on Solana.
    pub fn on_solana(self, on: OnSolana<'_>) -> Self {
        let mut terms = self.with(FEE_PAYER, on.fee_payer);
        terms.v2_head = v2_head_of(&terms.requirements());
        terms.fee_payers = on.fee_payers.clone();
        if let Some(memo) = on.memo {
            let memo = format!("{memo}/");
            terms.memo_head = format!("{}:{}", Value::from(MEMO), Value::from(&*memo));
            // The text's closing quotation mark.
            terms.memo_head.pop();
            terms = terms.with(MEMO, &memo);
        }
        terms.v1_network = terms.v1_network.filter(|_| on.fee_payer_v1.is_some());
        terms.v1_head = match (terms.v1_network, on.fee_payer_v1) {
            (Some(network), Some(fee_payer)) => v1_head_of(&terms.with(FEE_PAYER, fee_payer).requirements(), network),
            _ => String::new(),
        };
        terms
    }

    /// What an echo means of these terms: they themselves, or they with another of the facilitator's fee payers. None if
    /// it means others.
    pub fn meant_by(self: &Arc<Self>, echo: &v2::PaymentRequirements) -> Option<Arc<Self>> {
        if self.matches(echo) {
            return Some(Arc::clone(self));
        }
        let named = echo.extra.get(FEE_PAYER)?.as_str()?;
        let other = self.fee_payers.contains(named).then(|| self.with(FEE_PAYER, named))?;
        other.matches(echo).then(|| Arc::new(other))
    }

    /// The terms of a payment of version 1, which says nothing of them: with the fee payer that it has, if it is one of
    /// the facilitator's, and without a memo.
    pub fn in_v1(&self, fee_payer: &str) -> Self {
        let mut terms =
            if self.fee_payers.contains(fee_payer) { self.with(FEE_PAYER, fee_payer) } else { self.clone() };
        terms.extra.remove(MEMO);
        terms
    }

    /// The terms of a payment of version 2 whose memo ends so. The digest stays that of the terms.
    pub fn with_memo_end(&self, end: &str) -> Self {
        let mut terms = self.clone();
        if let Some(Value::String(memo)) = terms.extra.get_mut(MEMO) {
            memo.push_str(end);
        }
        terms
    }

    /// Whether the memo needs an end.
    pub fn has_open_memo(&self) -> bool {
        // Elsewhere it is the operator's or the facilitator's, and has no end of ours.
        let is_ours = self.scheme.is_exact() && self.network.family() == Family::Solana;
        is_ours && self.extra.get(MEMO).and_then(Value::as_str).is_some_and(|memo| memo.ends_with('/'))
    }

    /// Who pays the fees, if anybody does for the payer.
    pub fn fee_payer(&self) -> Option<&str> {
        self.extra.get(FEE_PAYER)?.as_str()
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut terms = self.clone();
        terms.extra.insert(name.to_owned(), Value::from(value));
        terms.digest = digest(&terms.requirements());
        terms
    }
}

/// What stands in an echo on Solana and in no terms, taken out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Varying {
    /// What the memo ends with.
    pub memo_end: Option<String>,
}

impl Varying {
    /// Takes hints about a block, and the end of the memo, out of an echo's `extra`.
    pub fn take(extra: &mut Map<String, Value>) -> Self {
        for hint in ["recentBlockhash", "lastValidBlockHeight"] {
            extra.remove(hint);
        }
        let Some(Value::String(memo)) = extra.get_mut(MEMO) else { return Self::default() };
        let Some((text, end)) = memo.rsplit_once('/').filter(|(_, end)| is_memo_end(end)) else {
            return Self::default();
        };
        let (open, end) = (format!("{text}/"), end.to_owned());
        *memo = open;
        Self { memo_end: Some(end) }
    }
}

/// Sixteen hex digits.
fn is_memo_end(end: &str) -> bool {
    end.len() == 16 && end.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
