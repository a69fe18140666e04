use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::listen::overlap;
use super::quantity::timeout;
use super::url::Location;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{ListenAddr, UpstreamConfig};

const KEYS: &[&str] = &["url", "connect_timeout", "read_timeout", "idle_timeout"];
const EXAMPLE: &str = "an origin like \"http://127.0.0.1:3000\"";

/// The upstreams by name; also those whose settings are wrong, so that routes may name them.
pub(super) type Upstreams = BTreeMap<Arc<str>, UpstreamConfig>;

/// `[upstream]` and `[upstreams.NAME]`.
pub(super) fn check(root: &Section<'_>, listen: &[ListenAddr]) -> Upstreams {
    let mut upstreams = Upstreams::new();
    if let Some(field) = root.field("upstream") {
        upstreams.insert("".into(), upstream(&field, listen));
    }
    let named = root.field("upstreams").and_then(|field| field.members("tables like [upstreams.images]"));
    for (name, field) in named.unwrap_or_default() {
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !is_name {
            field.wrong_key("is not a name of letters, digits, - and _", name, &[]);
        }
        upstreams.insert(name.into(), upstream(&field, listen));
    }
    upstreams
}

fn upstream(field: &Field<'_>, listen: &[ListenAddr]) -> UpstreamConfig {
    let section = field.section(KEYS);
    let at = section.as_ref().and_then(|section| location(section, listen));
    let at = at.unwrap_or_else(|| Location { tls: false, host: String::new(), port: 80, path: String::new() });
    let seconds = |key, seconds| {
        let usual = Duration::from_secs(seconds);
        section.as_ref().map_or(usual, |section| timeout(section, key, usual))
    };
    UpstreamConfig {
        host: at.host.into(),
        port: at.port,
        tls: at.tls,
        connect_timeout: seconds("connect_timeout", 5),
        read_timeout: seconds("read_timeout", 60),
        idle_timeout: seconds("idle_timeout", 4),
    }
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
