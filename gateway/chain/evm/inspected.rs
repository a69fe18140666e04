//! What is found of tokens that are not what a file says, on a chain that is small.

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::{SolCall, eip712_domain};
use serde_json::{Value, json};

use super::inspect::{
    DOMAIN_SEPARATORCall, EXACT_PROXY, PERMIT2, UPTO_PROXY, authorizationStateCall, decimalsCall, eip712DomainCall,
    eip712DomainReturn, nameCall, versionCall,
};
use crate::chain::scripted::{Reply, Scripted};
use crate::chain::{Finding, Inspected, inspect};
use crate::money::{Asset, Network, TransferMethod};
use crate::x402::{Scheme, networks};

/// A token's contract, and what else has code on the chain. What is none is not there.
#[derive(Clone)]
struct Contract {
    code: Vec<Address>,
    decimals: Option<u8>,
    /// Name and version in its domain separator.
    separator: Option<(&'static str, &'static str)>,
    /// Name and version by EIP-5267.
    domain: Option<(&'static str, &'static str)>,
    name: Option<&'static str>,
    version: Option<&'static str>,
    eip3009: bool,
}

fn usdc() -> Asset {
    networks::known("base").unwrap().asset(None).unwrap()
}

fn token() -> Address {
    usdc().address.evm().unwrap()
}

impl Contract {
    /// USDC on Base as it is.
    fn good() -> Self {
        Self {
            code: vec![token()],
            decimals: Some(6),
            separator: Some(("USD Coin", "2")),
            domain: None,
            name: Some("USD Coin"),
            version: Some("2"),
            eip3009: true,
        }
    }

    fn answer(&self, method: &str, params: &Value) -> Reply {
        match method {
            "eth_chainId" => Reply::Result("0x2105".into()),
            "eth_getCode" => {
                let address: Address = params[0].as_str().unwrap().parse().unwrap();
                Reply::Result(if self.code.contains(&address) { "0x60" } else { "0x" }.into())
            }
            "eth_call" => {
                assert_eq!(params[0]["to"], token().to_string());
                let data = hex::decode(params[0]["data"].as_str().unwrap()).unwrap();
                let answer = self.call(data[..4].try_into().unwrap());
                answer.map_or(Reply::Error(3, "execution reverted"), |bytes| {
                    Reply::Result(hex::encode_prefixed(bytes).into())
                })
            }
            other => panic!("{other} is not asked for"),
        }
    }

    fn call(&self, selector: [u8; 4]) -> Option<Vec<u8>> {
        match selector {
            decimalsCall::SELECTOR => Some(decimalsCall::abi_encode_returns(&self.decimals?)),
            nameCall::SELECTOR => Some(nameCall::abi_encode_returns(&self.name?.to_owned())),
            versionCall::SELECTOR => Some(versionCall::abi_encode_returns(&self.version?.to_owned())),
            authorizationStateCall::SELECTOR => {
                self.eip3009.then(|| authorizationStateCall::abi_encode_returns(&false))
            }
            DOMAIN_SEPARATORCall::SELECTOR => {
                let (name, version) = self.separator?;
                let domain =
                    eip712_domain! { name: name, version: version, chain_id: 8453, verifying_contract: token(), };
                Some(DOMAIN_SEPARATORCall::abi_encode_returns(&domain.separator()))
            }
            eip712DomainCall::SELECTOR => {
                let (name, version) = self.domain?;
                Some(eip712DomainCall::abi_encode_returns(&eip712DomainReturn {
                    fields: [0x0f].into(),
                    name: name.to_owned(),
                    version: version.to_owned(),
                    chainId: U256::from(8453),
                    verifyingContract: token(),
                    salt: B256::ZERO,
                    extensions: vec![],
                }))
            }
            other => panic!("{other:?} is not asked for"),
        }
    }
}

async fn found_by(scheme: &str, asset: Asset, server: &Scripted) -> Vec<Finding> {
    let network = Network::parse("eip155:8453").unwrap();
    let (scheme, pay_to) = (Scheme::parse(scheme).unwrap(), asset.address.clone());
    let subject = Inspected { network: &network, scheme: &scheme, assets: &[asset], pay_to: &pay_to };
    inspect(&subject, server.url()).await
}

async fn found(asset: Asset, contract: Contract) -> Vec<Finding> {
    let server = Scripted::start(move |method, params| contract.answer(method, params)).await;
    found_by("exact", asset, &server).await
}

/// The only problem that is found, without the token's name.
async fn problem(asset: Asset, contract: Contract) -> String {
    match found(asset, contract).await.as_slice() {
        [Finding::Problem(text)] => text.replace(&format!("USDC ({})", token()), "it"),
        other => panic!("{other:?}"),
    }
}

fn saying(name: &str, version: &str) -> Asset {
    let mut asset = usdc();
    let domain = asset.domain.as_mut().unwrap();
    (domain.name, domain.version) = (name.into(), version.into());
    asset
}

#[tokio::test]
async fn nothing_is_found_where_all_is_as_the_file_says() {
    let by_separator = Contract { name: Some("Another name"), version: None, ..Contract::good() };
    let by_eip5267 = Contract { separator: None, domain: Some(("USD Coin", "2")), name: None, ..Contract::good() };
    let by_name = Contract { separator: None, ..Contract::good() };
    for contract in [Contract::good(), by_separator, by_eip5267, by_name] {
        assert_eq!(found(usdc(), contract).await, []);
    }
}

/// The famous one: USDC is "USD Coin" on one chain and "USDC" on another.
#[tokio::test]
async fn a_wrong_name_or_version_is_told_with_both_values() {
    let name = "it: its EIP-712 name is \"USD Coin\" on the chain and \"USDC\" here: no payment would be good";
    let good = Contract::good();
    let by_eip5267 = Contract { domain: Some(("USD Coin", "2")), name: Some("Token"), ..good.clone() };
    let by_name = Contract { separator: None, ..good.clone() };
    for contract in [good.clone(), by_eip5267, by_name] {
        assert_eq!(problem(saying("USDC", "2"), contract).await, name);
    }
    let version = "it: its EIP-712 version is \"2\" on the chain and \"1\" here: no payment would be good";
    assert_eq!(problem(saying("USD Coin", "1"), good.clone()).await, version);
    assert_eq!(found(saying("USDC", "1"), good).await.len(), 2);
}

#[tokio::test]
async fn a_domain_that_is_made_in_another_way_is_a_problem() {
    let text = problem(usdc(), Contract { separator: Some(("USD Coin", "2 ")), ..Contract::good() }).await;
    assert!(text.starts_with("it: its DOMAIN_SEPARATOR is 0x") && text.ends_with("no payment would be good"), "{text}");
}

#[tokio::test]
async fn what_the_chain_does_not_say_is_a_warning() {
    let silent = Contract { separator: None, version: None, ..Contract::good() };
    let warning = |what| Finding::Warning(format!("USDC ({}): nothing on the chain says its EIP-712 {what}", token()));
    assert_eq!(found(usdc(), silent.clone()).await, [warning("version")]);
    let silent = Contract { name: None, ..silent };
    assert_eq!(found(usdc(), silent).await, [warning("name"), warning("version")]);
}

#[tokio::test]
async fn what_is_no_such_token_is_a_problem() {
    let good = Contract::good();
    let nothing = Contract { code: vec![], ..good.clone() };
    assert_eq!(problem(usdc(), nothing).await, "it has no code there: it is no token of this chain");
    let decimals = "it has 18 decimals on the chain and 6 here: prices would be others than meant";
    assert_eq!(problem(usdc(), Contract { decimals: Some(18), ..good.clone() }).await, decimals);
    let silent = Contract { decimals: None, ..good.clone() };
    assert_eq!(problem(usdc(), silent).await, "it does not say its decimals: it is no token");
    let unsigned = "it has no transfer by signature (EIP-3009), transfer = \"permit2\" would be right";
    assert_eq!(problem(usdc(), Contract { eip3009: false, ..good }).await, unsigned);
}

#[tokio::test]
async fn permit2_needs_its_contracts_and_no_eip3009() {
    let by_permit2 = || Asset { transfer: TransferMethod::Permit2, ..usdc() };
    let bare = Contract { eip3009: false, ..Contract::good() };
    let with = |more: &[Address]| Contract { code: [&[token()], more].concat(), ..bare.clone() };
    assert_eq!(found(by_permit2(), with(&[PERMIT2, EXACT_PROXY])).await, []);
    assert_eq!(found(by_permit2(), bare.clone()).await.len(), 2);
    let text = problem(by_permit2(), with(&[PERMIT2, UPTO_PROXY])).await;
    assert!(text.starts_with("x402's proxy of Permit2 (0x402085c2") && text.contains("nobody can pay"), "{text}");
    let upto = with(&[PERMIT2, UPTO_PROXY]);
    let server = Scripted::start(move |method, params| upto.answer(method, params)).await;
    assert_eq!(found_by("upto", by_permit2(), &server).await, []);
    // The domain is for sponsored permits only.
    let mut misnamed = saying("USDC", "2");
    misnamed.transfer = TransferMethod::Permit2;
    let found = found(misnamed, with(&[PERMIT2, EXACT_PROXY])).await;
    assert!(matches!(&found[..], [Finding::Warning(text)] if text.contains("\"USD Coin\"")), "{found:?}");
}

/// A server that is out of order says nothing of the token.
#[tokio::test]
async fn a_server_that_fails_or_lies_is_a_finding_of_its_own() {
    let refusing = |method: &'static str, reply: Reply| {
        let good = Contract::good();
        Scripted::start(move |asked, params| if asked == method { reply.clone() } else { good.answer(asked, params) })
    };
    for (method, reply, words) in [
        ("eth_call", Reply::Error(-32_005, "slow down"), "refused eth_call: slow down"),
        ("eth_getCode", Reply::Raw(503, "<html>".into()), "HTTP status 503"),
        ("eth_getCode", Reply::Result(json!(null)), "makes no sense"),
        ("eth_chainId", Reply::Result("0x1".into()), "is on chain 1, not on 8453"),
    ] {
        let found = found_by("exact", usdc(), &refusing(method, reply).await).await;
        assert!(matches!(&found[..], [Finding::Problem(text)] if text.contains(words)), "{method}: {found:?}");
    }
    // Every answer is a word of noughts: no text is read out of it, and no panic comes of it.
    let noughts = refusing("eth_call", Reply::Result(B256::ZERO.to_string().into())).await;
    let found = found_by("exact", usdc(), &noughts).await;
    assert!(matches!(&found[..], [Finding::Problem(..), Finding::Problem(..)]), "{found:?}");
    let endless = refusing("eth_call", Reply::Result(format!("0x{}", "ff".repeat(4096)).into())).await;
    assert_eq!(found_by("exact", usdc(), &endless).await.len(), 3);
}
