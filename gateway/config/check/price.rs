use super::quantity::listed;
use super::receivers::Receivers;
use crate::config::Receiver;
use crate::config::field::Field;
use crate::money::{AmountError, Asset, AtomicAmount, Family};
use crate::pricing::{Price, PriceError};

const RIGHT: &str = "a text like \"$0.001\" or a table like { amount = \"1000\", asset = \"0x…\" }";

/// A price that every receiver can take exactly, of those that have its asset.
pub(super) fn check(field: &Field<'_>, receivers: &Receivers<'_>) -> Option<Price> {
    let price = if field.is_table() { atomic(field)? } else { field.read(Price::parse(field.text(RIGHT)?))? };
    let takers: Vec<_> =
        receivers.list.iter().filter_map(|receiver| Some((receiver, receiver.asset_for(&price)?))).collect();
    if takers.is_empty() && !receivers.list.is_empty() && receivers.all_sound {
        nobody_takes(field, &price, receivers);
        return None;
    }
    let errors: Vec<_> = takers.iter().filter_map(|(receiver, asset)| amount(&price, receiver, asset).err()).collect();
    let Some((what, _)) = errors.first() else { return Some(price) };
    let assets: Vec<_> = errors.iter().filter(|(other, _)| other == what).map(|(_, asset)| asset).collect();
    field.wrong(format_args!("{:?} {what} {}", written(field, &price), listed(&assets)));
    None
}

/// Warns of a price that clients refuse unless told otherwise.
pub(super) fn warn_if_above_a_dollar(field: &Field<'_>, price: &Price, receivers: &Receivers<'_>) {
    let is_above = receivers.list.iter().any(|receiver| {
        receiver.asset_for(price).is_some_and(|asset| {
            match (price.on(asset), Price::parse("$1").map(|one| one.on(asset))) {
                (Ok(amount), Ok(Ok(one))) => amount > one,
                _ => false,
            }
        })
    });
    if is_above {
        field
            .warn(format_args!("{price} is above $1: default @x402 clients refuse more than $1 unless told otherwise"));
    }
}

/// The price in an asset, or what is wrong with it there and a description of the asset.
fn amount(price: &Price, receiver: &Receiver, asset: &Asset) -> Result<AtomicAmount, (String, String)> {
    let name = format!("{} on {}", asset.symbol, receiver.name);
    let too_large = || ("is too large for".to_owned(), name.clone());
    match price.on(asset) {
        // Solana's token amounts have 64 bits.
        Ok(amount) if receiver.network.family() == Family::Solana && amount.atomic() > u64::MAX.into() => {
            Err(too_large())
        }
        Ok(amount) => Ok(amount),
        Err(PriceError::Amount { error: error @ AmountError::TooPrecise { .. }, decimals, .. }) => {
            Err((format!("{error},"), format!("{name} has {decimals}")))
        }
        Err(_) => Err(too_large()),
    }
}

fn nobody_takes(field: &Field<'_>, price: &Price, receivers: &Receivers<'_>) {
    let assets: Vec<_> = receivers
        .list
        .iter()
        .map(|receiver| {
            let symbols: Vec<_> = receiver.assets.iter().map(|asset| &asset.symbol).collect();
            format!("{} has {}", receiver.name, listed(&symbols))
        })
        .collect();
    field.wrong(format_args!("{:?} is in an asset that no receiver has: {}", written(field, price), assets.join(", ")));
}

/// The price as it stands in the file.
fn written(field: &Field<'_>, price: &Price) -> String {
    match price {
        Price::Atomic { amount, .. } => amount.to_string(),
        Price::Decimal { .. } => field.text(RIGHT).unwrap_or_default().to_owned(),
    }
}

fn atomic(field: &Field<'_>) -> Option<Price> {
    let section = field.section(&["amount", "asset"])?;
    let (amount, asset) =
        (section.required("amount", "atomic units as a text"), section.required("asset", "an address"));
    let (amount, asset) = (amount?, asset?);
    let text = amount.text("atomic units as a text, \"1000\" for example")?;
    let units =
        amount.read(AtomicAmount::parse(text).map_err(|_| "is not a whole number of atomic units like \"1000\""))?;
    let units = amount.read(if units.is_zero() { Err(PriceError::Zero) } else { Ok(units) })?;
    Some(Price::Atomic { amount: units, asset: asset.text("an address")?.to_owned() })
}
