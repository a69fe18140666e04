//! Prices as people write them.

use serde_json::Value;
use tollgate::money::{Asset, AtomicAmount};
use tollgate::pricing::{Price, PriceError};
use tollgate::x402::networks;

use crate::file::{cases, text};

/// Prices that the reference cuts off, down to nothing at all. An exact number or an error is what a seller expects.
const TOO_PRECISE_FOR_SIX: [&str; 2] = ["$0.0000019", "$0.0000001"];

fn asset(decimals: u8) -> Asset {
    Asset { decimals, ..networks::known("base").unwrap().asset(None).unwrap() }
}

fn atomic(price: &Price, decimals: u8) -> Result<AtomicAmount, PriceError> {
    price.on(&asset(decimals))
}

#[test]
fn texts_are_priced_as_in_the_reference_or_refused() {
    for case in cases("money-parsing").iter().filter(|case| case["in"].is_string()) {
        let (written, price) = (text(case, "/in"), Price::parse(&text(case, "/in")));
        if case["error"].is_string() {
            assert_eq!(price, Err(PriceError::Form), "{written}");
            continue;
        }
        let price = price.unwrap();
        let Price::Decimal { digits, symbol } = &price else { panic!("{written}: {price:?}") };
        assert_eq!((digits, symbol.as_deref()), (&text(case, "/amount"), case["symbol"].as_str()), "{written}");
        assert_eq!(atomic(&price, 18).unwrap().to_string(), text(case, "/atomic_18"), "{written}");
        match atomic(&price, 6) {
            Err(PriceError::Amount { .. }) => assert!(TOO_PRECISE_FOR_SIX.contains(&&*written), "{written}"),
            amount => {
                assert_eq!(amount.unwrap().to_string(), text(case, "/atomic_6"), "{written}");
                assert!(!TOO_PRECISE_FOR_SIX.contains(&&*written), "{written}");
            }
        }
    }
}

/// A price is a text here; floating-point numbers are no money. As the text that JSON would print, the simple one is
/// priced alike, and the one that would print with an exponent is refused.
#[test]
fn numbers_of_the_reference_are_texts_here() {
    let numbers: Vec<Value> = cases("money-parsing").into_iter().filter(|case| case["in"].is_number()).collect();
    assert_eq!(numbers.len(), 2);
    let tenth = Price::parse(&numbers[0]["in"].to_string()).unwrap();
    assert_eq!(atomic(&tenth, 6).unwrap().to_string(), text(&numbers[0], "/atomic_6"));
    assert_eq!(Price::parse(&numbers[1]["in"].to_string()), Err(PriceError::Form));
    assert_eq!(numbers[1]["atomic_6"], "0", "the reference gives it away");
}
