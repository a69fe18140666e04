use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use super::{Family, Network};

/// An account or a token on a network, in that network's own form.
///
/// EVM addresses are equal whatever their letter case and are shown in EIP-55 spelling; all others are
/// compared letter by letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// Twenty bytes.
    Evm(EvmAddress),
    /// Thirty-two bytes in base58 (Solana), or an unread text of another network.
    Text(Arc<str>),
}

/// Twenty bytes, and their text once it was asked for: it takes a hash to spell it, and a payment's is asked for by many.
#[derive(Clone)]
pub struct EvmAddress {
    bytes: alloy_primitives::Address,
    text: OnceLock<Arc<str>>,
}

/// Why a text is not an address of a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `0x` and 40 hex digits.
    #[error("is not an address like 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913")]
    NotEvm,
    /// Mixed case, but not the case that EIP-55 gives.
    #[error("has a wrong EIP-55 checksum; {0} would be right")]
    Checksum(String),
    /// Not 32 bytes of base58.
    #[error("is not a Solana address (32 bytes in base58)")]
    NotSolana,
    /// Empty, too long or not printable.
    #[error("is not an address")]
    NotText,
}

/// The most digits that 32 bytes have in base58.
const SOLANA_CHARS_MAX: usize = 44;

impl Address {
    /// Reads an address as it came over the wire: any letter case will do on EVM.
    ///
    /// # Errors
    /// [`AddressError`] if the text is no address of that network.
    pub fn parse(text: &str, network: &Network) -> Result<Self, AddressError> {
        match network.family() {
            Family::Evm(_) => parse_evm(text).map(Self::from),
            // Base58 takes time in the square of its length, and texts come from anybody.
            Family::Solana if text.len() > SOLANA_CHARS_MAX => Err(AddressError::NotSolana),
            Family::Solana => match bs58::decode(text).into_vec() {
                Ok(bytes) if bytes.len() == 32 => Ok(Self::Text(text.into())),
                _ => Err(AddressError::NotSolana),
            },
            Family::Other => match text {
                "" => Err(AddressError::NotText),
                long if long.len() > 256 => Err(AddressError::NotText),
                text if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self::Text(text.into())),
                _ => Err(AddressError::NotText),
            },
        }
    }

    /// Reads an address that a person typed: a mixed-case EVM address must carry a right checksum.
    ///
    /// # Errors
    /// As [`Address::parse`], and [`AddressError::Checksum`].
    pub fn parse_typed(text: &str, network: &Network) -> Result<Self, AddressError> {
        let address = Self::parse(text, network)?;
        let Self::Evm(evm) = &address else { return Ok(address) };
        let digits = text.trim_start_matches("0x");
        let one_case =
            !digits.bytes().any(|b| b.is_ascii_lowercase()) || !digits.bytes().any(|b| b.is_ascii_uppercase());
        let right = evm.bytes.to_checksum(None);
        if one_case || right == text { Ok(address) } else { Err(AddressError::Checksum(right)) }
    }

    /// The twenty bytes, if this is an EVM address.
    pub fn evm(&self) -> Option<alloy_primitives::Address> {
        match self {
            Self::Evm(address) => Some(address.bytes),
            Self::Text(_) => None,
        }
    }
}

fn parse_evm(text: &str) -> Result<alloy_primitives::Address, AddressError> {
    let digits = text.strip_prefix("0x").ok_or(AddressError::NotEvm)?;
    if digits.len() != 40 {
        return Err(AddressError::NotEvm);
    }
    digits.parse().map_err(|_| AddressError::NotEvm)
}

impl EvmAddress {
    /// Whether it is the one that nobody owns.
    pub fn is_zero(&self) -> bool {
        self.bytes.is_zero()
    }
}

impl From<alloy_primitives::Address> for Address {
    fn from(bytes: alloy_primitives::Address) -> Self {
        Self::Evm(EvmAddress { bytes, text: OnceLock::new() })
    }
}

impl fmt::Debug for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

impl PartialEq for EvmAddress {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for EvmAddress {}

impl Hash for EvmAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(EvmAddress { bytes, text }) => f.write_str(text.get_or_init(|| bytes.to_checksum(None).into())),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static HASHES: std::sync::LazyLock<std::hash::RandomState> = std::sync::LazyLock::new(std::hash::RandomState::new);
    const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

    fn network(id: &str) -> Network {
        Network::parse(id).unwrap()
    }

    #[test]
    fn letter_case_does_not_matter_on_evm() {
        let base = network("eip155:8453");
        let lower = Address::parse(&USDC.to_lowercase(), &base).unwrap();
        assert_eq!(Address::parse(USDC, &base).unwrap(), lower);
        assert_eq!(lower.to_string(), USDC);
        // What was spelt is no part of it.
        let unspelt = Address::parse(USDC, &base).unwrap();
        assert_eq!((&unspelt, format!("{unspelt:?}")), (&lower, format!("{lower:?}")));
        let hash = |address: &Address| std::hash::BuildHasher::hash_one(&*HASHES, address);
        assert_eq!(hash(&unspelt), hash(&lower));
    }

    #[test]
    fn a_typed_address_needs_its_checksum() {
        let base = network("eip155:8453");
        let wrong = USDC.replace("fCD", "fcD");
        assert_eq!(Address::parse_typed(&wrong, &base), Err(AddressError::Checksum(USDC.to_owned())));
        assert!(Address::parse_typed(&USDC.to_lowercase(), &base).is_ok());
        for bad in
            ["", "0x", "833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x12", "0xzz3589fCD6eDb6E08f4c7C32D4f71b54bdA02913"]
        {
            assert_eq!(Address::parse_typed(bad, &base), Err(AddressError::NotEvm), "{bad}");
        }
    }

    #[test]
    fn solana_addresses_are_thirty_two_bytes() {
        let solana = network("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp");
        assert!(Address::parse("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", &solana).is_ok());
        let (most, padded) = (bs58::encode([255; 32]).into_string(), "1".repeat(45));
        assert_eq!(most.len(), SOLANA_CHARS_MAX);
        assert!(Address::parse(&most, &solana).is_ok());
        for bad in ["", "EPjF", USDC, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt0v", &padded] {
            assert_eq!(Address::parse(bad, &solana), Err(AddressError::NotSolana), "{bad}");
        }
    }
}
