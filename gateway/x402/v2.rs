//! Messages of version 2 (x402-specification-v2.md §5).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::money::AtomicAmount;

/// The challenge: what is sold and how it may be paid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// Always 2.
    pub x402_version: u8,
    /// Why the request was not served; free text that no client parses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is sold.
    pub resource: ResourceInfo,
    /// The ways to pay, in the seller's order; clients take the first that they can.
    pub accepts: Vec<PaymentRequirements>,
    /// Optional parts of the protocol that the seller offers.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// What is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {
    /// Its absolute URL.
    pub url: String,
    /// One line for people, at most 500 characters: a facilitator in the field refuses longer ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The media type of the answer, if known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mime_type: String,
}

/// One way to pay (§5.1.2).
///
/// Nothing of ours stands beside the specified members: Python's client drops what it does not know. Everything
/// custom is in `extra`, which all clients echo verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `exact`, for all that clients know without more.
    pub scheme: String,
    /// CAIP-2 id.
    pub network: String,
    /// Atomic units.
    pub amount: AtomicAmount,
    /// Contract or mint.
    pub asset: String,
    /// The receiver.
    pub pay_to: String,
    /// Seconds from signing until the payment must be settled.
    pub max_timeout_seconds: u64,
    /// Data of the scheme and of the seller; always an object, never null.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A payment as the client sends it. The scheme's own data stay unread here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload<'a> {
    /// Echo of the challenge's `resource`; the client's word, never used to decide anything.
    #[serde(borrow, default)]
    pub resource: Option<&'a RawValue>,
    /// The way to pay that the client chose.
    pub accepted: PaymentRequirements,
    /// The scheme's data.
    #[serde(borrow)]
    pub payload: &'a RawValue,
    /// Echo of the challenge's `extensions` and additions.
    #[serde(borrow, default)]
    pub extensions: Option<&'a RawValue>,
}

/// A payment as the facilitator gets it: with our own requirements in place of the echo.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedPayload<'a> {
    /// Always 2.
    pub x402_version: u8,
    /// As the client sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'a RawValue>,
    /// Our terms, without the quote: that is a secret between the buyer and the gateway.
    pub accepted: &'a PaymentRequirements,
    /// As the client sent it.
    pub payload: &'a RawValue,
    /// As the client sent it; gas sponsoring travels here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<&'a RawValue>,
}
