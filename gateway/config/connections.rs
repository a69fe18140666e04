use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// `[connections]`: what clients may take of the gateway, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionsConfig {
    /// At a time, in all; 16,384 unless said otherwise.
    pub max: u32,
    /// Of one client address at a time, an IPv6 one's /64, if the file says it; see [`ConnectionsConfig::most_of`].
    pub per_address: Option<u32>,
    /// The most bytes of a request's head; 32 KiB unless said otherwise.
    pub head_bytes_max: u32,
    /// From a request's first byte to the end of its head, and for a TLS handshake; 10 s unless said otherwise.
    pub head_timeout: Duration,
    /// The most bytes of a request's body, if there is a most; 100 MiB unless said otherwise.
    pub body_bytes_max: Option<u64>,
    /// From the end of a request's head to the end of its body; 5 minutes unless said otherwise.
    pub body_timeout: Duration,
    /// How long a client may take none of what is written to it; 60 s unless said otherwise.
    pub write_timeout: Duration,
    /// How long a connection may have no request; 60 s unless said otherwise.
    pub keep_alive: Duration,
}

/// The most connections of one public address, if the file does not say it.
const PER_PUBLIC_ADDRESS: u32 = 1024;

impl ConnectionsConfig {
    /// The most connections that an address may have, if there is a most. Unless the file says it, there is none for
    /// addresses that are nobody's on the internet: whoever has one is likely to be a proxy in front, with the connections
    /// of everybody.
    pub fn most_of(&self, client: IpAddr) -> Option<u32> {
        let is_inside = match client.to_canonical() {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST || v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        self.per_address.or((!is_inside).then_some(PER_PUBLIC_ADDRESS))
    }
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            max: 16_384,
            per_address: None,
            head_bytes_max: 32 * 1024,
            head_timeout: Duration::from_secs(10),
            body_bytes_max: Some(100 * 1024 * 1024),
            body_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_have_a_limit_only_if_the_file_says_it() {
        let (usual, said) =
            (ConnectionsConfig::default(), ConnectionsConfig { per_address: Some(7), ..Default::default() });
        for (client, most) in [
            ("127.0.0.1", None),
            ("10.1.2.3", None),
            ("::ffff:192.168.0.1", None),
            ("fd00::1", None),
            ("::1", None),
            ("fe80::1", None),
            ("192.0.2.1", Some(1024)),
            ("100.64.0.1", Some(1024)),
            ("2001:db8::1", Some(1024)),
        ] {
            let client = client.parse().unwrap();
            assert_eq!((usual.most_of(client), said.most_of(client)), (most, Some(7)), "{client}");
        }
    }
}
