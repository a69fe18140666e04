use std::net::IpAddr;

use ipnet::IpNet;

/// The proxies in front of the gateway whose word on their own client counts. Usually there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// The proxies in some networks. IPv4 addresses are to be in networks of IPv4, not in mapped ones.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether an address is one of them. A mapped IPv4 address is its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}
