//! The exact scheme on EVM by EIP-3009, as the reference facilitator checks it: same order, same reasons.
//!
//! Accounts are keys only: there is no chain to ask for a smart wallet's code, so its signatures are refused.

use alloy_primitives::{U256, hex, keccak256};
use serde::Deserialize;

use super::asked::{Asked, Refused, refused};
use super::eip3009::{Domain, TransferWithAuthorization, number, recover, typed_data_digest};
use super::play_money::Transfer;
use crate::money::{Address, Family};
use crate::x402::Version;

/// An authorization must be good for at least this long: a transaction takes a few blocks.
const SETTLE_MARGIN_SECONDS: u64 = 6;

#[derive(Deserialize)]
struct Payload {
    signature: String,
    authorization: Authorization,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
}

/// Checks a payment, all but balance and nonce. `now` is in Unix seconds.
pub(super) fn check(asked: &Asked, now: u64) -> Result<Transfer, Refused> {
    if asked.payload.get("authorization").is_none() {
        return Err(refused("unsupported_payload_type"));
    }
    let payload: Payload = serde_json::from_value(asked.payload.clone()).map_err(|_| refused("invalid_payload"))?;
    let payer = payload.authorization.from.clone();
    check_as(asked, &payload, now).map_err(|reason| Refused { reason: reason.to_owned(), payer })
}

fn check_as(asked: &Asked, payload: &Payload, now: u64) -> Result<Transfer, &'static str> {
    if asked.scheme != "exact" || asked.payer_scheme != "exact" {
        return Err("invalid_exact_evm_scheme");
    }
    let domain = domain(asked)?;
    if asked.payer_network != asked.network_name {
        return Err("invalid_exact_evm_network_mismatch");
    }
    let authorization = payload.authorization.parse(asked).ok_or("invalid_payload")?;
    let digest = typed_data_digest(&authorization, domain);
    let signature = hex::decode(&payload.signature).map_err(|_| "invalid_exact_evm_failed_to_parse_signature")?;
    if recover(digest, &signature) != Some(authorization.from) {
        return Err("invalid_exact_evm_signature");
    }
    check_terms(asked, &authorization, now)?;
    let from = Address::from(authorization.from).to_string();
    let asset = Address::from(domain.contract).to_string();
    Ok(Transfer {
        identity: format!("{} {asset} {from} {}", asked.network, authorization.nonce),
        network: asked.network.clone(),
        asset,
        from,
        to: Address::from(authorization.to).to_string(),
        amount: asked.amount,
        payer: payload.authorization.from.clone(),
        // A made-up hash, but one that is the payment's own.
        transaction: keccak256([digest.as_slice(), &signature].concat()).to_string(),
    })
}

fn check_terms(asked: &Asked, authorization: &TransferWithAuthorization, now: u64) -> Result<(), &'static str> {
    let pay_to = Address::parse(&asked.pay_to, &asked.network).map_err(|_| "invalid_payment_requirements")?;
    if pay_to != Address::from(authorization.to) {
        return Err("invalid_exact_evm_recipient_mismatch");
    }
    if authorization.validBefore < U256::from(now.saturating_add(SETTLE_MARGIN_SECONDS)) {
        return Err("invalid_exact_evm_payload_authorization_valid_before");
    }
    if authorization.validAfter > U256::from(now) {
        return Err("invalid_exact_evm_payload_authorization_valid_after");
    }
    match authorization.value == U256::from(asked.amount.atomic()) {
        true => Ok(()),
        false if asked.version == Version::V1 => Err("invalid_exact_evm_authorization_value"),
        false => Err("invalid_exact_evm_payload_authorization_value_mismatch"),
    }
}

fn domain(asked: &Asked) -> Result<Domain<'_>, &'static str> {
    let (Some(name), Some(version)) = (asked.extra_text("name"), asked.extra_text("version")) else {
        return Err("invalid_exact_evm_missing_eip712_domain");
    };
    let asset = Address::parse(&asked.asset, &asked.network).ok().and_then(|asset| asset.evm());
    match (asked.network.family(), asset) {
        (Family::Evm(chain_id), Some(contract)) => Ok(Domain { name, version, chain_id, contract }),
        _ => Err("invalid_payment_requirements"),
    }
}

impl Authorization {
    fn parse(&self, asked: &Asked) -> Option<TransferWithAuthorization> {
        let address = |text: &str| Address::parse(text, &asked.network).ok().and_then(|address| address.evm());
        let nonce = hex::decode(self.nonce.strip_prefix("0x")?).ok()?;
        Some(TransferWithAuthorization {
            from: address(&self.from)?,
            to: address(&self.to)?,
            value: number(&self.value)?,
            validAfter: number(&self.valid_after)?,
            validBefore: number(&self.valid_before)?,
            nonce: <[u8; 32]>::try_from(nonce).ok()?.into(),
        })
    }
}
