//! What an EVM chain shows of tokens: their code, decimals, transfer by signature, and EIP-712 domain.

use alloy_primitives::{Address, B256, address, hex};
use alloy_sol_types::{SolCall, eip712_domain, sol};
use serde_json::json;

use super::wire::Data;
use super::{CALL, Evm, REVERTED};
use crate::chain::inspect::quoted;
use crate::chain::{ChainError, Finding, Inspected};
use crate::money::{Asset, Eip712Domain, TransferMethod};

/// Uniswap's Permit2 and the two proxies of x402, the same on all chains.
pub(super) const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
pub(super) const EXACT_PROXY: Address = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");
pub(super) const UPTO_PROXY: Address = address!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

sol! {
    function decimals() external view returns (uint8);
    function name() external view returns (string);
    function version() external view returns (string);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    function eip712Domain() external view returns (
        bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt,
        uint256[] extensions
    );
}

/// What a contract says of its domain.
struct Said {
    separator: Option<B256>,
    name: Option<String>,
    version: Option<String>,
}

impl Evm {
    /// Adds what is found to the findings; an error ends the look.
    pub(in crate::chain) async fn inspect(
        &self,
        subject: &Inspected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), ChainError> {
        self.check_chain().await?;
        for asset in subject.assets {
            self.inspect_token(asset, findings).await?;
        }
        if subject.assets.iter().any(|asset| asset.transfer == TransferMethod::Permit2) {
            let proxy = if subject.scheme.is_upto() { UPTO_PROXY } else { EXACT_PROXY };
            for (what, address) in [("Permit2", PERMIT2), ("x402's proxy of Permit2", proxy)] {
                if !self.has_code(address).await? {
                    let text = format!("{what} ({address}) is not on this chain: nobody can pay by \"permit2\"");
                    findings.push(Finding::Problem(text));
                }
            }
        }
        Ok(())
    }

    async fn inspect_token(&self, asset: &Asset, findings: &mut Vec<Finding>) -> Result<(), ChainError> {
        let Some(token) = asset.address.evm() else { return Ok(()) };
        let symbol = &asset.symbol;
        let mut problem = |text: String| findings.push(Finding::Problem(text));
        if !self.has_code(token).await? {
            problem(format!("{symbol} ({token}) has no code there: it is no token of this chain"));
            return Ok(());
        }
        match self.said(token, &decimalsCall {}).await? {
            Some(decimals) if decimals == asset.decimals => {}
            Some(decimals) => {
                let text =
                    format!("{symbol} ({token}) has {decimals} decimals on the chain and {} here", asset.decimals);
                problem(format!("{text}: prices would be others than meant"));
            }
            None => problem(format!("{symbol} ({token}) does not say its decimals: it is no token")),
        }
        let native = asset.transfer == TransferMethod::Native;
        let state = authorizationStateCall { authorizer: token, nonce: B256::ZERO };
        if native && self.said(token, &state).await?.is_none() {
            let text = "has no transfer by signature (EIP-3009), transfer = \"permit2\" would be right";
            problem(format!("{symbol} ({token}) {text}"));
        }
        let Some(domain) = &asset.domain else { return Ok(()) };
        let differences = self.said_of_domain(token).await?.differences(domain, self.chain_id, token);
        let is_problem = |certain| native && certain;
        findings.extend(differences.into_iter().map(|(certain, text)| match is_problem(certain) {
            true => Finding::Problem(format!("{symbol} ({token}): {text}")),
            false => Finding::Warning(format!("{symbol} ({token}): {text}")),
        }));
        Ok(())
    }

    async fn said_of_domain(&self, token: Address) -> Result<Said, ChainError> {
        let separator = self.said(token, &DOMAIN_SEPARATORCall {}).await?;
        // EIP-5267 is the word on the domain itself; the name of a token may be another one.
        let (name, version) = match self.said(token, &eip712DomainCall {}).await? {
            Some(domain) => (Some(domain.name), Some(domain.version)),
            None => (self.said(token, &nameCall {}).await?, self.said(token, &versionCall {}).await?),
        };
        let is_said = |text: &String| !text.is_empty();
        Ok(Said { separator, name: name.filter(is_said), version: version.filter(is_said) })
    }

    async fn has_code(&self, address: Address) -> Result<bool, ChainError> {
        let Data(code) = self.rpc.call("eth_getCode", json!([address.to_string(), "latest"])).await?;
        Ok(!code.is_empty())
    }

    /// What a contract answers; none if it has no such function or answers in another form.
    async fn said<C: SolCall>(&self, to: Address, call: &C) -> Result<Option<C::Return>, ChainError> {
        let call = json!([{"to": to.to_string(), "data": hex::encode_prefixed(call.abi_encode())}, "latest"]);
        match self.rpc.call(CALL, call).await {
            Ok(Data(answer)) => Ok(C::abi_decode_returns_validate(&answer).ok()),
            Err(ChainError::Refused { code, message, .. }) if has_failed(code, &message) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether it was the contract that failed, and not the server. Servers have many words for that.
fn has_failed(code: i64, message: &str) -> bool {
    let message = message.to_lowercase();
    code == REVERTED || ["revert", "execution", "invalid opcode", "vm "].iter().any(|word| message.contains(word))
}

impl Said {
    /// What payers would sign otherwise than the contract does, each with whether that is certain.
    fn differences(&self, ours: &Eip712Domain, chain_id: u64, token: Address) -> Vec<(bool, String)> {
        let expected = eip712_domain! {
            name: ours.name.to_string(),
            version: ours.version.to_string(),
            chain_id: chain_id,
            verifying_contract: token,
        };
        let expected = expected.separator();
        if self.separator == Some(expected) {
            return Vec::new();
        }
        let members = [("name", &self.name, &ours.name), ("version", &self.version, &ours.version)];
        let differing = members.iter().filter_map(|(what, theirs, ours)| {
            let theirs = theirs.as_deref().filter(|theirs| *theirs != &***ours)?;
            let text = format!("its EIP-712 {what} is {} on the chain and {} here", quoted(theirs), quoted(ours));
            Some((true, format!("{text}: no payment would be good")))
        });
        let differing: Vec<_> = differing.collect();
        if !differing.is_empty() {
            return differing;
        }
        if let Some(separator) = self.separator {
            let text = format!("its DOMAIN_SEPARATOR is {separator}, and name and version here make {expected}");
            return vec![(true, format!("{text}: no payment would be good"))];
        }
        let unsaid = members.iter().filter(|(_, theirs, _)| theirs.is_none());
        unsaid.map(|(what, ..)| (false, format!("nothing on the chain says its EIP-712 {what}"))).collect()
    }
}
