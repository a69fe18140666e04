//! `tollgate payments resolve`: the operator's word on a payment that nobody else can end.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::time::SystemTime;

use clap::Args;

use super::row::{Row, readable};
use super::{Failed, Open, print};
use crate::app::Beside;
use crate::clock::iso_millis;
use crate::payment::{PaymentId, State};
use crate::resource_server::{Unruled, Word};
use crate::store::{Act, Alone, Books as _, Record, SqliteStore, StoreError};

/// Longer is no hash of any chain, and no reason for a table.
const WORD_BYTES_MAX: usize = 200;

/// One of the two words.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct WordArgs {
    /// The money has moved.
    #[arg(long, required_unless_present = "voided", conflicts_with = "voided", requires = "transaction")]
    settled: bool,
    /// In this transaction.
    #[arg(long, value_name = "HASH", requires = "settled", value_parser = word)]
    transaction: Option<String>,
    /// The money has not moved, and cannot any more.
    #[arg(long, requires = "reason")]
    voided: bool,
    /// How that is known.
    #[arg(long, value_name = "TEXT", requires = "voided", value_parser = word)]
    reason: Option<String>,
}

pub(super) async fn run(open: &Open, id: &PaymentId, word: WordArgs, yes: bool) -> Result<(), Failed> {
    let word = match (word.transaction, word.reason) {
        (Some(transaction), None) => Word::Settled(transaction),
        (_, reason) => Word::Voided(reason.unwrap_or_default()),
    };
    let detail = open.store.detail(id).await?.ok_or_else(|| open.not_there(id))?;
    let beside = Beside::assemble(&open.config, &open.store)?;
    beside.server.allows(&beside.market, &detail.record, &word, alone(open, &detail.record).is_some())?;
    let row = Row::new(&detail.entry, &open.config);
    if !yes {
        confirm(&row, &word)?;
    }
    // Written before it is done, as every move of money is; what is refused after that is written too.
    note(open, id, act(&word), text(&word)).await?;
    // Held to the end: no gateway starts while a payment that it left behind is ended here.
    let alone = alone(open, &detail.record);
    match beside.server.rule(&beside.market, id, &word, alone.is_some()).await {
        Ok(()) => {
            print(stdout(), &format!("{id} is {}", state(&word)));
            Ok(())
        }
        Err(error) => {
            note(open, id, "resolve refused", &error.to_string()).await?;
            Err(match error {
                Unruled::Store(StoreError::Moved(_)) => {
                    Failed::Refused(format!("{id} was ended by the running gateway meanwhile; show says how"))
                }
                error => error.into(),
            })
        }
    }
}

/// Only for a payment that a gateway may be settling: nobody is kept from starting without need.
fn alone(open: &Open, record: &Record) -> Option<Alone> {
    (record.state == State::Settling).then(|| SqliteStore::alone(&open.config.store.path)).flatten()
}

/// Into the books, and onto standard error for whoever keeps that.
async fn note(open: &Open, id: &PaymentId, act: &str, detail: &str) -> Result<(), Failed> {
    let who = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "somebody".to_owned());
    let (at, detail) = (SystemTime::now(), format!("{detail} (by {who})"));
    open.store.note(&Act { at, payment: id.clone(), act: act.to_owned(), detail: detail.clone() }).await?;
    print(stderr(), &readable(&format!("audit {} payment_id={id} act=\"{act}\" detail={detail:?}", iso_millis(at))));
    Ok(())
}

/// Asks on the terminal.
fn confirm(row: &Row, word: &Word) -> Result<(), Failed> {
    if !stdin().is_terminal() {
        return Err(Failed::Refused("nobody can be asked here whether it is meant: add --yes".to_owned()));
    }
    let payer = row.payer.as_deref().unwrap_or("a payer that is not known");
    let what = match word {
        Word::Settled(_) => "has moved, and the buyer gets what was paid for",
        Word::Voided(_) => "has not moved, and the buyer gets nothing",
    };
    let question = format!(
        "{} for {} {} from {payer}: the money {what}. There is no way back. Type yes: ",
        row.money(),
        row.kind,
        row.offer
    );
    let mut terminal = stderr();
    terminal.write_all(readable(&question).as_bytes())?;
    terminal.flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failed::Refused("nothing was done".to_owned())) }
}

fn act(word: &Word) -> &'static str {
    match word {
        Word::Settled(_) => "resolve settled",
        Word::Voided(_) => "resolve voided",
    }
}

fn state(word: &Word) -> &'static str {
    match word {
        Word::Settled(_) => "settled",
        Word::Voided(_) => "voided",
    }
}

fn text(word: &Word) -> &str {
    match word {
        Word::Settled(text) | Word::Voided(text) => text,
    }
}

fn word(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.len() {
        0 => Err("says nothing".to_owned()),
        1..=WORD_BYTES_MAX if !text.contains(char::is_control) => Ok(text.to_owned()),
        1..=WORD_BYTES_MAX => Err("holds what cannot be printed".to_owned()),
        _ => Err(format!("is longer than {WORD_BYTES_MAX} bytes")),
    }
}
