//! EIP-3009 payments and EIP-1271 signatures on Ethereum and its kin.

mod inspect;
#[cfg(test)]
mod inspected;
mod judge;
mod search;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wire;

use std::time::{Duration, UNIX_EPOCH};

use alloy_primitives::{B256, hex};
use alloy_sol_types::{SolCall, sol};
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::OnceCell;

use self::judge::{Payment, Use, Verdict};
use self::wire::{Block, Data, Quantity, Receipt, Word};
use super::rpc::Rpc;
use super::{Chain, ChainError, Sighting, Sought};
use crate::money::Address;

const BLOCK: &str = "eth_getBlockByNumber";
const CALL: &str = "eth_call";
const RECEIPT: &str = "eth_getTransactionReceipt";
/// The code of JSON-RPC errors for a contract that reverted, where servers agree on one.
const REVERTED: i64 = 3;

sol! {
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
}

/// A chain by its RPC server.
#[derive(Debug)]
pub(super) struct Evm {
    rpc: Rpc,
    chain_id: u64,
    /// Set when the server has given this chain id.
    checked: OnceCell<()>,
}

impl Evm {
    pub(super) fn new(rpc: Rpc, chain_id: u64) -> Self {
        Self { rpc, chain_id, checked: OnceCell::new() }
    }

    /// Makes sure, once, that the server is one of this chain: another one has other payments.
    async fn check_chain(&self) -> Result<(), ChainError> {
        let check = async || match self.rpc.call("eth_chainId", json!([])).await? {
            Quantity(id) if id == self.chain_id => Ok(()),
            Quantity(id) => Err(ChainError::OtherChain { found: id.to_string(), expected: self.chain_id.to_string() }),
        };
        self.checked.get_or_try_init(check).await.copied()
    }

    /// A block by its number, or the latest.
    async fn block(&self, number: Option<u64>) -> Result<Block, ChainError> {
        let name = number.map_or_else(|| "latest".to_owned(), |number| format!("{number:#x}"));
        let block: Block = self.rpc.call(BLOCK, json!([name, false])).await?;
        match number.is_none_or(|number| block.number.0 == number) {
            true => Ok(block),
            false => Err(ChainError::nonsense(BLOCK, "another block")),
        }
    }

    async fn call(&self, to: alloy_primitives::Address, call: &impl SolCall, block: &str) -> Result<Data, ChainError> {
        let data = hex::encode_prefixed(call.abi_encode());
        self.rpc.call(CALL, json!([{"to": to.to_string(), "data": data}, block])).await
    }

    /// Whether the nonce is used up, in the state after a block.
    async fn is_used(&self, payment: &Payment, block: &Block) -> Result<bool, ChainError> {
        let call = authorizationStateCall { authorizer: payment.from, nonce: payment.nonce };
        let answer = self.call(payment.asset, &call, &format!("{:#x}", block.number.0)).await?;
        match answer.0.split_last() {
            Some((flag @ (0 | 1), rest)) if rest.len() == 31 && rest.iter().all(|&byte| byte == 0) => Ok(*flag == 1),
            _ => Err(ChainError::nonsense(CALL, "authorizationState gave no boolean")),
        }
    }

    /// Judges a transaction, if it is there and used the authorization.
    async fn judge(&self, payment: &Payment, transaction: Word) -> Result<Option<Sighting>, ChainError> {
        let hash = transaction.0.to_string();
        let receipt: Option<Receipt> = self.rpc.call(RECEIPT, json!([hash])).await?;
        let Some(receipt) = receipt else { return Ok(None) };
        if receipt.transaction_hash != transaction {
            return Err(ChainError::nonsense(RECEIPT, "another transaction"));
        }
        // What failed was taken back, its use of the nonce too.
        let verdict = (receipt.status == Quantity(1)).then(|| payment.judge(&receipt.logs)).flatten();
        Ok(Some(match verdict {
            None => return Ok(None),
            Some(Verdict::Unclear) => return Err(ChainError::Unclear(hash)),
            Some(Verdict::Spent) => Sighting::Spent { transaction: Some(hash) },
            Some(Verdict::Paid) => {
                let block = self.block(Some(receipt.block_number.0)).await?;
                if block.hash != receipt.block_hash {
                    return Err(ChainError::nonsense(RECEIPT, "its block is not on the chain"));
                }
                let at = UNIX_EPOCH.checked_add(Duration::from_secs(block.timestamp.0));
                let at = at.ok_or_else(|| ChainError::nonsense(BLOCK, "a time beyond all clocks"))?;
                Sighting::Paid { transaction: hash, at }
            }
        }))
    }

    /// Judges the transaction that a facilitator named, as any other.
    async fn judge_hint(&self, payment: &Payment, hint: Option<&str>) -> Result<Option<Sighting>, ChainError> {
        let hash = hint.and_then(|hint| hint.strip_prefix("0x")).and_then(|digits| hex::decode_to_array(digits).ok());
        match hash {
            Some(hash) => self.judge(payment, Word(B256::new(hash))).await,
            None => Ok(None),
        }
    }
}

#[async_trait]
impl Chain for Evm {
    async fn look_up(&self, sought: &Sought) -> Result<Sighting, ChainError> {
        let payment = Payment::of(sought)?;
        self.check_chain().await?;
        // The state is asked of this very block: in an older one the nonce may be unused although a block before this
        // one has used it in time, and that would pass for expired.
        let tip = self.block(None).await?;
        if !self.is_used(&payment, &tip).await? {
            let is_over = tip.timestamp.0 >= payment.valid_before;
            return Ok(if is_over { Sighting::Expired } else { Sighting::Open });
        }
        if let Some(sighting) = self.judge_hint(&payment, sought.hint.as_deref()).await? {
            return Ok(sighting);
        }
        let found = self.find_use(&payment, &tip, sought).await?;
        match found.how {
            Use::Canceled => Ok(Sighting::Spent { transaction: Some(found.transaction.0.to_string()) }),
            Use::Used => {
                let judged = self.judge(&payment, found.transaction).await?;
                judged.ok_or_else(|| ChainError::nonsense(RECEIPT, "it lacks what eth_getLogs has shown"))
            }
        }
    }

    async fn is_signed_by(&self, account: &Address, digest: [u8; 32], signature: &[u8]) -> Result<bool, ChainError> {
        let account = account.evm().ok_or(ChainError::Unsupported("an account of another chain"))?;
        self.check_chain().await?;
        let call = isValidSignatureCall { hash: digest.into(), signature: signature.to_vec().into() };
        match self.call(account, &call, "latest").await {
            // The magic value is the function's own selector. The zeros behind it matter: a contract that echoes its
            // input answers with the selector too.
            Ok(Data(answer)) => Ok(answer
                .split_first_chunk::<4>()
                .is_some_and(|(magic, rest)| *magic == isValidSignatureCall::SELECTOR && is_padding(rest))),
            Err(ChainError::Refused { code, message, .. }) if code == REVERTED || message.contains("revert") => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether these bytes complete a word of four.
fn is_padding(rest: &[u8]) -> bool {
    rest.len() == 28 && rest.iter().all(|&byte| byte == 0)
}
