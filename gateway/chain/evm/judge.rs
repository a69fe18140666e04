//! Which transfer an authorization made: pure, from the logs of one transaction.
//!
//! A payer can use a payment's nonce up without paying, by a transfer to itself, and put an unrelated transfer to the
//! receiver beside it; and two authorizations can stand beside one transfer. So a transfer counts only for the
//! authorization that it stands directly next to: Circle's FiatTokenV2 and those like it emit `AuthorizationUsed`, and
//! `Transfer` right after it, in one call.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolEvent as _, sol};

use super::wire::Log;
use crate::chain::{Authorization, ChainError, Sought};

sol! {
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    event Transfer(address indexed from, address indexed to, uint256 value);
}

/// An EIP-3009 payment, as the chain knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payment {
    pub(super) asset: Address,
    pub(super) from: Address,
    pub(super) nonce: B256,
    pub(super) valid_before: u64,
    pay_to: Address,
    amount: U256,
}

/// What the logs say of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its authorization made the transfer.
    Paid,
    /// Its authorization made another transfer, or none.
    Spent,
    /// They do not show which transfer it made.
    Unclear,
}

/// What became of the nonce in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Used,
    Canceled,
}

#[derive(PartialEq, Eq)]
struct Movement {
    from: Address,
    to: Address,
    value: U256,
}

impl Payment {
    pub(super) fn of(sought: &Sought) -> Result<Self, ChainError> {
        let unsupported = || ChainError::Unsupported("such a payment");
        let Authorization::Eip3009 { from, nonce, valid_before } = &sought.authorization else {
            return Err(unsupported());
        };
        Ok(Self {
            asset: sought.asset.evm().ok_or_else(unsupported)?,
            from: from.evm().ok_or_else(unsupported)?,
            nonce: nonce.into(),
            valid_before: *valid_before,
            pay_to: sought.pay_to.evm().ok_or_else(unsupported)?,
            amount: U256::from(sought.amount.atomic()),
        })
    }

    /// The topics of the logs that tell of the nonce, in the form of `eth_getLogs`.
    pub(super) fn topics(&self) -> serde_json::Value {
        let either = [AuthorizationUsed::SIGNATURE_HASH, AuthorizationCanceled::SIGNATURE_HASH];
        serde_json::json!([
            either.map(|topic| topic.to_string()),
            self.from.into_word().to_string(),
            self.nonce.to_string()
        ])
    }

    /// What a log says of the nonce, if anything.
    pub(super) fn use_in(&self, log: &Log) -> Option<Use> {
        let [event, authorizer, nonce] = log.topics.as_slice() else { return None };
        let is_ours = log.address.0 == self.asset
            && !log.removed
            && authorizer.0 == self.from.into_word()
            && nonce.0 == self.nonce;
        match event.0 {
            AuthorizationUsed::SIGNATURE_HASH if is_ours => Some(Use::Used),
            AuthorizationCanceled::SIGNATURE_HASH if is_ours => Some(Use::Canceled),
            _ => None,
        }
    }

    /// Judges the logs of a successful transaction. None if it did not use the authorization.
    pub(super) fn judge(&self, logs: &[Log]) -> Option<Verdict> {
        let used = logs.iter().find(|log| self.use_in(log) == Some(Use::Used))?.log_index.0;
        let at = |index: Option<u64>| logs.iter().find(|log| Some(log.log_index.0) == index);
        let moved = |log| self.movement(log).filter(|movement| movement.from == self.from);
        let after = at(used.checked_add(1)).and_then(moved);
        let before = at(used.checked_sub(1)).and_then(moved);
        let pays = |movement: &Movement| if self.is_payment(movement) { Verdict::Paid } else { Verdict::Spent };
        Some(match (after, before) {
            (Some(after), _) => pays(&after),
            // A token that emits the transfer first. An authorization in front of it has a claim to it as well.
            (None, Some(_)) if at(used.checked_sub(2)).is_some_and(|log| self.is_use(log)) => Verdict::Unclear,
            (None, Some(before)) => pays(&before),
            // A token that emits something else between the two, or no transfer at all.
            (None, None) if logs.iter().filter_map(|log| self.movement(log)).any(|it| self.is_payment(&it)) => {
                Verdict::Unclear
            }
            (None, None) => Verdict::Spent,
        })
    }

    fn is_payment(&self, movement: &Movement) -> bool {
        *movement == Movement { from: self.from, to: self.pay_to, value: self.amount }
    }

    /// Whether a log is a use of any authorization.
    fn is_use(&self, log: &Log) -> bool {
        log.address.0 == self.asset
            && log.topics.first().is_some_and(|topic| topic.0 == AuthorizationUsed::SIGNATURE_HASH)
    }

    /// A transfer of the asset.
    fn movement(&self, log: &Log) -> Option<Movement> {
        let [event, from, to] = log.topics.as_slice() else { return None };
        let is_transfer = log.address.0 == self.asset && !log.removed && event.0 == Transfer::SIGNATURE_HASH;
        let value = U256::from_be_bytes(<[u8; 32]>::try_from(log.data.0.as_slice()).ok().filter(|_| is_transfer)?);
        Some(Movement { from: Address::from_word(from.0), to: Address::from_word(to.0), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::evm::testing::{
        AMOUNT, Event, FROM, NONCE, OTHER, OTHER_NONCE, PAY_TO, canceled, elsewhere, logs, moved, removed, sought, used,
    };

    fn judged(events: &[Event]) -> Option<Verdict> {
        let logs: Vec<Log> = serde_json::from_value(logs(events, 7).into()).unwrap();
        Payment::of(&sought()).unwrap().judge(&logs)
    }

    const PAYMENT: fn() -> Event = || moved(FROM, PAY_TO, AMOUNT);

    #[test]
    fn the_transfer_right_after_the_use_is_the_payment() {
        assert_eq!(judged(&[used(FROM, NONCE), PAYMENT()]), Some(Verdict::Paid));
        let among_others = [moved(OTHER, PAY_TO, 5), used(FROM, NONCE), PAYMENT(), moved(FROM, OTHER, 5)];
        assert_eq!(judged(&among_others), Some(Verdict::Paid));
    }

    #[test]
    fn a_transaction_without_the_use_says_nothing() {
        for events in [
            vec![],
            vec![PAYMENT()],
            vec![used(FROM, OTHER_NONCE), PAYMENT()],
            vec![used(OTHER, NONCE), PAYMENT()],
            vec![elsewhere(used(FROM, NONCE)), PAYMENT()],
            vec![removed(used(FROM, NONCE)), PAYMENT()],
            vec![canceled(FROM, NONCE)],
        ] {
            assert_eq!(judged(&events), None, "{events:?}");
        }
    }

    #[test]
    fn another_transfer_is_no_payment() {
        for wrong in [
            moved(FROM, PAY_TO, AMOUNT - 1),
            moved(FROM, PAY_TO, AMOUNT + 1),
            moved(FROM, PAY_TO, 0),
            moved(FROM, OTHER, AMOUNT),
            moved(OTHER, PAY_TO, AMOUNT),
            elsewhere(PAYMENT()),
            removed(PAYMENT()),
        ] {
            assert_eq!(judged(&[used(FROM, NONCE), wrong.clone()]), Some(Verdict::Spent), "{wrong:?}");
        }
        assert_eq!(judged(&[used(FROM, NONCE)]), Some(Verdict::Spent));
    }

    #[test]
    fn a_nonce_burnt_beside_a_plain_transfer_is_no_payment() {
        let burnt = [used(FROM, NONCE), moved(FROM, FROM, AMOUNT)];
        assert_eq!(judged(&[&burnt[..], &[PAYMENT()]].concat()), Some(Verdict::Spent));
        assert_eq!(judged(&[&[PAYMENT()], &burnt[..]].concat()), Some(Verdict::Spent));
    }

    #[test]
    fn one_transfer_pays_for_one_authorization() {
        let burnt_first = [used(FROM, NONCE), moved(FROM, FROM, 1), used(FROM, OTHER_NONCE), PAYMENT()];
        assert_eq!(judged(&burnt_first), Some(Verdict::Spent));
        let burnt_last = [used(FROM, OTHER_NONCE), PAYMENT(), used(FROM, NONCE), moved(FROM, FROM, 1)];
        assert_eq!(judged(&burnt_last), Some(Verdict::Spent));
        let paid_twice = [used(FROM, OTHER_NONCE), PAYMENT(), used(FROM, NONCE), PAYMENT()];
        assert_eq!(judged(&paid_twice), Some(Verdict::Paid));
        let behind_both = [used(FROM, OTHER_NONCE), used(FROM, NONCE), PAYMENT()];
        assert_eq!(judged(&behind_both), Some(Verdict::Paid));
        let between = [used(FROM, OTHER_NONCE), PAYMENT(), used(FROM, NONCE)];
        assert_eq!(judged(&between), Some(Verdict::Unclear));
    }

    #[test]
    fn a_token_that_emits_the_transfer_first_is_understood() {
        assert_eq!(judged(&[PAYMENT(), used(FROM, NONCE)]), Some(Verdict::Paid));
        assert_eq!(judged(&[PAYMENT(), used(FROM, NONCE), moved(OTHER, OTHER, 1)]), Some(Verdict::Paid));
        assert_eq!(judged(&[moved(FROM, FROM, AMOUNT), used(FROM, NONCE)]), Some(Verdict::Spent));
    }

    #[test]
    fn a_payment_further_away_is_unclear() {
        let apart = [used(FROM, NONCE), elsewhere(used(OTHER, NONCE)), PAYMENT()];
        assert_eq!(judged(&apart), Some(Verdict::Unclear));
    }
}
