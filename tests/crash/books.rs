//! The identity of a payment, as the gateway derives it from what was signed.

use serde_json::Value;
use tollgate::money::{Address, Network};
use tollgate::payment::PaymentId;
use tollgate::x402::codec;

/// The identity of an EIP-3009 authorization under these terms.
pub(crate) fn identity(payload: &Value, terms: &Value) -> String {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let network = Network::parse(&text(&terms["network"])).unwrap();
    let asset = Address::parse(&text(&terms["asset"]), &network).unwrap();
    let authorization = &payload["authorization"];
    let from = Address::parse(&text(&authorization["from"]), &network).unwrap();
    let nonce: alloy_primitives::B256 = text(&authorization["nonce"]).parse().unwrap();
    PaymentId::eip3009(&network, &asset, &from, &nonce.0).as_str().to_owned()
}

/// The same of a `PAYMENT-SIGNATURE`.
pub(crate) fn identity_of_header(header: &str) -> String {
    let json = codec::decode(header.as_bytes()).unwrap();
    let payment: Value = serde_json::from_str(&json).unwrap();
    identity(&payment["payload"], &payment["accepted"])
}
