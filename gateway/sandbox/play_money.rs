//! Who has how much play money, and which payments have been made. In memory, gone with the process.

use std::collections::{BTreeMap, HashSet};

use crate::money::{AtomicAmount, Network};

/// Payments that are remembered. A demo makes hundreds; a load test may make many.
const PAYMENTS_MAX: usize = 1_000_000;

/// A payment that has passed every check that needs no ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    /// What makes it this payment and no other; it is made once.
    pub(super) identity: String,
    pub(super) network: Network,
    pub(super) asset: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) amount: AtomicAmount,
    /// `from` as the payload spells it.
    pub(super) payer: String,
    /// The hash that a chain would give.
    pub(super) transaction: String,
}

/// Why a transfer cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It has been made.
    AlreadyMade,
    /// The payer has less.
    TooPoor,
    /// [`PAYMENTS_MAX`].
    Full,
}

/// What one account has of one token.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Purse {
    /// On which network.
    pub network: Network,
    /// Contract or mint.
    pub asset: String,
    /// Received in payments.
    pub received: AtomicAmount,
    /// Spent on payments.
    pub spent: AtomicAmount,
    /// What is left: the play balance, which an account gets with its first payment, and the difference of the two.
    pub left: AtomicAmount,
}

#[derive(Debug)]
pub(super) struct PlayMoney {
    start: AtomicAmount,
    /// By owner, network and asset.
    accounts: BTreeMap<(String, Network, String), Account>,
    made: HashSet<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    received: u128,
    spent: u128,
}

impl PlayMoney {
    /// Everybody who pays has `start` to begin with.
    pub(super) fn new(start: AtomicAmount) -> Self {
        Self { start, accounts: BTreeMap::new(), made: HashSet::new() }
    }

    /// How many payments have been made.
    pub(super) fn made(&self) -> usize {
        self.made.len()
    }

    /// Whether a transfer could be made now.
    pub(super) fn check(&self, transfer: &Transfer) -> Result<(), Denied> {
        if self.made.contains(&transfer.identity) {
            return Err(Denied::AlreadyMade);
        }
        if self.made.len() >= PAYMENTS_MAX {
            return Err(Denied::Full);
        }
        let payer = self.account(&transfer.from, transfer);
        let has = self.start.atomic().saturating_add(payer.received).saturating_sub(payer.spent);
        if transfer.amount.atomic() <= has { Ok(()) } else { Err(Denied::TooPoor) }
    }

    /// Makes a transfer, once.
    pub(super) fn make(&mut self, transfer: &Transfer) -> Result<(), Denied> {
        self.check(transfer)?;
        self.made.insert(transfer.identity.clone());
        let amount = transfer.amount.atomic();
        let payer = self.account_mut(&transfer.from, transfer);
        payer.spent = payer.spent.saturating_add(amount);
        let receiver = self.account_mut(&transfer.to, transfer);
        receiver.received = receiver.received.saturating_add(amount);
        Ok(())
    }

    /// All that an owner has.
    pub(super) fn purses(&self, owner: &str) -> Vec<Purse> {
        let own = self.accounts.iter().filter(|((of, _, _), _)| of == owner);
        own.map(|((_, network, asset), account)| Purse {
            network: network.clone(),
            asset: asset.clone(),
            received: AtomicAmount::new(account.received),
            spent: AtomicAmount::new(account.spent),
            left: AtomicAmount::new(self.left(*account)),
        })
        .collect()
    }

    fn left(&self, account: Account) -> u128 {
        let start = if account.spent == 0 { 0 } else { self.start.atomic() };
        start.saturating_add(account.received).saturating_sub(account.spent)
    }

    fn account(&self, owner: &str, of: &Transfer) -> Account {
        self.accounts.get(&(owner.to_owned(), of.network.clone(), of.asset.clone())).copied().unwrap_or_default()
    }

    fn account_mut(&mut self, owner: &str, of: &Transfer) -> &mut Account {
        self.accounts.entry((owner.to_owned(), of.network.clone(), of.asset.clone())).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(identity: &str, from: &str, to: &str, amount: u128) -> Transfer {
        Transfer {
            identity: identity.to_owned(),
            network: Network::parse("eip155:8453").unwrap(),
            asset: "0x1".to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            amount: AtomicAmount::new(amount),
            payer: from.to_owned(),
            transaction: "0x".to_owned(),
        }
    }

    fn left(money: &PlayMoney, owner: &str) -> u128 {
        money.purses(owner).first().map_or(0, |purse| purse.left.atomic())
    }

    #[test]
    fn a_payment_is_made_once() {
        let mut money = PlayMoney::new(AtomicAmount::new(100));
        assert_eq!(money.make(&transfer("a", "buyer", "seller", 30)), Ok(()));
        assert_eq!(money.check(&transfer("a", "buyer", "seller", 30)), Err(Denied::AlreadyMade));
        assert_eq!(money.make(&transfer("a", "buyer", "seller", 30)), Err(Denied::AlreadyMade));
        assert_eq!((left(&money, "buyer"), left(&money, "seller"), money.made()), (70, 30, 1));
    }

    #[test]
    fn nobody_spends_more_than_the_play_balance_and_what_came_in() {
        let mut money = PlayMoney::new(AtomicAmount::new(100));
        assert_eq!(money.make(&transfer("a", "buyer", "seller", 101)), Err(Denied::TooPoor));
        assert_eq!(money.make(&transfer("b", "buyer", "seller", 100)), Ok(()));
        assert_eq!(money.make(&transfer("c", "buyer", "seller", 1)), Err(Denied::TooPoor));
        assert_eq!(money.make(&transfer("d", "seller", "buyer", 200)), Ok(()));
        assert_eq!((left(&money, "buyer"), left(&money, "seller"), money.made()), (300 - 100, 0, 2));
    }

    #[test]
    fn paying_oneself_changes_nothing() {
        let mut money = PlayMoney::new(AtomicAmount::new(100));
        assert_eq!(money.make(&transfer("a", "buyer", "buyer", 100)), Ok(()));
        assert_eq!(left(&money, "buyer"), 100);
    }
}
