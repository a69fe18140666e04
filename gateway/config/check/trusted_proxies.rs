//! `trusted_proxies`: networks and single addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::config::TrustedProxies;
use crate::config::document::Section;
use crate::config::field::Field;

/// Each request looks at all of them. The largest networks for delivery name some hundreds.
const NETWORKS_MAX: usize = 1024;
/// The prefix of `::ffff:0:0/96`, below which IPv4 addresses are written as IPv6 ones.
const MAPPED_PREFIX_LEN: u8 = 96;
const EXAMPLE: &str = "an address or a network like \"10.0.0.0/8\"";

pub(super) fn check(server: &Section<'_>) -> TrustedProxies {
    let Some(field) = server.field("trusted_proxies") else { return TrustedProxies::default() };
    let Some(list) = field.list("a list like [\"10.0.0.0/8\", \"192.0.2.7\"]") else {
        return TrustedProxies::default();
    };
    if list.len() > NETWORKS_MAX {
        field.wrong(format_args!("has {} entries, at most {NETWORKS_MAX} are taken", list.len()));
    }
    TrustedProxies::new(list.iter().take(NETWORKS_MAX).filter_map(network).collect())
}

fn network(field: &Field<'_>) -> Option<IpNet> {
    let network = field.read(parse(field.text(EXAMPLE)?))?;
    if network.prefix_len() == 0 {
        field.warn("trusts everybody: whoever reaches the gateway may then say any address to be theirs");
    }
    Some(network)
}

/// Reads an entry. Host bits and mapped addresses are errors, since either is a network that was not meant.
fn parse(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| format!("is not {EXAMPLE}"))?,
    };
    let right = match network {
        IpNet::V6(v6) => mapped(v6.addr(), v6.prefix_len()).unwrap_or_else(|| network.trunc()),
        IpNet::V4(_) => network.trunc(),
    };
    match right {
        right if right == network => Ok(network),
        IpNet::V4(right) if network.addr().is_ipv6() => {
            Err(format!("is IPv4 in IPv6, {:?} would be right", shown(right.into())))
        }
        right => Err(format!("has bits behind its prefix, {:?} or the address alone would be right", shown(right))),
    }
}

/// What is meant by a network of mapped addresses: the gateway sees those as IPv4.
fn mapped(address: Ipv6Addr, prefix_len: u8) -> Option<IpNet> {
    let v4: Ipv4Addr = address.to_ipv4_mapped()?;
    let network = Ipv4Net::new(v4, prefix_len.checked_sub(MAPPED_PREFIX_LEN)?).ok()?;
    Some(network.trunc().into())
}

/// A network as one would write it: one address has no prefix.
fn shown(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}
