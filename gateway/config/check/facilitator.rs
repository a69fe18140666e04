//! One facilitator: what `[facilitator]` and each of `[[facilitators]]` have in common.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::quantity::timeout;
use super::url::Location;
use super::{Surroundings, ca, cdp, secret};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{FacilitatorConfig, Secret};
use crate::pricing::Reach;

const CONCURRENCY: RangeInclusive<usize> = 4..=100_000;
const EXAMPLE: &str = "a URL like \"https://x402.org/facilitator\"";
/// What the HTTP client writes itself.
const NOT_OURS: &[&str] = &["host", "connection", "content-length", "content-type", "transfer-encoding"];
/// What is a secret whatever its value.
const SECRET: &[&str] = &["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// What is not said of a facilitator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    pub(super) verify_timeout: Duration,
    pub(super) settle_timeout: Duration,
    pub(super) concurrency: usize,
}

impl Usual {
    /// What a section says for all facilitators below it, or for its own.
    pub(super) fn of(section: &Section<'_>, usual: Self) -> Self {
        let places = section.field("concurrency").and_then(|field| concurrency(&field));
        Self {
            verify_timeout: timeout(section, "verify_timeout", usual.verify_timeout),
            settle_timeout: timeout(section, "settle_timeout", usual.settle_timeout),
            concurrency: places.unwrap_or(usual.concurrency),
        }
    }
}

/// A facilitator that is asked for all networks, with how to reach it; its name is its host and port.
pub(super) fn check(section: &Section<'_>, usual: Usual, around: &Surroundings<'_>) -> FacilitatorConfig {
    let allow_http = section.field("allow_http").and_then(|field| field.flag()).unwrap_or(false);
    let location = section.required("url", EXAMPLE).and_then(|field| location(&field, allow_http));
    let url = location.as_ref().map(Location::url).unwrap_or_default();
    let headers = section
        .field("headers")
        .and_then(|field| field.members("a table like { Authorization = { env = \"TOKEN\" } }"));
    let headers = headers.unwrap_or_default();
    let Usual { verify_timeout, settle_timeout, concurrency } = usual;
    FacilitatorConfig {
        name: location.map(|location| location.authority()).unwrap_or_default().into(),
        url: url.into(),
        verify_timeout,
        settle_timeout,
        concurrency,
        headers: headers.iter().filter_map(|(name, field)| header(name, field, around)).collect(),
        cdp: section.field("cdp").and_then(|field| cdp::check(&field, &headers, around)),
        ca: section.field("ca").and_then(|field| ca::check(&field, section, around)),
        reach: Reach::everywhere(),
        order: 1,
        weight: 1,
        latency_budget: None,
    }
}

fn concurrency(field: &Field<'_>) -> Option<usize> {
    let number = field.number("a whole number")?.replace('_', "").parse().ok();
    field.read(number.filter(|number| CONCURRENCY.contains(number)).ok_or("is not a whole number from 4 to 100000"))
}

fn location(field: &Field<'_>, allow_http: bool) -> Option<Location> {
    let location = field.read(Location::base(field.text(EXAMPLE)?))?;
    if !location.tls && !location.is_loopback() && !allow_http {
        field.wrong("sends payments over the network in the clear, https:// would be right, or allow_http = true");
    }
    Some(location)
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
