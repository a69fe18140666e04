//! `tollgate networks`: the networks and tokens that the gateway knows by name.

use std::fmt::Write as _;
use std::io::stdout;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::print;
use crate::money::{Asset, TransferMethod};
use crate::x402::networks::{KnownNetwork, NETWORKS};

/// Prints all of them, for people or as JSON.
pub(super) fn run(as_json: bool) -> ExitCode {
    print(stdout(), &if as_json { json() } else { text() });
    ExitCode::SUCCESS
}

/// One line for each token; the first of a network is the one that prices are in.
fn text() -> String {
    let rows = NETWORKS.iter().flat_map(|known| known.all_assets().into_iter().map(move |asset| row(known, &asset)));
    let head = ["network", "CAIP-2", "v1", "token", "decimals", "transfer", "EIP-712 domain", "address"];
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..head.len()).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &[String; 8]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row(known: &KnownNetwork, asset: &Asset) -> [String; 8] {
    let domain = asset.domain.as_ref().map(|domain| format!("{} / {}", domain.name, domain.version));
    [
        known.name.to_owned(),
        known.caip2.to_owned(),
        known.v1.map_or("-", |_| "yes").to_owned(),
        asset.symbol.to_string(),
        asset.decimals.to_string(),
        transfer(known, asset).to_owned(),
        domain.unwrap_or_else(|| "-".to_owned()),
        asset.address.to_string(),
    ]
}

fn json() -> String {
    let network = |known: &KnownNetwork| {
        let assets: Vec<_> = known.all_assets().iter().map(|asset| asset_json(known, asset)).collect();
        json!({"name": known.name, "network": known.caip2, "v1": known.v1, "assets": assets})
    };
    let networks: Vec<_> = NETWORKS.iter().map(network).collect();
    format!("{:#}", Value::from(networks))
}

fn asset_json(known: &KnownNetwork, asset: &Asset) -> Value {
    let domain = asset.domain.as_ref();
    json!({
        "symbol": &*asset.symbol,
        "address": asset.address,
        "decimals": asset.decimals,
        "transfer": transfer(known, asset),
        "name": domain.map(|domain| &*domain.name),
        "version": domain.map(|domain| &*domain.version),
    })
}

/// The method's name in a file; on Solana there is one only.
fn transfer(known: &KnownNetwork, asset: &Asset) -> &'static str {
    match asset.transfer {
        TransferMethod::Permit2 => "permit2",
        TransferMethod::Native if known.caip2.starts_with("solana:") => "spl",
        TransferMethod::Native => "eip3009",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_a_line_that_says_what_it_is() {
        let text = text();
        let tokens: usize = NETWORKS.iter().map(|known| known.all_assets().len()).sum();
        assert_eq!(text.lines().count(), tokens + 1);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let base: Vec<_> = line("base ").split_whitespace().map(str::to_owned).collect();
        let usdc = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
        assert_eq!(base, ["base", "eip155:8453", "yes", "USDC", "6", "eip3009", "USD", "Coin", "/", "2", usdc]);
        assert!(line("mezo ").contains("permit2") && line("solana ").contains("spl"), "{text}");
    }

    #[test]
    fn programs_read_the_same() {
        let networks: Value = serde_json::from_str(&json()).unwrap();
        assert_eq!(networks.as_array().unwrap().len(), NETWORKS.len());
        let igra = networks.as_array().unwrap().iter().find(|network| network["name"] == "igra").unwrap();
        let asset = json!({
            "symbol": "USDC", "address": "0xA5b8BF902b2844dA17d4506cc827F7F1681735E7", "decimals": 6,
            "transfer": "permit2", "name": null, "version": null,
        });
        assert_eq!(igra["assets"], json!([asset]));
        assert_eq!((&igra["network"], &igra["v1"]), (&json!("eip155:38833"), &json!(null)));
    }
}
