use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use super::addresses::Buckets;
use super::free_calls::{FreeCall, FreeCalls};
use super::payer::{Payer, Refusal};
use super::window::Total;
use super::{Cap, Counters, Dollars, Exceeded, Limit, Limits, Payment, Rate, Rules};
use crate::money::{Address, Network};
use crate::webhook::Events;

/// Payers that are remembered. Beyond that, a tenth of them, the longest idle, is forgotten.
const PAYERS_MAX: usize = 50_000;

/// What payers and addresses have done lately: in memory, for as long as the process runs. It begins empty.
#[derive(Debug)]
pub struct Tallies {
    payers: Mutex<HashMap<Address, Payer>>,
    challenges: Buckets,
    bad_payments: Buckets,
    keyless: Buckets,
    free_calls: Arc<FreeCalls>,
    counters: Counters,
    events: Events,
}

/// A payment that is counted as admitted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) tallies: Arc<Tallies>,
    payer: Address,
    network: Network,
    amount: Dollars,
    pub(super) unproven: bool,
    at: Instant,
}

impl Tallies {
    /// Empty ones. Alerts are sent to `events`.
    pub fn new(events: Events, counters: Counters) -> Self {
        let (payers, challenges, bad_payments, keyless, free_calls) = Default::default();
        Self { payers, challenges, bad_payments, keyless, free_calls, counters, events }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a payment would be over a limit. A payer who is not known yet is not made known by it.
    pub(super) fn check(
        &self,
        rules: &Rules,
        payer: &Address,
        payment: Payment<'_>,
        now: Instant,
    ) -> Result<(), Exceeded> {
        let found = self.lock().get_mut(payer).and_then(|found| found.refuse(&rules.limits, payment, now));
        found.map_or(Ok(()), |refusal| Err(self.refuse_payer(refusal, payer, payment.network)))
    }

    /// Counts a payment, unless it would be over a limit; in one go, so that nobody comes between.
    pub(super) fn admit(
        this: &Arc<Self>,
        rules: &Rules,
        payer: &Address,
        payment: Payment<'_>,
        now: Instant,
    ) -> Result<Counted, Exceeded> {
        let refusal = this.with(payer, |found| {
            let refusal = found.refuse(&rules.limits, payment, now);
            if refusal.is_none() {
                found.admit(&rules.limits, payment, now);
            }
            refusal
        });
        if let Some(refusal) = refusal {
            return Err(this.refuse_payer(refusal, payer, payment.network));
        }
        Ok(Counted {
            tallies: Arc::clone(this),
            payer: payer.clone(),
            network: payment.network.clone(),
            amount: payment.amount,
            unproven: payment.unproven,
            at: now,
        })
    }

    fn refuse_payer(&self, Refusal { exceeded, is_news }: Refusal, payer: &Address, network: &Network) -> Exceeded {
        if is_news {
            self.alert_of_limit(payer, network, exceeded.limit);
        }
        self.refuse(exceeded.limit, exceeded.retry_after)
    }

    pub(super) fn may_present(&self, limits: &Limits, client: Option<IpAddr>, now: Instant) -> Result<(), Exceeded> {
        let (Some(rate), Some(client)) = (limits.bad_payments, client) else { return Ok(()) };
        let wait = self.bad_payments.wait(client, rate, now);
        wait.map_or(Ok(()), |wait| Err(self.refuse(Limit::BadPayments(rate), wait)))
    }

    pub(super) fn bad_payment(&self, limits: &Limits, client: Option<IpAddr>, now: Instant) {
        if let (Some(rate), Some(client)) = (limits.bad_payments, client) {
            // It was let in when there was a token; several at once may have been for the last one.
            let _ = self.bad_payments.take(client, rate, now);
        }
    }

    pub(super) fn challenge(&self, limits: &Limits, client: Option<IpAddr>, now: Instant) -> Result<(), Exceeded> {
        let (Some(rate), Some(client)) = (limits.unpaid, client) else { return Ok(()) };
        self.challenges.take(client, rate, now).map_err(|wait| self.refuse(Limit::Unpaid(rate), wait))
    }

    pub(super) fn may_call(&self, limits: &Limits, client: Option<IpAddr>, now: Instant) -> Result<(), Exceeded> {
        let (Some(rate), Some(client)) = (limits.keyless, client) else { return Ok(()) };
        self.keyless.take(client, rate, now).map_err(|wait| self.refuse(Limit::Keyless(rate), wait))
    }

    pub(super) fn free_call(&self, client: IpAddr, route: &str, rate: Rate, now: Instant) -> Option<FreeCall> {
        FreeCalls::take(&self.free_calls, client, route, rate, now)
    }

    fn refuse(&self, limit: Limit, retry_after: std::time::Duration) -> Exceeded {
        let exceeded = Exceeded { limit, retry_after };
        self.counters.exceeded(&exceeded);
        exceeded
    }

    fn with<T>(&self, payer: &Address, act: impl FnOnce(&mut Payer) -> T) -> T {
        act(entry(&mut self.lock(), payer))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Payer>> {
        self.payers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alert_of_limit(&self, payer: &Address, network: &Network, limit: Limit) {
        let window = limit.per().map(|per| humantime::format_duration(per).to_string()).unwrap_or_default();
        tracing::warn!(target: "alert", %payer, %network, limit = %limit, window, "a payer is over a limit");
        let (kind, event) = match limit {
            Limit::Strikes(Rate { .. }) => ("struck", "payer.struck"),
            _ => ("limit_exceeded", "payer.limit_exceeded"),
        };
        let data = json!({ "limit": limit.to_string(), "window": window });
        self.alert(kind, event, payer, network, data);
    }

    fn alert_of_mark(&self, payer: &Address, network: &Network, mark: Cap, total: Total) {
        let window = humantime::format_duration(mark.per).to_string();
        let (count, amount) = (total.count, total.amount);
        tracing::warn!(
            target: "alert",
            %payer, %network, threshold = %mark.most, window, count, %amount,
            "a payer has passed a threshold"
        );
        let threshold = mark.most.to_string();
        let data = json!({ "threshold": threshold, "window": window, "count": count, "amount": amount.to_string() });
        self.alert("threshold_reached", "payer.threshold_reached", payer, network, data);
    }

    fn alert(&self, kind: &str, event: &'static str, payer: &Address, network: &Network, mut data: Value) {
        self.counters.alert(kind);
        if let Some(data) = data.as_object_mut() {
            data.insert("payer".to_owned(), payer.to_string().into());
            data.insert("network".to_owned(), network.to_string().into());
        }
        self.events.send(event, data);
    }
}

impl Counted {
    pub(super) fn give_back(&self) {
        self.tallies.with(&self.payer, |payer| payer.give_back(self.amount, self.unproven, self.at));
    }

    pub(super) fn strike(&self, limits: &Limits, now: Instant) {
        self.tallies.with(&self.payer, |payer| payer.strike(limits, now));
    }

    pub(super) fn settled(&self, rules: &Rules, now: Instant) {
        let passed = self.tallies.with(&self.payer, |payer| payer.settle(rules, self.amount, self.unproven, now));
        for (mark, total) in passed {
            self.tallies.alert_of_mark(&self.payer, &self.network, mark, total);
        }
    }
}

/// A payer's place, made if it is not there.
#[expect(clippy::mutable_key_type, reason = "equal and hashed by what does not change")]
fn entry<'p>(payers: &'p mut HashMap<Address, Payer>, payer: &Address) -> &'p mut Payer {
    if payers.len() >= PAYERS_MAX && !payers.contains_key(payer) {
        forget_some(payers);
    }
    payers.entry(payer.clone()).or_default()
}

/// Many at once, so that it is done seldom.
#[expect(clippy::mutable_key_type, reason = "equal and hashed by what does not change")]
fn forget_some(payers: &mut HashMap<Address, Payer>) {
    let mut idle: Vec<_> = payers.values().filter_map(Payer::idle_since).collect();
    let (tenth, all) = (idle.len() / 10, idle.len());
    if tenth < all {
        let (_, oldest, _) = idle.select_nth_unstable(tenth);
        let oldest = *oldest;
        payers.retain(|_, payer| payer.idle_since().is_none_or(|since| since > oldest));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_longest_idle_are_forgotten_first() {
        let (start, mut payers) = (Instant::now(), HashMap::new());
        let network = Network::parse("eip155:1").unwrap();
        let payment = Payment { payer: None, network: &network, amount: Dollars::default(), unproven: false };
        let payer = |number: usize| Address::Text(number.to_string().into());
        for number in 0..=PAYERS_MAX {
            let at = start + Duration::from_millis(number.try_into().unwrap());
            let found = entry(&mut payers, &payer(number));
            found.admit(&Limits::default(), payment, at);
            if number > 0 {
                found.give_back(Dollars::default(), false, at);
            }
        }
        assert!(payers.len() < PAYERS_MAX && payers.len() > PAYERS_MAX / 2, "{}", payers.len());
        assert!(payers.contains_key(&payer(0)), "somebody whose payment is under way");
        assert!(!payers.contains_key(&payer(1)));
        assert!(payers.contains_key(&payer(PAYERS_MAX)));
    }
}
