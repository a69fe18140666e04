use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::listen::overlap;
use super::quantity::{TIMEOUTS, duration, timeout};
use super::url::Location;
use super::{Surroundings, facilitator, jwt};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{ContextConfig, ListenAddr, Secret, UpstreamConfig};

const KEYS: &[&str] = &["url", "connect_timeout", "read_timeout", "idle_timeout", "headers", "context"];
/// Unless payments on Solana wait for it.
const USUAL_PATIENCE: Duration = Duration::from_secs(60);
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

/// The upstreams of a file.
#[derive(Default)]
pub(super) struct Upstreams {
    /// By name; also those whose settings are wrong, so that routes may name them.
    pub(super) list: BTreeMap<Arc<str>, UpstreamConfig>,
    /// Those whose `read_timeout` the file says.
    pub(super) patience_said: BTreeSet<Arc<str>>,
}

/// `[upstream]` and `[upstreams.NAME]`.
pub(super) fn check(root: &Section<'_>, listen: &[ListenAddr], around: &Surroundings<'_>) -> Upstreams {
    let mut upstreams = Upstreams::default();
    if let Some(field) = root.field("upstream") {
        upstreams.add("", &field, listen, around);
    }
    let named = root.field("upstreams").and_then(|field| field.members("tables like [upstreams.images]"));
    for (name, field) in named.unwrap_or_default() {
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !is_name {
            field.wrong_key("is not a name of letters, digits, - and _", name, &[]);
        }
        upstreams.add(name, &field, listen, around);
    }
    upstreams
}

impl Upstreams {
    fn add(&mut self, name: &str, field: &Field<'_>, listen: &[ListenAddr], around: &Surroundings<'_>) {
        let (name, section) = (Arc::<str>::from(name), field.section(KEYS));
        let patience = section.as_ref().and_then(|section| section.field("read_timeout"));
        let patience = patience.and_then(|field| duration(&field, TIMEOUTS, "10s"));
        if patience.is_some() {
            self.patience_said.insert(Arc::clone(&name));
        }
        self.list.insert(name, upstream(field, section.as_ref(), listen, around, patience));
    }
}

fn upstream(
    field: &Field<'_>,
    section: Option<&Section<'_>>,
    listen: &[ListenAddr],
    around: &Surroundings<'_>,
    patience: Option<Duration>,
) -> UpstreamConfig {
    let at = section.and_then(|section| location(section, listen));
    let at = at.unwrap_or_else(|| Location { tls: false, host: String::new(), port: 80, path: String::new() });
    let seconds = |key, seconds| {
        let usual = Duration::from_secs(seconds);
        section.map_or(usual, |section| timeout(section, key, usual))
    };
    let headers = section.map_or_else(Vec::new, |section| headers(section, around));
    if !headers.is_empty() && !at.tls && !at.host.is_empty() && !at.is_loopback() {
        field.warn("is sent its headers over the network in the clear, a url with https:// would hide them");
    }
    let context = section.and_then(|section| section.field("context"));
    UpstreamConfig {
        headers,
        context: context.and_then(|field| context_of(&field)),
        host: at.host.into(),
        port: at.port,
        tls: at.tls,
        connect_timeout: seconds("connect_timeout", 5),
        read_timeout: patience.unwrap_or(USUAL_PATIENCE),
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
