//! The networks and assets that today's clients know (the defaults of npm `@x402/evm` and `@x402/svm` 2.27, PyPI
//! `x402` 2.25 and npm `x402` 1.2).
//!
//! A client without extra configuration pays nothing else, so a seller rarely needs more. A wrong EIP-712 name
//! passes `/verify` nowhere: that is why the names stand here and not in everybody's configuration.

use crate::money::{Address, Asset, Eip712Domain, Network, TransferMethod};

/// A network that the gateway knows by name.
#[derive(Debug)]
pub struct KnownNetwork {
    /// Its id.
    pub caip2: &'static str,
    /// Its name in configuration files.
    pub name: &'static str,
    /// Its name in version 1, if every v1 client knows it and means the same chain.
    pub v1: Option<&'static str>,
    /// Its stablecoins, the default one first.
    pub assets: &'static [KnownAsset],
}

/// A token that clients pay without extra configuration.
#[derive(Debug)]
pub struct KnownAsset {
    symbol: &'static str,
    address: &'static str,
    decimals: u8,
    domain: Option<(&'static str, &'static str)>,
    transfer: TransferMethod,
}

/// Looks a network up by its configuration name or its CAIP-2 id.
pub fn known(name_or_id: &str) -> Option<&'static KnownNetwork> {
    let name = match name_or_id {
        "solana-mainnet" | "solana:mainnet" => "solana",
        "avalanche-mainnet" => "avalanche",
        other => other,
    };
    NETWORKS.iter().find(|known| known.name == name || known.caip2 == name)
}

/// The name that version 1 has for a network.
pub fn v1_name(network: &Network) -> Option<&'static str> {
    known(network.caip2()).and_then(|known| known.v1)
}

/// The network that version 1 means by a name.
pub fn of_v1(name: &str) -> Option<Network> {
    NETWORKS.iter().find(|known| known.v1 == Some(name)).and_then(KnownNetwork::network)
}

impl KnownNetwork {
    /// The asset with this symbol; without one, the network's default.
    pub fn asset(&self, symbol: Option<&str>) -> Option<Asset> {
        let known = match symbol {
            None => self.assets.first(),
            Some(symbol) => self.assets.iter().find(|asset| asset.symbol.eq_ignore_ascii_case(symbol)),
        }?;
        known.on(&self.network()?)
    }

    /// All its assets, the default one first.
    pub fn all_assets(&self) -> Vec<Asset> {
        let network = self.network();
        self.assets.iter().filter_map(|asset| asset.on(network.as_ref()?)).collect()
    }

    /// The id, checked.
    pub fn network(&self) -> Option<Network> {
        Network::parse(self.caip2).ok()
    }
}

impl KnownAsset {
    fn on(&self, network: &Network) -> Option<Asset> {
        Some(Asset {
            address: Address::parse(self.address, network).ok()?,
            symbol: self.symbol.into(),
            decimals: self.decimals,
            domain: self.domain.map(|(name, version)| Eip712Domain { name: name.into(), version: version.into() }),
            transfer: self.transfer,
        })
    }
}

const fn net(
    caip2: &'static str,
    name: &'static str,
    v1: Option<&'static str>,
    assets: &'static [KnownAsset],
) -> KnownNetwork {
    KnownNetwork { caip2, name, v1, assets }
}

const fn native(
    symbol: &'static str,
    address: &'static str,
    decimals: u8,
    domain: Option<(&'static str, &'static str)>,
) -> KnownAsset {
    KnownAsset { symbol, address, decimals, domain, transfer: TransferMethod::Native }
}

const fn permit2(
    symbol: &'static str,
    address: &'static str,
    decimals: u8,
    domain: Option<(&'static str, &'static str)>,
) -> KnownAsset {
    KnownAsset { symbol, address, decimals, domain, transfer: TransferMethod::Permit2 }
}

/// All of them.
pub static NETWORKS: &[KnownNetwork] = &[
    net(
        "eip155:8453",
        "base",
        Some("base"),
        &[native("USDC", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", 6, Some(("USD Coin", "2")))],
    ),
    net(
        "eip155:84532",
        "base-sepolia",
        Some("base-sepolia"),
        &[native("USDC", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:1",
        "ethereum",
        None,
        &[native("USDC", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", 6, Some(("USD Coin", "2")))],
    ),
    net(
        "eip155:43114",
        "avalanche",
        Some("avalanche"),
        &[native("USDC", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", 6, Some(("USD Coin", "2")))],
    ),
    net(
        "eip155:137",
        "polygon",
        Some("polygon"),
        &[native("USDC", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", 6, Some(("USD Coin", "2")))],
    ),
    net(
        "eip155:42161",
        "arbitrum",
        None,
        &[native("USDC", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", 6, Some(("USD Coin", "2")))],
    ),
    net(
        "eip155:421614",
        "arbitrum-sepolia",
        None,
        &[native("USDC", "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", 6, Some(("USD Coin", "2")))],
    ),
    net(
        "eip155:143",
        "monad",
        None,
        &[native("USDC", "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:988",
        "stable",
        None,
        &[native("USDT0", "0x779Ded0c9e1022225f8E0630b35a9b54bE713736", 6, Some(("USDT0", "1")))],
    ),
    net(
        "eip155:2201",
        "stable-testnet",
        None,
        &[native("USDT0", "0x78Cf24370174180738C5B8E352B6D14c83a6c9A9", 6, Some(("USDT0", "1")))],
    ),
    net(
        "eip155:4326",
        "megaeth",
        None,
        &[permit2("MegaUSD", "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7", 18, Some(("MegaUSD", "1")))],
    ),
    net(
        "eip155:31612",
        "mezo",
        None,
        &[permit2("mUSD", "0xdD468A1DDc392dcdbEf6db6e34E89AA338F9F186", 18, Some(("Mezo USD", "1")))],
    ),
    net(
        "eip155:31611",
        "mezo-testnet",
        None,
        &[permit2("mUSD", "0x118917a40FAF1CD7a13dB0Ef56C86De7973Ac503", 18, Some(("Mezo USD", "1")))],
    ),
    net(
        "eip155:723487",
        "radius",
        None,
        &[permit2("SBC", "0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb", 6, Some(("Stable Coin", "1")))],
    ),
    net(
        "eip155:72344",
        "radius-testnet",
        None,
        &[permit2("SBC", "0x33ad9e4BD16B69B5BFdED37D8B5D9fF9aba014Fb", 6, Some(("Stable Coin", "1")))],
    ),
    net(
        "eip155:36900",
        "adi",
        None,
        &[native("USDC.e", "0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2", 6, Some(("USDC.e", "2")))],
    ),
    net(
        "eip155:190415",
        "hpp",
        None,
        &[native("USDC.e", "0x401eCb1D350407f13ba348573E5630B83638E30D", 6, Some(("Bridged USDC", "2")))],
    ),
    net(
        "eip155:181228",
        "hpp-sepolia",
        None,
        &[native("USDC.e", "0x401eCb1D350407f13ba348573E5630B83638E30D", 6, Some(("Bridged USDC", "2")))],
    ),
    net(
        "eip155:50",
        "xdc",
        None,
        &[native("USDC", "0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:51",
        "xdc-apothem",
        None,
        &[native("USDC", "0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4", 6, Some(("USDC", "2")))],
    ),
    net("eip155:38833", "igra", None, &[permit2("USDC", "0xA5b8BF902b2844dA17d4506cc827F7F1681735E7", 6, None)]),
    net(
        "eip155:14",
        "flare",
        None,
        &[native("USDT0", "0xe7cd86e13AC4309349F30B3435a9d337750fC82D", 6, Some(("USD\u{20ae}0", "1")))],
    ),
    net(
        "eip155:42220",
        "celo",
        None,
        &[
            native("USDC", "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", 6, Some(("USDC", "2"))),
            native("USDT", "0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e", 6, Some(("Tether USD", "1"))),
            native("USAT", "0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771", 6, Some(("Tether America USD", "1"))),
        ],
    ),
    net(
        "eip155:11142220",
        "celo-sepolia",
        None,
        &[native("USDC", "0x01C5C0122039549AD1493B8220cABEdD739BC44E", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:1329",
        "sei",
        Some("sei"),
        &[native("USDC", "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:1328",
        "sei-testnet",
        Some("sei-testnet"),
        &[native("USDC", "0x4fCF1784B31630811181f670Aea7A7bEF803eaED", 6, Some(("USDC", "2")))],
    ),
    net(
        "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
        "solana",
        Some("solana"),
        &[
            native("USDC", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6, None),
            native("USDT", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6, None),
            native("USDG", "2u1tszSeqZ3qBWF3uNGPFc8TzMk2tdiwknnRMWGWjGWH", 6, None),
            native("PYUSD", "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo", 6, None),
            native("CASH", "CASHx9KJUStyftLFWGvEVf59SGeG9sh5FfcnZMVPCASH", 6, None),
        ],
    ),
    net(
        "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
        "solana-devnet",
        Some("solana-devnet"),
        &[
            native("USDC", "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", 6, None),
            native("USDG", "4F6PM96JJxngmHnZLBh9n58RH4aTVNWvDs2nuwrT5BP7", 6, None),
            native("PYUSD", "CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM", 6, None),
        ],
    ),
    net(
        "solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z",
        "solana-testnet",
        None,
        &[
            native("USDC", "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", 6, None),
            native("USDG", "4F6PM96JJxngmHnZLBh9n58RH4aTVNWvDs2nuwrT5BP7", 6, None),
            native("PYUSD", "CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM", 6, None),
        ],
    ),
    net(
        "eip155:10143",
        "monad-testnet",
        None,
        &[native("USDC", "0x534b2f3A21130d7a60830c2Df862319e593943A3", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:5042",
        "arc",
        None,
        &[native("USDC", "0x3600000000000000000000000000000000000000", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:5042002",
        "arc-testnet",
        None,
        &[native("USDC", "0x3600000000000000000000000000000000000000", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:43113",
        "avalanche-fuji",
        Some("avalanche-fuji"),
        &[native("USDC", "0x5425890298aed601595a70AB815c96711a31Bc65", 6, Some(("USD Coin", "2")))],
    ),
    net(
        "eip155:4689",
        "iotex",
        Some("iotex"),
        &[native("USDC", "0xcdf79194c6c285077a58da47641d4dbe51f63542", 6, Some(("Bridged USDC", "2")))],
    ),
    net(
        "eip155:80002",
        "polygon-amoy",
        Some("polygon-amoy"),
        &[native("USDC", "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:3338",
        "peaq",
        Some("peaq"),
        &[native("USDC", "0xbbA60da06c2c5424f03f7434542280FCAd453d10", 6, Some(("USDC", "2")))],
    ),
    net(
        "eip155:2741",
        "abstract",
        Some("abstract"),
        &[native("USDC", "0x84a71ccd554cc1b02749b35d22f684cc8ec987e1", 6, Some(("Bridged USDC", "2")))],
    ),
    net(
        "eip155:11124",
        "abstract-testnet",
        Some("abstract-testnet"),
        &[native("USDC", "0xe4C7fBB0a626ed208021ccabA6Be1566905E2dFc", 6, Some(("Bridged USDC", "2")))],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_well_formed() {
        for known in NETWORKS {
            assert!(known.network().is_some(), "{}", known.caip2);
            assert!(known.asset(None).is_some(), "{}", known.caip2);
            for asset in known.assets {
                assert!(known.asset(Some(asset.symbol)).is_some(), "{} {}", known.caip2, asset.symbol);
            }
        }
    }

    #[test]
    fn names_and_ids_are_unique() {
        let mut names: Vec<_> = NETWORKS.iter().flat_map(|known| [known.name, known.caip2]).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn usdc_has_another_domain_name_on_the_testnet() {
        let domain = |name| known(name).and_then(|known| known.asset(None)).and_then(|asset| asset.domain);
        assert_eq!(&*domain("base").unwrap().name, "USD Coin");
        assert_eq!(&*domain("base-sepolia").unwrap().name, "USDC");
        assert_eq!(domain("solana"), None);
    }
}
