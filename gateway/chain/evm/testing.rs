//! A payment of 10000 to look for, and the logs of transactions that may have made it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::SolEvent as _;
use serde_json::{Value, json};

use super::judge::{AuthorizationCanceled, AuthorizationUsed, Transfer};
use crate::chain::{Authorization, Sought};
use crate::money::{self, AtomicAmount};

pub(super) const ASSET: Address = Address::repeat_byte(0xaa);
pub(super) const FROM: Address = Address::repeat_byte(1);
pub(super) const PAY_TO: Address = Address::repeat_byte(2);
pub(super) const OTHER: Address = Address::repeat_byte(3);
pub(super) const NONCE: B256 = B256::repeat_byte(7);
pub(super) const OTHER_NONCE: B256 = B256::repeat_byte(8);
pub(super) const AMOUNT: u64 = 10_000;
/// When the gateway first saw the payment, in seconds of Unix time.
pub(super) const SINCE: u64 = 1_777_118_400;
/// When its authorization ends.
pub(super) const VALID_BEFORE: u64 = SINCE + 60;

/// An event of a contract.
#[derive(Debug, Clone)]
pub(super) struct Event {
    address: Address,
    topics: Vec<B256>,
    data: Vec<u8>,
    removed: bool,
}

pub(super) fn used(from: Address, nonce: B256) -> Event {
    event(vec![AuthorizationUsed::SIGNATURE_HASH, from.into_word(), nonce], vec![])
}

pub(super) fn canceled(from: Address, nonce: B256) -> Event {
    event(vec![AuthorizationCanceled::SIGNATURE_HASH, from.into_word(), nonce], vec![])
}

pub(super) fn moved(from: Address, to: Address, value: u64) -> Event {
    let topics = vec![Transfer::SIGNATURE_HASH, from.into_word(), to.into_word()];
    event(topics, U256::from(value).to_be_bytes_vec())
}

/// The same event of another contract.
pub(super) fn elsewhere(event: Event) -> Event {
    Event { address: OTHER, ..event }
}

/// The same event, taken back by a reorganisation.
pub(super) fn removed(event: Event) -> Event {
    Event { removed: true, ..event }
}

fn event(topics: Vec<B256>, data: Vec<u8>) -> Event {
    Event { address: ASSET, topics, data, removed: false }
}

/// The events as the logs of a block's transaction, the way a node gives them.
pub(super) fn logs(events: &[Event], block: u64) -> Vec<Value> {
    let log = |(index, event): (usize, &Event)| {
        json!({
            "address": event.address.to_string().to_lowercase(),
            "topics": event.topics.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "data": hex::encode_prefixed(&event.data),
            "blockNumber": format!("{block:#x}"),
            "transactionHash": transaction(block),
            "transactionIndex": "0x0",
            "logIndex": format!("{:#x}", index + 40),
            "removed": event.removed,
        })
    };
    events.iter().enumerate().map(log).collect()
}

/// The hash of the one transaction of a block.
pub(super) fn transaction(block: u64) -> String {
    B256::from(U256::from(block)).to_string()
}

pub(super) fn sought() -> Sought {
    Sought {
        authorization: Authorization::Eip3009 {
            from: money::Address::from(FROM),
            nonce: NONCE.0,
            valid_before: VALID_BEFORE,
        },
        asset: money::Address::from(ASSET),
        pay_to: money::Address::from(PAY_TO),
        amount: AtomicAmount::new(AMOUNT.into()),
        since: since(),
        hint: None,
    }
}

pub(super) fn since() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(SINCE)
}
