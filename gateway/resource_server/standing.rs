use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use crate::plans::{Plan, Rate, Units};

/// Room for the usual `RateLimit`.
const RATE_LIMIT_BYTES: usize = 64;

/// How a subscription stands after a call: what its holder is told with every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is the same for all who bought the plan.
    pub plan: Arc<PlanLabels>,
    /// When it ends.
    pub expires_at: SystemTime,
    /// What was used in all.
    pub used: Units,
    /// What the call took.
    pub cost: Units,
    /// How many calls the plan's rate has left.
    pub rate_left: u32,
}

/// What every answer says of a plan. The texts are made once, since keyed answers are many.
#[derive(Debug, PartialEq, Eq)]
pub struct PlanLabels {
    /// What may be used in all.
    pub units: Option<Units>,
    /// How fast it may be used, and how many calls may come at once.
    pub rate: Option<(Rate, u32)>,
    /// The plan's name, for the upstream.
    pub name: HeaderValue,
    /// `X-Quota-Limit`.
    pub limit: Option<HeaderValue>,
    /// `RateLimit-Policy`.
    pub policy: Option<HeaderValue>,
}

impl PlanLabels {
    pub(super) fn of(plan: &Plan, units: Option<Units>) -> Self {
        let rate = plan.rate.map(|rate| (rate, plan.burst.unwrap_or(rate.calls)));
        let quota = units.map(|units| format!("\"plan\";q={};w={}", whole(units), plan.duration.as_secs()));
        let burst = rate.map(|(rate, burst)| format!("\"rate\";q={burst};w={}", refill(rate, burst).as_secs().max(1)));
        let policies: Vec<_> = quota.into_iter().chain(burst).collect();
        Self {
            units,
            rate,
            name: value(&plan.name),
            limit: units.map(|units| value(&units.to_string())),
            policy: (!policies.is_empty()).then(|| value(&policies.join(", "))),
        }
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

impl Standing {
    /// What is left of the plan. None if it has no limit.
    pub fn remaining(&self) -> Option<Units> {
        self.plan.units.map(|units| units.saturating_sub(self.used))
    }

    /// `RateLimit` (draft-ietf-httpapi-ratelimit-headers): what is left, in whole units and calls, and the seconds until
    /// there is more.
    pub fn rate_limit(&self, now: SystemTime) -> Option<String> {
        let mut text = String::with_capacity(RATE_LIMIT_BYTES);
        if let Some(left) = self.remaining() {
            let ends_in = self.expires_at.duration_since(now).unwrap_or(Duration::ZERO).as_secs();
            push(&mut text, "\"plan\";r=", whole(left));
            push(&mut text, ";t=", ends_in);
        }
        if let Some((rate, burst)) = self.plan.rate {
            let full_in = refill(rate, burst.saturating_sub(self.rate_left)).as_secs();
            text.push_str(if text.is_empty() { "" } else { ", " });
            push(&mut text, "\"rate\";r=", self.rate_left.min(burst).into());
            push(&mut text, ";t=", full_in.max(1));
        }
        (!text.is_empty()).then_some(text)
    }
}

fn push(text: &mut String, what: &str, number: u64) {
    text.push_str(what);
    text.push_str(itoa::Buffer::new().format(number));
}

/// How long it takes until so many calls may be made again.
fn refill(rate: Rate, calls: u32) -> Duration {
    rate.per.checked_div(rate.calls).unwrap_or(rate.per).saturating_mul(calls)
}

/// The fields have integers only, and none of more than 15 digits (RFC 9651 §3.3.1); what is promised is there.
fn whole(units: Units) -> u64 {
    const INTEGER_MAX: u64 = 999_999_999_999_999;
    (units.thousandths() / 1000).min(INTEGER_MAX)
}
