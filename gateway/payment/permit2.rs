//! Permit2 with the x402 proxy as spender: everything but the allowance is checked without the chain
//! (scheme_exact_evm.md, `assetTransferMethod: permit2`).

use alloy_primitives::{U256, address};
use alloy_sol_types::{SolStruct as _, eip712_domain, sol};
use serde::Deserialize;

use super::eip712::{Signer, signer};
use super::eip3009::{malformed, number};
use super::{PaymentId, Refused, Window};
use crate::money::{Address, Family};
use crate::pricing::Terms;

/// Uniswap's Permit2, the same on all chains.
const PERMIT2: alloy_primitives::Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
/// `x402ExactPermit2Proxy`, the same on all chains.
const SPENDER: alloy_primitives::Address = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");

sol! {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    struct Witness {
        address to;
        uint256 validAfter;
    }

    struct PermitWitnessTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
        Witness witness;
    }
}

/// The scheme's payload as it stands on the wire.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload {
    signature: String,
    permit2_authorization: Authorization,
}

#[derive(Debug, Deserialize)]
struct Authorization {
    from: String,
    permitted: Permitted,
    spender: String,
    nonce: String,
    deadline: String,
    witness: WireWitness,
}

#[derive(Debug, Deserialize)]
struct Permitted {
    token: String,
    amount: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireWitness {
    to: String,
    valid_after: String,
}

/// Reads and checks a payload against our terms.
pub(super) fn check(payload: &Payload, terms: &Terms, now: u64) -> Result<(PaymentId, Address, Window), Refused> {
    let (from, message) = payload.permit2_authorization.parse(terms)?;
    let refuse = |reason, message| Err(Refused::new(reason, message));
    if message.spender != SPENDER {
        return refuse("invalid_permit2_spender", "the spender is not the x402 proxy of Permit2");
    }
    if Address::Evm(message.witness.to) != terms.pay_to {
        return refuse("invalid_permit2_recipient_mismatch", "the permit pays somebody else");
    }
    if Address::Evm(message.permitted.token) != terms.asset.address {
        return refuse("permit2_token_mismatch", "the permit is for another token");
    }
    if message.permitted.amount != U256::from(terms.amount.atomic()) {
        return refuse("permit2_amount_mismatch", "the permit is not over the price");
    }
    let window = Window::new(message.witness.validAfter, message.deadline);
    window.check(now).map_err(|refused| Refused {
        reason: match &*refused.reason {
            "invalid_exact_evm_payload_authorization_valid_after" => "permit2_not_yet_valid".into(),
            _ => "permit2_deadline_expired".into(),
        },
        ..refused
    })?;
    let Family::Evm(chain_id) = terms.network.family() else {
        return refuse("invalid_network", "Permit2 is for EVM networks");
    };
    let domain = eip712_domain! { name: "Permit2", chain_id: chain_id, verifying_contract: PERMIT2, };
    match signer(message.eip712_signing_hash(&domain), &payload.signature)? {
        Signer::Account(account) if account != from => {
            return refuse("invalid_permit2_signature", "the signature is not the payer's");
        }
        Signer::Account(_) | Signer::Contract => {}
    }
    let from = Address::Evm(from);
    let id = PaymentId::permit2(&terms.network, &from, &message.nonce.to_be_bytes());
    Ok((id, from, window))
}

impl Authorization {
    fn parse(&self, terms: &Terms) -> Result<(alloy_primitives::Address, PermitWitnessTransferFrom), Refused> {
        let address = |name, text: &str| {
            Address::parse(text, &terms.network)
                .ok()
                .and_then(|address| address.evm())
                .ok_or_else(|| malformed(name, "an address"))
        };
        let message = PermitWitnessTransferFrom {
            permitted: TokenPermissions {
                token: address("permitted.token", &self.permitted.token)?,
                amount: number("permitted.amount", &self.permitted.amount)?,
            },
            spender: address("spender", &self.spender)?,
            nonce: number("nonce", &self.nonce)?,
            deadline: number("deadline", &self.deadline)?,
            witness: Witness {
                to: address("witness.to", &self.witness.to)?,
                validAfter: number("witness.validAfter", &self.witness.valid_after)?,
            },
        };
        Ok((address("from", &self.from)?, message))
    }
}
