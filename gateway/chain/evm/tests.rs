//! The look-up against a node that is small, and against nodes that lie.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use alloy_primitives::{B256, U256, hex};
use serde_json::{Value, json};

use super::Evm;
use super::testing::{
    AMOUNT, Event, FROM, NONCE, OTHER, PAY_TO, SINCE, VALID_BEFORE, canceled, logs, moved, removed, since, sought,
    transaction, used,
};
use crate::chain::rpc::Rpc;
use crate::chain::scripted::{Reply, Scripted};
use crate::chain::{Authorization, Chain as _, ChainError, Sighting, Sought};
use crate::money::Address;

/// Seconds between two blocks.
const PACE: u64 = 2;
/// The block at the time when the payment was first seen.
const BLOCK: u64 = 1_000_000;

/// A node's chain: one transaction in some blocks.
#[derive(Debug, Clone)]
struct Node {
    latest: u64,
    used: bool,
    transactions: BTreeMap<u64, Vec<Event>>,
    failed: bool,
    range_max: u64,
}

impl Node {
    /// A chain whose latest block is this one, with a transaction.
    fn new(latest: u64, block: u64, events: &[Event]) -> Self {
        let transactions = [(block, events.to_vec())].into();
        Self { latest, used: !events.is_empty(), transactions, failed: false, range_max: 10_000 }
    }

    fn paid(latest: u64, block: u64) -> Self {
        Self::new(latest, block, &[used(FROM, NONCE), moved(FROM, PAY_TO, AMOUNT)])
    }

    fn answer(&self, method: &str, params: &Value) -> Reply {
        match method {
            "eth_chainId" => Reply::Result("0x2105".into()),
            "eth_getBlockByNumber" => {
                let number = if params[0] == "latest" { self.latest } else { number(&params[0]) };
                let timestamp = SINCE + number * PACE - BLOCK * PACE;
                Reply::Result(json!({
                    "number": format!("{number:#x}"), "hash": hash(number), "timestamp": format!("{timestamp:#x}"),
                    "transactions": [],
                }))
            }
            "eth_call" => Reply::Result(B256::from(U256::from(self.used)).to_string().into()),
            "eth_getLogs" => self.logs(&params[0]),
            "eth_getTransactionReceipt" => Reply::Result(self.receipt(&params[0])),
            other => panic!("{other} is not asked for"),
        }
    }

    fn logs(&self, filter: &Value) -> Reply {
        let (first, last) = (number(&filter["fromBlock"]), number(&filter["toBlock"]));
        if last - first >= self.range_max {
            return Reply::Error(-32_600, "the block range is too large");
        }
        let found = self.transactions.range(first..=last).flat_map(|(block, events)| logs(events, *block));
        Reply::Result(found.filter(|log| is_asked_for(log, filter)).collect())
    }

    fn receipt(&self, hash_asked: &Value) -> Value {
        let Some((block, events)) = self.transactions.iter().find(|(block, _)| transaction(**block) == *hash_asked)
        else {
            return Value::Null;
        };
        json!({
            "transactionHash": transaction(*block), "blockHash": hash(*block), "blockNumber": format!("{block:#x}"),
            "status": if self.failed { "0x0" } else { "0x1" }, "logs": logs(events, *block), "gasUsed": "0x5208",
        })
    }
}

fn is_asked_for(log: &Value, filter: &Value) -> bool {
    let asked = filter["topics"].as_array().unwrap();
    let is_topic = |(at, asked): (usize, &Value)| match asked.as_array() {
        Some(either) => either.contains(&log["topics"][at]),
        None => *asked == log["topics"][at],
    };
    log["address"].as_str().unwrap().eq_ignore_ascii_case(filter["address"].as_str().unwrap())
        && asked.iter().enumerate().all(is_topic)
}

fn number(quantity: &Value) -> u64 {
    u64::from_str_radix(quantity.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn hash(block: u64) -> String {
    B256::from(U256::from(block) << 64).to_string()
}

fn evm(server: &Scripted) -> Evm {
    Evm::new(Rpc::new(server.url()).unwrap(), 8453)
}

async fn serve(node: &Node) -> Scripted {
    let node = node.clone();
    Scripted::start(move |method, params| node.answer(method, params)).await
}

async fn seen(node: &Node) -> Result<Sighting, ChainError> {
    seen_of(node, &sought()).await
}

async fn seen_of(node: &Node, sought: &Sought) -> Result<Sighting, ChainError> {
    evm(&serve(node).await).look_up(sought).await
}

/// What is seen of a node that has a payment, with the answers of one method put in others' place.
async fn seen_with(method: &'static str, reply: Reply) -> Result<Sighting, ChainError> {
    let node = Node::paid(BLOCK + 9, BLOCK + 3);
    let server = Scripted::start(move |asked, params| match asked == method {
        true => reply.clone(),
        false => node.answer(asked, params),
    });
    evm(&server.await).look_up(&sought()).await
}

fn paid_in(block: u64) -> Sighting {
    let at = since() + Duration::from_secs(block * PACE) - Duration::from_secs(BLOCK * PACE);
    Sighting::Paid { transaction: transaction(block), at }
}

fn spent_in(block: u64) -> Sighting {
    Sighting::Spent { transaction: Some(transaction(block)) }
}

#[tokio::test]
async fn a_payment_is_found_with_its_transaction_and_time() {
    assert_eq!(seen(&Node::paid(BLOCK + 9, BLOCK + 3)).await, Ok(paid_in(BLOCK + 3)));
    assert_eq!(seen(&Node::paid(BLOCK + 3, BLOCK + 3)).await, Ok(paid_in(BLOCK + 3)), "in the latest block");
    assert_eq!(seen(&Node::paid(BLOCK, BLOCK - 200)).await, Ok(paid_in(BLOCK - 200)), "by a clock that is slow");
}

#[tokio::test]
async fn an_unused_authorization_is_open_until_a_block_is_too_late_for_it() {
    let at = |seconds: u64| Node::new(BLOCK + (seconds - SINCE) / PACE, BLOCK, &[]);
    assert_eq!(seen(&at(SINCE)).await, Ok(Sighting::Open));
    assert_eq!(seen(&at(VALID_BEFORE - PACE)).await, Ok(Sighting::Open));
    assert_eq!(seen(&at(VALID_BEFORE)).await, Ok(Sighting::Expired));
    let for_ever = Authorization::Eip3009 { from: Address::from(FROM), nonce: NONCE.0, valid_before: u64::MAX };
    let for_ever = Sought { authorization: for_ever, ..sought() };
    assert_eq!(seen_of(&at(VALID_BEFORE), &for_ever).await, Ok(Sighting::Open));
}

#[tokio::test]
async fn the_state_is_asked_of_the_block_whose_time_counts() {
    let server = serve(&Node::new(BLOCK + 9, BLOCK, &[])).await;
    evm(&server).look_up(&sought()).await.unwrap();
    assert_eq!(server.methods(), ["eth_chainId", "eth_getBlockByNumber", "eth_call"]);
    let asked = server.asked("eth_call");
    assert_eq!(asked[0][1], format!("{:#x}", BLOCK + 9));
    assert_eq!(asked[0][0]["data"], format!("0xe94a0102{}{}", hex::encode(FROM.into_word()), hex::encode(NONCE)));
}

#[tokio::test]
async fn what_used_the_nonce_without_paying_has_spent_it() {
    for events in [
        vec![canceled(FROM, NONCE)],
        vec![used(FROM, NONCE), moved(FROM, FROM, AMOUNT)],
        vec![used(FROM, NONCE), moved(FROM, FROM, AMOUNT), moved(FROM, PAY_TO, AMOUNT)],
        vec![used(FROM, NONCE), moved(FROM, PAY_TO, AMOUNT - 1)],
        vec![used(FROM, NONCE), moved(FROM, OTHER, AMOUNT)],
    ] {
        assert_eq!(seen(&Node::new(BLOCK + 9, BLOCK + 3, &events)).await, Ok(spent_in(BLOCK + 3)), "{events:?}");
    }
}

#[tokio::test]
async fn an_order_of_logs_that_shows_nothing_is_no_answer() {
    let events = [used(FROM, NONCE), used(OTHER, NONCE), moved(FROM, PAY_TO, AMOUNT)];
    let seen = seen(&Node::new(BLOCK + 9, BLOCK + 3, &events)).await;
    assert_eq!(seen, Err(ChainError::Unclear(transaction(BLOCK + 3))));
}

#[tokio::test]
async fn a_hint_is_tried_first_and_judged_like_any_other() {
    let mut node = Node::paid(BLOCK + 9, BLOCK + 3);
    node.transactions.insert(BLOCK + 4, vec![moved(FROM, PAY_TO, AMOUNT)]);
    let unknown = B256::repeat_byte(9).to_string();
    for (hint, searches) in [
        (transaction(BLOCK + 3), 0),
        (transaction(BLOCK + 3).to_uppercase().replacen("0X", "0x", 1), 0),
        (transaction(BLOCK + 4), 1),
        (unknown, 1),
        (String::new(), 1),
        ("0x12".to_owned(), 1),
        ("pending; ask again".to_owned(), 1),
    ] {
        let server = serve(&node).await;
        let seen = evm(&server).look_up(&Sought { hint: Some(hint.clone()), ..sought() }).await;
        assert_eq!((seen, server.asked("eth_getLogs").len()), (Ok(paid_in(BLOCK + 3)), searches), "{hint}");
    }
    let burnt = Node::new(BLOCK + 9, BLOCK + 3, &[used(FROM, NONCE), moved(FROM, FROM, 1)]);
    let seen = seen_of(&burnt, &Sought { hint: Some(transaction(BLOCK + 3)), ..sought() }).await;
    assert_eq!(seen, Ok(spent_in(BLOCK + 3)));
}

#[tokio::test]
async fn the_search_goes_back_as_far_as_the_payment_can_be() {
    let node = Node::paid(BLOCK + 9_000, BLOCK);
    let server = serve(&node).await;
    assert_eq!(evm(&server).look_up(&sought()).await, Ok(paid_in(BLOCK)));
    assert_eq!(server.asked("eth_getLogs").len(), 5);
    let older = Node::paid(BLOCK + 9_000, BLOCK - 5_000);
    let server = serve(&older).await;
    assert_eq!(evm(&server).look_up(&sought()).await, Err(ChainError::NotFound));
    assert_eq!(server.asked("eth_getLogs").len(), 5, "ten minutes before it was first seen are enough");
    let endless = Node::paid(BLOCK + 9_000_000, BLOCK);
    assert_eq!(seen(&endless).await, Err(ChainError::NotFound), "the search has a bound");
    let young = Sought { since: UNIX_EPOCH, ..sought() };
    let none = Node { used: true, ..Node::new(BLOCK + 9, BLOCK, &[]) };
    assert_eq!(seen_of(&none, &young).await, Err(ChainError::NotFound));
}

#[tokio::test]
async fn a_range_that_is_refused_is_halved() {
    for range_max in [1, 10, 500, 1_000, 1_999] {
        let node = Node { range_max, ..Node::paid(BLOCK + 9, BLOCK + 3) };
        assert_eq!(seen(&node).await, Ok(paid_in(BLOCK + 3)), "{range_max}");
    }
    let node = Node { range_max: 0, ..Node::paid(BLOCK + 9, BLOCK + 3) };
    let server = serve(&node).await;
    let seen = evm(&server).look_up(&sought()).await;
    assert!(matches!(seen, Err(ChainError::Refused { code: -32_600, .. })), "{seen:?}");
    assert_eq!(server.asked("eth_getLogs").len(), 11);
}

#[tokio::test]
async fn a_node_of_another_chain_proves_nothing_and_is_asked_again() {
    let node = Node::paid(BLOCK + 9, BLOCK + 3);
    let server = Scripted::start(move |method, params| match method {
        "eth_chainId" => Reply::Result("0x14a34".into()),
        _ => node.answer(method, params),
    });
    let server = server.await;
    let evm = evm(&server);
    let other = ChainError::OtherChain { found: "84532".into(), expected: "8453".into() };
    assert_eq!(evm.look_up(&sought()).await, Err(other.clone()));
    assert_eq!(evm.is_signed_by(&Address::from(FROM), [0; 32], &[]).await, Err(other));
    assert_eq!(server.methods(), ["eth_chainId", "eth_chainId"]);
}

#[tokio::test]
async fn the_chain_is_asked_for_its_id_once() {
    let server = serve(&Node::paid(BLOCK + 9, BLOCK + 3)).await;
    let evm = evm(&server);
    evm.look_up(&sought()).await.unwrap();
    evm.look_up(&sought()).await.unwrap();
    assert_eq!(server.asked("eth_chainId").len(), 1);
}

#[tokio::test]
async fn answers_that_contradict_each_other_are_no_answer() {
    let failed = Node { failed: true, ..Node::paid(BLOCK + 9, BLOCK + 3) };
    let seen_failed = seen(&failed).await;
    assert!(matches!(seen_failed, Err(ChainError::Nonsense { .. })), "{seen_failed:?}");
    let taken_back = Node::new(BLOCK + 9, BLOCK + 3, &[removed(used(FROM, NONCE)), moved(FROM, PAY_TO, AMOUNT)]);
    assert_eq!(seen(&taken_back).await, Err(ChainError::NotFound));
    let mut twice = Node::paid(BLOCK + 9, BLOCK + 3);
    twice.transactions.insert(BLOCK + 4, vec![used(FROM, NONCE)]);
    let seen_twice = seen(&twice).await;
    assert!(matches!(seen_twice, Err(ChainError::Nonsense { .. })), "{seen_twice:?}");
    let mut other_block = Node::paid(BLOCK + 9, BLOCK + 3).receipt(&transaction(BLOCK + 3).into());
    other_block["blockHash"] = hash(BLOCK + 4).into();
    let mut other_receipt = other_block.clone();
    other_receipt["transactionHash"] = transaction(BLOCK + 4).into();
    for (method, result) in [
        ("eth_getTransactionReceipt", other_block),
        ("eth_getTransactionReceipt", other_receipt),
        ("eth_getLogs", logs(&[used(FROM, NONCE)], BLOCK + 90_000).into()),
        ("eth_getLogs", logs(&[used(OTHER, NONCE)], BLOCK + 3).into()),
        ("eth_getLogs", logs(&[moved(FROM, PAY_TO, AMOUNT)], BLOCK + 3).into()),
    ] {
        let seen = seen_with(method, Reply::Result(result.clone())).await;
        assert!(matches!(seen, Err(ChainError::Nonsense { .. })), "{method} {result}: {seen:?}");
    }
}

#[tokio::test]
async fn nonsense_is_never_a_sighting() {
    let methods = ["eth_chainId", "eth_getBlockByNumber", "eth_call", "eth_getLogs", "eth_getTransactionReceipt"];
    let block = |timestamp: &str| json!({"number": "0xf4249", "hash": hash(BLOCK + 9), "timestamp": timestamp});
    let word = |byte: &str| Value::from(format!("0x{}", byte.repeat(32)));
    let replies = [
        json!(null),
        json!(false),
        json!(1e300),
        json!("0x"),
        json!(""),
        json!("<html>"),
        json!({}),
        json!([null]),
        json!([{}]),
        json!({"status": "0x1", "logs": []}),
        word("02"),
        word("01"),
        word("ff"),
        Value::from(format!("0x{}", "f".repeat(100_000))),
        block("0xffffffffffffffffff"),
        block("-1"),
    ];
    for method in methods {
        for reply in &replies {
            let seen = seen_with(method, Reply::Result(reply.clone())).await;
            assert!(seen.is_err(), "{method} {reply}: {seen:?}");
        }
        for reply in [Reply::Error(-32_000, "no"), Reply::Raw(200, "<html>".into()), Reply::Raw(502, String::new())] {
            let seen = seen_with(method, reply.clone()).await;
            assert!(seen.is_err(), "{method} {reply:?}: {seen:?}");
        }
    }
    let far = seen_with("eth_getBlockByNumber", Reply::Result(block("0xffffffffffffffff"))).await;
    assert!(far.is_err(), "{far:?}");
}

#[tokio::test]
async fn what_is_of_another_family_is_not_asked_for() {
    let server = serve(&Node::paid(BLOCK + 9, BLOCK + 3)).await;
    let svm = Sought { authorization: Authorization::Svm { message: vec![1; 200] }, ..sought() };
    let asset = Sought { asset: Address::Text("x".into()), ..sought() };
    for sought in [svm, asset] {
        let seen = evm(&server).look_up(&sought).await;
        assert!(matches!(seen, Err(ChainError::Unsupported(_))), "{seen:?}");
    }
    assert!(server.methods().is_empty());
}

async fn is_signed(reply: Reply) -> Result<bool, ChainError> {
    let server = Scripted::start(move |method, _| match method {
        "eth_chainId" => Reply::Result("0x2105".into()),
        _ => reply.clone(),
    });
    let server = server.await;
    let signed = evm(&server).is_signed_by(&Address::from(FROM), [7; 32], &[1, 2, 3]).await;
    let data = server.asked("eth_call")[0][0]["data"].as_str().unwrap().to_owned();
    assert!(data.starts_with(&format!("0x1626ba7e{}", "07".repeat(32))) && data.contains("010203"), "{data}");
    signed
}

#[tokio::test]
async fn a_contract_says_which_signatures_are_its_own() {
    let word = |first: &str| Reply::Result(format!("0x{first:0<64}").into());
    assert_eq!(is_signed(word("1626ba7e")).await, Ok(true));
    for no in [word("ffffffff"), word(""), word("1626ba7e01"), Reply::Result("0x".into())] {
        assert_eq!(is_signed(no.clone()).await, Ok(false), "{no:?}");
    }
    assert_eq!(is_signed(Reply::Result("0x1626ba7e".into())).await, Ok(false), "four bytes are no word");
    assert_eq!(is_signed(Reply::Error(3, "execution reverted")).await, Ok(false));
    assert_eq!(is_signed(Reply::Error(-32_000, "execution reverted: GS026")).await, Ok(false));
    for none in [Reply::Error(-32_005, "slow down"), Reply::Result(json!(null)), Reply::Raw(500, String::new())] {
        assert!(is_signed(none.clone()).await.is_err(), "{none:?}");
    }
}
