//! What an operator is to do about a payment, in a sentence or two.

use std::time::SystemTime;

use super::row::{Row, readable};
use crate::clock::iso_millis;
use crate::payment::State;
use crate::resource_server::{BREAKS_MAX, moves_until};
use crate::store::{Detail, Entry};

/// What the advice depends on.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) state: State,
    pub(super) is_plan: bool,
    /// Until when the money may move.
    pub(super) moves_until: SystemTime,
    /// When it is asked for again.
    pub(super) ask_at: Option<SystemTime>,
    /// Until when an answer is kept for the buyer; None if there is none, or if nobody looked.
    pub(super) kept_until: Option<SystemTime>,
    /// Whether its answer broke off so often that no repeat gets it.
    pub(super) broke_off: bool,
    /// Whether what a plan's payment bought is not there.
    pub(super) unsold: bool,
}

impl Facts {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            state: entry.state,
            is_plan: entry.offer.plan_name().is_some(),
            moves_until: moves_until(entry.valid_before, entry.created_at),
            ask_at: entry.ask_at,
            kept_until: None,
            broke_off: false,
            unsold: false,
        }
    }

    pub(super) fn of_detail(detail: &Detail) -> Self {
        let facts = Self::of(&detail.entry);
        Self {
            kept_until: detail.kept.map(|kept| kept.expires_at),
            broke_off: detail.record.asked >= BREAKS_MAX,
            unsold: facts.is_plan && detail.subscription.is_none(),
            ..facts
        }
    }
}

/// What to do. `file` is the configuration's, for commands that can be copied.
pub(super) fn advice(facts: &Facts, row: &Row, file: &str, now: SystemTime) -> String {
    match facts.state {
        State::Delivered => "Nothing: the money is yours, and the buyer has what was paid for.".to_owned(),
        State::Voided => "Nothing: no money has moved.".to_owned(),
        State::Settling => format!(
            "Wait: a gateway is settling it. If none is running, its next start asks what became of it, or you do: \
             tollgate payments reconcile {file} {}",
            row.id
        ),
        State::Unknown => unknown(facts, row, file, now),
        State::Settled => settled(facts, row, now),
    }
}

fn unknown(facts: &Facts, row: &Row, file: &str, now: SystemTime) -> String {
    let id = &row.id;
    match facts.ask_at {
        Some(next) => {
            let until = match now < facts.moves_until {
                true => format!("its authorization can move the money until {}", iso_millis(facts.moves_until)),
                false => "its authorization is past, and the last word is the chain's".to_owned(),
            };
            format!(
                "Wait: {until}. The gateway asks again at {}, and the buyer's repeat of the same payment picks up the \
                 result. To ask now: tollgate payments reconcile {file} {id}",
                iso_millis(next)
            )
        }
        None => {
            let (payer, hint) = (row.payer.as_deref().unwrap_or("the payer"), row.transaction_hint.as_deref());
            let hint = hint.map(|hint| format!(" (the facilitator named {hint})")).unwrap_or_default();
            let wait = match now < facts.moves_until {
                true => format!(", from {} on,", iso_millis(facts.moves_until)),
                false => String::new(),
            };
            readable(&format!(
                "Decide: the facilitator has no more to say. Look in an explorer of {} for a transfer of {} from \
                 {payer} to {} since {}{hint}. It is there: tollgate payments resolve {file} {id} --settled \
                 --transaction HASH. It is not{wait}: tollgate payments resolve {file} {id} --voided --reason TEXT. \
                 With an rpc_url for the network the gateway looks by itself.",
                row.network,
                row.money(),
                row.pay_to,
                row.created_at,
            ))
        }
    }
}

fn settled(facts: &Facts, row: &Row, now: SystemTime) -> String {
    if facts.unsold {
        return format!(
            "Refund by hand: {} was paid for the plan {}, and nothing was sold for it.",
            row.money(),
            readable(&row.offer)
        );
    }
    if facts.is_plan {
        return "Nothing: the plan is sold. Its buyer has not fetched the key yet, and gets it by sending the same \
                payment again."
            .to_owned();
    }
    match facts.kept_until {
        Some(until) if now < until => {
            format!(
                "Nothing: the buyer's repeat of the same request gets the stored answer until {}.",
                iso_millis(until)
            )
        }
        _ if facts.broke_off => readable(&format!(
            "Refund by hand if your upstream was at fault: its answer broke off {BREAKS_MAX} times on its way, and no \
             repeat is served any more. The payer is {}, the amount {}.",
            row.payer.as_deref().unwrap_or("not known"),
            row.money()
        )),
        _ => readable(&format!(
            "Deliver or refund by hand if it stays so: the money is yours, and nothing says that the buyer got the \
             answer. A repeat with the same payment is served once more if its method is safe (GET, HEAD). The payer is \
             {}, the amount {}.",
            row.payer.as_deref().unwrap_or("not known"),
            row.money()
        )),
    }
}
