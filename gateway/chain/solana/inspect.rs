//! What Solana shows of mints and of the receiver's token accounts.

use serde::Deserialize;
use serde_json::json;

use super::Solana;
use crate::chain::{ChainError, Finding, Inspected};
use crate::money::Asset;
use crate::svm::{Pubkey, TOKEN, TOKEN_2022, associated_token_account, base58, pubkey};
use crate::x402::codec;

const ACCOUNT: &str = "getAccountInfo";
/// The length of a mint and of a token account without extensions, which is where Token-2022 says what it is.
const MINT_BYTES: usize = 82;
const TOKEN_ACCOUNT_BYTES: usize = 165;
/// Where a mint has its decimals, and whether it is one already.
const DECIMALS_AT: usize = 44;
const INITIALIZED_AT: usize = 45;
/// Where a token account has its state; 2 is frozen.
const STATE_AT: usize = 108;

#[derive(Deserialize)]
struct Answer {
    value: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    /// Text and encoding.
    data: (String, String),
    owner: String,
}

/// What an account is to the token programs.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Mint { decimals: u8 },
    TokenAccount { mint: Pubkey, owner: Pubkey, frozen: bool },
    Neither,
}

/// An account with the program that it belongs to.
struct Seen {
    program: Pubkey,
    kind: Kind,
}

impl Solana {
    /// Adds what is found to the findings; an error ends the look.
    pub(in crate::chain) async fn inspect(
        &self,
        subject: &Inspected<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), ChainError> {
        self.check_chain().await?;
        let pay_to = subject.pay_to.to_string();
        let Some(wallet) = pubkey(&pay_to) else { return Ok(()) };
        match self.account(&wallet).await?.map(|seen| seen.kind) {
            Some(Kind::TokenAccount { owner, .. }) => {
                let text =
                    format!("the receiver {pay_to} is a token account, its owner {} would be right", base58(&owner));
                findings.push(Finding::Problem(text));
                return Ok(());
            }
            Some(Kind::Mint { .. }) => {
                findings.push(Finding::Problem(format!("the receiver {pay_to} is a mint, where money would be lost")));
                return Ok(());
            }
            Some(Kind::Neither) | None => {}
        }
        for asset in subject.assets {
            self.inspect_mint(asset, &wallet, findings).await?;
        }
        Ok(())
    }

    async fn inspect_mint(
        &self,
        asset: &Asset,
        wallet: &Pubkey,
        findings: &mut Vec<Finding>,
    ) -> Result<(), ChainError> {
        let (symbol, address) = (&asset.symbol, asset.address.to_string());
        let Some(mint) = pubkey(&address) else { return Ok(()) };
        let mut problem = |text: String| findings.push(Finding::Problem(format!("{symbol} ({address}) {text}")));
        let Some(Seen { program, kind }) = self.account(&mint).await? else {
            problem("is not there: it is no mint of this cluster".to_owned());
            return Ok(());
        };
        match kind {
            Kind::Mint { decimals } if decimals == asset.decimals => {}
            Kind::Mint { decimals } => problem(format!(
                "has {decimals} decimals on the chain and {} here: prices would be others than meant",
                asset.decimals
            )),
            Kind::TokenAccount { mint, .. } => {
                problem(format!("is a token account, its mint {} would be right", base58(&mint)));
                return Ok(());
            }
            Kind::Neither => {
                problem(format!("is no mint: it belongs to {}, which is no token program", base58(&program)));
                return Ok(());
            }
        }
        let Some(holding) = associated_token_account(wallet, &program, &mint) else { return Ok(()) };
        let (wallet_text, holding_text) = (base58(wallet), base58(&holding));
        match self.account(&holding).await?.map(|seen| seen.kind) {
            Some(Kind::TokenAccount { mint: held, owner, frozen }) if held == mint && owner == *wallet => {
                if frozen {
                    problem(format!("is frozen in the receiver's token account {holding_text}: it gets nothing"));
                }
            }
            Some(Kind::TokenAccount { owner, .. }) => problem(format!(
                "would go to {holding_text}, which {} has now and not the receiver {wallet_text}",
                base58(&owner)
            )),
            _ => problem(format!(
                "cannot be received yet: {wallet_text} needs its token account {holding_text}, which `spl-token \
                 create-account {address} --owner {wallet_text} --fee-payer KEYPAIR` makes"
            )),
        }
        Ok(())
    }

    /// An account as it is now, if it is there.
    async fn account(&self, address: &Pubkey) -> Result<Option<Seen>, ChainError> {
        // Of a longer one no more is read than tells what it is.
        let slice = json!({"offset": 0, "length": TOKEN_ACCOUNT_BYTES + 1});
        let options = json!({"encoding": "base64", "commitment": "confirmed", "dataSlice": slice});
        let Answer { value } = self.rpc.call(ACCOUNT, json!([base58(address), options])).await?;
        let Some(Account { data: (text, encoding), owner }) = value else { return Ok(None) };
        let data = codec::decode_bytes(&text).ok().filter(|_| encoding == "base64");
        let data = data.ok_or_else(|| ChainError::nonsense(ACCOUNT, "its data are not in base64"))?;
        let program = pubkey(&owner).ok_or_else(|| ChainError::nonsense(ACCOUNT, "its owner is no address"))?;
        Ok(Some(Seen { program, kind: Kind::of(&program, &data) }))
    }
}

impl Kind {
    fn of(program: &Pubkey, data: &[u8]) -> Self {
        if *program != TOKEN && *program != TOKEN_2022 {
            return Self::Neither;
        }
        // Behind the longer of the two, Token-2022 has a byte that tells them apart.
        let kind = match (data.len(), data.get(TOKEN_ACCOUNT_BYTES)) {
            (MINT_BYTES, _) | (_, Some(1)) => Self::mint(data),
            (TOKEN_ACCOUNT_BYTES, _) | (_, Some(2)) => Self::token_account(data),
            _ => None,
        };
        kind.unwrap_or(Self::Neither)
    }

    fn mint(data: &[u8]) -> Option<Self> {
        let decimals = *data.get(DECIMALS_AT)?;
        (data.get(INITIALIZED_AT) == Some(&1)).then_some(Self::Mint { decimals })
    }

    fn token_account(data: &[u8]) -> Option<Self> {
        let (mint, rest) = data.split_first_chunk::<32>()?;
        let owner = *rest.first_chunk::<32>()?;
        match data.get(STATE_AT)? {
            0 => None,
            state => Some(Self::TokenAccount { mint: *mint, owner, frozen: *state == 2 }),
        }
    }
}
