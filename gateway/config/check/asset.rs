//! `[networks.NAME] asset`: a token that is not the network's usual one.
//!
//! What is known of a token cannot be said otherwise: a wrong EIP-712 name or version makes payments that every
//! facilitator refuses, and wrong decimals make prices that nobody meant.

use super::receivers::address;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::money::{Address, Asset, Eip712Domain, Family, Network, TransferMethod};
use crate::x402::networks::KnownNetwork;

const KEYS: &[&str] = &["address", "decimals", "symbol", "name", "version", "transfer"];
const TRANSFERS: &[(&str, TransferMethod)] =
    &[("eip3009", TransferMethod::Native), ("permit2", TransferMethod::Permit2)];
const USUAL_SYMBOL: &str = "USDC";
/// Above this, one token is more atomic units than an amount holds together with a price.
const DECIMALS_MAX: u8 = 30;

/// The table as it stands in the file.
struct RawAsset<'a> {
    section: Section<'a>,
    decimals: Option<Field<'a>>,
    symbol: Option<Field<'a>>,
    name: Option<Field<'a>>,
    version: Option<Field<'a>>,
    transfer: Option<Field<'a>>,
}

/// An asset that the operator names.
pub(super) fn check(field: &Field<'_>, network: &Network, known: Option<&KnownNetwork>) -> Option<Asset> {
    let section = field.section(KEYS)?;
    let raw = RawAsset {
        decimals: section.field("decimals"),
        symbol: section.field("symbol"),
        name: section.field("name"),
        version: section.field("version"),
        transfer: section.field("transfer"),
        section,
    };
    let address = address(&raw.section.required("address", "the token's address")?, network)?;
    let known = known.map(KnownNetwork::all_assets).unwrap_or_default();
    match known.into_iter().find(|known| known.address == address) {
        Some(known) => raw.known(known),
        None => raw.unknown(address, network),
    }
}

impl RawAsset<'_> {
    /// A token that the gateway knows: whatever is said of it must be true.
    fn known(&self, mut known: Asset) -> Option<Asset> {
        let before = self.section.report().count();
        let symbol = known.symbol.clone();
        if let Some(field) = &self.decimals {
            let right = decimals(field).is_none_or(|decimals| decimals == known.decimals);
            if !right {
                field.wrong(format_args!("{symbol} has {} decimals", known.decimals));
            }
        }
        let domain = known.domain.as_ref();
        truth(self.symbol.as_ref(), "symbol", Some(&symbol), &symbol);
        truth(self.name.as_ref(), "EIP-712 name", domain.map(|domain| &*domain.name), &symbol);
        truth(self.version.as_ref(), "EIP-712 version", domain.map(|domain| &*domain.version), &symbol);
        if let Some(field) = &self.transfer {
            match (field.choice(TRANSFERS), known.transfer) {
                (Some(TransferMethod::Native), TransferMethod::Permit2) => {
                    field.wrong(format_args!("{symbol} has no transfer by signature, \"permit2\" would be right"));
                }
                (Some(transfer), _) if matches!(known.address, Address::Evm(_)) => known.transfer = transfer,
                (Some(_), _) => field.wrong("only EVM tokens have this"),
                (None, _) => {}
            }
        }
        (self.section.report().count() == before).then_some(known)
    }

    /// Any other token: the operator's word is all there is.
    fn unknown(&self, address: Address, network: &Network) -> Option<Asset> {
        let before = self.section.report().count();
        let is_evm = matches!(network.family(), Family::Evm(_));
        let decimals = match &self.decimals {
            Some(field) => decimals(field),
            None => {
                self.section.missing("decimals", "the number of decimals of the token");
                None
            }
        };
        let transfer =
            self.transfer.as_ref().and_then(|field| field.choice(TRANSFERS)).unwrap_or(TransferMethod::Native);
        let domain = if is_evm {
            self.domain(transfer)
        } else {
            for field in [&self.name, &self.version, &self.transfer].into_iter().flatten() {
                field.wrong("only EVM tokens have this");
            }
            None
        };
        let symbol = self.symbol.as_ref().and_then(symbol).unwrap_or(USUAL_SYMBOL);
        let asset = Asset { address, symbol: symbol.into(), decimals: decimals?, domain, transfer };
        (self.section.report().count() == before).then_some(asset)
    }

    fn domain(&self, transfer: TransferMethod) -> Option<Eip712Domain> {
        if transfer == TransferMethod::Permit2 && self.name.is_none() && self.version.is_none() {
            return None;
        }
        let text = |field: &Option<Field<'_>>, key| match field {
            Some(field) => field.text("a text").map(Into::into),
            None => {
                self.section.missing(key, format_args!("{key:?} of the token's EIP-712 domain"));
                None
            }
        };
        let (name, version) = (text(&self.name, "name"), text(&self.version, "version"));
        Some(Eip712Domain { name: name?, version: version? })
    }
}

/// Compares what the file says of a known token with what is true.
fn truth(field: Option<&Field<'_>>, what: &str, right: Option<&str>, symbol: &str) {
    let Some((field, text)) = field.and_then(|field| Some((field, field.text("a text")?))) else { return };
    match right {
        Some(right) if right == text => {}
        Some(right) => {
            field.wrong(format_args!("{text:?} is not the {what} of this {symbol}, {right:?} would be right"));
        }
        None => field.wrong(format_args!("this {symbol} has no {what}")),
    }
}

fn decimals(field: &Field<'_>) -> Option<u8> {
    let decimals = field.number("a whole number like 6")?.parse().ok().filter(|decimals| *decimals <= DECIMALS_MAX);
    field.read(decimals.ok_or("is not a whole number from 0 to 30"))
}

fn symbol<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text("a symbol like \"USDC\"")?;
    let right = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    field.read(if right { Ok(text) } else { Err("is not a symbol of 1 to 16 letters, digits and dots") })
}
