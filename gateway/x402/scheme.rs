use std::fmt;
use std::sync::Arc;

use crate::money::Family;

/// The rules by which a payment is made, for example `exact` (x402-specification-v2.md §6).
///
/// The gateway reads `exact` on EVM networks and Solana and `upto` on EVM networks. Payments of all others are passed
/// on to the facilitator as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scheme(Arc<str>);

/// A text that no scheme has as its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not the name of a scheme: 1 to 64 lower-case letters, digits and hyphens")]
pub struct SchemeError;

const UPTO: &str = "upto";
const CHARS_MAX: usize = 64;

impl Scheme {
    /// The name of the scheme that every client knows.
    pub const EXACT: &'static str = "exact";

    /// The price and nothing else: what every client knows.
    pub fn exact() -> Self {
        Self(Self::EXACT.into())
    }

    /// Reads a scheme's name.
    ///
    /// # Errors
    /// [`SchemeError`] if the text is none.
    pub fn parse(text: &str) -> Result<Self, SchemeError> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(is_name) {
            true => Ok(Self(text.into())),
            false => Err(SchemeError),
        }
    }

    /// The name as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `exact`.
    pub fn is_exact(&self) -> bool {
        &*self.0 == Self::EXACT
    }

    /// Whether it is `upto`.
    pub fn is_upto(&self) -> bool {
        &*self.0 == UPTO
    }

    /// Whether the gateway can read such payments on networks of a family, and tell two of them apart by what was
    /// signed.
    pub fn is_read_on(&self, family: Family) -> bool {
        match family {
            Family::Evm(_) => self.is_exact() || self.is_upto(),
            Family::Solana => self.is_exact(),
            Family::Other => false,
        }
    }

    /// What the facilitator must put into `extra` before anybody can pay so on networks of a family.
    pub fn needs_of_facilitator(&self, family: Family) -> Option<&'static str> {
        match family {
            Family::Evm(_) if self.is_upto() => Some("facilitatorAddress"),
            Family::Solana if self.is_exact() => Some("feePayer"),
            _ => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_has_a_plain_name() {
        for good in ["exact", "upto", "batch-settlement", "a", "x2"] {
            assert_eq!(Scheme::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Exact", "up to", "exact\"", "exact_2", &"a".repeat(65)] {
            assert_eq!(Scheme::parse(bad), Err(SchemeError), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_read() {
        let read = |name, family| Scheme::parse(name).unwrap().is_read_on(family);
        assert!(read("exact", Family::Evm(1)) && read("upto", Family::Evm(1)) && read("exact", Family::Solana));
        assert!(!read("exact", Family::Other) && !read("upto", Family::Solana) && !read("streamed", Family::Evm(1)));
    }
}
