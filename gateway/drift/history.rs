//! What one facilitator said at one of its calls, and what follows of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::line::{HOUR, Line, Slot};
use super::recents::Recents;
use super::{Call, Rules};

/// How often a reason must be met as before.
const TIMES: u64 = 5;
/// The least share if nothing is known of before, in thousandths.
const UNKNOWN_BEFORE: u64 = 500;
/// In thousandths, too.
const NEARLY_ALL: u64 = 900;
/// So many good payments in a window are no accident if all of them stay away.
const MISSED_LEAST: u64 = 5;

/// The verdicts at one call.
#[derive(Debug, Default)]
pub(super) struct History {
    good: Line,
    good_payers: Recents<u64>,
    /// Refusals that no stranger can bring about.
    sure: Line,
    /// All refusals.
    refused: Line,
    reasons: HashMap<Arc<str>, Reason>,
}

#[derive(Debug, Default)]
struct Reason {
    sure: Line,
    refused: Line,
    /// Of those that are sure.
    payers: Recents<u64>,
    offers: Recents<Arc<str>>,
    raised: Option<Alarm>,
}

#[derive(Debug)]
struct Alarm {
    since: SystemTime,
    ground: Ground,
}

#[derive(Debug, Clone, Copy)]
enum Ground {
    /// Of what counts, this share is refused or more, in thousandths.
    Share(u64),
    /// Good payments have stopped: so many would be in a window. Of all, this share is refused or more.
    Silence { missed: u64, floor: u64 },
}

/// How many of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) count: u64,
    pub(super) of: u64,
}

/// Something to tell.
#[derive(Debug)]
pub(super) struct News {
    pub(super) facilitator: Arc<str>,
    pub(super) call: Call,
    pub(super) reason: Arc<str>,
    pub(super) raised: bool,
    pub(super) since: SystemTime,
    pub(super) share: Share,
    pub(super) before: Share,
    pub(super) offers: Vec<Arc<str>>,
}

impl News {
    /// Whose they are.
    pub(super) fn of(&mut self, facilitator: Arc<str>, call: Call) {
        (self.facilitator, self.call) = (facilitator, call);
    }
}

impl Share {
    fn thousandths(self) -> u64 {
        self.count.saturating_mul(1000).checked_div(self.of).unwrap_or(0)
    }

    /// Whether it is less than half of the least that is worth an alarm. None of none is nothing.
    fn is_half(self, floor: u64) -> bool {
        self.of > 0 && self.thousandths().saturating_mul(2) < floor
    }

    /// None of none is no share.
    pub(super) fn percent(self) -> Option<u64> {
        self.count.saturating_mul(100).checked_div(self.of)
    }
}

impl History {
    pub(super) fn good(&mut self, payer: Option<u64>, at: Slot) {
        self.good.add(at);
        payer.into_iter().for_each(|payer| self.good_payers.add(payer, at));
    }

    pub(super) fn refused(
        &mut self,
        reason: &Arc<str>,
        offer: &Arc<str>,
        payer: Option<u64>,
        by_anybody: bool,
        at: Slot,
    ) {
        let found = self.reasons.entry(Arc::clone(reason)).or_default();
        self.refused.add(at);
        found.refused.add(at);
        found.offers.add(Arc::clone(offer), at);
        if !by_anybody {
            self.sure.add(at);
            found.sure.add(at);
            payer.into_iter().for_each(|payer| found.payers.add(payer, at));
        }
    }

    /// Moves all counts on.
    pub(super) fn advance(&mut self, now: Slot, window: u64) {
        let lines = self.reasons.values_mut().flat_map(|reason| [&mut reason.sure, &mut reason.refused]);
        lines.chain([&mut self.good, &mut self.sure, &mut self.refused]).for_each(|line| line.advance(now, window));
    }

    /// Raises the alarm for a reason that was met just now, if it is time to.
    pub(super) fn raise(&mut self, reason: &Arc<str>, rules: &Rules, at: Slot, now: SystemTime) -> Option<News> {
        let window = super::line::slots(rules.window);
        let found = self.reasons.get(reason).filter(|found| found.raised.is_none())?;
        let ground = self.by_share(found, rules, at, window).or_else(|| self.by_silence(found, rules, at, window))?;
        let alarm = Alarm { since: found.refused.since().unwrap_or(now), ground };
        let news = self.news(reason, found, alarm.told(true), at, window);
        self.reasons.get_mut(reason)?.raised = Some(alarm);
        Some(news)
    }

    /// Too large a part of what a facilitator alone can be blamed for.
    fn by_share(&self, found: &Reason, rules: &Rules, at: Slot, window: u64) -> Option<Ground> {
        let (share, before) = self.shares(found, true);
        let payers = u64::try_from(found.payers.within(window, at).count()).unwrap_or(u64::MAX);
        let floor = floor(before, rules);
        let raised = share.count >= rules.least.into() && payers >= rules.payers.into();
        (raised && share.thousandths() >= floor).then_some(Ground::Share(floor))
    }

    /// What anybody can bring about, while what nobody else can keep away stays away.
    fn by_silence(&self, found: &Reason, rules: &Rules, at: Slot, window: u64) -> Option<Ground> {
        let (share, before) = self.shares(found, false);
        let missed = self.good.before().saturating_mul(window) / HOUR;
        let payers = u64::try_from(self.good_payers.within(window + HOUR, at).count()).unwrap_or(u64::MAX);
        let silent = self.good.recent() == 0 && missed >= MISSED_LEAST && payers >= rules.payers.into();
        let floor = floor(before, rules);
        let raised = share.count >= rules.least.into() && share.thousandths() >= floor;
        (silent && raised).then_some(Ground::Silence { missed, floor })
    }

    /// Ends the alarms that are over. Without any verdict nobody can say that it is better now.
    pub(super) fn end(&mut self, at: Slot, window: u64) -> Vec<News> {
        self.end_those(at, window, |history, found, ground| match ground {
            Ground::Share(floor) => history.shares(found, true).0.is_half(floor),
            Ground::Silence { missed, floor } => {
                let good = history.good.recent();
                good.saturating_mul(2) >= missed || (good > 0 && history.shares(found, false).0.is_half(floor))
            }
        })
    }

    /// Ends all of them.
    pub(super) fn end_all(&mut self) -> Vec<News> {
        self.end_those(0, 0, |_, _, _| true)
    }

    /// Forgets reasons that were not met for long, and ends their alarms if nothing else was there to end them.
    pub(super) fn forget(&mut self) -> Vec<News> {
        let silent = self.good.is_empty() && self.refused.is_empty();
        let news = if silent { self.end_all() } else { Vec::new() };
        self.reasons.retain(|_, reason| reason.raised.is_some() || !reason.refused.is_empty());
        news
    }

    /// Forgets all counts. What is raised stays until what comes now ends it.
    pub(super) fn clear(&mut self) {
        let raised = self.reasons.drain().filter(|(_, reason)| reason.raised.is_some());
        let reasons = raised.map(|(name, reason)| (name, Reason { raised: reason.raised, ..Reason::default() }));
        *self = Self { reasons: reasons.collect(), ..Self::default() };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.good.is_empty() && self.refused.is_empty() && self.reasons.is_empty()
    }

    fn end_those(&mut self, at: Slot, window: u64, is_over: impl Fn(&Self, &Reason, Ground) -> bool) -> Vec<News> {
        let over: Vec<_> = self
            .reasons
            .iter()
            .filter_map(|(name, found)| {
                let alarm = found.raised.as_ref().filter(|alarm| is_over(self, found, alarm.ground))?;
                Some(self.news(name, found, alarm.told(false), at, window))
            })
            .collect();
        for news in &over {
            if let Some(found) = self.reasons.get_mut(&news.reason) {
                found.raised = None;
            }
        }
        over
    }

    /// The share of a reason in the window and before; among what is sure, or among all.
    fn shares(&self, found: &Reason, sure: bool) -> (Share, Share) {
        let (reason, refused) = if sure { (&found.sure, &self.sure) } else { (&found.refused, &self.refused) };
        let share = |read: fn(&Line) -> u64| Share { count: read(reason), of: read(refused) + read(&self.good) };
        (share(Line::recent), share(Line::before))
    }

    fn news(
        &self,
        reason: &Arc<str>,
        found: &Reason,
        (raised, since, sure): (bool, SystemTime, bool),
        at: Slot,
        window: u64,
    ) -> News {
        let (share, before) = self.shares(found, sure);
        let offers = found.offers.within(window, at).cloned().collect();
        // Whose they are is said by who knows it.
        News {
            facilitator: Arc::default(),
            call: Call::Verify,
            reason: Arc::clone(reason),
            raised,
            since,
            share,
            before,
            offers,
        }
    }
}

impl Alarm {
    fn told(&self, raised: bool) -> (bool, SystemTime, bool) {
        (raised, self.since, matches!(self.ground, Ground::Share(_)))
    }
}

/// The least share that is worth an alarm, in thousandths.
fn floor(before: Share, rules: &Rules) -> u64 {
    let least = u64::from(rules.percent) * 10;
    if before.of < rules.least.into() {
        return least.max(UNKNOWN_BEFORE);
    }
    let more = before.thousandths().saturating_mul(TIMES);
    // Of what was less than half, nearly all is worth a word whatever it was.
    least.max(if before.thousandths() < UNKNOWN_BEFORE { more.min(NEARLY_ALL) } else { more })
}
