//! The scheme `upto` on EVM networks: Permit2 with another proxy, and a witness that names who may settle
//! (scheme_upto_evm.md). What is signed is a ceiling; here it is the price, and the whole of it is settled.

use alloy_primitives::address;
use alloy_sol_types::sol;

use super::eip3009::malformed;
use super::permit2::{self, Payload, judge, signed_by};
use super::{PaymentId, Refused, Window};
use crate::money::Address;
use crate::pricing::Terms;

/// `x402UptoPermit2Proxy`, the same on all chains.
const SPENDER: alloy_primitives::Address = address!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

// The names are part of what is signed, and they are those of `exact`.
sol! {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    struct Witness {
        address to;
        address facilitator;
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

/// Reads and checks a payload against our terms.
pub(super) fn check(payload: &Payload, terms: &Terms, now: u64) -> Result<(PaymentId, Address, Window), Refused> {
    let (from, message) = payload.permit2_authorization.parse(terms)?;
    let checked = judge(from, &message, SPENDER, terms, now)?;
    let named = payload.permit2_authorization.witness.facilitator.as_deref().unwrap_or_default();
    let facilitator = |text: &str| Address::parse(text, &terms.network).ok().and_then(|address| address.evm());
    let named = facilitator(named).ok_or_else(|| malformed("witness.facilitator", "an address"))?;
    if terms.extra.get("facilitatorAddress").and_then(|ours| facilitator(ours.as_str()?)) != Some(named) {
        return Err(Refused::new("upto_facilitator_mismatch", "the permit names another facilitator than the terms"));
    }
    let permit2::PermitWitnessTransferFrom { permitted, spender, nonce, deadline, witness } = message;
    let message = PermitWitnessTransferFrom {
        permitted: TokenPermissions { token: permitted.token, amount: permitted.amount },
        spender,
        nonce,
        deadline,
        witness: Witness { to: witness.to, facilitator: named, validAfter: witness.validAfter },
    };
    signed_by(from, &message, &payload.signature, terms)?;
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::eip712_domain;
    use serde_json::{Value, json};

    use super::{PermitWitnessTransferFrom, SPENDER, TokenPermissions, Witness};
    use crate::payment::permit2::{self, PERMIT2};
    use crate::payment::testing::{Wallet, offer, read, reason, usdc_by_permit2, v2};
    use crate::pricing::{OfferKey, Terms};
    use crate::x402::Scheme;

    const FACILITATOR: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    /// Terms of `upto`, with the facilitator that may settle.
    fn upto() -> Terms {
        let Terms { network, asset, amount, pay_to, mut extra, .. } = usdc_by_permit2(10_000);
        extra.insert("facilitatorAddress".to_owned(), FACILITATOR.into());
        Terms::new(network, asset, amount, pay_to, 60, None, extra).by(Scheme::parse("upto").unwrap())
    }

    /// A payload of `upto` by [`Wallet`] 1, signed as it stands, with one member changed before.
    fn upto_payload(pointer: &str, value: &str) -> Value {
        let mut permit = Wallet::new(1).permit2(&upto(), 1)["permit2Authorization"].clone();
        permit["spender"] = SPENDER.to_string().into();
        permit["witness"]["facilitator"] = FACILITATOR.into();
        if !pointer.is_empty() {
            *permit.pointer_mut(pointer).unwrap() = value.into();
        }
        let text = |pointer: &str| permit.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let message = PermitWitnessTransferFrom {
            permitted: TokenPermissions {
                token: text("/permitted/token").parse().unwrap(),
                amount: text("/permitted/amount").parse().unwrap(),
            },
            spender: text("/spender").parse().unwrap(),
            nonce: text("/nonce").parse().unwrap(),
            deadline: text("/deadline").parse().unwrap(),
            witness: Witness {
                to: text("/witness/to").parse().unwrap(),
                facilitator: text("/witness/facilitator").parse().unwrap_or_default(),
                validAfter: text("/witness/validAfter").parse().unwrap(),
            },
        };
        let domain = eip712_domain! { name: "Permit2", chain_id: 8453, verifying_contract: PERMIT2, };
        json!({"signature": Wallet::new(1).sign_typed(&message, &domain), "permit2Authorization": permit})
    }

    fn judged(payload: Value) -> String {
        reason(&v2(&upto(), payload), &offer(OfferKey::plan("nano"), [upto()]))
    }

    #[test]
    fn a_ceiling_that_is_the_price_is_read_with_its_payer() {
        let plan = offer(OfferKey::plan("nano"), [upto()]);
        let presented = read(&v2(&upto(), upto_payload("", "")), &plan).unwrap();
        assert_eq!(presented.payer, Some(Wallet::new(1).address()));
        let request = serde_json::to_value(&presented.request).unwrap();
        assert_eq!(request["paymentRequirements"]["scheme"], "upto");
        assert_eq!(request["paymentRequirements"]["amount"], "10000", "what is settled is the price");
        assert_eq!(request["paymentRequirements"]["extra"]["facilitatorAddress"], FACILITATOR);
    }

    #[test]
    fn a_permit_of_upto_for_something_else_is_refused() {
        let stranger = Wallet::new(2).address().to_string();
        for (pointer, value, reason) in [
            ("/spender", permit2::SPENDER.to_string().as_str(), "invalid_permit2_spender"),
            ("/witness/to", &stranger, "invalid_permit2_recipient_mismatch"),
            ("/witness/facilitator", &stranger, "upto_facilitator_mismatch"),
            ("/witness/facilitator", "", "invalid_payload"),
            ("/permitted/token", &stranger, "permit2_token_mismatch"),
            ("/permitted/amount", "9999", "permit2_amount_mismatch"),
            ("/permitted/amount", "10001", "permit2_amount_mismatch"),
            ("/deadline", "5", "permit2_deadline_expired"),
        ] {
            assert_eq!(judged(upto_payload(pointer, value)), reason, "{pointer} {value}");
        }
        let mut unnamed = upto_payload("", "");
        unnamed["permit2Authorization"]["witness"].as_object_mut().unwrap().remove("facilitator");
        assert_eq!(judged(unnamed), "invalid_payload");
        assert_eq!(judged(Wallet::new(1).permit2(&upto(), 1)), "invalid_permit2_spender", "a permit of exact");
        let mut changed = upto_payload("", "");
        changed["permit2Authorization"]["nonce"] = "2".into();
        assert_eq!(judged(changed), "invalid_permit2_signature");
    }

    /// The nonces are the payer's, whoever spends them.
    #[test]
    fn one_nonce_is_one_payment_under_both_schemes() {
        let plan = |terms: Terms| offer(OfferKey::plan("nano"), [terms]);
        let exact = usdc_by_permit2(10_000);
        let one = read(&v2(&exact, Wallet::new(1).permit2(&exact, 1)), &plan(exact.clone())).unwrap();
        let other = read(&v2(&upto(), upto_payload("", "")), &plan(upto())).unwrap();
        assert_eq!(one.id, other.id);
    }
}
