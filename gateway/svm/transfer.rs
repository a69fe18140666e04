use super::{Instruction, Message, Pubkey, TOKEN, TOKEN_2022, program};

pub(super) const COMPUTE_BUDGET: Pubkey = program("ComputeBudget111111111111111111111111111111");
pub(super) const MEMO: Pubkey = program("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
/// Guards that some wallets put into every transaction.
pub(super) const LIGHTHOUSE: Pubkey = program("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");
/// How many instructions may follow the transfer.
const OPTIONAL_MAX: usize = 4;
/// Where `TransferChecked` has its accounts.
const MINT: usize = 1;
const DESTINATION: usize = 2;
const AUTHORITY: usize = 3;

/// The transfer of a message in the one layout that ordinary wallets use: compute limit, compute price, a
/// `TransferChecked` of SPL Token or Token-2022, then up to four memos and guards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// In micro-lamports for a compute unit.
    pub compute_price: u64,
    /// The token program.
    pub program: &'a Pubkey,
    /// The token.
    pub mint: &'a Pubkey,
    /// The account that it goes to, which is not the receiver's wallet.
    pub destination: &'a Pubkey,
    /// Who disposes of the account that it comes from.
    pub authority: &'a Pubkey,
    /// In atomic units.
    pub amount: u64,
    /// Whether there are more accounts than every transfer has: signers for an authority that is several people, or a
    /// token's own rules.
    pub has_more_accounts: bool,
}

/// What does not fit the layout, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusual {
    /// Too few instructions or too many.
    Length,
    /// The first does not limit the compute units.
    ComputeLimit,
    /// The second does not price them.
    ComputePrice,
    /// The third is no transfer of a token, or has accounts that stand in a lookup table.
    NoTransfer,
    /// One behind the transfer is neither a memo nor a guard; its place, from 0.
    Optional(usize),
}

impl<'a> Message<'a> {
    /// Finds the transfer among instructions that are all known.
    ///
    /// # Errors
    /// [`Unusual`] for every other layout, which a wallet with a program of its own may have.
    pub fn transfer(&self) -> Result<Transfer<'a>, Unusual> {
        let [limit, price, transfer, optional @ ..] = &*self.instructions else { return Err(Unusual::Length) };
        if optional.len() > OPTIONAL_MAX {
            return Err(Unusual::Length);
        }
        if !self.calls(limit, &[COMPUTE_BUDGET]) || !matches!(limit.data, [2, _, _, _, _]) {
            return Err(Unusual::ComputeLimit);
        }
        let compute_price = match price.data {
            [3, price @ ..] => price.try_into().ok().map(u64::from_le_bytes),
            _ => None,
        };
        let compute_price = compute_price.filter(|_| self.calls(price, &[COMPUTE_BUDGET]));
        let compute_price = compute_price.ok_or(Unusual::ComputePrice)?;
        let transfer = self.read_transfer(transfer, compute_price).ok_or(Unusual::NoTransfer)?;
        let known = |instruction| self.calls(instruction, &[MEMO, LIGHTHOUSE]);
        match optional.iter().position(|instruction| !known(instruction)) {
            Some(place) => Err(Unusual::Optional(place)),
            None => Ok(transfer),
        }
    }

    /// The texts of the memos, wherever they stand.
    pub fn memos(&self) -> impl Iterator<Item = &'a [u8]> {
        self.instructions.iter().filter(|instruction| self.calls(instruction, &[MEMO])).map(|memo| memo.data)
    }

    /// Whether an account disposes of money in any instruction of a token program.
    pub fn spends_of(&self, account: &Pubkey) -> bool {
        let spends = |instruction: &Instruction<'_>| self.account(instruction, AUTHORITY) == Some(account);
        let mut calls = self.instructions.iter().filter(|instruction| self.calls(instruction, &[TOKEN, TOKEN_2022]));
        calls.any(spends)
    }

    fn calls(&self, instruction: &Instruction<'_>, programs: &[Pubkey]) -> bool {
        self.program(instruction).is_some_and(|program| programs.contains(program))
    }

    /// A `TransferChecked`: its number, an amount, and the token's decimals.
    fn read_transfer(&self, instruction: &Instruction<'a>, compute_price: u64) -> Option<Transfer<'a>> {
        let [12, amount @ .., _decimals] = instruction.data else { return None };
        let program = self.program(instruction).filter(|program| [TOKEN, TOKEN_2022].contains(program))?;
        let _source = self.account(instruction, 0)?;
        Some(Transfer {
            compute_price,
            program,
            mint: self.account(instruction, MINT)?,
            destination: self.account(instruction, DESTINATION)?,
            authority: self.account(instruction, AUTHORITY)?,
            amount: u64::from_le_bytes(amount.try_into().ok()?),
            has_more_accounts: instruction.accounts_len() > AUTHORITY + 1,
        })
    }
}
