use std::collections::{BTreeMap, BTreeSet};

use crate::judge::{Evidence, Fault};
use crate::run::Work;

/// Stories that are told in full.
const STORIES_MAX: usize = 3;

/// What all runs came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) runs: u64,
    pub(crate) intents: u64,
    kills: BTreeMap<&'static str, u64>,
    struck: BTreeSet<(&'static str, Work)>,
    payments: u64,
    moved: u64,
    delivered: u64,
    /// Paid, not delivered, and the ledger says so.
    owed: u64,
    /// Paid, and the ledger says that nobody knows.
    listed: u64,
    /// Noted as delivered, while the buyer had gone away.
    left: u64,
    voided: u64,
    never_asked: u64,
    again: u64,
    faults: Vec<(Fault, u64)>,
}

impl Totals {
    pub(crate) fn killed(&mut self, how: &'static str, work: Work) {
        *self.kills.entry(how).or_default() += 1;
        self.struck.insert((how, work));
    }

    #[cfg(feature = "crash-points")]
    pub(crate) fn has_struck(&self, point: &'static str, work: Work) -> bool {
        self.struck.contains(&(point, work))
    }

    /// Counts a payment by what became of it.
    pub(crate) fn count(&mut self, state: &str, moved: bool, delivered: bool, again: u64) {
        self.payments += 1;
        self.moved += u64::from(moved);
        self.again += again;
        let class = match (state, moved, delivered) {
            (_, true, true) => &mut self.delivered,
            ("settled", true, false) => &mut self.owed,
            ("unknown", true, false) => &mut self.listed,
            ("delivered", true, false) => &mut self.left,
            ("voided", false, false) => &mut self.voided,
            ("", false, false) => &mut self.never_asked,
            // A fault, which is counted as such.
            _ => return,
        };
        *class += 1;
    }

    /// Notes a fault, and tells its story.
    pub(crate) fn fault(&mut self, evidence: &Evidence<'_>, payment: &str, fault: Fault, what: &str) {
        let seed = evidence.plan.seed;
        self.faults.push((fault, seed));
        if self.faults.len() > STORIES_MAX {
            return;
        }
        let logged: String = evidence
            .log
            .lines()
            .filter(|line| line.contains(payment))
            .fold(String::new(), |all, line| all + "  " + line + "\n");
        println!(
            "\n{fault:?}: {what}\nTOLLGATE_CRASH_SEED={seed}, {:?}\n{payment}, in the ledger {:?}\n{}the gateway's log:\n{logged}",
            evidence.plan,
            evidence.rows.get(payment),
            evidence.story.of(payment),
        );
    }

    /// Prints the table.
    ///
    /// # Panics
    /// If there was a fault, or nothing was tried.
    #[track_caller]
    pub(crate) fn report(&self, title: &str) {
        let count = |fault| self.faults.iter().filter(|(other, _)| *other == fault).count();
        let kills: u64 = self.kills.values().sum();
        println!("\ncrashes, {title}");
        for (how, times) in &self.kills {
            println!("  {how:<28}{times:>7}");
        }
        for (what, number) in [
            ("runs", self.runs),
            ("kills", kills),
            ("intents", self.intents),
            ("payments signed", self.payments),
            ("money moved", self.moved),
            ("delivered", self.delivered),
            ("owed: settled in the ledger", self.owed),
            ("listed: unknown there", self.listed),
            ("kept for who went away", self.left),
            ("not paid: voided", self.voided),
            ("not paid: never asked for", self.never_asked),
            ("served again after a crash", self.again),
        ] {
            println!("{what:<30}{number:>7}");
        }
        for (what, fault) in
            [("TWICE", Fault::Twice), ("FREE", Fault::Free), ("LOST", Fault::Lost), ("WRONG", Fault::Wrong)]
        {
            println!("{what:<30}{:>7}", count(fault));
        }
        let seeds: BTreeSet<_> = self.faults.iter().map(|(_, seed)| seed).collect();
        assert!(self.faults.is_empty(), "{} faults, with the seeds {seeds:?}", self.faults.len());
        assert!(self.delivered > 0, "nothing was delivered");
    }
}
