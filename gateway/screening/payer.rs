//! What one payer has done lately.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::window::{Total, Windows};
use super::{Cap, Dollars, Exceeded, Limit, Limits, Most, Payment, Rules};

/// One payer's counts. Their size is bounded by the configuration.
#[derive(Debug, Default)]
pub(super) struct Payer {
    /// What was admitted: settled, or about to be.
    admitted: Windows,
    /// What was settled.
    settled: Windows,
    /// Payments that are verified and not settled yet.
    unsettled: u32,
    /// Failed settlements, the latest last.
    strikes: VecDeque<Instant>,
    /// What the operator was told, and until when that will do.
    told: Vec<(Told, Instant)>,
    /// When it was last used.
    last: Option<Instant>,
}

/// What the operator was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Limit(Limit),
    Mark(Cap),
}

/// A limit that another payment would be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) exceeded: Exceeded,
    /// Whether the operator was not told yet.
    pub(super) is_news: bool,
}

impl Payer {
    /// Whether another payment would be over a limit.
    pub(super) fn refuse(&mut self, limits: &Limits, payment: Payment<'_>, now: Instant) -> Option<Refusal> {
        let exceeded = self.over(limits, payment, now)?;
        // What has no window is over in a moment.
        let is_news = exceeded.limit.per().is_some_and(|per| self.tell(Told::Limit(exceeded.limit), per, now));
        Some(Refusal { exceeded, is_news })
    }

    fn over(&mut self, limits: &Limits, payment: Payment<'_>, now: Instant) -> Option<Exceeded> {
        let over = |limit, retry_after| Some(Exceeded { limit, retry_after });
        if let Some(wait) = self.struck_for(limits, now) {
            return over(Limit::Strikes(limits.strikes), wait);
        }
        if self.unsettled >= limits.unsettled && !payment.unproven {
            return over(Limit::Unsettled(limits.unsettled), Duration::from_secs(1));
        }
        self.admitted.follow(&limits.payments);
        // The longest wait: a shorter one would end at the next limit.
        let waits =
            limits.payments.iter().filter_map(|cap| Some((self.admitted.wait(cap, payment.amount, now)?, *cap)));
        let (wait, cap) = waits.max_by_key(|(wait, _)| *wait)?;
        over(Limit::Payments(cap), wait)
    }

    pub(super) fn admit(&mut self, limits: &Limits, payment: Payment<'_>, now: Instant) {
        self.admitted.follow(&limits.payments);
        self.admitted.add(payment.amount, now);
        self.unsettled = self.unsettled.saturating_add(u32::from(!payment.unproven));
        self.last = Some(now);
    }

    /// The admitted payment was not settled.
    pub(super) fn give_back(&mut self, amount: Dollars, unproven: bool, at: Instant) {
        self.admitted.take_back(amount, at);
        self.unsettled = self.unsettled.saturating_sub(u32::from(!unproven));
    }

    pub(super) fn strike(&mut self, limits: &Limits, now: Instant) {
        self.strikes.push_back(now);
        while u32::try_from(self.strikes.len()).is_ok_and(|count| count > limits.strikes.count) {
            self.strikes.pop_front();
        }
    }

    /// The admitted payment was settled: the marks that the payer passes with it, if nobody was told of them yet.
    pub(super) fn settle(&mut self, rules: &Rules, amount: Dollars, unproven: bool, now: Instant) -> Vec<(Cap, Total)> {
        self.unsettled = self.unsettled.saturating_sub(u32::from(!unproven));
        self.settled.follow(&rules.alerts);
        self.settled.add(amount, now);
        let mut passed = Vec::new();
        for mark in &rules.alerts {
            let total = self.settled.total(mark.per, now);
            let is_passed = match mark.most {
                Most::Payments(count) => total.count >= count,
                Most::Amount(most) => total.amount >= most,
            };
            if is_passed && self.tell(Told::Mark(*mark), mark.per, now) {
                passed.push((*mark, total));
            }
        }
        passed
    }

    /// When it was last used, unless it is in use.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.last.filter(|_| self.unsettled == 0)
    }

    fn struck_for(&self, limits: &Limits, now: Instant) -> Option<Duration> {
        let count = usize::try_from(limits.strikes.count).ok()?;
        let oldest = self.strikes.get(self.strikes.len().checked_sub(count)?)?;
        let wait = limits.strikes.per.saturating_sub(now.saturating_duration_since(*oldest));
        (!wait.is_zero()).then_some(wait)
    }

    fn tell(&mut self, what: Told, per: Duration, now: Instant) -> bool {
        self.told.retain(|(_, until)| *until > now);
        let is_new = !self.told.iter().any(|(told, _)| *told == what);
        if is_new {
            self.told.push((what, now + per));
        }
        is_new
    }
}
