use std::sync::Arc;

use crate::svm;

/// As many as are remembered: a facilitator has a handful.
const FEE_PAYERS_MAX: usize = 64;

/// The addresses that a facilitator pays Solana's fees from, as far as it has named them since the start.
///
/// One with several names a random one at each question. Whichever of them a payment has, the facilitator can sign it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeePayers(Arc<[Arc<str>]>);

impl FeePayers {
    /// Those named now, then those named earlier; the oldest are forgotten first. What is no address is left out.
    pub fn new<'a>(named: impl IntoIterator<Item = &'a str>, earlier: &Self) -> Self {
        let named = named.into_iter().filter(|text| svm::pubkey(text).is_some());
        let mut list: Vec<Arc<str>> = Vec::new();
        for one in named.map(Arc::from).chain(earlier.0.iter().cloned()) {
            if list.len() < FEE_PAYERS_MAX && !list.contains(&one) {
                list.push(one);
            }
        }
        Self(list.into())
    }

    /// All of them, in base58.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|known| &**known)
    }

    /// Whether an address in base58 is one of them.
    pub fn contains(&self, address: &str) -> bool {
        self.0.iter().any(|known| **known == *address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> String {
        svm::base58(&[number; 32])
    }

    #[test]
    fn what_was_named_once_stays_known_within_the_bound() {
        let (a, b) = (address(1), address(2));
        let first = FeePayers::new([&*a, "no address", &*a], &FeePayers::default());
        let second = FeePayers::new([&*b], &first);
        assert!(second.contains(&a) && second.contains(&b) && !second.contains("no address"));
        assert_eq!(FeePayers::new([&*b], &second), second);
        let many = (1..=200).map(address).fold(FeePayers::default(), |known, one| FeePayers::new([&*one], &known));
        assert_eq!(many.0.len(), FEE_PAYERS_MAX);
        assert!(many.contains(&address(200)) && !many.contains(&a));
    }
}
