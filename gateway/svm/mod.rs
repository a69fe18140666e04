//! Solana's wire format, as far as payments need it: transactions, token accounts, the transfer of ordinary wallets.
//!
//! Nothing here knows of x402. Bytes come from anybody: what is not exactly a transaction is none, and nothing is kept
//! beyond the network's own packet size. The official crates were tried: they are 55 crates, half of them new here, and
//! bring a second curve beside the one that signatures are checked with.

mod draft;
mod reader;
#[cfg(test)]
mod tests;
mod token;
mod transaction;
mod transfer;

pub use draft::Draft;
pub use token::{TOKEN, TOKEN_2022, associated_token_account};
pub use transaction::{Instruction, Message, Transaction, signed_bytes};
pub use transfer::{Transfer, Unusual};

/// An address: a public key, or a point off the curve that a program owns.
pub type Pubkey = [u8; 32];

/// The most digits that an address has in base58.
const BASE58_CHARS_MAX: usize = 44;

/// Reads an address in base58.
pub fn pubkey(base58: &str) -> Option<Pubkey> {
    // Reading takes time in the square of the length.
    (base58.len() <= BASE58_CHARS_MAX).then(|| bs58::decode(base58).into_vec().ok()?.try_into().ok())?
}

/// An address in base58.
pub fn base58(address: &Pubkey) -> String {
    bs58::encode(address).into_string()
}

/// A program's address, known when this is compiled.
const fn program(base58: &str) -> Pubkey {
    bs58::decode(base58.as_bytes()).into_array_const_unwrap()
}
