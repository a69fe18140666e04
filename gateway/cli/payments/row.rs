//! A payment as one line: what tables, CSV and JSON are made of.

use serde::Serialize;

use crate::clock::iso_millis;
use crate::config::Config;
use crate::money::Asset;
use crate::payment::State;
use crate::store::Entry;
use crate::x402::networks;

/// The columns, in the order of [`Row`].
pub(super) const COLUMNS: [&str; 19] = [
    "time",
    "id",
    "state",
    "outcome",
    "payer",
    "network",
    "asset",
    "symbol",
    "amount_atomic",
    "amount",
    "pay_to",
    "transaction",
    "kind",
    "offer",
    "created_at",
    "updated_at",
    "reason",
    "transaction_hint",
    "facilitator",
];

/// Everything of a payment that is compared with the chain.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) time: String,
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) outcome: &'static str,
    pub(super) payer: Option<String>,
    pub(super) network: String,
    pub(super) asset: String,
    pub(super) symbol: Option<String>,
    pub(super) amount_atomic: String,
    pub(super) amount: Option<String>,
    pub(super) pay_to: String,
    pub(super) transaction: Option<String>,
    pub(super) kind: &'static str,
    pub(super) offer: String,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    pub(super) reason: Option<String>,
    pub(super) transaction_hint: Option<String>,
    pub(super) facilitator: Option<String>,
}

impl Row {
    pub(super) fn new(entry: &Entry, config: &Config) -> Self {
        let asset = asset(entry, config);
        let (kind, offer) = offer(entry.offer.as_str());
        let created_at = iso_millis(entry.created_at);
        Self {
            time: created_at.clone(),
            id: entry.id.to_string(),
            state: entry.state.as_str(),
            outcome: outcome(entry.state),
            payer: entry.payer.clone(),
            network: entry.chain.to_string(),
            asset: entry.asset.clone(),
            symbol: asset.as_ref().map(|asset| asset.symbol.to_string()),
            amount_atomic: entry.amount.to_string(),
            amount: asset.map(|asset| entry.amount.to_decimal(asset.decimals)),
            pay_to: entry.pay_to.clone(),
            transaction: entry.transaction.clone().filter(|transaction| !transaction.is_empty()),
            kind,
            offer: offer.to_owned(),
            created_at,
            updated_at: iso_millis(entry.updated_at),
            reason: entry.reason.clone(),
            transaction_hint: entry.transaction_hint.clone(),
            facilitator: entry.facilitator.clone(),
        }
    }

    /// The amount for people: with its symbol where that is known, in atomic units where it is not.
    pub(super) fn money(&self) -> String {
        match (&self.amount, &self.symbol) {
            (Some(amount), Some(symbol)) => format!("{amount} {symbol}"),
            _ => format!("{} atomic", self.amount_atomic),
        }
    }

    /// The cells of [`COLUMNS`], safe for a spreadsheet: none of them is a formula.
    pub(super) fn cells(&self) -> [String; COLUMNS.len()] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let cells = [
            self.time.clone(),
            self.id.clone(),
            self.state.to_owned(),
            self.outcome.to_owned(),
            text(&self.payer),
            self.network.clone(),
            self.asset.clone(),
            text(&self.symbol),
            self.amount_atomic.clone(),
            text(&self.amount),
            self.pay_to.clone(),
            text(&self.transaction),
            self.kind.to_owned(),
            self.offer.clone(),
            self.created_at.clone(),
            self.updated_at.clone(),
            text(&self.reason),
            text(&self.transaction_hint),
            text(&self.facilitator),
        ];
        cells.map(harmless)
    }
}

/// What a spreadsheet would take for a formula begins with an apostrophe.
pub(in crate::cli) fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell }
}

/// What it means for the accounts.
fn outcome(state: State) -> &'static str {
    match state {
        State::Settled | State::Delivered => "paid",
        State::Voided => "not_paid",
        State::Settling | State::Unknown => "open",
    }
}

/// Kind and name of what was sold.
fn offer(key: &str) -> (&'static str, &str) {
    match key.split_once(':') {
        Some(("call", route)) => ("call", route),
        Some(("plan", plan)) => ("plan", plan),
        _ => ("", key),
    }
}

/// The asset as the file has it, or as everybody knows it.
fn asset(entry: &Entry, config: &Config) -> Option<Asset> {
    let receivers = config.receivers.iter().filter(|receiver| receiver.network == entry.chain);
    let known = networks::known(entry.chain.caip2()).map(networks::KnownNetwork::all_assets).unwrap_or_default();
    let mut assets = receivers.flat_map(|receiver| receiver.assets.clone()).chain(known);
    assets.find(|asset| asset.address.to_string() == entry.asset)
}

/// A text of the books as people may read it on a terminal: nothing in it moves the cursor or rings.
pub(in crate::cli) fn readable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula() {
        for (cell, safe) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\t=1", "'\t=1"),
            ("0x1", "0x1"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell.to_owned()), safe);
        }
    }

    #[test]
    fn what_is_sold_is_a_call_or_a_plan() {
        assert_eq!(offer("call:GET /a:b"), ("call", "GET /a:b"));
        assert_eq!(offer("plan:nano"), ("plan", "nano"));
        assert_eq!(offer("other"), ("", "other"));
    }
}
