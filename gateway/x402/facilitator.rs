//! Messages between a resource server and a facilitator (x402-specification-v2.md §7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The body of `/verify` and `/settle`: one envelope for both protocol versions, with that version's objects inside.
///
/// It is kept as text, since a settlement whose outcome is unknown is asked for again with identical bytes. Its `Debug`
/// form shows none of it, since whoever has the payment can put it on the chain.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacilitatorRequest {
    /// The payment's version.
    pub x402_version: u8,
    /// The client's payment.
    pub payment_payload: Box<RawValue>,
    /// Our terms; never the client's echo.
    pub payment_requirements: Box<RawValue>,
}

impl std::fmt::Debug for FacilitatorRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FacilitatorRequest").field("x402_version", &self.x402_version).finish_non_exhaustive()
    }
}

/// The answer of `/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// True and nothing else means good.
    pub is_valid: bool,
    /// Machine reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
}

/// The answer of `/settle`, and the receipt in `PAYMENT-RESPONSE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// True and nothing else means settled; a refusal comes with HTTP 200 too.
    pub success: bool,
    /// Machine reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Transaction hash or signature; empty if nothing was sent.
    #[serde(default)]
    pub transaction: String,
    /// Where; CAIP-2 in version 2, the short name in version 1.
    #[serde(default)]
    pub network: String,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
}

/// The answer of `/supported`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupportedResponse {
    /// What the facilitator settles.
    #[serde(default)]
    pub kinds: Vec<SupportedKind>,
    /// Protocol extensions that it knows.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Its own addresses, by CAIP-2 pattern such as `solana:*`.
    #[serde(default)]
    pub signers: BTreeMap<String, Vec<String>>,
}

/// One kind of payment that a facilitator settles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// 1 or 2.
    pub x402_version: u8,
    /// For example `exact`.
    pub scheme: String,
    /// In the form of that version.
    pub network: String,
    /// What the seller must put into `extra`, for example Solana's `feePayer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}
