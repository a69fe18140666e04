//! The file of vectors, and offers made of what stands in it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tollgate::money::{Address, Asset, AtomicAmount, Eip712Domain, Network, TransferMethod};
use tollgate::payment::{Presented, QuoteMint, Refused};
use tollgate::pricing::{Offer, OfferKey, Terms};
use tollgate::x402::codec;

/// The clock that the vectors were made with.
pub(crate) const NOW: u64 = 1_767_225_600;

/// All vectors.
pub(crate) fn vectors() -> Vec<Value> {
    whole()["vectors"].as_array().unwrap().clone()
}

/// A vector by its id.
pub(crate) fn vector(id: &str) -> Value {
    vectors().into_iter().find(|vector| vector["id"] == id).unwrap_or_else(|| panic!("no vector {id}"))
}

/// The cases of a vector.
pub(crate) fn cases(id: &str) -> Vec<Value> {
    vector(id)["cases"].as_array().unwrap().clone()
}

/// The whole file.
pub(crate) fn whole() -> Value {
    serde_json::from_str(include_str!("x402.json")).unwrap()
}

/// A text inside a value, by its JSON pointer.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer}")).to_owned()
}

/// Our terms that make these requirements. What a client adds of its own accord on Solana is not in them.
pub(crate) fn terms(requirements: &Value, v1_network: Option<&'static str>) -> Terms {
    let field = |name: &str| text(requirements, &format!("/{name}"));
    let network = Network::parse(&field("network")).unwrap();
    let mut more = requirements["extra"].as_object().unwrap().clone();
    more.remove("recentBlockhash");
    more.remove("lastValidBlockHeight");
    let domain = more.remove("name").zip(more.remove("version")).map(|(name, version)| Eip712Domain {
        name: name.as_str().unwrap().into(),
        version: version.as_str().unwrap().into(),
    });
    let asset = Asset {
        address: Address::parse(&field("asset"), &network).unwrap(),
        symbol: "USDC".into(),
        decimals: 6,
        domain,
        transfer: match more.remove("assetTransferMethod") {
            Some(_) => TransferMethod::Permit2,
            None => TransferMethod::Native,
        },
    };
    let (amount, pay_to) = (AtomicAmount::parse(&field("amount")).unwrap(), &field("payTo"));
    let pay_to = Address::parse(pay_to, &network).unwrap();
    let timeout = requirements["maxTimeoutSeconds"].as_u64().unwrap();
    Terms::new(network, asset, amount, pay_to, timeout, v1_network, more)
}

/// The vectors' resource on offer, on these terms.
pub(crate) fn offer(terms: impl IntoIterator<Item = Terms>) -> Offer {
    Offer {
        key: OfferKey::call("GET", "/v1/weather/{city}"),
        resource: "https://api.example.com/v1/weather/oslo".into(),
        description: "Weather by city".into(),
        mime_type: "application/json".into(),
        terms: terms.into_iter().map(Arc::new).collect(),
    }
}

/// The offer of vector `v2-challenge`: the same price on Base Sepolia, in both versions, and on Solana.
pub(crate) fn challenge_offer() -> Offer {
    let required = &vector("v2-challenge")["payment_required"];
    offer([terms(&required["accepts"][0], Some("base-sepolia")), terms(&required["accepts"][1], None)])
}

/// A payment header of a message.
pub(crate) fn header(message: &Value) -> String {
    codec::encode(message)
}

/// A header with this payment for an offer, `later` seconds after the vectors were made.
pub(crate) fn read(header: &str, offer: &Offer, later: u64) -> Result<Presented, Refused> {
    Presented::read(header.as_bytes(), offer, &mint(), Duration::from_secs(300), NOW + later)
}

pub(crate) fn mint() -> QuoteMint {
    QuoteMint::new(&[7; 32])
}

/// An object without one of its members.
pub(crate) fn without(value: &Value, name: &str) -> Value {
    let mut members: Map<String, Value> = value.as_object().unwrap().clone();
    members.remove(name).unwrap_or_else(|| panic!("no member {name}"));
    Value::Object(members)
}
