//! Messages of version 1 (x402-specification-v1.md).
//!
//! The v1 JavaScript client parses every entry of `accepts` with a strict schema and dies on the first bad one:
//! absolute `resource`, `description` and `mimeType` present, no null anywhere.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::money::AtomicAmount;

/// One way to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `exact` is the only one.
    pub scheme: String,
    /// Short name, for example `base`.
    pub network: String,
    /// Atomic units.
    pub max_amount_required: AtomicAmount,
    /// Absolute URL of what is sold.
    pub resource: String,
    /// May be empty, may not be absent.
    pub description: String,
    /// May be empty, may not be absent.
    pub mime_type: String,
    /// The receiver.
    pub pay_to: String,
    /// Seconds from signing until the payment must be settled.
    pub max_timeout_seconds: u64,
    /// Contract or mint.
    pub asset: String,
    /// Data of the scheme.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// A payment as the client sends it, and as the facilitator gets it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload<'a> {
    /// Always 1.
    pub x402_version: u8,
    /// `exact`.
    pub scheme: String,
    /// Short name.
    pub network: String,
    /// The scheme's data.
    #[serde(borrow)]
    pub payload: &'a RawValue,
}
