use ed25519_dalek::{Signature, VerifyingKey};

use super::Pubkey;
use super::reader::Reader;

/// The largest transaction of the network, in bytes (its packet size).
const TRANSACTION_BYTES_MAX: usize = 1232;
/// So many signatures and their accounts fit into one: its length is then one byte.
const SIGNATURES_MAX: u8 = 12;
/// The first byte of a message that says its version, here 0; a legacy message begins with its number of signers.
const VERSION_0: u8 = 0x80;

/// A decoded transaction.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// One slot for each required signer; a slot that is not yet signed is zero.
    pub signatures: &'a [[u8; 64]],
    /// The bytes that are signed.
    pub bytes: &'a [u8],
    /// What they say.
    pub message: Message<'a>,
}

/// What is signed: a message of the legacy format or of version 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// How many of the accounts must sign, from the first on.
    pub signers: usize,
    /// Addresses that stand in the message itself, signers first; the first pays the fees.
    pub accounts: Vec<&'a Pubkey>,
    /// What limits its life.
    pub blockhash: &'a [u8; 32],
    /// What is done, in order.
    pub instructions: Vec<Instruction<'a>>,
}

/// One call of a program. Accounts are indices: those beyond the message's own come from lookup tables, which only a
/// chain can resolve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction<'a> {
    program: u8,
    accounts: &'a [u8],
    /// What the program is told.
    pub data: &'a [u8],
}

/// The bytes behind the signatures of a transaction, of any version that begins with them. They need not be a message.
pub fn signed_bytes(transaction: &[u8]) -> Option<&[u8]> {
    split(transaction).map(|(_, bytes)| bytes)
}

fn split(transaction: &[u8]) -> Option<(&[[u8; 64]], &[u8])> {
    if transaction.len() > TRANSACTION_BYTES_MAX {
        return None;
    }
    let (&count, rest) = transaction.split_first()?;
    let (signatures, bytes) = rest.split_at_checked(usize::from(count) * size_of::<[u8; 64]>())?;
    ((1..=SIGNATURES_MAX).contains(&count) && bytes.len() > 4).then_some((signatures.as_chunks().0, bytes))
}

impl<'a> Transaction<'a> {
    /// Decodes a transaction, of the legacy format or version 0.
    pub fn parse(transaction: &'a [u8]) -> Option<Self> {
        let (signatures, bytes) = split(transaction)?;
        let message = Message::parse(bytes)?;
        (message.signers == signatures.len()).then_some(Self { signatures, bytes, message })
    }

    /// Whether everybody but the fee payer, who signs last, has signed.
    pub fn is_signed_by_others(&self) -> bool {
        self.message.accounts.iter().zip(self.signatures).skip(1).all(|(account, signature)| {
            // Strict, as Solana's own check is.
            VerifyingKey::from_bytes(account)
                .and_then(|key| key.verify_strict(self.bytes, &Signature::from_bytes(signature)))
                .is_ok()
        })
    }
}

impl<'a> Message<'a> {
    /// Decodes the bytes that are signed.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let mut signers = reader.byte()?;
        let is_versioned = signers & VERSION_0 != 0;
        if is_versioned {
            signers = (signers == VERSION_0).then(|| reader.byte())??;
        }
        let _readonly = reader.array::<2>()?;
        let accounts = reader.list(Reader::array::<32>)?;
        let blockhash = reader.array()?;
        let instructions = reader.list(Instruction::read)?;
        if is_versioned {
            let _lookup_tables =
                reader.list(|reader| Some((reader.array::<32>()?, reader.bytes()?, reader.bytes()?)))?;
        }
        let signers = usize::from(signers);
        let is_whole = reader.0.is_empty() && (1..=accounts.len()).contains(&signers);
        is_whole.then_some(Self { signers, accounts, blockhash, instructions })
    }

    /// Who pays the fees.
    pub fn fee_payer(&self) -> Option<&'a Pubkey> {
        self.accounts.first().copied()
    }

    /// Whether an account's signature is needed.
    pub fn is_signer(&self, account: &Pubkey) -> bool {
        self.accounts.iter().take(self.signers).any(|signer| *signer == account)
    }

    /// The program that an instruction calls.
    pub fn program(&self, instruction: &Instruction<'_>) -> Option<&'a Pubkey> {
        self.accounts.get(usize::from(instruction.program)).copied()
    }

    /// An account that an instruction is about, by its position.
    pub fn account(&self, instruction: &Instruction<'_>, position: usize) -> Option<&'a Pubkey> {
        self.accounts.get(usize::from(*instruction.accounts.get(position)?)).copied()
    }
}

impl<'a> Instruction<'a> {
    /// How many accounts it is about.
    pub(super) fn accounts_len(&self) -> usize {
        self.accounts.len()
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self { program: reader.byte()?, accounts: reader.bytes()?, data: reader.bytes()? })
    }
}
