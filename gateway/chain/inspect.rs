//! What a chain shows of a receiver: whether that is so what a configuration says of its tokens.

use std::time::Duration;

use super::evm::Evm;
use super::rpc::Rpc;
use super::solana::Solana;
use super::{ChainError, ConnectError};
use crate::money::{Address, Asset, Family, Network};
use crate::x402::Scheme;

/// For all questions about one network.
const LONGEST: Duration = Duration::from_secs(60);
/// How much of a contract's own words is shown.
const WORDS_CHARS_MAX: usize = 64;

/// What is compared with the chain.
#[derive(Debug, Clone, Copy)]
pub struct Inspected<'a> {
    /// Where.
    pub network: &'a Network,
    /// How it is paid.
    pub scheme: &'a Scheme,
    /// In what.
    pub assets: &'a [Asset],
    /// To whom.
    pub pay_to: &'a Address,
}

/// Something that was found, as a sentence for people. It never holds the RPC server's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Payments would fail.
    Problem(String),
    /// It is worth a second look.
    Warning(String),
}

/// Compares a receiver with its chain. What the server does not answer is a finding like any other. Nothing is changed
/// anywhere, so the future may be dropped.
pub async fn inspect(subject: &Inspected<'_>, url: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let seen = tokio::time::timeout(LONGEST, look(subject, url, &mut findings)).await;
    match seen.unwrap_or_else(|_| Err(ChainError::late(LONGEST).to_string())) {
        Ok(()) => {}
        Err(error) => findings.push(Finding::Problem(error)),
    }
    findings
}

async fn look(subject: &Inspected<'_>, url: &str, findings: &mut Vec<Finding>) -> Result<(), String> {
    let rpc = Rpc::new(url).map_err(|error| error.to_string())?;
    let looked = match subject.network.family() {
        Family::Evm(chain_id) => Evm::new(rpc, chain_id).inspect(subject, findings).await,
        Family::Solana => Solana::new(rpc, subject.network).inspect(subject, findings).await,
        Family::Other => return Err(ConnectError::Family(subject.network.clone()).to_string()),
    };
    looked.map_err(|error| error.to_string())
}

/// A contract's words in quotes, short and in one line.
pub(super) fn quoted(words: &str) -> String {
    format!("{:?}", words.chars().take(WORDS_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::scripted::{Reply, Scripted};

    async fn problem(network: &str, url: &str) -> String {
        let network = Network::parse(network).unwrap();
        let pay_to = Address::Text("x".into());
        let subject = Inspected { network: &network, scheme: &Scheme::exact(), assets: &[], pay_to: &pay_to };
        match inspect(&subject, url).await.as_slice() {
            [Finding::Problem(text)] => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_asked_is_a_problem_without_its_url() {
        let closed = "http://127.0.0.1:1/do-not-print-me";
        let problem_of = async |network, url: &str| {
            let text = problem(network, url).await;
            assert!(!text.contains("do-not-print-me"), "{text}");
            text
        };
        assert!(problem_of("eip155:8453", closed).await.starts_with("the RPC server gave no answer"));
        assert!(problem_of("eip155:8453", "do-not-print-me").await.starts_with("the RPC server's URL is not one"));
        assert!(problem_of("stellar:pubnet", closed).await.contains("cannot be looked up"));
        let broken = Scripted::start(|_, _| Reply::Raw(502, "<html>".into())).await;
        assert!(problem_of("eip155:8453", broken.url()).await.contains("502"));
        let other = Scripted::start(|_, _| Reply::Result("0x1".into())).await;
        assert_eq!(problem_of("eip155:8453", other.url()).await, "the RPC server is on chain 1, not on 8453");
        assert!(problem_of("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", other.url()).await.contains("is on chain "));
    }
}
