//! The words of prices, plans, queries and reports: each is refused, or says the same when it is written and read again.

use http::HeaderName;
use tollgate::clock::Day;
use tollgate::money::{Address, AtomicAmount, Network};
use tollgate::payment::State;
use tollgate::plans::{HolderName, Rate, Units};
use tollgate::pricing::{OfferKey, Pattern, PlanOffer, Price, Reported, Target};
use tollgate::store::By;
use tollgate::x402::networks;

use super::{halves, text};

/// Reads the bytes as each kind of word; of two lines, the second is a decimal number of as many digits as the first
/// has bytes.
pub fn word(data: &[u8]) {
    let Some(word) = text(data) else { return };
    amounts(word);
    let (places, number) = halves(data);
    if let (Ok(places), Ok(number)) = (u8::try_from(places.len()), std::str::from_utf8(number)) {
        decimals(number, places);
    }
    names(word);
    units(word);
    let _ = (Price::parse(word), State::parse(word), networks::known(word), OfferKey::new(word).plan_name());
    let _ = PlanOffer::withdrawn(word);
    pattern(word);
}

fn amounts(word: &str) {
    if let Ok(amount) = AtomicAmount::parse(word) {
        assert_eq!(amount.to_string(), word, "an amount has one spelling");
    }
    decimals(word, 6);
    decimals(word, 18);
}

fn decimals(word: &str, places: u8) {
    let Ok(amount) = AtomicAmount::from_decimal(word, places) else { return };
    let written = amount.to_decimal(places);
    assert_eq!(AtomicAmount::from_decimal(&written, places), Ok(amount), "{word} is written {written}");
}

fn names(word: &str) {
    if let Ok(network) = Network::parse(word) {
        assert_eq!(network.caip2(), word);
    }
    for id in ["eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "algorand:mainnet"] {
        let network = Network::parse(id).expect("an id");
        if let Ok(address) = Address::parse(word, &network) {
            assert_eq!(Address::parse(&address.to_string(), &network).as_ref(), Ok(&address));
            assert!(address.to_string().len() <= 256);
        }
    }
    if let Some(day) = Day::parse(word) {
        assert_eq!(Day::parse(&day.to_string()), Some(day), "{word}");
    }
    if let Some(list) = By::parse_list(word) {
        let written: Vec<_> = list.iter().map(|by| by.as_str()).collect();
        assert_eq!(By::parse_list(&written.join(",")), Some(list));
    }
    if let Some(name) = HolderName::parse(word) {
        assert!((1..=64).contains(&name.as_str().len()) && name.as_str().is_ascii());
    }
    if let Some(rate) = Rate::parse(word) {
        assert_eq!(Rate::parse(&rate.to_string()), Some(rate), "{word} is written {rate}");
    }
}

fn units(word: &str) {
    let units_max = Units::from_thousandths(5_000);
    let reported = Reported { header: HeaderName::from_static("x-units"), units_max };
    assert!(!reported.read(word).is_ok_and(|units| units > units_max), "more than a call can take");
    let Ok(units) = Units::parse(word) else { return };
    assert_eq!(Units::parse(&units.to_string()), Ok(units), "{word}");
    assert_eq!(Units::from_stored(units.stored()), units);
}

/// A pattern is read as it is written, and one without parameters is a path.
fn pattern(word: &str) {
    let Ok(pattern) = Pattern::parse(word) else { return };
    assert_eq!(Pattern::parse(pattern.as_str()).as_ref(), Ok(&pattern), "{word}");
    if !pattern.as_str().contains('{') {
        assert!(Target::parse(word.as_bytes()).is_ok(), "{word} can never be asked for");
    }
}
