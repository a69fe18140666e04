//! Whether a transaction that has succeeded has paid what is sought.
//!
//! Success alone is no payment: in a layout that is not an ordinary wallet's only the facilitator has judged what the
//! message does, and it has not if it refused the payment or was not asked first. Anybody can have such a message put
//! on the chain, by a shop of their own at the same facilitator.

use serde::Deserialize;

use crate::chain::Sought;
use crate::money::Address;
use crate::svm::{self, Message};

/// What somebody has of a token, before a transaction or after it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Balance {
    mint: String,
    owner: Option<String>,
    ui_token_amount: Amount,
}

#[derive(Debug, Deserialize)]
struct Amount {
    /// In atomic units.
    amount: String,
}

/// Whether a message says by itself that it pays: the transfer of an ordinary wallet.
pub(super) fn is_transfer(message: &[u8], sought: &Sought) -> bool {
    let Some(message) = Message::parse(message) else { return false };
    let Ok(transfer) = message.transfer() else { return false };
    let key = |address: &Address| svm::pubkey(&address.to_string());
    let account = |wallet| svm::associated_token_account(&wallet, transfer.program, transfer.mint);
    key(&sought.asset).as_ref() == Some(transfer.mint)
        && key(&sought.pay_to).and_then(account).as_ref() == Some(transfer.destination)
        && u128::from(transfer.amount) == sought.amount.atomic()
}

/// How much more of the token the receiver has after a transaction than before. None if the lists make no sense.
pub(super) fn received(before: &[Balance], after: &[Balance], sought: &Sought) -> Option<u128> {
    let (mint, owner) = (sought.asset.to_string(), sought.pay_to.to_string());
    let sum = |list: &[Balance]| {
        let ours = list.iter().filter(|one| one.mint == mint && one.owner.as_deref() == Some(&*owner));
        ours.map(|one| one.ui_token_amount.amount.parse::<u64>().ok().map(u128::from)).sum::<Option<u128>>()
    };
    Some(sum(after)?.saturating_sub(sum(before)?))
}
