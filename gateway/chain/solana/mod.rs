//! Solana payments: a transaction is known by its message, since its first signature is the facilitator's.
//!
//! Its success is the payment if the message is an ordinary wallet's transfer, or if the receiver has that much more
//! afterwards.

mod inspect;
#[cfg(test)]
mod inspected;
mod message;
mod received;
#[cfg(test)]
mod receiving;
#[cfg(test)]
mod tests;

use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use self::message::Message;
use self::received::{Balance, is_transfer, received};
use super::rpc::Rpc;
use super::{Authorization, Block, Chain, ChainError, SLACK, Sighting, Sought};
use crate::clock::unix_seconds;
use crate::money::{Address, Network};
use crate::svm::{pubkey, signed_bytes};
use crate::x402::codec;

const BLOCK_TIME: &str = "getBlockTime";
const NEWEST_BLOCK: &str = "getLatestBlockhash";
const TRANSACTION: &str = "getTransaction";
/// How many signatures a server gives at once.
const PAGE: usize = 1000;
/// How many pages of them are read.
const PAGES_MAX: usize = 10;
/// How many transactions are compared in one search.
const CANDIDATES_MAX: usize = 200;
/// So much later the finalized chain knows every blockhash that a payer can have signed: it is some 15 s behind, and
/// its time some 30 s at most.
const KNOWN_AFTER_S: u64 = 120;
/// Servers keep a few days of history, and an empty list of an older time proves nothing.
const HISTORY_S: u64 = 24 * 60 * 60;
/// The first characters of the genesis hash are the network's reference in its CAIP-2 id.
const REFERENCE_CHARS: usize = 32;

/// A cluster by its RPC server.
#[derive(Debug)]
pub(super) struct Solana {
    rpc: Rpc,
    network: Network,
    /// Set when the server has given this cluster's genesis hash.
    checked: OnceCell<()>,
}

#[derive(Deserialize)]
struct Validity {
    context: Context,
    value: bool,
}

#[derive(Deserialize)]
struct Context {
    slot: u64,
}

#[derive(Deserialize)]
struct Newest {
    value: NewestBlock,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewestBlock {
    blockhash: String,
    last_valid_block_height: u64,
}

/// A transaction of an account.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    signature: String,
    /// Seconds of Unix time.
    block_time: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    /// Text and encoding.
    transaction: (String, String),
    meta: Meta,
    block_time: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    /// Null for success, and never absent.
    err: Value,
    /// Absent or null where the server does not keep them.
    pre_token_balances: Option<Vec<Balance>>,
    post_token_balances: Option<Vec<Balance>>,
}

impl Solana {
    pub(super) fn new(rpc: Rpc, network: &Network) -> Self {
        Self { rpc, network: network.clone(), checked: OnceCell::new() }
    }

    /// Makes sure, once, that the server is one of this cluster: another one has other payments.
    async fn check_chain(&self) -> Result<(), ChainError> {
        let check = async || {
            let hash: String = self.rpc.call("getGenesisHash", json!([])).await?;
            let found: String = hash.chars().take(REFERENCE_CHARS).filter(char::is_ascii_alphanumeric).collect();
            let expected = self.network.caip2().split_once(':').map_or("", |(_, reference)| reference);
            match found == expected {
                true => Ok(()),
                false => Err(ChainError::OtherChain { found, expected: expected.to_owned() }),
            }
        };
        self.checked.get_or_try_init(check).await.copied()
    }

    /// What can be said of a message that is not on the chain, with the slot of which it can be said.
    async fn unseen(&self, message: &Message, since: u64) -> Result<(Result<Sighting, ChainError>, u64), ChainError> {
        let params = json!([message.blockhash, {"commitment": "finalized"}]);
        let Validity { context: Context { slot }, value: is_valid } = self.rpc.call("isBlockhashValid", params).await?;
        if message.is_durable {
            return Ok((Err(ChainError::Unsupported("a transaction with a durable nonce")), slot));
        }
        if is_valid {
            return Ok((Ok(Sighting::Open), slot));
        }
        let time: u64 = self.rpc.call(BLOCK_TIME, json!([slot])).await?;
        // A blockhash is invalid when it is too old, and also when the finalized chain has not come to it yet. The payer
        // had it when we saw the payment, so it is known once the chain is well beyond that time.
        Ok(match time.checked_sub(since) {
            None | Some(..KNOWN_AFTER_S) => (Ok(Sighting::Open), slot),
            Some(..HISTORY_S) => (Ok(Sighting::Expired), slot),
            Some(_) => (Err(ChainError::TooOld), slot),
        })
    }

    /// Finds the transaction among those of the account that signed it, from a server that is at `slot` at least.
    async fn find(
        &self,
        message: &Message,
        (sought, bytes): (&Sought, &[u8]),
        since: u64,
        slot: u64,
    ) -> Result<Option<Sighting>, ChainError> {
        let mut candidates = self.candidates(&message.authority, since, slot).await?;
        // A payment is on the chain soon after it was seen.
        candidates.sort_by_key(|entry| entry.block_time.map_or(0, |time| time.abs_diff(since)));
        for Entry { signature, .. } in candidates.iter().take(CANDIDATES_MAX) {
            let transaction = self.transaction(signature).await?;
            let transaction =
                transaction.ok_or_else(|| ChainError::nonsense(TRANSACTION, "it is listed and not there"))?;
            if let Some(sighting) = transaction.judge(signature, sought, bytes)? {
                return Ok(Some(sighting));
            }
        }
        if candidates.len() > CANDIDATES_MAX { Err(ChainError::TooMany) } else { Ok(None) }
    }

    /// The transactions of an account in the time in which the payment can have been made: a blockhash is good for a
    /// minute or two.
    async fn candidates(&self, account: &str, since: u64, slot: u64) -> Result<Vec<Entry>, ChainError> {
        let (first, last) = (since.saturating_sub(SLACK.as_secs()), since.saturating_add(SLACK.as_secs()));
        let mut options = json!({"limit": PAGE, "commitment": "confirmed", "minContextSlot": slot});
        let mut candidates = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: Vec<Entry> = self.rpc.call("getSignaturesForAddress", json!([account, options])).await?;
            // Not fewer than asked for, but none: some servers give fewer at once.
            let Some(oldest) = page.last() else { return Ok(candidates) };
            let is_last = oldest.block_time.is_some_and(|time| time < first);
            if let Some(options) = options.as_object_mut() {
                options.insert("before".to_owned(), oldest.signature.clone().into());
            }
            let may_be = |entry: &Entry| entry.block_time.is_none_or(|time| (first..=last).contains(&time));
            candidates.extend(page.into_iter().filter(may_be));
            if is_last {
                return Ok(candidates);
            }
        }
        Err(ChainError::TooMany)
    }

    async fn transaction(&self, signature: &str) -> Result<Option<Transaction>, ChainError> {
        let options = json!({"encoding": "base64", "commitment": "confirmed", "maxSupportedTransactionVersion": 0});
        self.rpc.call(TRANSACTION, json!([signature, options])).await
    }

    /// Judges the transaction that a facilitator named, as any other.
    async fn judge_hint(&self, sought: &Sought, bytes: &[u8]) -> Result<Option<Sighting>, ChainError> {
        let is_signature = |hint: &&str| bs58::decode(hint).into_vec().is_ok_and(|bytes| bytes.len() == 64);
        let Some(signature) = sought.hint.as_deref().filter(is_signature) else { return Ok(None) };
        match self.transaction(signature).await? {
            Some(transaction) => transaction.judge(signature, sought, bytes),
            None => Ok(None),
        }
    }
}

impl Transaction {
    /// What it says of the payment, if it is the one.
    fn judge(&self, signature: &str, sought: &Sought, message: &[u8]) -> Result<Option<Sighting>, ChainError> {
        let nonsense = |why| ChainError::nonsense(TRANSACTION, why);
        let (text, encoding) = &self.transaction;
        let bytes = codec::decode_bytes(text).ok().filter(|_| encoding == "base64");
        let bytes = bytes.ok_or_else(|| nonsense("it is not in base64"))?;
        // Another transaction of the account may have more signatures than a payment can: then it is not the one.
        if signed_bytes(&bytes) != Some(message) {
            return Ok(None);
        }
        let signature = signature.to_owned();
        if !self.meta.err.is_null() {
            // It has failed on the chain, which takes no message twice.
            return Ok(Some(Sighting::Spent { transaction: Some(signature) }));
        }
        let time = self.block_time.ok_or_else(|| nonsense("its block has no time"))?;
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(time));
        let at = at.ok_or_else(|| nonsense("a time beyond all clocks"))?;
        if is_transfer(message, sought) {
            return Ok(Some(Sighting::Paid { transaction: signature, at }));
        }
        match self.meta.received(sought) {
            Some(0) => Ok(Some(Sighting::Spent { transaction: Some(signature) })),
            Some(received) if received >= sought.amount.atomic() => {
                Ok(Some(Sighting::Paid { transaction: signature, at }))
            }
            // A part of the price, or nobody says how much.
            _ => Err(ChainError::Unclear(signature)),
        }
    }
}

impl Meta {
    fn received(&self, sought: &Sought) -> Option<u128> {
        received(self.pre_token_balances.as_deref()?, self.post_token_balances.as_deref()?, sought)
    }
}

#[async_trait]
impl Chain for Solana {
    async fn look_up(&self, sought: &Sought) -> Result<Sighting, ChainError> {
        let Authorization::Svm { message: bytes } = &sought.authorization else {
            return Err(ChainError::Unsupported("such a payment"));
        };
        let message = Message::parse(bytes).ok_or(ChainError::Unsupported("such a message"))?;
        self.check_chain().await?;
        if let Some(sighting) = self.judge_hint(sought, bytes).await? {
            return Ok(sighting);
        }
        let since = unix_seconds(sought.since);
        // In this order: a payment that is not found can still be made as long as its blockhash is good, and be made
        // between the two questions. When the finalized chain is past the blockhash, whatever was made of it is in
        // the list that is read afterwards, of a server that is as far.
        let (unseen, slot) = self.unseen(&message, since).await?;
        match self.find(&message, (sought, bytes), since, slot).await? {
            Some(sighting) => Ok(sighting),
            None => unseen,
        }
    }

    async fn newest_block(&self) -> Result<Block, ChainError> {
        self.check_chain().await?;
        // As the reference's server asks: a finalized block would be half its life old.
        let params = json!([{"commitment": "confirmed"}]);
        let Newest { value: NewestBlock { blockhash, last_valid_block_height } } =
            self.rpc.call(NEWEST_BLOCK, params).await?;
        // It goes to strangers, who sign it.
        match pubkey(&blockhash) {
            Some(_) => Ok(Block { hash: blockhash, last_valid_height: last_valid_block_height }),
            None => Err(ChainError::nonsense(NEWEST_BLOCK, "its hash is not 32 bytes of base58")),
        }
    }

    async fn is_signed_by(&self, _: &Address, _: [u8; 32], _: &[u8]) -> Result<bool, ChainError> {
        Err(ChainError::Unsupported("a contract's signature"))
    }
}
