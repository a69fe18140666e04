//! What is sold, on what terms, and when: the same for all targets.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Map, json};
use tollgate::money::{Address, Asset, AtomicAmount, Network, TransferMethod};
use tollgate::payment::{Presented, QuoteMint, Refused};
use tollgate::pricing::{Offer, OfferKey, Terms};
use tollgate::x402::networks;

/// When everything happens, in seconds of Unix time.
pub(super) const NOW: u64 = 1_767_225_600;
/// What payers call the gateway.
pub(super) const ORIGIN: &str = "https://api.example.com";

/// Gives the quotes.
pub(super) static MINT: LazyLock<QuoteMint> = LazyLock::new(|| QuoteMint::new(&[7; 32]));
/// One call for a cent: by EIP-3009, by Permit2, on Solana, and on a chain that nobody here can read.
pub(super) static OFFER: LazyLock<Offer> = LazyLock::new(|| Offer {
    key: OfferKey::call("GET", "/weather"),
    resource: "https://api.example.com/weather".into(),
    description: "".into(),
    mime_type: "".into(),
    terms: [known("base"), by_permit2("arbitrum"), known("solana"), elsewhere()].map(Arc::new).into(),
});

/// Reads a payment header as the gateway does.
pub fn read(header: &[u8]) -> Result<Presented, Refused> {
    Presented::read(header, &OFFER, &MINT, Duration::from_secs(300), NOW)
}

fn known(name: &str) -> Terms {
    let known = networks::known(name).expect("a known network");
    let (network, asset) = (known.network().expect("an id"), known.asset(None).expect("an asset"));
    terms(network, asset, known.v1)
}

fn by_permit2(name: &str) -> Terms {
    let known = networks::known(name).expect("a known network");
    let asset = known.asset(None).expect("an asset");
    terms(known.network().expect("an id"), Asset { transfer: TransferMethod::Permit2, ..asset }, None)
}

fn elsewhere() -> Terms {
    let network = Network::parse("algorand:wGHE2Pwdvd7S12BL5FaOP20EGYesN73k").expect("an id");
    let address = Address::parse("31566704", &network).expect("an asset");
    let asset = Asset { address, symbol: "USDC".into(), decimals: 6, domain: None, transfer: TransferMethod::Native };
    terms(network, asset, None)
}

fn terms(network: Network, asset: Asset, v1: Option<&'static str>) -> Terms {
    let (pay_to, more) = match network.caip2().split_once(':') {
        Some(("eip155", _)) => ("0x1563915e194D8CfBA1943570603F7606A3115508", Map::new()),
        Some(("solana", _)) => {
            let fee_payer = json!("FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj");
            let more = [("feePayer".to_owned(), fee_payer)].into_iter().collect();
            ("EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w", more)
        }
        _ => ("SELLER", Map::new()),
    };
    let pay_to = Address::parse(pay_to, &network).expect("an address");
    Terms::new(network, asset, AtomicAmount::new(10_000), pay_to, 60, v1, more)
}
