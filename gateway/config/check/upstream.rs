use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::listen::overlap;
use super::quantity::{duration, timeout};
use super::url::Location;
use super::{Surroundings, facilitator, jwt};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{ContextConfig, ListenAddr, Secret, UpstreamConfig};

const KEYS: &[&str] = &["url", "connect_timeout", "read_timeout", "idle_timeout", "headers", "context"];
const EXAMPLE: &str = "an origin like \"http://127.0.0.1:3000\"";
/// Less, and the clocks of two machines would have to agree to the second; more is not short-lived.
const CONTEXT_TTL: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);
/// What the gateway says itself, or what is the business of one connection.
const RESERVED: &[&str] = &[
    "expect",
    "forwarded",
    "keep-alive",
    "payment-signature",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-payment",
];

/// The upstreams by name; also those whose settings are wrong, so that routes may name them.
pub(super) type Upstreams = BTreeMap<Arc<str>, UpstreamConfig>;

/// `[upstream]` and `[upstreams.NAME]`.
pub(super) fn check(root: &Section<'_>, listen: &[ListenAddr], around: &Surroundings<'_>) -> Upstreams {
    let mut upstreams = Upstreams::new();
    if let Some(field) = root.field("upstream") {
        upstreams.insert("".into(), upstream(&field, listen, around));
    }
    let named = root.field("upstreams").and_then(|field| field.members("tables like [upstreams.images]"));
    for (name, field) in named.unwrap_or_default() {
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !is_name {
            field.wrong_key("is not a name of letters, digits, - and _", name, &[]);
        }
        upstreams.insert(name.into(), upstream(&field, listen, around));
    }
    upstreams
}

fn upstream(field: &Field<'_>, listen: &[ListenAddr], around: &Surroundings<'_>) -> UpstreamConfig {
    let section = field.section(KEYS);
    let at = section.as_ref().and_then(|section| location(section, listen));
    let at = at.unwrap_or_else(|| Location { tls: false, host: String::new(), port: 80, path: String::new() });
    let seconds = |key, seconds| {
        let usual = Duration::from_secs(seconds);
        section.as_ref().map_or(usual, |section| timeout(section, key, usual))
    };
    let headers = section.as_ref().map_or_else(Vec::new, |section| headers(section, around));
    if !headers.is_empty() && !at.tls && !at.host.is_empty() && !at.is_loopback() {
        field.warn("is sent its headers over the network in the clear, a url with https:// would hide them");
    }
    let context = section.as_ref().and_then(|section| section.field("context"));
    UpstreamConfig {
        headers,
        context: context.and_then(|field| context_of(&field)),
        host: at.host.into(),
        port: at.port,
        tls: at.tls,
        connect_timeout: seconds("connect_timeout", 5),
        read_timeout: seconds("read_timeout", 60),
        idle_timeout: seconds("idle_timeout", 4),
    }
}

/// What the upstream gets in place of what clients send.
fn headers(section: &Section<'_>, around: &Surroundings<'_>) -> Vec<(HeaderName, Secret)> {
    let members = section
        .field("headers")
        .and_then(|field| field.members("a table like { X-Upstream-Secret = { env = \"UPSTREAM_SECRET\" } }"));
    let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
    for (name, field) in members.unwrap_or_default() {
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&&*lower) || lower.starts_with("x-tollgate-") {
            field.wrong_key("is written by the gateway itself", name, &[]);
        } else if lower.contains('_') {
            // To many servers it is the same as the dash, and others drop it.
            field.wrong_key("has an underscore, a dash would be right", name, &[]);
        } else if headers.iter().any(|(before, _)| before.as_str() == lower) {
            field.wrong_key("stands there twice", name, &[]);
        } else {
            headers.extend(facilitator::header(name, &field, around));
        }
    }
    headers
}

fn context_of(field: &Field<'_>) -> Option<ContextConfig> {
    let section = field.section(&["audience", "ttl"])?;
    let example = "what \"aud\" says, like \"https://upstream.internal\",";
    let audience = section.required("audience", example).and_then(|field| jwt::text(&field, example));
    let ttl = section.field("ttl").and_then(|field| duration(&field, CONTEXT_TTL, "60s"));
    Some(ContextConfig { audience: audience?, ttl: ttl.unwrap_or(Duration::from_secs(60)) })
}

fn location(section: &Section<'_>, listen: &[ListenAddr]) -> Option<Location> {
    let field = section.required("url", EXAMPLE)?;
    let location = field.read(Location::origin(field.text(EXAMPLE)?))?;
    let address = match location.host.as_str() {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.parse().ok(),
    };
    let itself = address.is_some_and(|address| {
        let address = SocketAddr::new(address, location.port);
        listen.iter().any(|listen| overlap(listen.addr, address))
    });
    if itself {
        field.wrong("is this gateway itself, the API behind it would be right");
    }
    Some(location)
}
