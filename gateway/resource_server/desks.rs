//! All facilitators: who is asked for a verdict on a payment, and who when that one gives none.
//!
//! A verdict moves no money, so any of them may give it. Money is another matter: whoever gave the verdict is asked to
//! settle, and nobody else, unless it is known that the request never reached it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::charge::not_taken;
use super::desk::{Desk, Work, fee_payer};
use super::{Denial, drifting};
use crate::drift::Drift;
use crate::facilitator::{FacilitatorError, Health, Refusal, Verdict, is_its_own_trouble};
use crate::payment::{PaymentId, Presented, Refused};
use crate::store::Record;

/// The facilitators of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Desks {
    /// In the order of the file. Empty if nothing has a price.
    pub all: Vec<Arc<Desk>>,
    /// The longest wait for a verdict, whoever is asked.
    pub verify_budget: Duration,
    /// After so long without a verdict the next one is asked too. None: only when the one before has failed.
    pub hedge_after: Option<Duration>,
}

/// The reason that facilitators give.
const FEE_PAYER_GONE: &str = "invalid_exact_svm_fee_payer_not_managed_by_facilitator";

/// Why a facilitator that was asked gave no verdict.
enum Silence {
    Failed(FacilitatorError),
    /// It refused for a trouble of its own: taken as its verdict if nobody has another.
    Troubled(Refusal),
    Busy,
}

impl Desks {
    /// A verdict on a payment, and whose it is. Dropping the future has no effect on any money.
    ///
    /// # Errors
    /// [`Denial::NoVerdict`] if nobody gives one in time, and a refusal if nobody can settle it, as far as all have said.
    pub(super) async fn verdict(&self, presented: &Presented, drift: &Drift) -> Result<(Verdict, Arc<Desk>), Denial> {
        let until = Instant::now() + self.verify_budget;
        let mut hedge_at = self.hedge_after.map(|after| Instant::now() + after);
        let mut waiting = self.queue(presented).into_iter();
        let (mut asked, mut pending) = (FuturesUnordered::new(), Vec::new());
        let mut troubled = None;
        let mut denial = self.nobody(presented);
        loop {
            if asked.is_empty() {
                let Some(desk) = waiting.next() else { break };
                pending.push(Arc::clone(&desk));
                asked.push(ask(desk, presented, drift));
            }
            tokio::select! {
                Some((desk, said)) = asked.next() => {
                    let at = pending.iter().position(|asked| Arc::ptr_eq(asked, &desk)).unwrap_or_default();
                    match said {
                        Ok(verdict) => {
                            // Whoever was asked earlier and is still silent was too slow.
                            pending.iter().take(at).for_each(|desk| desk.failed());
                            return Ok((verdict, desk));
                        }
                        Err(silence) => {
                            drop(pending.remove(at));
                            note(&presented.id, &desk, &silence);
                            match silence {
                                Silence::Troubled(refusal) => troubled = Some((Verdict::Refused(refusal), desk)),
                                Silence::Busy => denial = Denial::NoVerdict("facilitator_busy"),
                                Silence::Failed(_) => {}
                            }
                        }
                    }
                }
                () = sleep_until(hedge_at.unwrap_or(until)), if hedge_at.is_some() && waiting.len() > 0 => {
                    hedge_at = self.hedge_after.map(|after| Instant::now() + after);
                    pending.extend(waiting.next().inspect(|desk| asked.push(ask(Arc::clone(desk), presented, drift))));
                }
                () = sleep_until(until) => {
                    for desk in &pending {
                        desk.failed();
                        drifting::late(drift, desk, presented);
                    }
                    tracing::warn!(payment_id = %presented.id, "no verdict on a payment in time");
                    break;
                }
            }
        }
        troubled.ok_or(denial)
    }

    /// Who is asked to settle a payment: the one whose word it has, or the first that takes it.
    ///
    /// # Errors
    /// As [`Desks::verdict`] if there is none.
    pub(super) fn to_settle(&self, presented: &Presented, word: Option<&Arc<str>>) -> Result<Arc<Desk>, Denial> {
        let desk = match word {
            Some(name) => self.named(name).cloned(),
            None => self.queue(presented).into_iter().next(),
        };
        desk.ok_or_else(|| self.nobody(presented))
    }

    /// Who else may settle a payment that is known not to have reached this one.
    pub(super) fn instead_of(&self, desk: &Desk, presented: &Presented) -> Vec<Arc<Desk>> {
        self.queue(presented).into_iter().filter(|other| other.name() != desk.name()).collect()
    }

    /// Who was asked to settle a payment, if it still is one of ours. Nobody else may be asked what became of it.
    pub(super) fn asked(&self, record: &Record) -> Option<&Arc<Desk>> {
        match &record.facilitator {
            Some(name) => self.named(name),
            // From when there was only one.
            None => self.all.first(),
        }
    }

    /// What a payment is told that nobody takes or answers for: with a fee payer whom no facilitator signs for, as far as
    /// all have said, it never can be settled.
    fn nobody(&self, presented: &Presented) -> Denial {
        let may_settle = |desk: &Arc<Desk>| desk.takes(presented) || desk.may_settle(&presented.terms.network);
        if fee_payer(presented).is_some() && !self.all.iter().any(may_settle) {
            return not_taken(Refused::new(FEE_PAYER_GONE, "nobody signs for its fee payer any more: sign a new one"));
        }
        Denial::NoVerdict("facilitator_unavailable")
    }

    /// Notes that the chain does not show what a facilitator says it has settled. One that lies, or whose chain is not
    /// ours, is asked last in the end.
    pub(super) fn contradicted(&self, facilitator: &str) {
        self.named(facilitator).into_iter().for_each(|desk| desk.contradicted());
    }

    fn named(&self, name: &str) -> Option<&Arc<Desk>> {
        self.all.iter().find(|desk| **desk.name() == *name)
    }

    /// Those that take a payment: the working ones before the failing ones, then by their order, then by lot.
    fn queue(&self, presented: &Presented) -> Vec<Arc<Desk>> {
        let rank = |desk: &Arc<Desk>| (desk.health() == Health::Open, desk.settings().order);
        let ranked = |desk: &Arc<Desk>| (rank(desk), Arc::clone(desk));
        let mut taking: Vec<_> = self.all.iter().filter(|desk| desk.takes(presented)).map(ranked).collect();
        taking.sort_by_key(|(rank, _)| *rank);
        taking.chunk_by(|(one, _), (other, _)| one == other).flat_map(drawn).collect()
    }
}

async fn ask(desk: Arc<Desk>, presented: &Presented, drift: &Drift) -> (Arc<Desk>, Result<Verdict, Silence>) {
    let said = match desk.place(Work::Check).await {
        Ok(place) => {
            let said = place.verify(&presented.request).await;
            drifting::verdict(drift, &desk, presented, &said);
            said.map_err(Silence::Failed)
        }
        Err(_) => Err(Silence::Busy),
    };
    let said = said.and_then(|verdict| match verdict {
        Verdict::Refused(refusal) if is_its_own_trouble(&refusal.reason) => Err(Silence::Troubled(refusal)),
        verdict => Ok(verdict),
    });
    (desk, said)
}

fn note(id: &PaymentId, desk: &Desk, silence: &Silence) {
    let why = match silence {
        Silence::Failed(error) => error.to_string(),
        Silence::Troubled(refusal) => refusal.reason.clone(),
        Silence::Busy => "too many calls at a time".to_owned(),
    };
    tracing::warn!(payment_id = %id, facilitator = &**desk.name(), reason = why, "no verdict on a payment");
}

/// Those of one rank, each as often first as its weight says.
fn drawn<R>(group: &[(R, Arc<Desk>)]) -> Vec<Arc<Desk>> {
    let mut left: Vec<_> = group.iter().map(|(_, desk)| Arc::clone(desk)).collect();
    let mut queue = Vec::with_capacity(left.len());
    while left.len() > 1 {
        let weight = |desk: &Arc<Desk>| u64::from(desk.settings().weight);
        let all: u64 = left.iter().map(weight).sum();
        // Without random numbers the file's order is as good as any.
        let mut lot = getrandom::u64().unwrap_or_default().checked_rem(all).unwrap_or_default();
        let is_drawn = |desk: &Arc<Desk>| match lot.checked_sub(weight(desk)) {
            Some(rest) => {
                lot = rest;
                false
            }
            None => true,
        };
        let at = left.iter().position(is_drawn).unwrap_or_default();
        queue.push(left.remove(at));
    }
    queue.extend(left);
    queue
}
