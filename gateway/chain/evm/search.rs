//! The transaction that used a nonce up, found by its log: from the latest block back.

use std::time::UNIX_EPOCH;

use serde_json::json;

use super::Evm;
use super::judge::{Payment, Use};
use super::wire::{Block, Log, Word};
use crate::chain::{ChainError, SLACK, Sought};

const LOGS: &str = "eth_getLogs";
/// How many blocks are asked for at once: more than most servers' limit would be refused every time.
const RANGE: u64 = 2_000;
/// How often logs are asked for in one search. On Base that is six days, at the range that is begun with.
const REQUESTS_MAX: u32 = 128;

/// Where the nonce went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) transaction: Word,
    pub(super) how: Use,
}

impl Evm {
    /// Finds the use, not earlier than the payment could have been known.
    pub(super) async fn find_use(&self, payment: &Payment, tip: &Block, sought: &Sought) -> Result<Found, ChainError> {
        let oldest = sought.since.checked_sub(SLACK).and_then(|oldest| oldest.duration_since(UNIX_EPOCH).ok());
        let oldest = oldest.unwrap_or_default().as_secs();
        let (mut range, mut last) = (RANGE, tip.number.0);
        for _ in 0..REQUESTS_MAX {
            let first = last.saturating_sub(range - 1);
            match self.uses(payment, first, last).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                // The servers have no common word for a range that is too large for them.
                Err(ChainError::Refused { .. }) if range > 1 => {
                    range /= 2;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if first == 0 || self.block(Some(first)).await?.timestamp.0 < oldest {
                return Err(ChainError::NotFound);
            }
            last = first - 1;
        }
        Err(ChainError::NotFound)
    }

    async fn uses(&self, payment: &Payment, first: u64, last: u64) -> Result<Option<Found>, ChainError> {
        let filter = json!([{
            "fromBlock": format!("{first:#x}"),
            "toBlock": format!("{last:#x}"),
            "address": payment.asset.to_string(),
            "topics": payment.topics(),
        }]);
        let logs: Vec<Log> = self.rpc.call(LOGS, filter).await?;
        let mut found = None;
        for log in logs.iter().filter(|log| !log.removed) {
            let how = payment.use_in(log).filter(|_| (first..=last).contains(&log.block_number.0));
            let how = how.ok_or_else(|| ChainError::nonsense(LOGS, "a log that was not asked for"))?;
            if found.replace(Found { transaction: log.transaction_hash, how }).is_some() {
                return Err(ChainError::nonsense(LOGS, "a nonce that was used twice"));
            }
        }
        Ok(found)
    }
}
