//! Solana's wire format, as far as a payment needs it: signatures, the message, token accounts.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// The largest transaction of the network, in bytes (its packet size).
const TRANSACTION_BYTES_MAX: usize = 1232;

/// An address: a public key, or a point off the curve that a program owns.
pub(super) type Pubkey = [u8; 32];

/// A decoded transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    /// One slot for each required signer; a slot that is not yet signed is zero.
    pub(super) signatures: Vec<[u8; 64]>,
    /// The bytes that are signed.
    pub(super) message: Vec<u8>,
    /// Addresses that stand in the message itself, signers first; the first pays the fees.
    pub(super) accounts: Vec<Pubkey>,
    /// What is done, in order.
    pub(super) instructions: Vec<Instruction>,
}

/// One call of a program. Accounts are indices: those beyond the message's own come from lookup tables, which only a
/// chain can resolve.
#[derive(Debug)]
pub(super) struct Instruction {
    program: u8,
    accounts: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Transaction {
    /// Decodes a signed transaction, of the legacy format or version 0.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > TRANSACTION_BYTES_MAX {
            return None;
        }
        let mut reader = Reader(bytes);
        let signatures = reader.list(Reader::array::<64>)?;
        let message = reader.0.to_vec();
        let versioned = reader.0.first()? & 0x80 != 0;
        if versioned && reader.byte()? != 0x80 {
            return None;
        }
        let [signers, _, _] = reader.array::<3>()?;
        let accounts = reader.list(Reader::array::<32>)?;
        let _blockhash = reader.array::<32>()?;
        let instructions = reader.list(Reader::instruction)?;
        if versioned {
            reader.list(|reader| Some((reader.array::<32>()?, reader.bytes()?, reader.bytes()?)))?;
        }
        let whole =
            reader.0.is_empty() && usize::from(signers) == signatures.len() && signatures.len() <= accounts.len();
        whole.then_some(Self { signatures, message, accounts, instructions })
    }

    /// Whether everybody but the fee payer, who signs last, has signed this message.
    pub(super) fn is_signed_by_others(&self) -> bool {
        self.accounts.iter().zip(&self.signatures).skip(1).all(|(account, signature)| {
            // Strict, as Solana's own check is.
            VerifyingKey::from_bytes(account)
                .and_then(|key| key.verify_strict(&self.message, &Signature::from_bytes(signature)))
                .is_ok()
        })
    }

    /// Whether an account is among those whose signature the transaction needs.
    pub(super) fn is_signer(&self, account: &Pubkey) -> bool {
        self.accounts.iter().take(self.signatures.len()).any(|signer| signer == account)
    }

    /// The program that an instruction calls.
    pub(super) fn program(&self, instruction: &Instruction) -> Option<&Pubkey> {
        self.accounts.get(usize::from(instruction.program))
    }

    /// An account that an instruction is about, by its position.
    pub(super) fn account(&self, instruction: &Instruction, position: usize) -> Option<&Pubkey> {
        self.accounts.get(usize::from(*instruction.accounts.get(position)?))
    }
}

/// The token account that a wallet has for a mint: the program-derived address of the three.
pub(super) fn associated_token_account(wallet: &Pubkey, token_program: &Pubkey, mint: &Pubkey) -> Option<Pubkey> {
    let program = pubkey("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")?;
    (0..=u8::MAX).rev().find_map(|bump| {
        let seeds = Sha256::new().chain_update(wallet).chain_update(token_program).chain_update(mint);
        let hash = seeds.chain_update([bump]).chain_update(program).chain_update(b"ProgramDerivedAddress").finalize();
        let address: Pubkey = hash.into();
        // Nobody can have a key for an address that is no point of the curve.
        VerifyingKey::from_bytes(&address).is_err().then_some(address)
    })
}

/// Reads an address in base58.
pub(super) fn pubkey(base58: &str) -> Option<Pubkey> {
    bs58::decode(base58).into_vec().ok()?.try_into().ok()
}

/// Takes bytes off the front; none means that they are not there.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    /// A length in one to three groups of seven bits, the lowest first.
    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.length()?).map(|_| item(self)).collect()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.length()?;
        let (front, rest) = self.0.split_at_checked(length)?;
        let bytes = front.to_vec();
        self.0 = rest;
        Some(bytes)
    }

    fn instruction(&mut self) -> Option<Instruction> {
        Some(Instruction { program: self.byte()?, accounts: self.bytes()?, data: self.bytes()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Transaction::parse(&bytes);
        }
    }
}
