//! The comparison: what the buyers have, what the facilitator's books say, what the upstream did, what the ledger has.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use crate::buyer::{Ending, Intent, Paid, Wish};
use crate::facilitator::Booked;
use crate::http::ask;
use crate::ledger::Rows;
use crate::run::Plan;
use crate::story::{Moment, Story};
use crate::totals::{INTENTS, Totals};
use crate::upstream::Hit;

/// Everything that is known at the end of a run.
pub(crate) struct Evidence<'a> {
    pub(crate) plan: Plan,
    pub(crate) story: Story,
    pub(crate) log: String,
    pub(crate) gateway: SocketAddr,
    pub(crate) intents: &'a [Intent],
    pub(crate) books: HashMap<String, Booked>,
    pub(crate) hits: Vec<Hit>,
    pub(crate) rows: Rows,
    pub(crate) kills: Vec<Moment>,
}

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The money of one intent moved twice, or moved and the buyer was told to sign anew.
    Twice,
    /// Something was given for money that did not move.
    Free,
    /// The money moved, and the buyer has nothing and the ledger does not say so.
    Lost,
    /// Work was done, or an answer given, that this payment was not for.
    Wrong,
}

pub(crate) fn judge(evidence: &Evidence<'_>, totals: &mut Totals) {
    let known: BTreeSet<_> = evidence.intents.iter().flat_map(|intent| &intent.payments).map(|paid| &paid.id).collect();
    for strange in evidence.books.keys().chain(evidence.rows.keys()).filter(|id| !known.contains(id)) {
        totals.fault(evidence, strange, Fault::Wrong, "nobody signed it");
    }
    for intent in evidence.intents {
        totals.add(INTENTS, 1);
        let moved: u32 = intent.payments.iter().map(|paid| evidence.moved(&paid.id)).sum();
        if moved > 1 {
            totals.fault(evidence, &intent.payments[0].id, Fault::Twice, "one intent was paid twice");
        }
        for paid in &intent.payments {
            payment(evidence, intent, paid, totals);
        }
    }
}

fn payment(evidence: &Evidence<'_>, intent: &Intent, paid: &Paid, totals: &mut Totals) {
    let (state, _) = evidence.rows.get(&paid.id).cloned().unwrap_or_default();
    let (moved, delivered) = (evidence.moved(&paid.id) > 0, !paid.delivered.is_empty());
    let mut fault = |fault, what: &str| totals.fault(evidence, &paid.id, fault, what);
    if delivered && !moved {
        fault(Fault::Free, "it was delivered, and the money did not move");
    }
    if paid.refused && moved {
        fault(Fault::Twice, "the buyer was told to sign anew, and the money moved");
    }
    if paid.foreign {
        fault(Fault::Wrong, "the answer names another payment");
    }
    match (state.as_str(), moved) {
        ("settled" | "delivered", false) => fault(Fault::Free, "the ledger has it as paid, and the money did not move"),
        ("voided" | "", true) => fault(Fault::Lost, "the money moved, and the ledger does not say so"),
        ("settling", _) => fault(Fault::Lost, "it is settling at the end"),
        ("unknown", moved) if !moved || !evidence.plan.can_stay_unknown() => {
            fault(Fault::Lost, "it is unknown although it can be known");
        }
        ("settled", true) if !delivered && intent.wish.is_safe() && intent.ending != Ending::GaveUp => {
            fault(Fault::Lost, "it is owed for ever, although asking for it again does no harm");
        }
        ("delivered", true) if !delivered && intent.ending != Ending::GaveUp => {
            fault(Fault::Lost, "the ledger has it as delivered, and the buyer has nothing");
        }
        _ => {}
    }
    let again = match intent.wish {
        Wish::Plan => sale(evidence, paid, &mut fault),
        _ => call(evidence, intent.wish, paid, &mut fault),
    };
    totals.count(&state, moved, delivered, again);
}

/// A purchase that was paid brings one key, the same each time, and the key opens what it is for.
fn sale(evidence: &Evidence<'_>, paid: &Paid, fault: &mut dyn FnMut(Fault, &str)) -> u64 {
    let keys: BTreeSet<_> = paid.delivered.iter().map(|(_, key)| key).collect();
    if keys.len() > 1 {
        fault(Fault::Wrong, "one sale brought several keys");
    }
    for key in keys {
        let opens = ask(evidence.gateway, "GET", "/work", Some(("X-API-KEY", key)));
        // Also the upstream's own failure is behind the gate.
        if !opens.is_ok_and(|answer| matches!(answer.status, 200 | 500)) {
            fault(Fault::Lost, "the key opens nothing");
        }
    }
    0
}

/// Says how often the upstream's answer to a safe call was given anew after a crash had taken the note of the first.
fn call(evidence: &Evidence<'_>, wish: Wish, paid: &Paid, fault: &mut dyn FnMut(Fault, &str)) -> u64 {
    let hits: Vec<_> = evidence.hits.iter().filter(|hit| hit.payment == paid.id && hit.good).collect();
    let answers: BTreeSet<_> = paid.delivered.iter().map(|(_, serial)| serial).collect();
    if wish == Wish::Post {
        let asked = evidence.books.get(&paid.id).and_then(|booked| booked.asked);
        if hits.iter().any(|hit| asked.is_some_and(|asked| hit.at > asked)) {
            fault(Fault::Wrong, "work was done again after its settlement was asked for");
        }
        let lives: BTreeSet<_> = hits.iter().map(|hit| hit.life).collect();
        if lives.len() < hits.len() {
            fault(Fault::Wrong, "work was done twice in one life");
        }
        if answers.len() > 1 {
            fault(Fault::Wrong, "one payment brought two answers");
        }
        return 0;
    }
    let Some((first, _)) = paid.delivered.first() else { return 0 };
    let begun = hits.iter().map(|hit| hit.at).filter(|at| at < first).max().unwrap_or_default();
    let late: Vec<_> = hits.iter().filter(|hit| hit.at > *first).collect();
    for hit in &late {
        if !evidence.kills.iter().any(|kill| (begun..hit.at).contains(kill)) {
            fault(Fault::Wrong, "it was served again after it was delivered, and nothing had crashed");
        }
    }
    u64::try_from(late.len()).unwrap()
}

impl Evidence<'_> {
    fn moved(&self, payment: &str) -> u32 {
        self.books.get(payment).map_or(0, |booked| booked.moved)
    }
}
