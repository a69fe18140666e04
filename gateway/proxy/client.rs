//! Who asks, and over what: as the socket says it, or as a trusted proxy says it of its own client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use pingora::proxy::Session;

use crate::config::TrustedProxies;

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The other end of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// An IPv4 address is one, whichever kind of socket it came to. None if the socket has none.
    pub(super) address: Option<IpAddr>,
    /// Whether it speaks TLS.
    pub(super) secure: bool,
    /// Whether a trusted proxy stands between.
    pub(super) is_proxied: bool,
}

/// Whether a request header of this name is a proxy's word on its client. There are as many as there are makers of
/// proxies; the gateway itself says the three that are understood everywhere.
pub(super) fn is_proxys_word(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "client-ip"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "fastly-client-ip"
                | "x-envoy-external-address"
                | "x-appengine-user-ip"
                | "x-azure-clientip"
        )
}

impl Client {
    /// The one whose request this is.
    pub(super) fn of(session: &Session, trusted: &TrustedProxies) -> Self {
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
        let secure = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let peer = Self { address: peer.map(|address| address.to_canonical()), secure, is_proxied: false };
        peer.behind(&session.req_header().headers, trusted)
    }

    /// Takes a peer's word on whom it speaks for, if it is a trusted proxy.
    fn behind(self, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        match self.address {
            Some(peer) if trusted.contains(peer) => Self {
                address: Some(address_behind(peer, headers, trusted)),
                secure: last(headers).unwrap_or(self.secure),
                is_proxied: true,
            },
            _ => self,
        }
    }
}

/// The nearest address that is no trusted proxy. Each proxy adds its peer's at the end, so that what a client made up is
/// further left than whatever is true; behind an entry that is no address, nothing is known.
fn address_behind(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let mut believed = peer;
    for entry in from_the_end(headers, &FORWARDED_FOR) {
        let Some(address) = address(entry) else { break };
        believed = address;
        if !trusted.contains(believed) {
            break;
        }
    }
    believed
}

/// The scheme that the peer names: its own word is the last one.
fn last(headers: &HeaderMap) -> Option<bool> {
    let scheme = from_the_end(headers, &FORWARDED_PROTO).next()?;
    match scheme {
        https if https.eq_ignore_ascii_case(b"https") => Some(true),
        http if http.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

/// The entries of a header's one list, in however many lines it is, the last one first.
fn from_the_end<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// An address, in brackets and with a port or without.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse().ok().or_else(with_port).or_else(|| bracketed().map(IpAddr::V6))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap()).to_vec())
    }

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), line.parse().unwrap())).collect()
    }

    fn behind(peer: &str, lines: &[&str]) -> String {
        let client =
            Client { address: Some(peer.parse::<IpAddr>().unwrap().to_canonical()), secure: false, is_proxied: false };
        client.behind(&headers(&FORWARDED_FOR, lines), &trusted()).address.unwrap().to_string()
    }

    #[test]
    fn the_nearest_address_that_is_no_proxy_is_the_client() {
        for (lines, client) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6,192.0.2.1 ,\t10.1.1.1"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1", "10.1.1.1, 2001:db8::1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1", "10.1.1.1"], "192.0.2.1"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["[2001:db9::1]:4711, 10.1.1.1:80"], "2001:db9::1"),
            (&["[2001:db9::1]"], "2001:db9::1"),
            (&["2001:db9::1"], "2001:db9::1"),
            (&["6.6.6.6, ::ffff:192.0.2.1, ::ffff:10.1.1.1"], "192.0.2.1"),
        ] {
            assert_eq!(behind("10.0.0.1", lines), client, "{lines:?}");
            assert_eq!(behind("::ffff:10.0.0.1", lines), client, "{lines:?}");
        }
    }

    #[test]
    fn behind_what_is_no_address_nothing_is_known() {
        for (lines, client) in [
            (&[][..], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["192.0.2.1, unknown"], "10.0.0.1"),
            (&["192.0.2.1,"], "10.0.0.1"),
            (&["192.0.2.1", ""], "10.0.0.1"),
            (&["192.0.2.1, unix:, 10.1.1.1"], "10.1.1.1"),
            (&["192.0.2.1, 10.1.1.1:99999"], "10.0.0.1"),
            (&["192.0.2.1, 10.1.1.1:"], "10.0.0.1"),
            (&["192.0.2.1, [10.1.1.1]"], "10.0.0.1"),
            (&["192.0.2.1, 10.1.1.01"], "10.0.0.1"),
            (&["192.0.2.1, 10.1.1.1/8"], "10.0.0.1"),
            (&["192.0.2.1, [2001:db8::1"], "10.0.0.1"),
            (&["192.0.2.1, \"10.1.1.1\""], "10.0.0.1"),
            (&["192.0.2.1; 10.1.1.1"], "10.0.0.1"),
        ] {
            assert_eq!(behind("10.0.0.1", lines), client, "{lines:?}");
        }
    }

    #[test]
    fn whoever_is_no_proxy_speaks_for_nobody_else() {
        for peer in ["192.0.2.9", "11.0.0.1", "2001:db9::9", "::ffff:192.0.2.9"] {
            let own = peer.trim_start_matches("::ffff:");
            assert_eq!(behind(peer, &["192.0.2.1"]), own);
            assert_eq!(behind(peer, &["10.0.0.1", "10.0.0.2"]), own);
        }
        let secure = |peer: &str, secure| {
            let client = Client { address: Some(peer.parse().unwrap()), secure, is_proxied: false };
            client.behind(&headers(&FORWARDED_PROTO, &["https"]), &trusted()).secure
        };
        assert!(!secure("192.0.2.9", false) && secure("10.0.0.1", false));
        let unknown = Client { address: None, secure: false, is_proxied: false };
        assert_eq!(unknown.behind(&headers(&FORWARDED_FOR, &["192.0.2.1"]), &trusted()), unknown);
    }

    #[test]
    fn the_scheme_is_the_peers_last_word() {
        for (lines, said) in [
            (&[][..], None),
            (&["https"], Some(true)),
            (&["HTTPS"], Some(true)),
            (&["http"], Some(false)),
            (&["http, https"], Some(true)),
            (&["https", "http"], Some(false)),
            (&["https, "], None),
            (&["https,wss"], None),
            (&["httpsx"], None),
            (&[""], None),
        ] {
            assert_eq!(last(&headers(&FORWARDED_PROTO, lines)), said, "{lines:?}");
        }
    }

    proptest! {
        /// Nothing that a client writes reaches over the address that the nearest proxy saw.
        #[test]
        fn what_a_client_makes_up_is_never_believed(
            made_up in proptest::collection::vec("[ -~]{0,40}", 0..6),
            split in any::<bool>(),
        ) {
            let seen = if split { vec!["192.0.2.1"] } else { vec!["192.0.2.1, 10.1.1.1"] };
            let lines: Vec<_> = made_up.iter().map(String::as_str).chain(seen).collect();
            prop_assert_eq!(behind("10.0.0.1", &lines), "192.0.2.1");
            prop_assert_eq!(behind("10.0.0.1", &[&lines.join(",")]), "192.0.2.1");
        }

        #[test]
        fn any_bytes_are_an_address_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = address(&bytes);
        }
    }
}
