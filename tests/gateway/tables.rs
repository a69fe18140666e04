//! Any table and any path: whatever a careless upstream takes the path for, it is not served for less than that costs.

use http::Method;
use proptest::prelude::*;
use tollgate::config;
use tollgate::pricing::{Found, Kinds, PriceTable, Target};

use crate::support::upstreams::readings;

/// Those who are written in other letters, or with a dot, are what the operator says, and not what they are read as.
const PATTERNS: [&str; 14] = [
    "/{rest...}",
    "/{name}",
    "/{name}/dear",
    "/{name}/{id}/now",
    "/api/{rest...}",
    "/api/{id}",
    "/api/{id}/now",
    "/api/{id}/{rest...}",
    "/api/dear",
    "/api/dear/{rest...}",
    "/api/dear/now",
    "/api",
    "/dear",
    "/",
];

const SEGMENTS: [&str; 5] = ["api", "dear", "now", "7", "other"];

const DECORATIONS: [&str; 16] =
    ["", "", "", "", "", ".json", "..free", ".", "%20", "+", "%3Bx", "%3Fx", "%23x", "%3F", "%3F.json", ".a.b"];

/// Patterns and the places of their prices; the cheapest is free.
fn routes() -> impl Strategy<Value = Vec<(&'static str, u32)>> {
    let patterns = prop::sample::subsequence(&PATTERNS[..], 1..=7);
    (patterns, prop::collection::vec(0..4_u32, 7))
        .prop_map(|(patterns, prices)| patterns.into_iter().zip(prices).collect())
}

fn path() -> impl Strategy<Value = String> {
    let segment = (prop::sample::select(&SEGMENTS[..]), prop::sample::select(&DECORATIONS[..]), 0..5_u8);
    let segment = segment.prop_map(|(name, decoration, style)| match style {
        0 => name.to_uppercase() + decoration,
        1 => decoration.to_owned() + name,
        _ => name.to_owned() + decoration,
    });
    (prop::collection::vec(segment, 1..4), prop::sample::select(&["", "", "/", "?", "?x=/dear"][..]))
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

fn table(routes: &[(&str, u32)], unlisted: &str) -> PriceTable {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tollgate.toml");
    let written: String = routes
        .iter()
        .map(|(path, price)| match price {
            0 => format!("[[routes]]\npath = \"{path}\"\nfree = true\n"),
            price => format!("[[routes]]\npath = \"{path}\"\nprice = \"$0.{price}\"\nunits = {price}\n"),
        })
        .collect();
    let text = format!(
        "[server]\npublic_url = \"https://api.example.com\"\nunlisted = \"{unlisted}\"\n\
         [upstream]\nurl = \"http://127.0.0.1:9\"\n[facilitator]\nurl = \"http://127.0.0.1:9\"\n\
         [pay_to]\nbase = \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\"\n\
         [[plans]]\nname = \"endless\"\nprice = \"$1\"\nduration = \"30d\"\n{written}"
    );
    std::fs::write(&file, &text).unwrap();
    let loaded = config::load(&file).unwrap_or_else(|problems| panic!("{problems:?} in {text}"));
    loaded.config.price_table(&Kinds::unknown()).0
}

/// What a path takes of a plan, in thousandths of a unit, and of a wallet.
fn cost(prices: &PriceTable, path: &str) -> (u128, u128) {
    let Found::Route(route) = prices.find(&Method::GET, path) else { return (0, 0) };
    let units = route.access.metering().map_or(0, |metering| metering.units.to_string().parse::<u128>().unwrap());
    let amount = route.access.offer().map_or(0, |offer| offer.terms[0].amount.to_string().parse().unwrap());
    (units, amount)
}

/// Who ignores letter case ignores it in the table too, and so with what is around a segment and what is encoded.
fn is_folded(reading: &str) -> bool {
    let is_bare = |segment: &str| segment.trim().trim_end_matches('.') == segment && !segment.is_empty();
    let is_plain = reading == reading.to_lowercase() && !reading.contains(['%', '+']);
    is_plain && reading.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_bare))
}

#[test]
fn whatever_a_path_is_taken_for_it_is_not_served_for_less() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let cases = (routes(), prop::collection::vec(path(), 1..20));
    runner
        .run(&cases, |(routes, paths)| {
            let prices = table(&routes, "free");
            for path in paths {
                let Ok(target) = Target::parse(path.as_bytes()) else { continue };
                let charged = cost(&prices, target.path());
                for reading in readings(target.as_str()).into_iter().filter(|reading| is_folded(reading)) {
                    let cost = cost(&prices, &reading);
                    prop_assert!(
                        cost.0 <= charged.0 && cost.1 <= charged.1,
                        "{target} costs {charged:?} and may be read as {reading}, which costs {cost:?}"
                    );
                }
            }
            Ok(())
        })
        .unwrap();
}
