use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A blockchain by its CAIP-2 id, for example `eip155:8453` (Base).
///
/// Two networks are equal if their ids are, letter by letter: Solana's references are case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    caip2: Arc<str>,
}

/// What kind of payments a network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Ethereum and its kin, with their chain id.
    Evm(u64),
    /// Solana's clusters.
    Solana,
    /// Anything else: its payments are passed on to the facilitator unread.
    Other,
}

/// A text that is no CAIP-2 id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a CAIP-2 network id like eip155:8453")]
pub struct NetworkError;

impl Family {
    /// The kind in one word, as buyers see it: an account on one EVM chain is an account on all of them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evm(_) => "evm",
            Self::Solana => "solana",
            Self::Other => "other",
        }
    }
}

impl Network {
    /// Reads a CAIP-2 id: `namespace:reference`.
    ///
    /// # Errors
    /// [`NetworkError`] if the text has another form, or `eip155` without a number.
    pub fn parse(caip2: &str) -> Result<Self, NetworkError> {
        let (namespace, reference) = caip2.split_once(':').ok_or(NetworkError)?;
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !namespace_ok || !reference_ok {
            return Err(NetworkError);
        }
        let network = Self { caip2: caip2.into() };
        match (namespace, network.family()) {
            ("eip155", Family::Evm(_)) => Ok(network),
            ("eip155", _) => Err(NetworkError),
            _ => Ok(network),
        }
    }

    /// The id as it stands on the wire.
    pub fn caip2(&self) -> &str {
        &self.caip2
    }

    /// The kind of chain behind the id.
    pub fn family(&self) -> Family {
        match self.caip2.split_once(':') {
            Some(("eip155", reference)) if !reference.starts_with('0') => {
                reference.parse().map_or(Family::Other, Family::Evm)
            }
            Some(("solana", _)) => Family::Solana,
            _ => Family::Other,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.caip2)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.caip2)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_follows_from_the_id() {
        let family = |id| Network::parse(id).map(|network| network.family());
        assert_eq!(family("eip155:8453"), Ok(Family::Evm(8453)));
        assert_eq!(family("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), Ok(Family::Solana));
        assert_eq!(family("algorand:wGHE2Pwdvd7S12BL5FaOP20EGYesN73k"), Ok(Family::Other));
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in ["base", "eip155:", ":1", "eip155:x", "eip155:01", "EIP155:1", "solana:a b", ""] {
            assert_eq!(Network::parse(bad), Err(NetworkError), "{bad}");
        }
    }
}
