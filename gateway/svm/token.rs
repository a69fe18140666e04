use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::{Pubkey, program};

/// SPL Token.
pub const TOKEN: Pubkey = program("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// Token-2022.
pub const TOKEN_2022: Pubkey = program("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const ASSOCIATED_TOKEN: Pubkey = program("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

/// The token account that a wallet has for a mint: the program-derived address of the three.
pub fn associated_token_account(wallet: &Pubkey, token_program: &Pubkey, mint: &Pubkey) -> Option<Pubkey> {
    (0..=u8::MAX).rev().find_map(|bump| {
        let seeds = Sha256::new().chain_update(wallet).chain_update(token_program).chain_update(mint);
        let hash = seeds.chain_update([bump]).chain_update(ASSOCIATED_TOKEN).chain_update(b"ProgramDerivedAddress");
        let address: Pubkey = hash.finalize().into();
        // Nobody can have a key for an address that is no point of the curve.
        VerifyingKey::from_bytes(&address).is_err().then_some(address)
    })
}
