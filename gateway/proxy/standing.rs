//! How a subscription stands, as headers: on every answer to a credential.

use std::time::SystemTime;

use http::header::HeaderValue;

use crate::resource_server::Standing;

/// The headers of an answer. `RateLimit` and its policy are those of draft-ietf-httpapi-ratelimit-headers; the others
/// count in units, with their decimals.
pub(super) fn headers(standing: &Standing, now: SystemTime) -> impl Iterator<Item = (&'static str, HeaderValue)> {
    let labels = &standing.labels;
    let text = |text: String| HeaderValue::try_from(text).ok();
    [
        ("RateLimit-Policy", labels.policy.clone()),
        ("RateLimit", standing.rate_limit(now).and_then(text)),
        ("X-Quota-Limit", labels.limit.clone()),
        ("X-Quota-Remaining", standing.remaining().and_then(|left| text(left.to_string()))),
        ("X-Quota-Reset", Some(labels.reset.clone())),
        ("X-Units-Cost", text(standing.cost.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}
