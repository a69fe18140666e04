use ed25519_dalek::{Signer as _, SigningKey};

use super::transfer::{COMPUTE_BUDGET, MEMO};
use super::{Pubkey, associated_token_account};

/// A payment before it is signed, as the reference's client makes it: a message of version 0 with one transfer and one
/// memo. For the demo's wallet and for tests; the gateway itself signs nothing.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who pays the fees and signs last.
    pub fee_payer: Pubkey,
    /// The token program.
    pub program: Pubkey,
    /// The token.
    pub mint: Pubkey,
    /// Its decimals.
    pub decimals: u8,
    /// The receiver's wallet.
    pub pay_to: Pubkey,
    /// In atomic units.
    pub amount: u64,
    /// A recent block's.
    pub blockhash: [u8; 32],
    /// It tells two payments of one block apart.
    pub memo: Vec<u8>,
}

impl Draft {
    /// The transaction, signed by its payer. None if a memo is too long for it, or a wallet can have no such account.
    pub fn sign(&self, payer: &SigningKey) -> Option<Vec<u8>> {
        let message = self.message(&payer.verifying_key().to_bytes())?;
        let signature = payer.sign(&message).to_bytes();
        Some([&[2], [0; 64].as_slice(), &signature, &message].concat())
    }

    /// What `payer` would sign.
    pub fn message(&self, payer: &Pubkey) -> Option<Vec<u8>> {
        let source = associated_token_account(payer, &self.program, &self.mint)?;
        let destination = associated_token_account(&self.pay_to, &self.program, &self.mint)?;
        let accounts =
            [self.fee_payer, *payer, source, destination, COMPUTE_BUDGET, self.mint, MEMO, self.program].concat();
        let limit: &[u8] = &[4, 0, 5, 2, 0x20, 0x4e, 0, 0];
        let price: &[u8] = &[4, 0, 9, 3, 1, 0, 0, 0, 0, 0, 0, 0];
        let transfer = [&[7, 4, 2, 5, 3, 1, 10, 12], self.amount.to_le_bytes().as_slice(), &[self.decimals]].concat();
        let memo = [&[6, 0], length(self.memo.len())?.as_slice(), &self.memo].concat();
        let instructions = [&[4], limit, price, &transfer, &memo].concat();
        // Two sign, of whom the payer's own account is only read, as are the programs and the token.
        Some([&[0x80, 2, 1, 4, 8], accounts.as_slice(), &self.blockhash, &instructions, &[0]].concat())
    }
}

/// A length below 2^14, as the wire has it.
fn length(length: usize) -> Option<Vec<u8>> {
    let (low, high) = (u8::try_from(length & 0x7f).ok()?, u8::try_from(length >> 7).ok()?);
    match high {
        0 => Some(vec![low]),
        1..=0x7f => Some(vec![low | 0x80, high]),
        _ => None,
    }
}
