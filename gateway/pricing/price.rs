use std::fmt;

use crate::money::{Address, AmountError, Asset, AtomicAmount};

/// A price as the operator wrote it, before an asset gives it a number of atomic units.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Price {
    /// `"$0.001"` or `"0.001 USDC"`: whole tokens of a stablecoin. Without a symbol, the network's own asset.
    Decimal {
        /// Digits and at most one dot.
        digits: String,
        /// The asset asked for.
        symbol: Option<String>,
    },
    /// `{ amount = "1000", asset = "0x…" }`.
    Atomic {
        /// Atomic units.
        amount: AtomicAmount,
        /// Contract or mint.
        asset: String,
    },
}

/// Why a price is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Not in one of the forms.
    #[error("is not a price like \"$0.001\" or \"0.001 USDC\"")]
    Form,
    /// Nothing to pay: say `free = true` if that is meant.
    #[error("comes to nothing; a route without a price says free = true")]
    Zero,
    /// The asset cannot hold it.
    #[error("{error}, {symbol} has {decimals}")]
    Amount {
        /// What is wrong.
        error: AmountError,
        /// The asset.
        symbol: String,
        /// Its decimals.
        decimals: u8,
    },
}

impl Price {
    /// Reads `$0.001`, `0.001`, `0.001 USDC` or `0.001 USD`.
    ///
    /// # Errors
    /// [`PriceError::Form`], [`PriceError::Zero`].
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let text = text.trim();
        let (number, symbol) = match text.strip_prefix('$') {
            Some(number) => (number.trim_start(), None),
            None => match text.split_once(' ') {
                Some((number, symbol)) => (number, Some(symbol.trim())),
                None => (text, None),
            },
        };
        if symbol
            .is_some_and(|symbol| symbol.is_empty() || !symbol.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'))
        {
            return Err(PriceError::Form);
        }
        // Twenty decimals are more than any asset has: this only checks the form.
        match AtomicAmount::from_decimal(number, 20) {
            Err(_) => Err(PriceError::Form),
            Ok(amount) if amount.is_zero() => Err(PriceError::Zero),
            Ok(_) => Ok(Self::Decimal {
                digits: number.to_owned(),
                symbol: symbol.filter(|symbol| !symbol.eq_ignore_ascii_case("usd")).map(str::to_owned),
            }),
        }
    }

    /// The price in atomic units of an asset, exactly.
    ///
    /// # Errors
    /// [`PriceError::Amount`] if the asset has too few decimals.
    pub fn on(&self, asset: &Asset) -> Result<AtomicAmount, PriceError> {
        match self {
            Self::Atomic { amount, .. } => Ok(*amount),
            Self::Decimal { digits, .. } => AtomicAmount::from_decimal(digits, asset.decimals).map_err(|error| {
                PriceError::Amount { error, symbol: asset.symbol.to_string(), decimals: asset.decimals }
            }),
        }
    }

    /// Whether this price can be paid in `asset`.
    pub fn accepts(&self, asset: &Asset) -> bool {
        match self {
            Self::Decimal { symbol: None, .. } => true,
            Self::Decimal { symbol: Some(symbol), .. } => asset.symbol.eq_ignore_ascii_case(symbol),
            Self::Atomic { asset: text, .. } => match &asset.address {
                Address::Evm(_) => asset.address.to_string().eq_ignore_ascii_case(text),
                Address::Text(address) => **address == **text,
            },
        }
    }

    /// The number of whole tokens, if the price is written so: a dollar amount for stablecoins.
    pub fn decimal(&self) -> Option<&str> {
        match self {
            Self::Decimal { digits, .. } => Some(digits),
            Self::Atomic { .. } => None,
        }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { digits, symbol: None } => write!(f, "${digits}"),
            Self::Decimal { digits, symbol: Some(symbol) } => write!(f, "{digits} {symbol}"),
            Self::Atomic { amount, asset } => write!(f, "{amount} atomic units of {asset}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x402::networks;

    fn usdc(text: &str) -> Result<AtomicAmount, PriceError> {
        Price::parse(text)?.on(&networks::known("base").unwrap().asset(None).unwrap())
    }

    #[test]
    fn prices_are_exact() {
        for (text, atomic) in [
            ("$0.001", 1000),
            ("0.001 USDC", 1000),
            ("$5", 5_000_000),
            ("$ 1", 1_000_000),
            ("1.5 usd", 1_500_000),
            ("$0.000001", 1),
        ] {
            assert_eq!(usdc(text), Ok(AtomicAmount::new(atomic)), "{text}");
        }
        assert_eq!(usdc("$0.0000001").unwrap_err().to_string(), "needs 7 decimals, USDC has 6");
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in ["", "$", "free", "-1", "$-1", "1e-3", "$1,000", ".5", "5.", "$1 USDC X", "NaN"] {
            assert_eq!(usdc(bad), Err(PriceError::Form), "{bad}");
        }
        assert_eq!(usdc("$0.00"), Err(PriceError::Zero));
    }
}
