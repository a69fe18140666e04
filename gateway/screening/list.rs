use std::collections::HashSet;
use std::sync::Arc;

use super::Screened;
use crate::money::{Address, Network};

/// The longest part of a line that a problem shows.
const SHOWN_CHARS: usize = 80;

/// Addresses out of one file: one a line, or in the first column of a CSV file; `#` begins a comment.
///
/// An address is meant on every network that it exists on. EVM addresses may be in any letter case; addresses that are
/// neither EVM nor Solana are written with their network, as CAIP-10 has it: `algorand:mainnet:ABC…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressList {
    name: Arc<str>,
    addresses: HashSet<Address>,
}

/// The lists of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    /// Whoever is on one of them may not pay.
    pub deny: Vec<Arc<AddressList>>,
    /// If there are any, only who is on one of them may pay.
    pub allow: Vec<Arc<AddressList>>,
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is not an address like 0x…, in base58, or network:reference:address")]
pub struct ListError {
    /// Which line, from 1.
    pub line: usize,
    /// What stands there, shortened.
    pub text: String,
}

impl AddressList {
    /// Reads a file's text. A list that is understood in part only is none: the rest might be who matters.
    ///
    /// # Errors
    /// Every line that is not understood.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<ListError>> {
        let (mut addresses, mut errors, mut first) = (HashSet::new(), Vec::new(), true);
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            let column = content.split([',', ';', '\t']).next().unwrap_or_default();
            let column = column.trim().trim_matches('"').trim();
            if content.trim().is_empty() {
                continue;
            }
            let is_heading = std::mem::take(&mut first) && column.eq_ignore_ascii_case("address");
            match address(column) {
                Some(address) => drop(addresses.insert(address)),
                None if is_heading => {}
                None => errors.push(ListError { line: index + 1, text: column.chars().take(SHOWN_CHARS).collect() }),
            }
        }
        if errors.is_empty() { Ok(Self { name: name.into(), addresses }) } else { Err(errors) }
    }

    /// Whether an address is on it.
    pub fn contains(&self, address: &Address) -> bool {
        self.addresses.contains(address)
    }

    /// Whether nobody is on it.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

impl Lists {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.deny.is_empty() && self.allow.is_empty()
    }

    pub(super) fn screen(&self, payer: &Address) -> Screened {
        let on =
            |lists: &[Arc<AddressList>]| lists.iter().find(|list| list.contains(payer)).map(|list| list.name.clone());
        match on(&self.deny) {
            Some(name) => Screened::Refused(format!("on the list {name}").into()),
            None if self.allow.is_empty() || on(&self.allow).is_some() => Screened::Clear,
            None => Screened::Refused("on no list of those who may pay".into()),
        }
    }
}

fn address(text: &str) -> Option<Address> {
    let named = |network: &str, address: &str| Address::parse(address, &Network::parse(network).ok()?).ok();
    match text.rsplit_once(':') {
        Some((network, address)) => named(network, address),
        None if text.starts_with("0x") || text.starts_with("0X") => named("eip155:1", &text.replacen("0X", "0x", 1)),
        None => named("solana:mainnet", text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVM: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
    const SOLANA: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

    fn evm() -> Address {
        Address::parse(EVM, &Network::parse("eip155:8453").unwrap()).unwrap()
    }

    fn list(text: &str) -> AddressList {
        AddressList::parse("a.txt", text).unwrap()
    }

    #[test]
    fn letter_case_matters_on_solana_alone() {
        for spelled in [EVM.to_owned(), EVM.to_lowercase(), EVM.to_uppercase(), format!("eip155:1:{EVM}")] {
            assert!(list(&spelled).contains(&evm()), "{spelled}");
        }
        let solana = Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap();
        assert!(list(SOLANA).contains(&Address::parse(SOLANA, &solana).unwrap()));
        assert!(AddressList::parse("", &SOLANA.to_lowercase()).is_err());
    }

    #[test]
    fn comments_blank_lines_and_further_columns_are_passed_over() {
        let text = format!(
            "\u{feff}Address,Name\r\n# who\r\n\r\n \"{EVM}\" , \"Somebody, Inc\" # since 2020\r\n{SOLANA};x\t\n"
        );
        assert_eq!(list(&text).addresses.len(), 2);
        assert!(list("").is_empty() && list("# nobody").is_empty());
        assert!(!list("algorand:mainnet:ABC").is_empty());
    }

    #[test]
    fn every_line_that_is_not_understood_is_told() {
        let errors =
            AddressList::parse("", &format!("{EVM}\n0x12\naddress\n,{EVM}\n{EVM} {EVM}\nbase:{EVM}")).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert!(errors[0].to_string().starts_with("line 2: \"0x12\" is not an address"), "{}", errors[0]);
    }

    #[test]
    fn deny_goes_before_allow() {
        let (on, off) = (Arc::new(list(EVM)), Arc::new(list(SOLANA)));
        let screen = |deny: &[&Arc<AddressList>], allow: &[&Arc<AddressList>]| {
            let all = |lists: &[&Arc<AddressList>]| lists.iter().map(|list| Arc::clone(list)).collect();
            Lists { deny: all(deny), allow: all(allow) }.screen(&evm()) == Screened::Clear
        };
        assert!(screen(&[], &[]) && screen(&[&off], &[]) && screen(&[], &[&off, &on]));
        assert!(!screen(&[&off, &on], &[]) && !screen(&[], &[&off]) && !screen(&[&on], &[&on]));
        assert!(!screen(&[], &[&Arc::new(list(""))]));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".*") {
            let _ = AddressList::parse("", &text);
        }
    }
}
