//! The look-up against a server with a short history, and against servers that lie.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Solana;
use crate::chain::rpc::Rpc;
use crate::chain::scripted::{Reply, Scripted};
use crate::chain::{Authorization, Block, Chain as _, ChainError, Sighting, Sought};
use crate::money::{Address, AtomicAmount, Network};
use crate::x402::codec;

const MAINNET: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
pub(super) const SINCE: u64 = 1_777_118_400;
const SLOT: u64 = 300_000_000;
const DAY: u64 = 24 * 60 * 60;

/// Thirty-two times a byte, in base58.
pub(super) fn base58(byte: u8) -> String {
    bs58::encode([byte; 32]).into_string()
}

/// A message whose first instruction is for `program`; its accounts are ones, twos and threes.
pub(super) fn message(signers: u8, versioned: bool, program: [u8; 32]) -> Vec<u8> {
    let (version, tables): (&[u8], &[u8]) = if versioned { (&[0x80], &[0]) } else { (&[], &[]) };
    let accounts = [[1; 32], [2; 32], [3; 32], program].concat();
    [version, &[signers, 0, 1, 4], &accounts, &[7; 32], &[1, 3, 0, 0], tables].concat()
}

pub(super) fn payment() -> Vec<u8> {
    message(2, true, [9; 32])
}

pub(super) fn signature(number: u64) -> String {
    bs58::encode([[5; 56].as_slice(), &number.to_be_bytes()].concat()).into_string()
}

/// Which transaction has this signature.
fn number(signature: &Value) -> u64 {
    let bytes = bs58::decode(signature.as_str().unwrap()).into_vec().unwrap();
    u64::from_be_bytes(bytes[56..].try_into().unwrap())
}

/// A transaction on the chain.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    number: u64,
    time: u64,
    message: Vec<u8>,
    err: Value,
    /// What token accounts had before and afterwards.
    balances: (Value, Value),
}

impl Landed {
    pub(super) fn with(self, balances: (Value, Value)) -> Self {
        Self { balances, ..self }
    }
}

/// One that pays what is sought, in a layout that only the facilitator understands.
pub(super) fn landed(number: u64, time: u64, message: &[u8]) -> Landed {
    let balances = (json!([balance(11, 12, "5")]), json!([balance(11, 12, "10005"), balance(11, 2, "0")]));
    Landed { number, time, message: message.to_vec(), err: Value::Null, balances }
}

pub(super) fn balance(mint: u8, owner: u8, amount: &str) -> Value {
    json!({"accountIndex": 1, "mint": base58(mint), "owner": base58(owner), "programId": base58(3),
        "uiTokenAmount": {"amount": amount, "decimals": 6, "uiAmount": null, "uiAmountString": amount}})
}

/// A server's view of the chain, with transactions of the payer from the newest.
#[derive(Debug, Clone)]
pub(super) struct Server {
    is_valid: bool,
    time: u64,
    history: Vec<Landed>,
    page_max: usize,
}

impl Server {
    /// One that has come to `time`, after which the blockhash is no longer valid.
    pub(super) fn at(time: u64, history: &[Landed]) -> Self {
        Self { is_valid: false, time, history: history.to_vec(), page_max: 1000 }
    }

    fn answer(&self, method: &str, params: &Value) -> Reply {
        Reply::Result(match method {
            "getGenesisHash" => MAINNET.into(),
            "isBlockhashValid" => {
                assert_eq!(*params, json!([base58(7), {"commitment": "finalized"}]));
                json!({"context": {"slot": SLOT, "apiVersion": "2.3.1"}, "value": self.is_valid})
            }
            "getBlockTime" => {
                assert_eq!(*params, json!([SLOT]));
                self.time.into()
            }
            "getSignaturesForAddress" => self.page(params),
            "getTransaction" => {
                self.history.iter().find(|landed| landed.number == number(&params[0])).map_or(Value::Null, transaction)
            }
            other => panic!("{other} is not asked for"),
        })
    }

    fn page(&self, params: &Value) -> Value {
        assert_eq!((&params[0], &params[1]["minContextSlot"]), (&base58(2).into(), &SLOT.into()));
        let before = params[1]
            .get("before")
            .map_or(0, |before| 1 + self.history.iter().position(|landed| landed.number == number(before)).unwrap());
        let entry = |landed: &Landed| {
            json!({"signature": signature(landed.number), "slot": 1, "err": landed.err, "memo": null,
                "blockTime": landed.time, "confirmationStatus": "finalized"})
        };
        self.history.iter().skip(before).take(self.page_max).map(entry).collect()
    }
}

fn transaction(landed: &Landed) -> Value {
    let bytes = [&[2], [4; 128].as_slice(), &landed.message].concat();
    json!({
        "slot": 1, "version": 0, "blockTime": landed.time,
        "meta": {"err": landed.err, "fee": 5000, "preTokenBalances": landed.balances.0, "postTokenBalances": landed.balances.1},
        "transaction": [codec::encode_bytes(&bytes), "base64"],
    })
}

fn sought() -> Sought {
    sought_message(payment())
}

pub(super) fn sought_message(message: Vec<u8>) -> Sought {
    let address = |byte| Address::Text(base58(byte).into());
    Sought {
        authorization: Authorization::Svm { message },
        asset: address(11),
        pay_to: address(12),
        amount: AtomicAmount::new(10_000),
        since: UNIX_EPOCH + Duration::from_secs(SINCE),
        hint: None,
    }
}

pub(super) fn hinted(number: u64) -> Sought {
    Sought { hint: Some(signature(number)), ..sought() }
}

pub(super) fn solana(server: &Scripted) -> Solana {
    let network = Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap();
    Solana::new(Rpc::new(server.url()).unwrap(), &network)
}

pub(super) async fn serve(server: &Server) -> Scripted {
    let server = server.clone();
    Scripted::start(move |method, params| server.answer(method, params)).await
}

pub(super) async fn seen(server: &Server) -> Result<Sighting, ChainError> {
    solana(&serve(server).await).look_up(&sought()).await
}

pub(super) fn paid(number: u64, time: u64) -> Sighting {
    Sighting::Paid { transaction: signature(number), at: UNIX_EPOCH + Duration::from_secs(time) }
}

pub(super) fn spent(number: u64) -> Sighting {
    Sighting::Spent { transaction: Some(signature(number)) }
}

fn other() -> Vec<u8> {
    message(2, true, [8; 32])
}

async fn newest(result: Value) -> Result<Block, ChainError> {
    let server = Scripted::start(move |method, params| match method {
        "getGenesisHash" => Reply::Result(MAINNET.into()),
        "getLatestBlockhash" => {
            assert_eq!(*params, json!([{"commitment": "confirmed"}]));
            Reply::Result(result.clone())
        }
        other => panic!("{other} is not asked for"),
    });
    solana(&server.await).newest_block().await
}

#[tokio::test]
async fn the_newest_block_is_the_one_of_this_cluster() {
    let block = |hash: &str, height: Value| json!({"context": {"slot": 1}, "value": {"blockhash": hash, "lastValidBlockHeight": height}});
    let good = newest(block(&base58(7), json!(3_090))).await;
    assert_eq!(good, Ok(Block { hash: base58(7), last_valid_height: 3_090 }));
    for bad in [
        block("", json!(1)),
        block("\",\"feePayer\":\"", json!(1)),
        block(&base58(7), json!("1")),
        block(&base58(7), json!(-1)),
        json!(null),
        json!({"value": null}),
    ] {
        assert!(matches!(newest(bad.clone()).await, Err(ChainError::Nonsense { .. })), "{bad}");
    }
    let foreign = Scripted::start(|_, _| Reply::Result(base58(1).into())).await;
    assert!(matches!(solana(&foreign).newest_block().await, Err(ChainError::OtherChain { .. })));
    assert_eq!(foreign.methods(), ["getGenesisHash"]);
}

#[tokio::test]
async fn a_payment_is_found_by_its_message_among_others() {
    let history =
        [landed(3, SINCE + 9, &other()), landed(2, SINCE + 3, &payment()), landed(1, SINCE - 5_000, &other())];
    assert_eq!(seen(&Server::at(SINCE + 200, &history)).await, Ok(paid(2, SINCE + 3)));
    let fresh = Server { is_valid: true, ..Server::at(SINCE + 5, &history) };
    assert_eq!(seen(&fresh).await, Ok(paid(2, SINCE + 3)));
    let one_at_a_time = Server { page_max: 1, ..fresh };
    assert_eq!(seen(&one_at_a_time).await, Ok(paid(2, SINCE + 3)));
}

#[tokio::test]
async fn a_hint_is_judged_by_its_message() {
    let server = serve(&Server::at(SINCE + 5, &[landed(2, SINCE + 3, &payment())])).await;
    assert_eq!(solana(&server).look_up(&hinted(2)).await, Ok(paid(2, SINCE + 3)));
    assert_eq!(server.methods(), ["getGenesisHash", "getTransaction"]);
    let history = [landed(3, SINCE + 4, &other()), landed(2, SINCE + 3, &payment())];
    let server = serve(&Server::at(SINCE + 5, &history)).await;
    assert_eq!(solana(&server).look_up(&hinted(3)).await, Ok(paid(2, SINCE + 3)), "of another payment");
    assert_eq!(solana(&server).look_up(&hinted(9)).await, Ok(paid(2, SINCE + 3)), "of nothing");
    for hint in ["", "0x1", "pending", &base58(1)] {
        let sought = Sought { hint: Some(hint.to_owned()), ..sought() };
        assert_eq!(solana(&server).look_up(&sought).await, Ok(paid(2, SINCE + 3)), "{hint}");
    }
}

#[tokio::test]
async fn a_transaction_that_failed_has_spent_it() {
    let failed = Landed { err: json!({"InstructionError": [2, {"Custom": 1}]}), ..landed(2, SINCE + 3, &payment()) };
    let server = Server::at(SINCE + 5, &[failed]);
    assert_eq!(seen(&server).await, Ok(spent(2)));
    assert_eq!(solana(&serve(&server).await).look_up(&hinted(2)).await, Ok(spent(2)));
}

#[tokio::test]
async fn a_payment_is_open_as_long_as_its_blockhash_may_be_good() {
    let history = [landed(3, SINCE + 9, &other())];
    let valid = |time| Server { is_valid: true, ..Server::at(time, &history) };
    assert_eq!(seen(&valid(SINCE + 5)).await, Ok(Sighting::Open));
    assert_eq!(seen(&valid(SINCE + 5_000)).await, Ok(Sighting::Open));
    for time in [0, SINCE - 20, SINCE, SINCE + 119] {
        assert_eq!(seen(&Server::at(time, &history)).await, Ok(Sighting::Open), "not known yet at {time}");
    }
    for time in [SINCE + 120, SINCE + DAY - 1] {
        assert_eq!(seen(&Server::at(time, &history)).await, Ok(Sighting::Expired), "{time}");
    }
    assert_eq!(seen(&Server::at(SINCE + DAY, &[])).await, Err(ChainError::TooOld));
}

#[tokio::test]
async fn the_list_is_read_after_the_blockhash_was_found_invalid() {
    let server = serve(&Server::at(SINCE + 200, &[])).await;
    assert_eq!(solana(&server).look_up(&sought()).await, Ok(Sighting::Expired));
    assert_eq!(server.methods(), ["getGenesisHash", "isBlockhashValid", "getBlockTime", "getSignaturesForAddress"]);
}

#[tokio::test]
async fn a_durable_nonce_never_expires() {
    let durable = message(2, true, [0; 32]);
    let look_up = async |history: &[Landed]| {
        solana(&serve(&Server::at(SINCE + 200, history)).await).look_up(&sought_message(durable.clone())).await
    };
    let unseen = look_up(&[]).await;
    assert!(matches!(unseen, Err(ChainError::Unsupported(_))), "{unseen:?}");
    assert_eq!(look_up(&[landed(2, SINCE + 3, &durable)]).await, Ok(paid(2, SINCE + 3)));
}

#[tokio::test]
async fn only_the_time_of_the_payment_is_read() {
    let history: Vec<_> = (0..6_000).map(|number| landed(number, SINCE + 6_000 - number, &other())).collect();
    let server = serve(&Server::at(SINCE + 6_100, &history)).await;
    assert_eq!(solana(&server).look_up(&sought()).await, Err(ChainError::TooMany));
    assert_eq!(server.asked("getTransaction").len(), 200);
    let endless: Vec<_> = (0..20_000).map(|number| landed(number, SINCE + 30_000 - number, &other())).collect();
    let server = serve(&Server::at(SINCE + 30_000, &endless)).await;
    assert_eq!(solana(&server).look_up(&sought()).await, Err(ChainError::TooMany));
    assert!(server.asked("getTransaction").is_empty());
    let mut busy: Vec<_> = (0..3_000).map(|number| landed(number, SINCE + 500 - number / 4, &other())).collect();
    busy[1_999].message = payment();
    let server = Server::at(SINCE + 600, &busy);
    assert_eq!(seen(&server).await, Ok(paid(1_999, SINCE + 1)), "the nearest in time comes first");
}

#[tokio::test]
async fn a_server_of_another_cluster_proves_nothing() {
    let server = Scripted::start(|method, _| match method {
        "getGenesisHash" => Reply::Result("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG".into()),
        other => panic!("{other} is not asked for"),
    });
    let seen = solana(&server.await).look_up(&hinted(2)).await;
    assert!(matches!(seen, Err(ChainError::OtherChain { .. })), "{seen:?}");
    let server = serve(&Server::at(SINCE, &[])).await;
    let short = Network::parse("solana:5eykt4Us").unwrap();
    let seen = Solana::new(Rpc::new(server.url()).unwrap(), &short).look_up(&sought()).await;
    assert!(matches!(seen, Err(ChainError::OtherChain { .. })), "{seen:?}");
}

/// What is seen of a good server that answers one method otherwise.
async fn seen_with(method: &'static str, reply: Reply, history: &[Landed]) -> Result<Sighting, ChainError> {
    let good = Server::at(SINCE + 200, history);
    let server = Scripted::start(move |asked, params| match asked == method {
        true => reply.clone(),
        false => good.answer(asked, params),
    });
    solana(&server.await).look_up(&sought()).await
}

#[tokio::test]
async fn nonsense_is_never_a_sighting() {
    let history = [landed(2, SINCE + 3, &payment())];
    let good = transaction(&history[0]);
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    let no_err = with("meta", json!({"fee": 5000}));
    let replies = [
        json!(null),
        json!(false),
        json!(1e300),
        json!(-1),
        json!("x"),
        json!({}),
        json!([null]),
        json!([{}]),
        json!({"context": {}, "value": false}),
        with("meta", json!(null)),
        no_err,
        with("blockTime", json!(null)),
        with("blockTime", json!(-5)),
        with("blockTime", json!(u64::MAX)),
        with("transaction", json!("")),
        with("transaction", json!(["%", "base64"])),
        with("transaction", json!([MAINNET, "base58"])),
        json!([{"signature": signature(8), "blockTime": SINCE}]),
    ];
    for method in ["getGenesisHash", "isBlockhashValid", "getSignaturesForAddress", "getTransaction"] {
        for reply in &replies {
            let seen = seen_with(method, Reply::Result(reply.clone()), &history).await;
            assert!(seen.is_err(), "{method} {reply}: {seen:?}");
        }
        for reply in [Reply::Error(-32_016, "behind"), Reply::Raw(200, "<html>".into()), Reply::Raw(429, String::new())]
        {
            let seen = seen_with(method, reply.clone(), &history).await;
            assert!(seen.is_err(), "{method} {reply:?}: {seen:?}");
        }
    }
    for reply in [json!(null), json!("x"), json!(-1), json!(1.5)] {
        let seen = seen_with("getBlockTime", Reply::Result(reply.clone()), &[]).await;
        assert!(seen.is_err(), "{reply}: {seen:?}");
    }
}

#[tokio::test]
async fn what_is_of_another_family_is_not_asked_for() {
    let server = serve(&Server::at(SINCE, &[])).await;
    let solana = solana(&server);
    let from: Address = alloy_primitives::Address::from([1; 20]).into();
    let eip3009 = Authorization::Eip3009 { from: from.clone(), nonce: [1; 32], valid_before: 0 };
    for sought in [Sought { authorization: eip3009, ..sought() }, sought_message(b"message".to_vec())] {
        let seen = solana.look_up(&sought).await;
        assert!(matches!(seen, Err(ChainError::Unsupported(_))), "{seen:?}");
    }
    let signed = solana.is_signed_by(&from, [0; 32], &[]).await;
    assert!(matches!(signed, Err(ChainError::Unsupported(_))), "{signed:?}");
    assert!(server.methods().is_empty());
}
