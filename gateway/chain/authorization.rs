//! From a stored facilitator request to what is looked for.

use std::time::SystemTime;

use alloy_primitives::U256;
use serde::Deserialize;

use super::{Authorization, Sought};
use crate::money::{Address, AtomicAmount, Network};
use crate::svm::signed_bytes;
use crate::x402::facilitator::FacilitatorRequest;
use crate::x402::{Scheme, codec};

/// Our terms, of either version, as far as the chain knows them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requirements {
    scheme: String,
    #[serde(alias = "maxAmountRequired")]
    amount: AtomicAmount,
    asset: String,
    pay_to: String,
}

#[derive(Deserialize)]
struct Envelope {
    payload: Payload,
}

/// The payload of a scheme.
#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    Eip3009(Eip3009),
    Svm(Svm),
}

/// It has nothing beside these members, as when the payment was taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Eip3009 {
    #[serde(rename = "signature")]
    _signature: String,
    authorization: Members,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    from: String,
    valid_before: String,
    nonce: String,
}

/// It may have more members, as when the payment was taken.
#[derive(Deserialize)]
struct Svm {
    transaction: String,
}

impl Sought {
    /// Reads what is looked for out of a request as it is stored. None if it cannot be looked up, as all that is not
    /// `exact`.
    ///
    /// `network` is the one of the payment by its CAIP-2 id, since version 1 has another name for it.
    pub fn of(
        request: &FacilitatorRequest,
        network: &Network,
        since: SystemTime,
        hint: Option<String>,
    ) -> Option<Self> {
        let requirements: Requirements = serde_json::from_str(request.payment_requirements.get()).ok()?;
        // Of another scheme nobody here knows what its payments look like on the chain.
        if requirements.scheme != Scheme::EXACT {
            return None;
        }
        Some(Self {
            authorization: Authorization::read(request.payment_payload.get())?,
            asset: Address::parse(&requirements.asset, network).ok()?,
            pay_to: Address::parse(&requirements.pay_to, network).ok()?,
            amount: requirements.amount,
            since,
            hint,
        })
    }
}

impl Authorization {
    /// Reads it out of a payment, of either version. None for what cannot be looked up, Permit2 for example.
    pub fn read(payment_payload: &str) -> Option<Self> {
        let envelope: Envelope = serde_json::from_str(payment_payload).ok()?;
        match envelope.payload {
            Payload::Eip3009(Eip3009 { authorization, .. }) => authorization.read(),
            Payload::Svm(Svm { transaction }) => {
                let bytes = codec::decode_bytes(&transaction).ok()?;
                Some(Self::Svm { message: signed_bytes(&bytes)?.to_vec() })
            }
        }
    }
}

impl Members {
    fn read(&self) -> Option<Authorization> {
        let from: [u8; 20] = hex(&self.from)?;
        let is_number = !self.valid_before.is_empty() && self.valid_before.bytes().all(|b| b.is_ascii_digit());
        let valid_before = is_number.then(|| U256::from_str_radix(&self.valid_before, 10))?.ok()?;
        Some(Authorization::Eip3009 {
            from: alloy_primitives::Address::from(from).into(),
            nonce: hex(&self.nonce)?,
            valid_before: valid_before.saturating_to(),
        })
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    alloy_primitives::hex::decode(text.strip_prefix("0x")?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    const FROM: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";

    fn eip3009() -> Value {
        json!({"signature": "0x00", "authorization": {
            "from": FROM, "to": FROM, "value": "10000", "validAfter": "0", "validBefore": "1777118460",
            "nonce": format!("0x{}", "01".repeat(32)),
        }})
    }

    fn read(payload: &Value) -> Option<Authorization> {
        Authorization::read(&json!({"x402Version": 2, "accepted": {}, "payload": payload}).to_string())
    }

    fn from() -> Address {
        Address::parse(FROM, &Network::parse("eip155:8453").unwrap()).unwrap()
    }

    #[test]
    fn an_eip3009_authorization_is_read_from_either_version() {
        let expected = Authorization::Eip3009 { from: from(), nonce: [1; 32], valid_before: 1_777_118_460 };
        assert_eq!(read(&eip3009()), Some(expected.clone()));
        let v1 = json!({"x402Version": 1, "scheme": "exact", "network": "base", "payload": eip3009()});
        assert_eq!(Authorization::read(&v1.to_string()), Some(expected));
        let mut for_ever = eip3009();
        for_ever["authorization"]["validBefore"] = format!("1{}", "0".repeat(77)).into();
        assert!(matches!(read(&for_ever), Some(Authorization::Eip3009 { valid_before: u64::MAX, .. })));
    }

    #[test]
    fn a_solana_transaction_is_its_message() {
        let transaction = |bytes: &[u8]| json!({"transaction": codec::encode_bytes(bytes)});
        let signed = [&[2], [0; 64].as_slice(), &[8; 64], b"message"].concat();
        assert_eq!(read(&transaction(&signed)), Some(Authorization::Svm { message: b"message".to_vec() }));
        for bad in [&[][..], &[0], b"\x00message", &[1; 65], &[1; 68], &[13; 1000], &vec![1; 1233]] {
            assert_eq!(read(&transaction(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_be_looked_up_is_none() {
        let mut both = eip3009();
        both["permit2Authorization"] = json!({});
        let permit2 = json!({"signature": "0x00", "permit2Authorization": {"from": FROM}});
        for payload in [both, permit2, json!({}), json!(null), json!([]), json!("x"), json!({"transaction": 1})] {
            assert_eq!(read(&payload), None, "{payload}");
        }
        for (name, value) in [
            ("from", "0x12"),
            ("from", FROM.trim_start_matches("0x")),
            ("nonce", "0x01"),
            ("validBefore", "-1"),
            ("validBefore", ""),
            ("validBefore", "1e9"),
            ("validBefore", "1_0"),
        ] {
            let mut payload = eip3009();
            payload["authorization"][name] = value.into();
            assert_eq!(read(&payload), None, "{name} {value}");
        }
    }

    #[test]
    fn our_terms_are_read_from_either_version() {
        let base = Network::parse("eip155:8453").unwrap();
        let terms = |amount: &str| json!({"scheme": "exact", amount: "10000", "asset": FROM, "payTo": FROM});
        for requirements in [terms("amount"), terms("maxAmountRequired")] {
            let request = FacilitatorRequest {
                x402_version: 2,
                payment_payload: to_raw_value(&json!({"payload": eip3009()})).unwrap(),
                payment_requirements: to_raw_value(&requirements).unwrap(),
            };
            let sought = Sought::of(&request, &base, SystemTime::UNIX_EPOCH, Some("0x1".into())).unwrap();
            assert_eq!((sought.amount, sought.pay_to), (AtomicAmount::new(10_000), from()));
        }
    }

    /// Another scheme's payload may look like an authorization and move something else.
    #[test]
    fn nothing_is_looked_up_of_another_scheme() {
        let base = Network::parse("eip155:8453").unwrap();
        for (scheme, found) in [("exact", true), ("upto", false), ("streamed", false)] {
            let requirements = json!({"scheme": scheme, "amount": "10000", "asset": FROM, "payTo": FROM});
            let request = FacilitatorRequest {
                x402_version: 2,
                payment_payload: to_raw_value(&json!({"payload": eip3009()})).unwrap(),
                payment_requirements: to_raw_value(&requirements).unwrap(),
            };
            assert_eq!(Sought::of(&request, &base, SystemTime::UNIX_EPOCH, None).is_some(), found, "{scheme}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".*") {
            let _ = Authorization::read(&text);
        }
    }
}
