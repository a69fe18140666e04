//! Lists of addresses: understood to the last line, or not at all.

use tollgate::money::{Address, Network};
use tollgate::screening::AddressList;

use super::text;

const LISTED: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

/// Reads the bytes as a list.
pub fn list(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let base = Network::parse("eip155:8453").expect("an id");
    let listed = Address::parse(LISTED, &base).expect("an address");
    match AddressList::parse("a", text) {
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!((1..=text.lines().count()).contains(&error.line), "{error}");
                assert!(error.text.chars().count() <= 80, "{error}");
            }
        }
        Ok(_) => {
            let again = |text: String| AddressList::parse("a", &text).expect("it was understood before");
            assert!(again(format!("{text}\n{LISTED}")).contains(&listed), "the last line is overlooked");
            // A sanctioned address stays on its list, whatever program has saved it.
            let crlf = again(text.replace("\r\n", "\n").replace('\n', "\r\n"));
            assert_eq!(again(text.to_owned()), crlf);
        }
    }
}
