//! A buyer's wallet for demos: it answers a 402 with an EIP-3009 payment or a transaction of Solana, as the reference's
//! clients do.

use alloy_primitives::{B256, U256, hex};
use ed25519_dalek::SigningKey;
use secp256k1::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::eip3009::{Domain, TransferWithAuthorization, account, sign, typed_data_digest};
use super::svm_entry::SvmEntry;
use crate::money::{Address, AtomicAmount, Family, Network};
use crate::svm;
use crate::x402::{codec, v2};

/// A key to pay with, on EVM networks and on Solana. Debug output shows its EVM address only.
pub struct DemoWallet {
    key: SecretKey,
    address: alloy_primitives::Address,
    solana: SigningKey,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// Zero, or beyond the curve's order.
    #[error("this is no private key of secp256k1")]
    Key,
    /// The system has no randomness to give.
    #[error("no random bytes")]
    Random(#[source] getrandom::Error),
    /// `PAYMENT-REQUIRED` cannot be read.
    #[error("the challenge {0}")]
    Challenge(String),
    /// The challenge has nothing that can be paid by EIP-3009 or on Solana.
    #[error("the challenge accepts no payment by EIP-3009 or on Solana")]
    NothingPayable,
}

/// A payment, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPayment {
    /// The value of `PAYMENT-SIGNATURE`.
    pub header: String,
    /// How much it is, in atomic units.
    pub amount: AtomicAmount,
    /// Where.
    pub network: Network,
    /// To whom.
    pub pay_to: Address,
}

/// The challenge, with what is echoed left as text.
#[derive(Deserialize)]
struct Challenge<'a> {
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    accepts: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    extensions: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    x402_version: u8,
    payload: Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
    accepted: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload {
    Eip3009 { authorization: Authorization, signature: String },
    Svm { transaction: String },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
}

impl DemoWallet {
    /// A wallet that nobody else has.
    ///
    /// # Errors
    /// [`WalletError::Random`].
    pub fn random() -> Result<Self, WalletError> {
        Self::from_key(random()?)
    }

    /// A wallet of a given private key.
    ///
    /// # Errors
    /// [`WalletError::Key`].
    pub fn from_key(key: [u8; 32]) -> Result<Self, WalletError> {
        let solana = SigningKey::from_bytes(&key);
        let key = SecretKey::from_secret_bytes(key).map_err(|_| WalletError::Key)?;
        let address = account(&PublicKey::from_secret_key(&key));
        Ok(Self { key, address, solana })
    }

    /// Who pays, in EIP-55 spelling.
    pub fn address(&self) -> String {
        Address::from(self.address).to_string()
    }

    /// Who pays on Solana, in base58.
    pub fn solana_address(&self) -> String {
        svm::base58(&self.solana.verifying_key().to_bytes())
    }

    /// Pays the first entry of a `PAYMENT-REQUIRED` value that it can. `now` is in Unix seconds.
    ///
    /// Nothing is sent, and each call signs a new payment: to ask for the same answer again, send the same header.
    ///
    /// # Errors
    /// [`WalletError`] if the challenge is unreadable or has no such entry.
    pub fn pay(&self, payment_required: &[u8], now: u64) -> Result<SignedPayment, WalletError> {
        self.sign(payment_required, None, now, random()?.into())
    }

    /// Pays one entry of `accepts`, by its position. `now` is in Unix seconds.
    ///
    /// # Errors
    /// [`WalletError`] if the challenge is unreadable, or the entry is not there or of another kind.
    pub fn pay_entry(&self, payment_required: &[u8], position: usize, now: u64) -> Result<SignedPayment, WalletError> {
        self.sign(payment_required, Some(position), now, random()?.into())
    }

    fn sign(
        &self,
        payment_required: &[u8],
        position: Option<usize>,
        now: u64,
        nonce: B256,
    ) -> Result<SignedPayment, WalletError> {
        let json = codec::decode(payment_required).map_err(|error| WalletError::Challenge(error.to_string()))?;
        let challenge: Challenge<'_> = serde_json::from_str(&json)
            .map_err(|_| WalletError::Challenge("is not a PaymentRequired of version 2".to_owned()))?;
        let (accepted, entry) = match position {
            Some(position) => challenge.accepts.get(position).and_then(|accepted| payable(accepted)),
            None => challenge.accepts.iter().find_map(|accepted| payable(accepted)),
        }
        .ok_or(WalletError::NothingPayable)?;
        let payload = match &entry {
            Entry::Evm(entry) => self.authorize(entry, now, nonce),
            Entry::Svm(entry) => Payload::Svm { transaction: entry.sign(&self.solana, nonce.0)? },
        };
        let Challenge { resource, extensions, .. } = challenge;
        let payment = Payment { x402_version: 2, payload, resource, accepted, extensions };
        let header = codec::encode(&payment);
        Ok(match entry {
            Entry::Evm(EvmEntry { amount, network, pay_to, .. }) => {
                SignedPayment { header, amount, network, pay_to: Address::from(pay_to) }
            }
            Entry::Svm(SvmEntry { amount, network, pay_to, .. }) => {
                SignedPayment { header, amount, network, pay_to: Address::Text(pay_to.into()) }
            }
        })
    }

    fn authorize(&self, entry: &EvmEntry, now: u64, nonce: B256) -> Payload {
        let message = TransferWithAuthorization {
            from: self.address,
            to: entry.pay_to,
            value: U256::from(entry.amount.atomic()),
            validAfter: U256::ZERO,
            validBefore: U256::from(now.saturating_add(entry.seconds)),
            nonce,
        };
        let domain = Domain {
            name: &entry.domain_name,
            version: &entry.domain_version,
            chain_id: entry.chain_id,
            contract: entry.asset,
        };
        let signature = sign(typed_data_digest(&message, domain), &self.key);
        Payload::Eip3009 {
            authorization: Authorization {
                from: self.address(),
                to: Address::from(message.to).to_string(),
                value: message.value.to_string(),
                valid_after: message.validAfter.to_string(),
                valid_before: message.validBefore.to_string(),
                nonce: message.nonce.to_string(),
            },
            signature: hex::encode_prefixed(signature),
        }
    }
}

impl std::fmt::Debug for DemoWallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DemoWallet({})", self.address)
    }
}

/// An entry of `accepts` that can be paid.
enum Entry {
    Evm(EvmEntry),
    Svm(SvmEntry),
}

struct EvmEntry {
    network: Network,
    chain_id: u64,
    asset: alloy_primitives::Address,
    pay_to: alloy_primitives::Address,
    amount: AtomicAmount,
    seconds: u64,
    domain_name: String,
    domain_version: String,
}

impl Entry {
    fn parse(accepted: &RawValue) -> Option<Self> {
        let terms: v2::PaymentRequirements = serde_json::from_str(accepted.get()).ok()?;
        let network = Network::parse(&terms.network).ok()?;
        match network.family() {
            Family::Evm(chain_id) => EvmEntry::parse(&terms, network, chain_id).map(Self::Evm),
            Family::Solana => SvmEntry::parse(&terms, &network).map(Self::Svm),
            Family::Other => None,
        }
    }
}

impl EvmEntry {
    fn parse(terms: &v2::PaymentRequirements, network: Network, chain_id: u64) -> Option<Self> {
        let extra = |name: &str| terms.extra.get(name).and_then(Value::as_str).map(str::to_owned);
        if terms.scheme != "exact" || extra("assetTransferMethod").is_some_and(|method| method != "eip3009") {
            return None;
        }
        Some(Self {
            chain_id,
            asset: Address::parse(&terms.asset, &network).ok()?.evm()?,
            pay_to: Address::parse(&terms.pay_to, &network).ok()?.evm()?,
            amount: terms.amount,
            seconds: terms.max_timeout_seconds,
            domain_name: extra("name")?,
            domain_version: extra("version")?,
            network,
        })
    }
}

/// An entry as it is echoed, and as it is read.
fn payable(accepted: &RawValue) -> Option<(&RawValue, Entry)> {
    Entry::parse(accepted).map(|entry| (accepted, entry))
}

fn random() -> Result<[u8; 32], WalletError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(WalletError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{NOW, vector};
    use super::*;

    fn wallet() -> DemoWallet {
        DemoWallet::from_key([0x11; 32]).unwrap()
    }

    fn challenge(json: &Value) -> Vec<u8> {
        codec::encode(json).into_bytes()
    }

    #[test]
    fn a_payment_is_byte_for_byte_the_reference_clients() {
        let (challenge, reference) = (vector("v2-challenge"), vector("v2-eip3009-payment"));
        let header = challenge["headers"]["PAYMENT-REQUIRED"].as_str().unwrap().as_bytes();
        let payment = wallet().sign(header, None, NOW, [0xab; 32].into()).unwrap();
        assert_eq!(wallet().address(), reference["payer"]);
        assert_eq!(payment.header, reference["header_value"]);
        assert_eq!((payment.amount.atomic(), payment.network.caip2()), (10_000, "eip155:84532"));
    }

    #[test]
    fn a_payment_on_solana_is_byte_for_byte_the_reference_clients() {
        let reference = vector("v2-svm-payment");
        let wallet = DemoWallet::from_key([0x33; 32]).unwrap();
        assert_eq!(wallet.solana_address(), reference["client"]);
        let pay = |extra: &Value| {
            let mut json = vector("v2-challenge")["payment_required"].clone();
            json["accepts"] = serde_json::json!([reference["requirements"]]);
            json["accepts"][0]["extra"] = extra.clone();
            let header = wallet.pay(&challenge(&json), NOW)?.header;
            Ok::<Value, WalletError>(serde_json::from_str(&codec::decode(header.as_bytes()).unwrap()).unwrap())
        };
        let extra = &reference["requirements"]["extra"];
        assert_eq!(pay(extra).unwrap(), reference["payment_payload"]);
        let without_memo = serde_json::json!({"feePayer": extra["feePayer"]});
        assert_ne!(pay(&without_memo).unwrap()["payload"], pay(&without_memo).unwrap()["payload"]);
        assert!(matches!(pay(&serde_json::json!({})), Err(WalletError::NothingPayable)));
    }

    #[test]
    fn what_is_echoed_is_echoed_verbatim() {
        let accepted = r#"{"scheme":"exact","network":"eip155:8453","amount":"1","asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","payTo":"0x1563915e194d8cfba1943570603f7606a3115508","maxTimeoutSeconds":60,"extra":{"version":"2","name":"USD Coin","quote":"q","n":1.50}}"#;
        let resource = r#"{"url":"https://api.example.com/","tags":[ ]}"#;
        let json = format!(
            r#"{{"x402Version":2,"resource":{resource},"accepts":[{{"scheme":"upto"}},{accepted}],"extensions":{{"a":1e2}}}}"#
        );
        let header = wallet().pay(codec::encode_bytes(json.as_bytes()).as_bytes(), NOW).unwrap().header;
        let sent = codec::decode(header.as_bytes()).unwrap();
        assert!(
            sent.ends_with(&format!(r#","resource":{resource},"accepted":{accepted},"extensions":{{"a":1e2}}}}"#)),
            "{sent}"
        );
        assert_ne!(wallet().pay(codec::encode_bytes(json.as_bytes()).as_bytes(), NOW).unwrap().header, header);
    }

    #[test]
    fn what_cannot_be_paid_is_not_signed() {
        let mut json = vector("v2-challenge")["payment_required"].clone();
        json["accepts"][1]["extra"]["feePayer"] = "nobody".into();
        assert!(matches!(wallet().pay_entry(&challenge(&json), 1, NOW), Err(WalletError::NothingPayable)));
        assert!(matches!(wallet().pay_entry(&challenge(&json), 9, NOW), Err(WalletError::NothingPayable)));
        json["accepts"][0]["extra"]["assetTransferMethod"] = "permit2".into();
        assert!(matches!(wallet().pay(&challenge(&json), NOW), Err(WalletError::NothingPayable)));
        for bad in ["", "e30=", "%", "bnVsbA=="] {
            assert!(matches!(wallet().pay(bad.as_bytes(), NOW), Err(WalletError::Challenge(_))), "{bad}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", wallet()), "DemoWallet(0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A)");
        assert!(matches!(DemoWallet::from_key([0; 32]), Err(WalletError::Key)));
        assert_ne!(DemoWallet::random().unwrap().address(), DemoWallet::random().unwrap().address());
    }
}
