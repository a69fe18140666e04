//! EIP-3009 `transferWithAuthorization`: what can be checked without the chain (scheme_exact_evm.md).

use alloy_primitives::U256;
use alloy_sol_types::{SolStruct as _, eip712_domain, sol};
use serde::Deserialize;

use super::eip712::{Signer, signer};
use super::{PaymentId, Refused, Window};
use crate::money::{Address, Family};
use crate::pricing::Terms;

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// The scheme's payload as it stands on the wire: all numbers are strings.
#[derive(Debug, Deserialize)]
pub(super) struct Payload {
    signature: String,
    authorization: Authorization,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
}

/// Reads and checks a payload against our terms, all but balance and the nonce's state.
pub(super) fn check(payload: &Payload, terms: &Terms, now: u64) -> Result<(PaymentId, Address, Window), Refused> {
    let message = payload.authorization.parse(terms)?;
    let window = Window::new(message.validAfter, message.validBefore);
    let from = Address::Evm(message.from);
    if Address::Evm(message.to) != terms.pay_to {
        return Err(Refused::new(
            "invalid_exact_evm_recipient_mismatch",
            format!("the authorization pays {}, not {}", message.to, terms.pay_to),
        ));
    }
    if message.value != U256::from(terms.amount.atomic()) {
        return Err(Refused::new(
            "invalid_exact_evm_payload_authorization_value_mismatch",
            format!("the authorization is over {}, the price is {}", message.value, terms.amount),
        ));
    }
    window.check(now)?;
    let digest = message.eip712_signing_hash(&domain(terms)?);
    match signer(digest, &payload.signature)? {
        Signer::Account(account) if account != message.from => {
            return Err(Refused::new(
                "invalid_exact_evm_signature",
                format!("the signature is not {from}'s; check the EIP-712 domain in extra.name and extra.version"),
            ));
        }
        Signer::Account(_) | Signer::Contract => {}
    }
    let id = PaymentId::eip3009(&terms.network, &terms.asset.address, &from, &message.nonce.0);
    Ok((id, from, window))
}

fn domain(terms: &Terms) -> Result<alloy_sol_types::Eip712Domain, Refused> {
    let ours = || Refused::new("invalid_exact_evm_missing_eip712_domain", "this asset has no EIP-712 domain");
    let domain = terms.asset.domain.as_ref().ok_or_else(ours)?;
    let (Family::Evm(chain_id), Some(contract)) = (terms.network.family(), terms.asset.address.evm()) else {
        return Err(ours());
    };
    Ok(eip712_domain! {
        name: domain.name.to_string(),
        version: domain.version.to_string(),
        chain_id: chain_id,
        verifying_contract: contract,
    })
}

impl Authorization {
    fn parse(&self, terms: &Terms) -> Result<TransferWithAuthorization, Refused> {
        let address = |name, text: &str| {
            Address::parse(text, &terms.network)
                .ok()
                .and_then(|address| address.evm())
                .ok_or_else(|| malformed(name, "an address"))
        };
        let nonce = self.nonce.strip_prefix("0x").and_then(|digits| alloy_primitives::hex::decode(digits).ok());
        let nonce: [u8; 32] =
            nonce.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| malformed("nonce", "32 bytes of hex"))?;
        Ok(TransferWithAuthorization {
            from: address("from", &self.from)?,
            to: address("to", &self.to)?,
            value: number("value", &self.value)?,
            validAfter: number("validAfter", &self.valid_after)?,
            validBefore: number("validBefore", &self.valid_before)?,
            nonce: nonce.into(),
        })
    }
}

/// A `uint256` in decimal digits, without sign or leading zero.
pub(super) fn number(name: &str, text: &str) -> Result<U256, Refused> {
    let canonical = text == "0" || !text.starts_with('0');
    match !text.is_empty() && canonical && text.bytes().all(|b| b.is_ascii_digit()) {
        true => U256::from_str_radix(text, 10).map_err(|_| malformed(name, "a uint256")),
        false => Err(malformed(name, "a string of decimal digits")),
    }
}

pub(super) fn malformed(name: &str, expected: &str) -> Refused {
    Refused::new("invalid_payload", format!("{name} is not {expected}"))
}
