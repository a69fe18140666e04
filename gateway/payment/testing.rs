//! What the tests of several modules need: an offer, and a wallet that pays for it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U256, address, hex};
use alloy_sol_types::{Eip712Domain, SolStruct as _, eip712_domain, sol};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};
use serde_json::{Map, Value, json};

pub(crate) use super::svm_wallet::SvmWallet;
use super::{Presented, QuoteMint, Refused};
use crate::money::{Address, Asset, AtomicAmount, Family, Network, TransferMethod};
use crate::pricing::{FeePayers, Offer, OfferKey, OnSolana, Terms};
use crate::x402::{codec, networks};

/// When the payments here are made.
pub(crate) const NOW: u64 = 1_767_225_600;

/// How long quoted prices hold here.
pub(crate) const QUOTE_TTL: Duration = Duration::from_secs(300);

/// Who pays the fees on Solana.
pub(crate) const FEE_PAYER: &str = "FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj";

/// Who pays them at other times.
pub(crate) const OTHER_FEE_PAYER: &str = "EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV";

/// Who sells on Solana.
pub(crate) const SOLANA_PAY_TO: &str = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w";

/// Who sells: nobody has the key.
pub(crate) const PAY_TO: &str = "0x1563915e194D8CfBA1943570603F7606A3115508";

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

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

/// USDC on Base, with version 1.
pub(crate) fn usdc(amount: u128) -> Terms {
    on("base", amount)
}

/// The stablecoin of any EVM network.
pub(crate) fn on(network: &str, amount: u128) -> Terms {
    terms(network, TransferMethod::Native, amount, PAY_TO, Map::new())
}

/// USDC on Base by Permit2.
pub(crate) fn usdc_by_permit2(amount: u128) -> Terms {
    terms("base", TransferMethod::Permit2, amount, PAY_TO, Map::new())
}

/// Any asset of an EVM network.
pub(crate) fn asset_on(network: &str, asset: Asset, amount: u128) -> Terms {
    let network = Network::parse(network).unwrap();
    let pay_to = Address::parse(PAY_TO, &network).unwrap();
    Terms::new(network, asset, AtomicAmount::new(amount), pay_to, 60, None, Map::new())
}

/// USDC on Solana, with a fee payer.
pub(crate) fn usdc_on_solana(amount: u128) -> Terms {
    on_solana(amount, FEE_PAYER, None)
}

/// The same with a fee payer of the facilitator's, who has named [`FEE_PAYER`] and [`OTHER_FEE_PAYER`], and a memo.
pub(crate) fn on_solana(amount: u128, fee_payer: &str, memo: Option<&str>) -> Terms {
    let terms = terms("solana", TransferMethod::Native, amount, SOLANA_PAY_TO, Map::new());
    let fee_payers = &FeePayers::new([FEE_PAYER, OTHER_FEE_PAYER], &FeePayers::default());
    terms.on_solana(OnSolana { fee_payer, fee_payer_v1: Some(fee_payer), fee_payers, memo })
}

/// A chain whose payments nobody here can read: they are passed on as they are.
pub(crate) fn elsewhere() -> Terms {
    let network = Network::parse("algorand:wGHE2Pwdvd7S12BL5FaOP20EGYesN73k").unwrap();
    let asset = Asset {
        address: Address::parse("31566704", &network).unwrap(),
        symbol: "USDC".into(),
        decimals: 6,
        domain: None,
        transfer: TransferMethod::Native,
    };
    let pay_to = Address::parse("SELLER", &network).unwrap();
    Terms::new(network, asset, AtomicAmount::new(10_000), pay_to, 60, None, Map::new())
}

fn terms(network: &str, transfer: TransferMethod, amount: u128, pay_to: &str, more: Map<String, Value>) -> Terms {
    let known = networks::known(network).unwrap();
    let (network, mut asset) = (known.network().unwrap(), known.asset(None).unwrap());
    asset.transfer = transfer;
    let pay_to = Address::parse(pay_to, &network).unwrap();
    let v1 = known.v1.filter(|_| transfer == TransferMethod::Native);
    Terms::new(network, asset, AtomicAmount::new(amount), pay_to, 60, v1, more)
}

/// Something on offer.
pub(crate) fn offer(key: OfferKey, terms: impl IntoIterator<Item = Terms>) -> Offer {
    Offer {
        key,
        resource: "https://api.example.com/weather".into(),
        description: "".into(),
        mime_type: "".into(),
        terms: terms.into_iter().map(Arc::new).collect(),
    }
}

/// One call for 0.01 USDC on Base.
pub(crate) fn weather() -> Offer {
    offer(OfferKey::call("GET", "/weather"), [usdc(10_000)])
}

pub(crate) fn mint() -> QuoteMint {
    QuoteMint::new(&[7; 32])
}

/// Reads a payment at a time, with the quotes of [`mint`].
pub(crate) fn read_at(now: u64, message: &Value, offer: &Offer) -> Result<Presented, Refused> {
    Presented::read(header(message).as_bytes(), offer, &mint(), QUOTE_TTL, now)
}

/// Reads whatever stands in a header.
pub(crate) fn read_header(header: &[u8], offer: &Offer) -> Result<Presented, Refused> {
    Presented::read(header, offer, &mint(), QUOTE_TTL, NOW)
}

/// Reads a payment at [`NOW`].
pub(crate) fn read(message: &Value, offer: &Offer) -> Result<Presented, Refused> {
    read_at(NOW, message, offer)
}

/// The reason why a payment is not taken; empty if it is.
pub(crate) fn reason(message: &Value, offer: &Offer) -> String {
    read(message, offer).map_or_else(|refused| refused.reason.into_owned(), |_| String::new())
}

/// The header of a payment.
pub(crate) fn header(message: &Value) -> String {
    codec::encode(message)
}

/// A payment of version 2 as clients send it.
pub(crate) fn v2(terms: &Terms, payload: Value) -> Value {
    let mut message = json!({"x402Version": 2, "accepted": terms.requirements()});
    message["payload"] = payload;
    message
}

/// The same with the quote that came with the terms.
pub(crate) fn quoted(terms: &Terms, payload: Value, quote: &str) -> Value {
    let mut message = v2(terms, payload);
    message["accepted"]["extra"]["quote"] = quote.into();
    message
}

/// A payment of version 1 as clients send it.
pub(crate) fn v1(terms: &Terms, payload: Value) -> Value {
    let mut message = json!({"x402Version": 1, "scheme": "exact", "network": terms.v1_network});
    message["payload"] = payload;
    message
}

/// A key to pay with.
pub(crate) struct Wallet(SecretKey);

impl Wallet {
    pub(crate) fn new(key: u8) -> Self {
        Self(SecretKey::from_secret_bytes([key; 32]).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let key = PublicKey::from_secret_key(&self.0).serialize_uncompressed();
        Address::from(alloy_primitives::Address::from_word(alloy_primitives::keccak256(&key[1..])))
    }

    /// An EIP-3009 payload on some terms. Each nonce is another payment.
    pub(crate) fn eip3009(&self, terms: &Terms, nonce: u8) -> Value {
        let authorization = json!({
            "from": self.address(),
            "to": terms.pay_to,
            "value": terms.amount,
            "validAfter": "0",
            "validBefore": (NOW + terms.max_timeout_seconds).to_string(),
            "nonce": hex::encode_prefixed([nonce; 32]),
        });
        self.authorize(terms, authorization)
    }

    /// An EIP-3009 payload with the signature on just this authorization.
    pub(crate) fn authorize(&self, terms: &Terms, authorization: Value) -> Value {
        self.authorize_in(&domain(terms), authorization)
    }

    /// The same for any token on any chain.
    pub(crate) fn authorize_in(&self, domain: &Eip712Domain, authorization: Value) -> Value {
        let message = TransferWithAuthorization {
            from: text(&authorization, "from").parse().unwrap(),
            to: text(&authorization, "to").parse().unwrap(),
            value: number(&authorization, "value"),
            validAfter: number(&authorization, "validAfter"),
            validBefore: number(&authorization, "validBefore"),
            nonce: text(&authorization, "nonce").parse().unwrap(),
        };
        let signature = self.sign(message.eip712_signing_hash(domain));
        let mut payload = json!({"signature": signature});
        payload["authorization"] = authorization;
        payload
    }

    /// A Permit2 payload on some terms.
    pub(crate) fn permit2(&self, terms: &Terms, nonce: u8) -> Value {
        self.permit(
            chain_id(terms),
            json!({
                "from": self.address(),
                "permitted": {"token": terms.asset.address, "amount": terms.amount},
                "spender": "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
                "nonce": nonce.to_string(),
                "deadline": (NOW + terms.max_timeout_seconds).to_string(),
                "witness": {"to": terms.pay_to, "validAfter": "0"},
            }),
        )
    }

    /// A Permit2 payload with the signature on just this authorization.
    pub(crate) fn permit(&self, chain_id: u64, authorization: Value) -> Value {
        let (permitted, witness) = (&authorization["permitted"], &authorization["witness"]);
        let message = PermitWitnessTransferFrom {
            permitted: TokenPermissions {
                token: text(permitted, "token").parse().unwrap(),
                amount: number(permitted, "amount"),
            },
            spender: text(&authorization, "spender").parse().unwrap(),
            nonce: number(&authorization, "nonce"),
            deadline: number(&authorization, "deadline"),
            witness: Witness { to: text(witness, "to").parse().unwrap(), validAfter: number(witness, "validAfter") },
        };
        let domain = eip712_domain! {
            name: "Permit2",
            chain_id: chain_id,
            verifying_contract: address!("000000000022D473030F116dDEE9F6B43aC78BA3"),
        };
        let mut payload = json!({"signature": self.sign_typed(&message, &domain)});
        payload["permit2Authorization"] = authorization;
        payload
    }

    /// Signs typed data of another form.
    pub(crate) fn sign_typed(&self, message: &impl alloy_sol_types::SolStruct, domain: &Eip712Domain) -> String {
        self.sign(message.eip712_signing_hash(domain))
    }

    fn sign(&self, digest: B256) -> String {
        let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.0);
        let (recovery, rs) = signature.serialize_compact();
        format!("{}{:02x}", hex::encode_prefixed(rs), 27 + recovery.to_u8())
    }
}

/// What payers of some terms sign for.
pub(crate) fn domain(terms: &Terms) -> Eip712Domain {
    let domain = terms.asset.domain.clone().unwrap();
    eip712_domain! {
        name: domain.name.to_string(),
        version: domain.version.to_string(),
        chain_id: chain_id(terms),
        verifying_contract: terms.asset.address.evm().unwrap(),
    }
}

fn chain_id(terms: &Terms) -> u64 {
    let Family::Evm(chain_id) = terms.network.family() else { panic!("{} is no EVM network", terms.network) };
    chain_id
}

/// The network of [`usdc`].
pub(crate) fn base() -> Network {
    Network::parse("eip155:8453").unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn number(value: &Value, name: &str) -> U256 {
    text(value, name).parse().unwrap()
}
