//! Permit2 with the x402 proxy as spender: everything but the allowance is checked without the chain
//! (scheme_exact_evm.md, `assetTransferMethod: permit2`).

use alloy_primitives::{U256, address};
use alloy_sol_types::{SolStruct, eip712_domain, sol};
use serde::Deserialize;

use super::eip712::{Signer, signer};
use super::eip3009::{malformed, number};
use super::{PaymentId, Refused, Window};
use crate::money::{Address, Family};
use crate::pricing::Terms;

/// Uniswap's Permit2, the same on all chains.
pub(super) const PERMIT2: alloy_primitives::Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
/// `x402ExactPermit2Proxy`, the same on all chains.
pub(super) const SPENDER: alloy_primitives::Address = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");

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

/// The scheme's payload as it stands on the wire, with nothing beside it that a facilitator could take for another
/// method's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Payload {
    pub(super) signature: String,
    pub(super) permit2_authorization: Authorization,
}

impl Payload {
    pub(super) fn signature(&self) -> &str {
        &self.signature
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Authorization {
    from: String,
    permitted: Permitted,
    spender: String,
    nonce: String,
    deadline: String,
    pub(super) witness: WireWitness,
}

#[derive(Debug, Deserialize)]
struct Permitted {
    token: String,
    amount: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireWitness {
    to: String,
    pub(super) facilitator: Option<String>,
    valid_after: String,
}

/// Reads and checks a payload of `exact` against our terms.
pub(super) fn check(payload: &Payload, terms: &Terms, now: u64) -> Result<(PaymentId, Address, Window), Refused> {
    let (from, message) = payload.permit2_authorization.parse(terms)?;
    let checked = judge(from, &message, SPENDER, terms, now)?;
    signed_by(from, &message, &payload.signature, terms)?;
    Ok(checked)
}

/// Compares with our terms what all payloads of Permit2 have.
pub(super) fn judge(
    from: alloy_primitives::Address,
    message: &PermitWitnessTransferFrom,
    proxy: alloy_primitives::Address,
    terms: &Terms,
    now: u64,
) -> Result<(PaymentId, Address, Window), Refused> {
    let refuse = |reason, message| Err(Refused::new(reason, message));
    if message.spender != proxy {
        return refuse("invalid_permit2_spender", "the spender is not the x402 proxy of Permit2");
    }
    if Address::from(message.witness.to) != terms.pay_to {
        return refuse("invalid_permit2_recipient_mismatch", "the permit pays somebody else");
    }
    if Address::from(message.permitted.token) != terms.asset.address {
        return refuse("permit2_token_mismatch", "the permit is for another token");
    }
    if message.permitted.amount != U256::from(terms.amount.atomic()) {
        return refuse("permit2_amount_mismatch", "the permit is not over the price");
    }
    let window = Window::new(message.witness.validAfter, message.deadline);
    window.begun(now).map_err(|refused| Refused { reason: "permit2_not_yet_valid".into(), ..refused })?;
    let from = Address::from(from);
    let id = PaymentId::permit2(&terms.network, &from, &message.nonce.to_be_bytes());
    Ok((id, from, window))
}

/// Refuses what somebody else has signed.
pub(super) fn signed_by(
    from: alloy_primitives::Address,
    message: &impl SolStruct,
    signature: &str,
    terms: &Terms,
) -> Result<(), Refused> {
    let Family::Evm(chain_id) = terms.network.family() else {
        return Err(Refused::new("invalid_network", "Permit2 is for EVM networks"));
    };
    let domain = eip712_domain! { name: "Permit2", chain_id: chain_id, verifying_contract: PERMIT2, };
    match signer(message.eip712_signing_hash(&domain), signature)? {
        Signer::Account(account) if account != from => {
            Err(Refused::new("invalid_permit2_signature", "the signature is not the payer's"))
        }
        Signer::Account(_) | Signer::Contract => Ok(()),
    }
}

impl Authorization {
    pub(super) fn parse(
        &self,
        terms: &Terms,
    ) -> Result<(alloy_primitives::Address, PermitWitnessTransferFrom), Refused> {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::payment::testing::{NOW, PAY_TO, Wallet, offer, read, reason, usdc_by_permit2, v2};
    use crate::pricing::OfferKey;

    const SIGNATURE: &str = "invalid_permit2_signature";

    fn judged(payload: Value) -> String {
        let terms = usdc_by_permit2(10_000);
        reason(&v2(&terms, payload), &offer(OfferKey::plan("nano"), [terms]))
    }

    /// The reason for a permit with one member changed, signed as it stands.
    fn resigned(pointer: &str, value: &str) -> String {
        let mut permit = Wallet::new(1).permit2(&usdc_by_permit2(10_000), 1)["permit2Authorization"].clone();
        *permit.pointer_mut(pointer).unwrap() = value.into();
        judged(Wallet::new(1).permit(8453, permit))
    }

    /// The reason for a payload with one value changed after signing.
    fn changed(pointer: &str, value: Value) -> String {
        let mut payload = Wallet::new(1).permit2(&usdc_by_permit2(10_000), 1);
        *payload.pointer_mut(pointer).unwrap() = value;
        judged(payload)
    }

    #[test]
    fn a_good_permit_is_read() {
        let terms = usdc_by_permit2(10_000);
        let payment = v2(&terms, Wallet::new(1).permit2(&terms, 1));
        let presented = read(&payment, &offer(OfferKey::plan("nano"), [terms])).unwrap();
        assert_eq!(presented.payer, Some(Wallet::new(1).address()));
        assert_eq!((presented.window.valid_after, presented.window.valid_before), (0, NOW + 60));
    }

    #[test]
    fn a_permit_for_something_else_is_refused() {
        let stranger = Wallet::new(2).address().to_string();
        for (pointer, value, reason) in [
            ("/spender", &*stranger, "invalid_permit2_spender"),
            ("/witness/to", &*stranger, "invalid_permit2_recipient_mismatch"),
            ("/permitted/token", &*stranger, "permit2_token_mismatch"),
            ("/permitted/amount", "9999", "permit2_amount_mismatch"),
            ("/permitted/amount", "10001", "permit2_amount_mismatch"),
        ] {
            assert_eq!(resigned(pointer, value), reason, "{pointer} {value}");
        }
        assert_eq!(resigned("/witness/to", &PAY_TO.to_lowercase()), "");
    }

    #[test]
    fn a_permit_is_good_between_its_times() {
        for (deadline, reason) in [
            (NOW + 6, ""),
            (NOW + 5, "permit2_deadline_expired"),
            (NOW, "permit2_deadline_expired"),
            (0, "permit2_deadline_expired"),
        ] {
            assert_eq!(resigned("/deadline", &deadline.to_string()), reason, "{deadline}");
        }
        assert_eq!(resigned("/witness/validAfter", &NOW.to_string()), "");
        assert_eq!(resigned("/witness/validAfter", &(NOW + 1).to_string()), "permit2_not_yet_valid");
    }

    #[test]
    fn only_the_payers_signature_on_this_chain_is_taken() {
        let permit = Wallet::new(1).permit2(&usdc_by_permit2(10_000), 1)["permit2Authorization"].clone();
        assert_eq!(judged(Wallet::new(1).permit(8453, permit.clone())), "");
        assert_eq!(judged(Wallet::new(1).permit(84532, permit.clone())), SIGNATURE);
        assert_eq!(judged(Wallet::new(2).permit(8453, permit)), SIGNATURE);
        assert_eq!(changed("/permit2Authorization/nonce", json!("2")), SIGNATURE);
        assert_eq!(changed("/permit2Authorization/from", json!(Wallet::new(2).address())), SIGNATURE);
        assert_eq!(changed("/signature", json!("0x")), "", "a contract's, for the chain to judge");
    }

    #[test]
    fn a_malformed_or_missing_member_is_refused() {
        for (pointer, value) in [
            ("/from", "0x12"),
            ("/spender", ""),
            ("/permitted/token", "USDC"),
            ("/permitted/amount", "1e4"),
            ("/witness/to", "0x"),
            ("/witness/validAfter", "-1"),
            ("/deadline", "01"),
            ("/nonce", "0x01"),
            ("/nonce", ""),
        ] {
            let pointer = format!("/permit2Authorization{pointer}");
            assert_eq!(changed(&pointer, value.into()), "invalid_payload", "{pointer} {value}");
            assert_eq!(changed(&pointer, Value::Null), "unsupported_payload_type", "{pointer}");
        }
        let beyond = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(changed("/permit2Authorization/nonce", beyond.into()), "invalid_payload");
    }
}
