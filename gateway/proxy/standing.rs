//! How a subscription stands, as headers: on every answer to a credential.

use std::time::SystemTime;

use http::header::{HeaderName, HeaderValue};

use crate::resource_server::Standing;

/// The headers of an answer. `RateLimit` and its policy are those of draft-ietf-httpapi-ratelimit-headers; the others
/// count in units, with their decimals.
pub(super) fn headers(standing: &Standing, now: SystemTime) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let labels = &standing.labels;
    let text = |text: String| HeaderValue::try_from(text).ok();
    [
        (const { HeaderName::from_static("ratelimit-policy") }, labels.plan.policy.clone()),
        (const { HeaderName::from_static("ratelimit") }, standing.rate_limit(now).and_then(text)),
        (const { HeaderName::from_static("x-quota-limit") }, labels.plan.limit.clone()),
        (
            const { HeaderName::from_static("x-quota-remaining") },
            standing.remaining().and_then(|left| text(left.to_string())),
        ),
        (const { HeaderName::from_static("x-quota-reset") }, Some(labels.reset.clone())),
        (const { HeaderName::from_static("x-units-cost") }, text(standing.cost.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}
