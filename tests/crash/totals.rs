use std::collections::{BTreeMap, BTreeSet};

use crate::judge::{Evidence, Fault};
use crate::run::Work;

/// Stories that are told in full, of each worker.
const STORIES_MAX: usize = 2;

/// What is counted, in the order of the table.
const COUNTED: [&str; 12] = [
    RUNS,
    KILLS,
    INTENTS,
    "payments signed",
    "money moved",
    "delivered",
    "owed: settled in the ledger",
    "listed: unknown there",
    "kept for who went away",
    "not paid: voided",
    "not paid: never asked for",
    "served again after a crash",
];
pub(crate) const RUNS: &str = "runs";
const KILLS: &str = "kills";
pub(crate) const INTENTS: &str = "intents";
/// A life that was to end at a point which nobody came by.
pub(crate) const NOT_REACHED: &str = "kill -9, point not reached";

/// What all runs came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: BTreeMap<&'static str, u64>,
    kills: BTreeMap<(&'static str, Work), u64>,
    faults: Vec<(Fault, u64)>,
}

impl Totals {
    pub(crate) fn killed(&mut self, how: &'static str, work: Work) {
        self.add(KILLS, 1);
        *self.kills.entry((how, work)).or_default() += 1;
    }

    #[cfg(feature = "crash-points")]
    pub(crate) fn has_struck(&self, point: &'static str, work: Work) -> bool {
        self.kills.contains_key(&(point, work))
    }

    pub(crate) fn add(&mut self, what: &'static str, number: u64) {
        *self.counts.entry(what).or_default() += number;
    }

    /// Counts a payment by what became of it.
    pub(crate) fn count(&mut self, state: &str, moved: bool, delivered: bool, again: u64) {
        self.add("payments signed", 1);
        self.add("money moved", u64::from(moved));
        self.add("served again after a crash", again);
        let class = match (state, moved, delivered) {
            (_, true, true) => "delivered",
            ("settled", true, false) => "owed: settled in the ledger",
            ("unknown", true, false) => "listed: unknown there",
            ("delivered", true, false) => "kept for who went away",
            ("voided", false, false) => "not paid: voided",
            ("", false, false) => "not paid: never asked for",
            // A fault, which is counted as such.
            _ => return,
        };
        self.add(class, 1);
    }

    /// Takes in what another worker has counted.
    pub(crate) fn merge(&mut self, other: Self) {
        other.counts.into_iter().for_each(|(what, number)| self.add(what, number));
        other.kills.into_iter().for_each(|(how, times)| *self.kills.entry(how).or_default() += times);
        self.faults.extend(other.faults);
    }

    /// Notes a fault, and tells its story.
    pub(crate) fn fault(&mut self, evidence: &Evidence<'_>, payment: &str, fault: Fault, what: &str) {
        let seed = evidence.plan.seed;
        self.faults.push((fault, seed));
        if self.faults.len() > STORIES_MAX {
            return;
        }
        let logged = evidence.log.lines().filter(|line| line.contains(payment));
        let logged: String = logged.map(|line| format!("  {line}\n")).collect();
        println!(
            "\n{fault:?}: {what}\nTOLLGATE_CRASH_SEED={seed}, {:?}\n{payment}, in the ledger {:?}\n{}\
             the gateway's log:\n{logged}",
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
        let (mut table, mut ways) = (format!("\ncrashes, {title}\n"), BTreeMap::<_, u64>::new());
        self.kills.iter().for_each(|((how, _), times)| *ways.entry(*how).or_default() += times);
        let counted = COUNTED.iter().map(|what| (*what, self.counts.get(what).copied().unwrap_or_default()));
        for (what, number) in ways.into_iter().chain(counted) {
            table.push_str(&format!("{what:<30}{number:>7}\n"));
        }
        for fault in [Fault::Twice, Fault::Free, Fault::Lost, Fault::Wrong] {
            let number = self.faults.iter().filter(|(other, _)| *other == fault).count();
            table.push_str(&format!("{:<30}{number:>7}\n", format!("{fault:?}").to_uppercase()));
        }
        println!("{table}");
        let seeds: BTreeSet<_> = self.faults.iter().map(|(_, seed)| seed).collect();
        assert!(self.faults.is_empty(), "{} faults, with the seeds {seeds:?}", self.faults.len());
        assert!(self.counts.get("delivered").is_some_and(|delivered| *delivered > 0), "nothing was delivered");
    }
}
