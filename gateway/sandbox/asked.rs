//! The body of `/verify` and `/settle`, read into one shape for both protocol versions.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::money::{AtomicAmount, Network};
use crate::x402::networks::{KnownNetwork, NETWORKS};
use crate::x402::{Version, v1, v2};

/// What the facilitator is asked about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    /// The seller's terms.
    pub(super) scheme: String,
    pub(super) network: Network,
    /// The network in the form of the version, as answers repeat it.
    pub(super) network_name: String,
    pub(super) amount: AtomicAmount,
    pub(super) asset: String,
    pub(super) pay_to: String,
    pub(super) extra: Map<String, Value>,
    /// What the payer says it accepted.
    pub(super) payer_scheme: String,
    pub(super) payer_network: String,
    /// The scheme's data.
    pub(super) payload: Value,
}

/// A clear no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// One of the reference's names.
    pub(super) reason: String,
    /// Who would have paid, as the payload spells it; empty if that is not known.
    pub(super) payer: String,
}

/// Why a body was not looked into any further.
#[derive(Debug)]
pub(super) enum Unasked {
    /// Not a facilitator's request at all: HTTP 400.
    Malformed(&'static str),
    /// A request about something that this facilitator has not, or that makes no sense.
    Refused(Refused),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    x402_version: Value,
    payment_payload: Value,
    payment_requirements: Value,
}

/// Version 2 says `accepted` what version 1 says at the top.
#[derive(Deserialize)]
struct PayloadV2 {
    accepted: Choice,
    payload: Value,
}

#[derive(Deserialize)]
struct PayloadV1 {
    #[serde(flatten)]
    choice: Choice,
    payload: Value,
}

#[derive(Deserialize)]
struct Choice {
    scheme: String,
    network: String,
}

/// A refusal before the payer is known.
pub(super) fn refused(reason: &str) -> Refused {
    Refused { reason: reason.to_owned(), payer: String::new() }
}

impl Asked {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Unasked> {
        let envelope: Envelope = serde_json::from_slice(body)
            .map_err(|_| Unasked::Malformed("Missing paymentPayload or paymentRequirements"))?;
        if envelope.payment_payload.get("x402Version").is_some_and(|version| *version != envelope.x402_version) {
            return Err(Unasked::Refused(refused("invalid_x402_version")));
        }
        let asked = match envelope.x402_version.as_u64() {
            Some(2) => Self::v2(envelope.payment_payload, envelope.payment_requirements),
            Some(1) => Self::v1(envelope.payment_payload, envelope.payment_requirements),
            _ => Err(refused("invalid_x402_version")),
        };
        asked.map_err(Unasked::Refused)
    }

    fn v2(payload: Value, requirements: Value) -> Result<Self, Refused> {
        let terms: v2::PaymentRequirements = requirements_of(requirements)?;
        let payload: PayloadV2 = payload_of(payload)?;
        Ok(Self {
            version: Version::V2,
            scheme: terms.scheme,
            network: Network::parse(&terms.network).map_err(|_| refused("invalid_network"))?,
            network_name: terms.network,
            amount: terms.amount,
            asset: terms.asset,
            pay_to: terms.pay_to,
            extra: terms.extra,
            payer_scheme: payload.accepted.scheme,
            payer_network: payload.accepted.network,
            payload: payload.payload,
        })
    }

    fn v1(payload: Value, requirements: Value) -> Result<Self, Refused> {
        let terms: v1::PaymentRequirements = requirements_of(requirements)?;
        let payload: PayloadV1 = payload_of(payload)?;
        let known = NETWORKS.iter().find(|known| known.v1 == Some(&*terms.network));
        Ok(Self {
            version: Version::V1,
            scheme: terms.scheme,
            network: known.and_then(KnownNetwork::network).ok_or_else(|| refused("invalid_network"))?,
            network_name: terms.network,
            amount: terms.max_amount_required,
            asset: terms.asset,
            pay_to: terms.pay_to,
            extra: terms.extra,
            payer_scheme: payload.choice.scheme,
            payer_network: payload.choice.network,
            payload: payload.payload,
        })
    }

    /// A text in `extra`.
    pub(super) fn extra_text(&self, name: &str) -> Option<&str> {
        self.extra.get(name).and_then(Value::as_str)
    }
}

fn requirements_of<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Refused> {
    serde_json::from_value(value).map_err(|_| refused("invalid_payment_requirements"))
}

fn payload_of<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Refused> {
    serde_json::from_value(value).map_err(|_| refused("invalid_payload"))
}
