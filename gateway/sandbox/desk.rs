//! What the sandbox's facilitator decides, without HTTP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;
use http::StatusCode;
use secp256k1::{PublicKey, SecretKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::asked::{Asked, Refused, Unasked, refused};
use super::play_money::{Denied, PlayMoney, Purse, Transfer};
use super::{eip3009, exact_evm, exact_svm};
use crate::clock::{Clock, unix_seconds};
use crate::money::{Address, AtomicAmount, Family, Network};
use crate::x402::facilitator::{SupportedKind, SupportedResponse};
use crate::x402::networks::v1_name;

/// The facilitator behind the server.
pub(super) struct Desk {
    networks: Vec<Network>,
    fee_payer: SigningKey,
    clock: Arc<dyn Clock>,
    money: Mutex<PlayMoney>,
    verified: AtomicU64,
}

impl Desk {
    pub(super) fn new(
        networks: Vec<Network>,
        balance: AtomicAmount,
        fee_payer: [u8; 32],
        clock: Arc<dyn Clock>,
    ) -> Self {
        let fee_payer = SigningKey::from_bytes(&fee_payer);
        let money = Mutex::new(PlayMoney::new(balance));
        Self { networks, fee_payer, clock, money, verified: AtomicU64::new(0) }
    }

    /// Answers `/verify`.
    pub(super) fn verify(&self, body: &[u8]) -> (StatusCode, Value) {
        self.verified.fetch_add(1, Ordering::Relaxed);
        let verdict = Asked::parse(body).and_then(|asked| self.check(&asked).map_err(Unasked::Refused));
        match verdict {
            Ok(transfer) => (StatusCode::OK, json!({"isValid": true, "payer": transfer.payer})),
            Err(Unasked::Refused(no)) => {
                (StatusCode::OK, json!({"isValid": false, "invalidReason": no.reason, "payer": no.payer}))
            }
            Err(Unasked::Malformed(why)) => (StatusCode::BAD_REQUEST, json!({"error": why})),
        }
    }

    /// Answers `/settle`.
    pub(super) fn settle(&self, body: &[u8]) -> (StatusCode, Value) {
        let asked = match Asked::parse(body) {
            Ok(asked) => asked,
            Err(Unasked::Malformed(why)) => return (StatusCode::BAD_REQUEST, json!({"error": why})),
            Err(Unasked::Refused(no)) => return (StatusCode::OK, unsettled(&no, "")),
        };
        let answer = match self.move_money(&asked) {
            Ok(transfer) => json!({
                "success": true, "transaction": transfer.transaction, "network": asked.network_name,
                "payer": transfer.payer
            }),
            Err(no) => unsettled(&no, &asked.network_name),
        };
        (StatusCode::OK, answer)
    }

    /// Answers `/supported`.
    pub(super) fn supported(&self) -> SupportedResponse {
        let fee_payer = bs58::encode(self.fee_payer.verifying_key().to_bytes()).into_string();
        let kinds = self.networks.iter().flat_map(|network| {
            let extra = (network.family() == Family::Solana)
                .then(|| serde_json::Map::from_iter([("feePayer".to_owned(), Value::String(fee_payer.clone()))]));
            let kind = move |x402_version, name: &str| SupportedKind {
                x402_version,
                scheme: "exact".to_owned(),
                network: name.to_owned(),
                extra: extra.clone(),
            };
            [Some(kind(2, network.caip2())), v1_name(network).map(|name| kind(1, name))]
        });
        let mut signers = BTreeMap::new();
        for network in &self.networks {
            match network.family() {
                Family::Evm(_) => signers.insert("eip155:*".to_owned(), vec![gas_payer()]),
                Family::Solana => signers.insert("solana:*".to_owned(), vec![fee_payer.clone()]),
                Family::Other => None,
            };
        }
        SupportedResponse { kinds: kinds.flatten().collect(), extensions: Vec::new(), signers }
    }

    /// What an account has; an EVM address in any letter case.
    pub(super) fn purses(&self, owner: &str) -> Vec<Purse> {
        let spelt = self.networks.iter().find_map(|network| Address::parse(owner, network).ok()?.evm());
        let owner = spelt.map_or_else(|| owner.to_owned(), |address| Address::from(address).to_string());
        self.money().purses(&owner)
    }

    /// How many payments have been made.
    pub(super) fn settled(&self) -> usize {
        self.money().made()
    }

    /// How often `/verify` was asked.
    pub(super) fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    /// Everything that `/verify` looks at.
    fn check(&self, asked: &Asked) -> Result<Transfer, Refused> {
        let transfer = self.check_signed(asked)?;
        self.money().check(&transfer).map_err(|denied| explain(denied, asked, &transfer, false))?;
        Ok(transfer)
    }

    /// The same once more, and then the transfer.
    fn move_money(&self, asked: &Asked) -> Result<Transfer, Refused> {
        let transfer = self.check_signed(asked)?;
        self.money().make(&transfer).map_err(|denied| explain(denied, asked, &transfer, true))?;
        tracing::debug!(network = %transfer.network, amount_atomic = %transfer.amount, "play money moved");
        Ok(transfer)
    }

    fn check_signed(&self, asked: &Asked) -> Result<Transfer, Refused> {
        if !self.networks.contains(&asked.network) {
            return Err(refused("invalid_network"));
        }
        match asked.network.family() {
            Family::Evm(_) => exact_evm::check(asked, unix_seconds(self.clock.now())),
            Family::Solana => exact_svm::check(asked, &self.fee_payer),
            Family::Other => Err(refused("unsupported_scheme")),
        }
    }

    fn money(&self) -> MutexGuard<'_, PlayMoney> {
        // A panic in the middle of a transfer would leave nothing worse than play money behind.
        self.money.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("networks", &self.networks).finish_non_exhaustive()
    }
}

fn unsettled(no: &Refused, network: &str) -> Value {
    json!({"success": false, "errorReason": no.reason, "transaction": "", "network": network, "payer": no.payer})
}

/// The reference's word for what the ledger says.
fn explain(denied: Denied, asked: &Asked, transfer: &Transfer, settling: bool) -> Refused {
    let evm = matches!(asked.network.family(), Family::Evm(_));
    let reason = match denied {
        Denied::Full => "sandbox_full",
        Denied::AlreadyMade if evm => "invalid_exact_evm_nonce_already_used",
        Denied::TooPoor if evm => "invalid_exact_evm_insufficient_balance",
        // Before it looks at anything else, the reference knows a message that it has just settled.
        Denied::AlreadyMade if settling => "duplicate_settlement",
        Denied::AlreadyMade | Denied::TooPoor => exact_svm::SIMULATION_FAILED,
    };
    Refused { reason: reason.to_owned(), payer: transfer.payer.clone() }
}

/// The account that would pay for gas. Its key is no secret: it is made from this sentence.
fn gas_payer() -> String {
    let seed: [u8; 32] = Sha256::digest("the sandbox's gas payer: play money, no chain").into();
    SecretKey::from_secret_bytes(seed)
        .map(|key| Address::from(eip3009::account(&PublicKey::from_secret_key(&key))).to_string())
        .unwrap_or_default()
}
