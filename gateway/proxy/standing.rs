//! How a subscription stands, as headers: on every answer to a credential.

use std::time::SystemTime;

use http::header::{HeaderName, HeaderValue};

use crate::clock::unix_seconds;
use crate::plans::Units;
use crate::resource_server::Standing;

/// The headers of an answer. `RateLimit` and its policy are those of draft-ietf-httpapi-ratelimit-headers; the others
/// count in units, with their decimals.
pub(super) fn headers(standing: &Standing, now: SystemTime) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let (plan, reset) = (&standing.plan, unix_seconds(standing.expires_at));
    [
        (const { HeaderName::from_static("ratelimit-policy") }, plan.policy.clone()),
        (const { HeaderName::from_static("ratelimit") }, standing.rate_limit(now).and_then(|text| value(&text))),
        (const { HeaderName::from_static("x-quota-limit") }, plan.limit.clone()),
        (const { HeaderName::from_static("x-quota-remaining") }, standing.remaining().and_then(number)),
        (const { HeaderName::from_static("x-quota-reset") }, Some(reset.into())),
        (const { HeaderName::from_static("x-units-cost") }, number(standing.cost)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

/// Nearly all numbers of units are whole.
fn number(units: Units) -> Option<HeaderValue> {
    match units.thousandths() {
        thousandths if thousandths % 1000 == 0 => value(itoa::Buffer::new().format(thousandths / 1000)),
        _ => value(&units.to_string()),
    }
}

/// A copy of its own length: what had room to spare would be kept in two parts.
fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}
