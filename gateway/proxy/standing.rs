//! How a subscription stands, as headers: on every answer to a credential.

use std::time::SystemTime;

use http::header::{HeaderName, HeaderValue};

use crate::resource_server::Standing;

const LIMIT: HeaderName = HeaderName::from_static("x-quota-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-quota-remaining");
const RESET: HeaderName = HeaderName::from_static("x-quota-reset");
const COST: HeaderName = HeaderName::from_static("x-units-cost");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The headers of an answer. `RateLimit` and its policy are those of draft-ietf-httpapi-ratelimit-headers; the others
/// count in units, with their decimals.
pub(super) fn headers(standing: &Standing, now: SystemTime) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let labels = &standing.labels;
    let text = |text: String| HeaderValue::try_from(text).ok();
    [
        (POLICY, labels.policy.clone()),
        (RATE_LIMIT, standing.rate_limit(now).and_then(text)),
        (LIMIT, labels.limit.clone()),
        (REMAINING, standing.remaining().and_then(|left| text(left.to_string()))),
        (RESET, Some(labels.reset.clone())),
        (COST, text(standing.cost.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}
