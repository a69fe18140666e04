use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of an asset's smallest units, for example 10000 = 0.01 USDC.
///
/// On the wire it is a string of decimal digits without sign, leading zero or exponent
/// (x402 v2 §5.1.2, `amount`). The range is that of `u128`, which holds 3·10²⁰ tokens of 18 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AtomicAmount(u128);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Something other than digits and one dot.
    #[error("is not a decimal number like 0.01")]
    NotDecimal,
    /// More digits behind the dot than the asset has.
    #[error("needs {needed} decimals")]
    TooPrecise {
        /// Digits behind the dot, trailing zeros left out.
        needed: usize,
    },
    /// More than `u128` holds.
    #[error("is too large")]
    TooLarge,
}

impl AtomicAmount {
    /// The amount of `atomic` smallest units.
    pub const fn new(atomic: u128) -> Self {
        Self(atomic)
    }

    /// Reads the wire form: digits only, no leading zero.
    ///
    /// # Errors
    /// [`AmountError::NotDecimal`] for any other form, [`AmountError::TooLarge`] beyond `u128`.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let canonical = text == "0" || !text.starts_with('0');
        if text.is_empty() || !canonical || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AmountError::NotDecimal);
        }
        text.parse().map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// Converts a decimal number of whole tokens, exactly.
    ///
    /// # Errors
    /// [`AmountError::TooPrecise`] if the asset has fewer decimals than the number needs.
    pub fn from_decimal(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(AmountError::NotDecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        let missing = usize::from(decimals)
            .checked_sub(fraction.len())
            .ok_or(AmountError::TooPrecise { needed: fraction.len() })?;
        let all = format!("{whole}{fraction}{}", "0".repeat(missing));
        all.parse().map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// The amount in whole tokens, as people read it: `0.01`, `5`.
    pub fn to_decimal(self, decimals: u8) -> String {
        let digits = format!("{:0>width$}", self.0, width = usize::from(decimals) + 1);
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }

    /// Whether there is nothing to pay.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The number itself.
    pub const fn atomic(self) -> u128 {
        self.0
    }
}

impl fmt::Display for AtomicAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for AtomicAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AtomicAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_wire_form_is_digits_only() {
        assert_eq!(AtomicAmount::parse("10000"), Ok(AtomicAmount::new(10_000)));
        for bad in ["", "010", "+1", "-1", "1.0", "1e3", " 1", "1 ", "0x1", "１"] {
            assert_eq!(AtomicAmount::parse(bad), Err(AmountError::NotDecimal), "{bad}");
        }
        assert_eq!(AtomicAmount::parse(&"9".repeat(40)), Err(AmountError::TooLarge));
    }

    #[test]
    fn a_decimal_is_converted_exactly_or_refused() {
        let usdc = |text| AtomicAmount::from_decimal(text, 6);
        assert_eq!(usdc("0.001"), Ok(AtomicAmount::new(1_000)));
        assert_eq!(usdc("5"), Ok(AtomicAmount::new(5_000_000)));
        assert_eq!(usdc("0.0000010"), Ok(AtomicAmount::new(1)));
        assert_eq!(usdc("0.0000001"), Err(AmountError::TooPrecise { needed: 7 }));
        for bad in ["", ".5", "5.", "1,0", "1e-3", "-1", "1.2.3", "NaN"] {
            assert_eq!(usdc(bad), Err(AmountError::NotDecimal), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn decimal_and_atomic_agree(atomic in 0u128..u128::MAX / 2, decimals in 0u8..20) {
            let amount = AtomicAmount::new(atomic);
            prop_assert_eq!(AtomicAmount::from_decimal(&amount.to_decimal(decimals), decimals), Ok(amount));
            prop_assert_eq!(AtomicAmount::parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = (AtomicAmount::parse(&text), AtomicAmount::from_decimal(&text, 6));
        }
    }
}
