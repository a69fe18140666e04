use std::sync::Arc;

use super::Address;

/// A token that prices are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The contract or mint.
    pub address: Address,
    /// What people call it, for example `USDC`.
    pub symbol: Arc<str>,
    /// Digits behind the dot of one whole token.
    pub decimals: u8,
    /// The EIP-712 domain that payers sign for; only EVM tokens have one.
    pub domain: Option<Eip712Domain>,
    /// How the token moves by a signature.
    pub transfer: TransferMethod,
}

/// The two members of a token's EIP-712 domain that differ between tokens.
///
/// They must equal what the contract uses: USDC is `USD Coin` on Base and `USDC` on Base Sepolia.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eip712Domain {
    /// `name` of the domain.
    pub name: Arc<str>,
    /// `version` of the domain.
    pub version: Arc<str>,
}

/// How a signed payment moves the token (x402 v2 exact scheme, `extra.assetTransferMethod`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferMethod {
    /// `transferWithAuthorization` of the token itself; on other families, the family's own way.
    Native,
    /// Uniswap's Permit2 contract with the x402 proxy as spender.
    Permit2,
}
