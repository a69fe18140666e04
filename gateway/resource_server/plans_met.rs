use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::standing::PlanLabels;
use crate::plans::{Plan, Subscription, Units};

/// The plans of the subscriptions in memory: many of these are of few plans, and share what is the same in all.
#[derive(Debug, Default)]
pub(super) struct PlansMet(Mutex<HashMap<Bought, Met>>);

/// A plan, and what may be used of it in all.
type Bought = (Arc<Plan>, Option<Units>);

/// More than an operator sells at one time. Whoever extends a plan has units that nobody else has.
const PLANS_MAX: usize = 256;

/// The texts of the first subscription of a plan.
#[derive(Debug)]
struct Met {
    labels: Arc<PlanLabels>,
    chain: Arc<str>,
    key_prefix: Arc<str>,
}

impl PlansMet {
    /// What is said of the plan that was bought. Texts of the subscription that others have too become theirs.
    pub(super) fn share(&self, bought: &mut Subscription) -> Arc<PlanLabels> {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= PLANS_MAX {
            plans.clear();
        }
        let entry = plans.entry((Arc::clone(&bought.plan), bought.units));
        bought.plan = Arc::clone(&entry.key().0);
        let met = entry.or_insert_with(|| Met::first(bought));
        share(&mut bought.chain, &met.chain);
        share(&mut bought.key_prefix, &met.key_prefix);
        Arc::clone(&met.labels)
    }
}

impl Met {
    fn first(bought: &Subscription) -> Self {
        Self {
            labels: Arc::new(PlanLabels::of(&bought.plan, bought.units)),
            chain: Arc::clone(&bought.chain),
            key_prefix: Arc::clone(&bought.key_prefix),
        }
    }
}

fn share(text: &mut Arc<str>, others: &Arc<str>) {
    if text == others {
        *text = Arc::clone(others);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::plans::{HolderId, SubscriptionId};

    fn bought(units: u64, chain: &str) -> Subscription {
        let units = Some(Units::from_thousandths(units));
        let plan = Plan { name: "nano".into(), units, duration: Duration::from_secs(60), rate: None, burst: None };
        Subscription {
            id: SubscriptionId::new("sub_1"),
            holder: HolderId::new("hol_1"),
            chain: chain.into(),
            payer: "0x01".into(),
            plan: plan.into(),
            expires_at: SystemTime::UNIX_EPOCH,
            key_prefix: "tg_live_".into(),
            units,
            used: Units::ZERO,
        }
    }

    #[test]
    fn what_is_the_same_is_shared_and_what_is_not_stays_as_it_was() {
        let plans = PlansMet::default();
        let [mut one, mut same, mut other_chain, mut more] =
            [bought(5, "evm"), bought(5, "evm"), bought(5, "solana"), bought(6, "evm")];
        let before = [&one, &same, &other_chain, &more].map(Clone::clone);
        let labels = [&mut one, &mut same, &mut other_chain, &mut more].map(|bought| plans.share(bought));
        assert_eq!([&one, &same, &other_chain, &more].map(Clone::clone), before);
        assert_eq!([1, 2, 3].map(|other| Arc::ptr_eq(&labels[0], &labels[other])), [true, true, false]);
        assert_eq!(*labels[3], PlanLabels::of(&more.plan, more.units), "another plan says something else");
        assert!(Arc::ptr_eq(&one.chain, &same.chain) && Arc::ptr_eq(&one.plan.name, &other_chain.plan.name));
    }

    /// Units of a plan that was extended are of one holder.
    #[test]
    fn what_was_extended_is_told_as_it_is_and_few_are_kept() {
        let plans = PlansMet::default();
        for units in 0..1000 {
            let mut extended = bought(5, "evm");
            extended.units = Some(Units::from_thousandths(units));
            assert_eq!(*plans.share(&mut extended), PlanLabels::of(&extended.plan, extended.units));
        }
        assert!(plans.0.lock().unwrap().len() <= PLANS_MAX);
    }
}
