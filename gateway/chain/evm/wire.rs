//! What an EVM node sends: numbers and bytes in hex, blocks, logs and receipts.

use alloy_primitives::{Address, B256, hex};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A number: `0x` and 1 to 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantity(pub(super) u64);

/// Bytes: `0x` and two hex digits for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data(pub(super) Vec<u8>);

/// Thirty-two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) B256);

/// Twenty bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account(pub(super) Address);

/// A block, without its transactions.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Block {
    pub(super) number: Quantity,
    pub(super) hash: Word,
    /// Seconds of Unix time.
    pub(super) timestamp: Quantity,
}

/// An event.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    pub(super) address: Account,
    pub(super) topics: Vec<Word>,
    pub(super) data: Data,
    pub(super) block_number: Quantity,
    pub(super) transaction_hash: Word,
    /// Its position in the block.
    pub(super) log_index: Quantity,
    /// Whether a reorganisation took it back.
    #[serde(default)]
    pub(super) removed: bool,
}

/// What a transaction did.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    pub(super) transaction_hash: Word,
    pub(super) block_hash: Word,
    pub(super) block_number: Quantity,
    /// 1 for success.
    pub(super) status: Quantity,
    pub(super) logs: Vec<Log>,
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| D::Error::custom("a number is not in hex, or too large"))
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
        bytes.map(Self).ok_or_else(|| D::Error::custom("bytes are not in hex"))
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fixed(deserializer).map(|bytes: [u8; 32]| Self(bytes.into()))
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fixed(deserializer).map(|bytes: [u8; 20]| Self(bytes.into()))
    }
}

fn fixed<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    Data::deserialize(deserializer)?.0.try_into().map_err(|_| D::Error::custom("bytes of another length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hex_and_bounded() {
        let read = |text: &str| serde_json::from_str::<Quantity>(text).ok().map(|number| number.0);
        assert_eq!(read(r#""0x0""#), Some(0));
        assert_eq!(read(r#""0xffffffffffffffff""#), Some(u64::MAX));
        for bad in [r#""0x""#, r#""0x10000000000000000""#, r#""12""#, r#""0x-1""#, r#""0x+1""#, r#""0xg""#, "1", "null"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_are_hex_of_the_right_length() {
        assert_eq!(serde_json::from_str::<Data>(r#""0x""#).unwrap(), Data(vec![]));
        for bad in [r#""0x1""#, r#""00""#, r#""0xzz""#, "[0]", "null"] {
            assert!(serde_json::from_str::<Data>(bad).is_err(), "{bad}");
        }
        let word = |bytes: usize| serde_json::from_str::<Word>(&format!("\"0x{}\"", "01".repeat(bytes)));
        assert_eq!(word(32).unwrap().0, B256::repeat_byte(1));
        assert!(word(31).is_err() && word(33).is_err());
    }
}
