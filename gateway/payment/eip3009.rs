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
///
/// It has nothing beside these two: a facilitator that finds another method's members would settle those.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    signature: String,
    authorization: Authorization,
}

impl Payload {
    pub(super) fn signature(&self) -> &str {
        &self.signature
    }
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
    let from = Address::from(message.from);
    if Address::from(message.to) != terms.pay_to {
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
    window.begun(now)?;
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

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use alloy_sol_types::Eip712Domain;
    use serde_json::{Value, json};

    use crate::money::{Asset, TransferMethod};
    use crate::payment::testing::{
        NOW, PAY_TO, Wallet, asset_on, domain, offer, read, read_at, reason, usdc, v2, weather,
    };
    use crate::pricing::{OfferKey, Terms};
    use crate::x402::networks::NETWORKS;

    const MALFORMED: &str = "invalid_payload";
    const SIGNATURE: &str = "invalid_exact_evm_signature";

    /// The reason for an authorization with one member changed, signed as it stands.
    fn resigned(name: &str, value: &str) -> String {
        let (terms, wallet) = (usdc(10_000), Wallet::new(1));
        let mut authorization = wallet.eip3009(&terms, 1)["authorization"].clone();
        authorization[name] = value.into();
        reason(&v2(&terms, wallet.authorize(&terms, authorization)), &weather())
    }

    /// The reason for a payload with one value changed after signing.
    fn changed(pointer: &str, value: Value) -> String {
        let mut payload = Wallet::new(1).eip3009(&usdc(10_000), 1);
        *payload.pointer_mut(pointer).unwrap() = value;
        reason(&v2(&usdc(10_000), payload), &weather())
    }

    fn signature() -> Vec<u8> {
        hex::decode(Wallet::new(1).eip3009(&usdc(10_000), 1)["signature"].as_str().unwrap()).unwrap()
    }

    fn signed_with(signature: &[u8]) -> String {
        changed("/signature", hex::encode_prefixed(signature).into())
    }

    #[test]
    fn each_known_token_is_signed_for_under_its_own_domain() {
        let mut tokens = 0;
        for known in NETWORKS.iter().filter(|known| known.caip2.starts_with("eip155:")) {
            for asset in known.all_assets() {
                let by_permit2 = asset.transfer == TransferMethod::Permit2;
                let terms = asset_on(known.caip2, asset, 10_000);
                let wallet = Wallet::new(1);
                let pay = if by_permit2 { wallet.permit2(&terms, 1) } else { wallet.eip3009(&terms, 1) };
                let payment = v2(&terms, pay);
                assert_eq!(reason(&payment, &offer(OfferKey::plan("nano"), [terms])), "", "{}", known.caip2);
                tokens += 1;
            }
        }
        assert!(tokens > 35, "{tokens}");
    }

    /// The gateway knows nothing of it but the operator's word, and that is enough.
    #[test]
    fn a_token_of_a_chain_that_nobody_knows_is_signed_for_like_any_other() {
        let known = usdc(1).asset;
        for transfer in [TransferMethod::Native, TransferMethod::Permit2] {
            let terms = asset_on("eip155:4815162342", Asset { transfer, ..known.clone() }, 10_000);
            let pays = |terms: &Terms| match transfer {
                TransferMethod::Native => Wallet::new(1).eip3009(terms, 1),
                TransferMethod::Permit2 => Wallet::new(1).permit2(terms, 1),
            };
            let there = offer(OfferKey::plan("nano"), [terms.clone()]);
            assert_eq!(reason(&v2(&terms, pays(&terms)), &there), "");
            let elsewhere = asset_on("eip155:4815162343", terms.asset.clone(), 10_000);
            let refused = reason(&v2(&terms, pays(&elsewhere)), &there);
            assert!(refused.ends_with("_signature"), "{refused}");
        }
    }

    #[test]
    fn a_malformed_member_is_refused() {
        for (name, value) in [
            ("from", ""),
            ("from", "0x12"),
            ("from", "19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"),
            ("from", "vitalik.eth"),
            ("to", "0xzz63915e194D8CfBA1943570603F7606A3115508"),
            ("value", ""),
            ("value", "010000"),
            ("value", "+10000"),
            ("value", "-1"),
            ("value", "1e4"),
            ("value", "10_000"),
            ("value", "0x2710"),
            ("value", "10000.0"),
            ("value", "１００００"),
            ("validAfter", ""),
            ("validAfter", "-1"),
            ("validBefore", "soon"),
            ("nonce", ""),
            ("nonce", "0x"),
            ("nonce", "0x01"),
            ("nonce", "1"),
        ] {
            assert_eq!(changed(&format!("/authorization/{name}"), value.into()), MALFORMED, "{name} {value}");
        }
        let (beyond, digits) = (format!("1{}", "0".repeat(78)), "01".repeat(33));
        assert_eq!(changed("/authorization/validBefore", beyond.into()), MALFORMED);
        assert_eq!(changed("/authorization/nonce", format!("0x{digits}").into()), MALFORMED);
        assert_eq!(changed("/authorization/nonce", "01".repeat(32).into()), MALFORMED, "without 0x");
    }

    #[test]
    fn a_missing_member_or_a_number_is_refused() {
        let whole = Wallet::new(1).eip3009(&usdc(10_000), 1);
        for name in ["from", "to", "value", "validAfter", "validBefore", "nonce"] {
            let mut payload = whole.clone();
            payload["authorization"].as_object_mut().unwrap().remove(name).unwrap();
            assert_eq!(reason(&v2(&usdc(10_000), payload), &weather()), "unsupported_payload_type", "{name}");
        }
        assert_eq!(changed("/authorization/value", json!(10_000)), "unsupported_payload_type");
        assert_eq!(changed("/authorization/validBefore", json!(NOW + 60)), "unsupported_payload_type");
    }

    #[test]
    fn only_the_price_to_the_receiver_is_taken() {
        let to_another = Wallet::new(2).address().to_string();
        assert_eq!(resigned("to", &to_another), "invalid_exact_evm_recipient_mismatch");
        assert_eq!(resigned("to", &PAY_TO.to_lowercase()), "");
        for value in
            ["0", "1", "9999", "10001", "340282366920938463463374607431768221456", &format!("1{}", "0".repeat(77))]
        {
            assert_eq!(resigned("value", value), "invalid_exact_evm_payload_authorization_value_mismatch", "{value}");
        }
    }

    #[test]
    fn an_authorization_needs_six_seconds_to_be_settled() {
        let ends = |at: u64| resigned("validBefore", &at.to_string());
        assert_eq!(ends(NOW + 6), "");
        for at in [0, NOW - 1, NOW, NOW + 5] {
            assert_eq!(ends(at), "invalid_exact_evm_payload_authorization_valid_before", "{at}");
        }
        assert_eq!(resigned("validBefore", &format!("1{}", "0".repeat(77))), "", "for ever");
        let payment = v2(&usdc(10_000), Wallet::new(1).eip3009(&usdc(10_000), 1));
        assert!(read_at(u64::MAX, &payment, &weather()).is_err());
    }

    #[test]
    fn an_authorization_that_is_not_good_yet_is_refused() {
        assert_eq!(resigned("validAfter", &NOW.to_string()), "");
        for after in [(NOW + 1).to_string(), format!("1{}", "0".repeat(77))] {
            assert_eq!(
                resigned("validAfter", &after),
                "invalid_exact_evm_payload_authorization_valid_after",
                "{after}"
            );
        }
    }

    #[test]
    fn a_signature_for_another_chain_or_token_is_refused() {
        let (terms, wallet) = (usdc(10_000), Wallet::new(1));
        let authorization = wallet.eip3009(&terms, 1)["authorization"].clone();
        let pays =
            |domain: &Eip712Domain| reason(&v2(&terms, wallet.authorize_in(domain, authorization.clone())), &weather());
        let ours = domain(&terms);
        assert_eq!(pays(&ours), "");
        let other_chain = Eip712Domain { chain_id: Some(alloy_primitives::U256::from(84532)), ..ours.clone() };
        let other_token = Eip712Domain { verifying_contract: Some([9; 20].into()), ..ours.clone() };
        let other_name = Eip712Domain { name: Some("USDC".into()), ..ours.clone() };
        let other_version = Eip712Domain { version: Some("1".into()), ..ours.clone() };
        for domain in [other_chain, other_token, other_name, other_version] {
            assert_eq!(pays(&domain), SIGNATURE, "{domain:?}");
        }
    }

    #[test]
    fn only_the_payers_own_signature_is_taken() {
        let terms = usdc(10_000);
        let authorization = Wallet::new(1).eip3009(&terms, 1)["authorization"].clone();
        let stranger = Wallet::new(2).authorize(&terms, authorization);
        assert_eq!(reason(&v2(&terms, stranger), &weather()), SIGNATURE);
        for name in ["from", "nonce", "validAfter"] {
            let value = Wallet::new(2).eip3009(&terms, 2)["authorization"][name].clone();
            let value = if name == "validAfter" { json!("1") } else { value };
            assert_eq!(changed(&format!("/authorization/{name}"), value), SIGNATURE, "{name}");
        }
    }

    /// The token's contract refuses them on chain, after our facilitator has perhaps found them good.
    #[test]
    fn a_signature_in_a_form_that_the_token_refuses_is_refused() {
        for v in [0, 1, 2, 26, 29, 255] {
            let mut signature = signature();
            signature[64] = v;
            assert_eq!(signed_with(&signature), SIGNATURE, "v = {v}");
        }
        let mut upper_half = secp256k1::ecdsa::Signature::from_compact(&signature()[..64]).unwrap().serialize_compact();
        let order = alloy_primitives::uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
        let s = order - alloy_primitives::U256::from_be_slice(&upper_half[32..]);
        upper_half[32..].copy_from_slice(&s.to_be_bytes::<32>());
        let v = if signature()[64] == 27 { 28 } else { 27 };
        assert_eq!(signed_with(&[upper_half.as_slice(), &[v]].concat()), SIGNATURE, "the twin with the other s");
        for bytes in [[0; 65], [0xff; 65]] {
            assert_eq!(signed_with(&bytes), SIGNATURE);
        }
        let nothing = [[0; 64].as_slice(), &[27]].concat();
        assert_eq!(signed_with(&nothing), SIGNATURE);
        for text in ["", "0", "bb72", "0xzz", "0x1"] {
            assert_eq!(changed("/signature", text.into()), SIGNATURE, "{text}");
        }
    }

    /// Smart accounts sign in forms of their own: the chain judges them, so they go on to the facilitator.
    #[test]
    fn a_signature_of_another_length_is_a_contracts() {
        for length in [0, 64, 66, 500] {
            assert_eq!(signed_with(&vec![7; length]), "", "{length} bytes");
        }
        let mut payload = Wallet::new(1).eip3009(&usdc(10_000), 1);
        payload["signature"] = "0x".into();
        let presented = read(&v2(&usdc(10_000), payload), &weather()).unwrap();
        assert_eq!(presented.payer, Some(Wallet::new(1).address()));
    }
}
