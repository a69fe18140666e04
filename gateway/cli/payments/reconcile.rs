//! `tollgate payments reconcile`: what the gateway asks in the background, asked once and now.

use std::io::{stderr, stdout};
use std::process::ExitCode;
use std::time::SystemTime;

use super::{Failed, Open, STILL_OPEN, print};
use crate::app::Beside;
use crate::payment::{PaymentId, State};
use crate::resource_server::Denial;
use crate::store::{Books as _, Doubt, Filter, Order, SqliteStore};

/// Payments in one read.
const PAGE: u32 = 500;

pub(super) async fn run(open: &Open, id: Option<PaymentId>) -> Result<ExitCode, Failed> {
    let beside = Beside::assemble(&open.config, &open.store)?;
    let ids = match id {
        Some(id) => vec![id],
        None => all_open(open).await?,
    };
    if ids.is_empty() {
        print(stdout(), "no payments are open");
    }
    let mut still_open = 0u64;
    for id in ids {
        match one(open, &beside, &id).await {
            Ok(State::Settling | State::Unknown) => still_open += 1,
            Ok(_) => {}
            Err(error @ Failed::NotThere(..)) => return Err(error),
            Err(error) => {
                still_open += 1;
                print(stderr(), &format!("{id}: {error}"));
            }
        }
    }
    Ok(if still_open == 0 { ExitCode::SUCCESS } else { ExitCode::from(STILL_OPEN) })
}

async fn all_open(open: &Open) -> Result<Vec<PaymentId>, Failed> {
    let filter = Filter { states: vec![State::Settling, State::Unknown], ..Filter::default() };
    let (mut ids, mut last) = (Vec::new(), None);
    loop {
        let page = open.store.page(&filter, Order::OldestFirst, last.as_ref(), PAGE).await?;
        ids.extend(page.iter().map(|entry| entry.id.clone()));
        last = page.into_iter().next_back();
        if last.is_none() {
            return Ok(ids);
        }
    }
}

/// Asks for one payment, and says what became of it.
async fn one(open: &Open, beside: &Beside, id: &PaymentId) -> Result<State, Failed> {
    let ledger = beside.server.ledger();
    let record = ledger.record(id).await?.ok_or_else(|| open.not_there(id))?;
    if record.state == State::Settling
        // Without a gateway, what is settling was left behind; with one, it is in its hands.
        && let Some(_alone) = SqliteStore::alone(&open.config.store.path)
    {
        let reason = "the gateway ended while it was settled".to_owned();
        ledger.unknown(id, &Doubt { reason, transaction: None, ask_at: Some(SystemTime::now()) }).await?;
    }
    let asked = beside.server.reconcile_one(&beside.market, id).await;
    let record = ledger.record(id).await?.ok_or_else(|| open.not_there(id))?;
    let state = record.state;
    let note = match (asked, state) {
        (Ok(Some(_)), State::Settled | State::Delivered) => {
            format!(" now, transaction {}", record.receipt.map_or(String::new(), |receipt| receipt.transaction))
        }
        (Ok(Some(_)), State::Unknown) => format!(" still: {}", record.reason.unwrap_or_default()),
        (Ok(Some(_)), _) => format!(" now: {}", record.reason.unwrap_or_default()),
        (Ok(None), State::Settling) => ", in the hands of the running gateway".to_owned(),
        (Ok(None), _) => " already".to_owned(),
        // The database refused: somebody else was quicker.
        (Err(Denial::InFlight(_)), _) => ", by the running gateway".to_owned(),
        (Err(_), _) => ": it could not be asked for; the store failed".to_owned(),
    };
    print(stdout(), &super::row::readable(&format!("{id} is {state}{note}")));
    Ok(state)
}
