use std::fmt;

use crate::money::{AmountError, AtomicAmount};

/// Digits behind the dot: as many as any stablecoin has.
const DECIMALS: u8 = 18;

/// An amount of any dollar stablecoin, in 10⁻¹⁸ dollars, so that payments in different ones add up.
///
/// What is beyond `u128`, 3·10²⁰ dollars, is taken as that much: it is over every limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dollars(u128);

impl Dollars {
    /// The worth of an amount of a stablecoin with that many decimals; fractions are rounded up.
    pub fn of(amount: AtomicAmount, decimals: u8) -> Self {
        let power = |exponent: u8| 10u128.checked_pow(u32::from(exponent));
        let scaled = match DECIMALS.checked_sub(decimals) {
            Some(missing) => power(missing).and_then(|factor| amount.atomic().checked_mul(factor)),
            // Beyond 10³⁸ nothing of a `u128` is left but the rounding.
            None => Some(power(decimals - DECIMALS).map_or(1, |divisor| amount.atomic().div_ceil(divisor))),
        };
        Self(scaled.unwrap_or(u128::MAX))
    }

    /// Reads a decimal number of dollars.
    ///
    /// # Errors
    /// [`AmountError`].
    pub fn from_decimal(text: &str) -> Result<Self, AmountError> {
        AtomicAmount::from_decimal(text, DECIMALS).map(|amount| Self(amount.atomic()))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Never below nothing.
    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", AtomicAmount::new(self.0).to_decimal(DECIMALS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(atomic: u128, decimals: u8) -> String {
        Dollars::of(AtomicAmount::new(atomic), decimals).to_string()
    }

    #[test]
    fn coins_of_all_decimals_are_worth_the_same() {
        assert_eq!(
            (of(1_500_000, 6), of(15, 1), of(1_500_000_000_000_000_000, 18)),
            ("$1.5".into(), "$1.5".into(), "$1.5".into())
        );
        assert_eq!(Dollars::from_decimal("1.5"), Ok(Dollars::of(AtomicAmount::new(150), 2)));
    }

    #[test]
    fn what_cannot_be_held_exactly_is_rounded_up() {
        assert_eq!(of(11, 19), "$0.000000000000000002");
        assert_eq!(of(1, 255), "$0.000000000000000001");
        assert_eq!(Dollars::of(AtomicAmount::new(u128::MAX), 0), Dollars(u128::MAX));
        assert_eq!(Dollars(u128::MAX).plus(Dollars(1)), Dollars(u128::MAX));
        assert_eq!(Dollars(1).minus(Dollars(2)), Dollars(0));
    }
}
