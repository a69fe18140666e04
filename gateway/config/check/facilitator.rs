use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::quantity::{duration, timeout};
use super::url::Location;
use super::{Surroundings, secret};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{FacilitatorConfig, Secret};
use crate::payment::Unproven;

const KEYS: &[&str] = &[
    "url",
    "allow_http",
    "verify_timeout",
    "settle_timeout",
    "resolve_timeout",
    "unproven_settlement",
    "concurrency",
    "headers",
];
const UNPROVEN: &[(&str, Unproven)] = &[("hold", Unproven::Hold), ("accept", Unproven::Accept)];
/// Clients wait for the answer meanwhile.
const RESOLVE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(120);
const CONCURRENCY: RangeInclusive<usize> = 4..=100_000;
const EXAMPLE: &str = "a URL like \"https://x402.org/facilitator\"";
/// What the HTTP client writes itself.
const NOT_OURS: &[&str] = &["host", "connection", "content-length", "content-type", "transfer-encoding"];
/// What is a secret whatever its value.
const SECRET: &[&str] = &["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// `[facilitator]`.
pub(super) fn check(root: &Section<'_>, around: &Surroundings<'_>) -> Option<FacilitatorConfig> {
    let section = root.field("facilitator")?.section(KEYS)?;
    let allow_http = section.field("allow_http").and_then(|field| field.flag()).unwrap_or(false);
    let url = section.required("url", EXAMPLE).and_then(|field| url(&field, allow_http));
    let headers = section
        .field("headers")
        .and_then(|field| field.members("a table like { Authorization = { env = \"TOKEN\" } }"));
    let headers = headers.unwrap_or_default();
    let resolve = section.field("resolve_timeout").and_then(|field| duration(&field, RESOLVE, "10s"));
    let unproven = section.field("unproven_settlement").and_then(|field| field.choice(UNPROVEN));
    let concurrency = section.field("concurrency").and_then(|field| concurrency(&field));
    Some(FacilitatorConfig {
        url: url.unwrap_or_default().into(),
        verify_timeout: timeout(&section, "verify_timeout", Duration::from_secs(10)),
        settle_timeout: timeout(&section, "settle_timeout", Duration::from_secs(60)),
        resolve_timeout: resolve.unwrap_or(Duration::from_secs(10)),
        unproven_settlement: unproven.unwrap_or(Unproven::Hold),
        concurrency: concurrency.unwrap_or(1024),
        headers: headers.iter().filter_map(|(name, field)| header(name, field, around)).collect(),
    })
}

fn concurrency(field: &Field<'_>) -> Option<usize> {
    let number = field.number("a whole number")?.replace('_', "").parse().ok();
    field.read(number.filter(|number| CONCURRENCY.contains(number)).ok_or("is not a whole number from 4 to 100000"))
}

fn url(field: &Field<'_>, allow_http: bool) -> Option<String> {
    let location = field.read(Location::base(field.text(EXAMPLE)?))?;
    if !location.tls && !location.is_loopback() && !allow_http {
        field.wrong("sends payments over the network in the clear, https:// would be right, or allow_http = true");
    }
    Some(location.url())
}

pub(super) fn header(name: &str, field: &Field<'_>, around: &Surroundings<'_>) -> Option<(HeaderName, Secret)> {
    let Ok(parsed) = HeaderName::try_from(name) else {
        field.wrong_key("is not the name of a header", name, &[]);
        return None;
    };
    if NOT_OURS.contains(&parsed.as_str()) {
        field.wrong_key("is written by the gateway itself", name, &[]);
    }
    let is_plain = field.is_text() && !SECRET.contains(&parsed.as_str());
    let value = if is_plain { Secret::new(field.text("")?.to_owned()) } else { secret::read(field, around)? };
    if HeaderValue::from_str(value.reveal()).is_err() {
        field.wrong("has a character that a header cannot carry");
    } else if parsed == http::header::AUTHORIZATION && !value.reveal().contains(' ') {
        field.warn("has no scheme before the token, \"Bearer \" for example");
    }
    Some((parsed, value))
}
