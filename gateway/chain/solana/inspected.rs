//! What is found of mints and token accounts that are not what a file says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::chain::scripted::{Reply, Scripted};
use crate::chain::{Finding, Inspected, inspect};
use crate::money::{Address, Asset, Network, TransferMethod};
use crate::svm::{Pubkey, TOKEN, TOKEN_2022, associated_token_account, base58};
use crate::x402::{Scheme, codec};

const MAINNET: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
const WALLET: Pubkey = [1; 32];
const MINT: Pubkey = [2; 32];
const OTHER: Pubkey = [3; 32];
const SYSTEM: Pubkey = [0; 32];

/// What is on the chain: the program and the data of each account.
type Accounts = BTreeMap<Pubkey, (Pubkey, Vec<u8>)>;

fn mint(decimals: u8) -> Vec<u8> {
    let mut data = vec![0; 82];
    (data[44], data[45]) = (decimals, 1);
    data
}

fn holding(mint: Pubkey, owner: Pubkey, state: u8) -> Vec<u8> {
    let mut data = vec![0; 165];
    data[..32].copy_from_slice(&mint);
    data[32..64].copy_from_slice(&owner);
    data[108] = state;
    data
}

/// The same with extensions, as Token-2022 has them.
fn extended(mut data: Vec<u8>, kind: u8) -> Vec<u8> {
    data.resize(165, 0);
    [data, vec![kind], vec![9; 40]].concat()
}

fn token_account(program: Pubkey) -> Pubkey {
    associated_token_account(&WALLET, &program, &MINT).unwrap()
}

/// All as it should be.
fn good() -> Accounts {
    [(WALLET, (SYSTEM, vec![])), (MINT, (TOKEN, mint(6))), (token_account(TOKEN), (TOKEN, holding(MINT, WALLET, 1)))]
        .into()
}

fn with(address: Pubkey, program: Pubkey, data: Vec<u8>) -> Accounts {
    let mut accounts = good();
    accounts.insert(address, (program, data));
    accounts
}

fn answer(accounts: &Accounts, method: &str, params: &Value) -> Reply {
    match method {
        "getGenesisHash" => Reply::Result(MAINNET.into()),
        "getAccountInfo" => {
            let slice = &params[1]["dataSlice"];
            assert_eq!((&slice["offset"], &params[1]["encoding"]), (&json!(0), &json!("base64")));
            let longest = usize::try_from(slice["length"].as_u64().unwrap()).unwrap();
            let found = accounts.iter().find(|(address, _)| params[0] == base58(address)).map(|(_, account)| account);
            let value = found.map(|(program, data)| {
                let data = codec::encode_bytes(&data[..data.len().min(longest)]);
                json!({"data": [data, "base64"], "owner": base58(program), "executable": false, "lamports": 1})
            });
            Reply::Result(json!({"context": {"slot": 1}, "value": value}))
        }
        other => panic!("{other} is not asked for"),
    }
}

async fn found_by(server: &Scripted) -> Vec<Finding> {
    let network = Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap();
    let address = |key: &Pubkey| Address::parse(&base58(key), &network).unwrap();
    let (pay_to, transfer) = (address(&WALLET), TransferMethod::Native);
    let asset = Asset { address: address(&MINT), symbol: "USDC".into(), decimals: 6, domain: None, transfer };
    let subject = Inspected { network: &network, scheme: &Scheme::exact(), assets: &[asset], pay_to: &pay_to };
    inspect(&subject, server.url()).await
}

async fn found(accounts: Accounts) -> Vec<Finding> {
    let server = Scripted::start(move |method, params| answer(&accounts, method, params)).await;
    found_by(&server).await
}

/// The only problem that is found, with the token's name left out.
async fn problem(accounts: Accounts) -> String {
    match found(accounts).await.as_slice() {
        [Finding::Problem(text)] => text.replace(&format!("USDC ({}) ", base58(&MINT)), ""),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_is_found_where_all_is_as_the_file_says() {
    assert_eq!(found(good()).await, []);
    // A wallet that was never used has no account, and can own a token account all the same.
    let mut unused = good();
    unused.remove(&WALLET);
    assert_eq!(found(unused).await, []);
    let token_2022: Accounts = [
        (MINT, (TOKEN_2022, extended(mint(6), 1))),
        (token_account(TOKEN_2022), (TOKEN_2022, extended(holding(MINT, WALLET, 1), 2))),
    ]
    .into();
    assert_eq!(found(token_2022).await, []);
    let plain: Accounts =
        [(MINT, (TOKEN_2022, mint(6))), (token_account(TOKEN_2022), (TOKEN_2022, holding(MINT, WALLET, 1)))].into();
    assert_eq!(found(plain).await, []);
}

#[tokio::test]
async fn a_receiver_without_a_token_account_is_told_how_to_make_it() {
    let mut accounts = good();
    accounts.remove(&token_account(TOKEN));
    let (wallet, mint_text, holding_text) = (base58(&WALLET), base58(&MINT), base58(&token_account(TOKEN)));
    let missing = format!(
        "cannot be received yet: {wallet} needs its token account {holding_text}, which `spl-token create-account \
         {mint_text} --owner {wallet} --fee-payer KEYPAIR` makes"
    );
    assert_eq!(problem(accounts.clone()).await, missing);
    // The other program's account of the same name is none of this mint's.
    accounts.insert(token_account(TOKEN_2022), (TOKEN_2022, holding(MINT, WALLET, 1)));
    assert_eq!(problem(accounts).await, missing);
    let not_yet = with(token_account(TOKEN), TOKEN, holding(MINT, WALLET, 0));
    assert_eq!(problem(not_yet).await, missing);
}

#[tokio::test]
async fn a_token_account_that_gets_nothing_is_a_problem() {
    let frozen = problem(with(token_account(TOKEN), TOKEN, holding(MINT, WALLET, 2))).await;
    assert!(frozen.starts_with("is frozen in the receiver's token account"), "{frozen}");
    let given_away = problem(with(token_account(TOKEN), TOKEN, holding(MINT, OTHER, 1))).await;
    assert!(given_away.contains(&format!("which {} has now", base58(&OTHER))), "{given_away}");
}

#[tokio::test]
async fn what_is_no_mint_is_a_problem() {
    let mut none = good();
    none.remove(&MINT);
    assert_eq!(problem(none).await, "is not there: it is no mint of this cluster");
    let decimals = "has 9 decimals on the chain and 6 here: prices would be others than meant";
    assert_eq!(problem(with(MINT, TOKEN, mint(9))).await, decimals);
    let account = problem(with(MINT, TOKEN, holding(OTHER, WALLET, 1))).await;
    assert_eq!(account, format!("is a token account, its mint {} would be right", base58(&OTHER)));
    let mut unmade = mint(6);
    unmade[45] = 0;
    for (program, data) in [
        (SYSTEM, vec![]),
        (OTHER, mint(6)),
        (TOKEN, vec![]),
        (TOKEN, vec![1; 81]),
        (TOKEN, unmade),
        (TOKEN, vec![0; 166]),
    ] {
        let text = problem(with(MINT, program, data)).await;
        assert!(text.starts_with("is no mint"), "{text}");
    }
}

#[tokio::test]
async fn a_receiver_is_a_wallet() {
    let account = problem(with(WALLET, TOKEN, holding(MINT, OTHER, 1))).await;
    let wallet = base58(&WALLET);
    assert_eq!(
        account,
        format!("the receiver {wallet} is a token account, its owner {} would be right", base58(&OTHER))
    );
    let mint = problem(with(WALLET, TOKEN_2022, extended(mint(6), 1))).await;
    assert_eq!(mint, format!("the receiver {wallet} is a mint, where money would be lost"));
    // A program's own address may receive: many treasuries do.
    assert_eq!(found(with(WALLET, OTHER, vec![1; 200])).await, []);
}

#[tokio::test]
async fn a_server_that_fails_or_lies_is_a_finding_of_its_own() {
    for (method, reply, words) in [
        ("getGenesisHash", Reply::Result("EtWTRABZaYq6iMfeYKouRu166VU2xqa1".into()), "is on chain EtWT"),
        ("getAccountInfo", Reply::Error(-32_005, "slow down"), "slow down"),
        (
            "getAccountInfo",
            Reply::Result(json!({"value": {"data": ["!", "base64"], "owner": MAINNET}})),
            "not in base64",
        ),
        ("getAccountInfo", Reply::Result(json!({"value": {"data": ["", "json"], "owner": MAINNET}})), "not in base64"),
        ("getAccountInfo", Reply::Result(json!({"value": {"data": ["", "base64"], "owner": "x"}})), "no address"),
        ("getAccountInfo", Reply::Result(json!({"value": 7})), "makes no sense"),
    ] {
        let script = move |asked: &str, params: &Value| match asked == method {
            true => reply.clone(),
            false => answer(&good(), asked, params),
        };
        let found = found_by(&Scripted::start(script).await).await;
        assert!(matches!(&found[..], [Finding::Problem(text)] if text.contains(words)), "{method}: {found:?}");
    }
}
