//! What is offered by schemes that only the facilitator knows: its word, and over it the operator's.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::{Config, parse};
use crate::pricing::{Found, Kinds, PriceTable};

const FILE: &str = r#"
    server      = { public_url = "https://api.example.com", unlisted = "deny" }
    upstream    = { url = "http://127.0.0.1:3000" }
    facilitator = { url = "https://x402.org/facilitator" }

    [pay_to]
    base = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
    "stellar:pubnet" = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"

    [networks.base]
    scheme = "upto"
    EXTRA

    [networks."stellar:pubnet"]
    asset = { address = "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75", decimals = 7 }
    extra = { fee = 7, channel = "ours" }

    [[routes]]
    path  = "/weather"
    price = "$0.001"

    [[routes]]
    path   = "/alert"
    price  = "$0.001"
    settle = "before"
"#;
const FACILITATOR: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

fn config(extra: &str) -> Config {
    let file = FILE.replace("EXTRA", extra);
    parse(&file, "t.toml", Path::new(""), &|_| None).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn kinds(upto: &Value, stellar: &Value) -> Kinds {
    let supported = json!({ "kinds": [
        { "x402Version": 2, "scheme": "upto", "network": "eip155:8453", "extra": upto },
        { "x402Version": 2, "scheme": "exact", "network": "stellar:pubnet", "extra": stellar },
        { "x402Version": 2, "scheme": "exact", "network": "eip155:8453" },
        { "x402Version": 1, "scheme": "exact", "network": "base" },
    ]});
    Kinds::from_supported(&serde_json::from_value(supported).unwrap(), &Kinds::unknown())
}

/// The ways to pay for a path: scheme, network, name in version 1, and what is in `extra`.
fn ways(table: &PriceTable, path: &str) -> Value {
    let Found::Route(route) = table.find(&Method::GET, path) else { panic!("{path} is no route") };
    let terms = route.access.offer().unwrap().terms.iter();
    terms.map(|terms| json!([terms.scheme.as_str(), terms.network, terms.v1_network, terms.extra])).collect()
}

fn reasons(config: &Config, kinds: &Kinds) -> Vec<String> {
    config.omissions(kinds).iter().map(ToString::to_string).collect()
}

#[test]
fn the_facilitators_word_is_passed_on_and_the_operators_over_it() {
    let named = json!({ "facilitatorAddress": FACILITATOR, "version": "9", "assetTransferMethod": "eip3009" });
    let theirs = json!({ "fee": 1, "areFeesSponsored": true, "quote": "q", "plan": {} });
    let (table, omissions) = config("").price_table(&kinds(&named, &theirs));
    assert_eq!(omissions, []);
    let upto = json!({
        "assetTransferMethod": "permit2", "facilitatorAddress": FACILITATOR, "name": "USD Coin", "version": "2",
    });
    let stellar = json!({ "areFeesSponsored": true, "channel": "ours", "fee": 7 });
    let expected = json!([["upto", "eip155:8453", null, upto], ["exact", "stellar:pubnet", null, stellar]]);
    assert_eq!(ways(&table, "/weather"), expected);
    let flow = ways(&table, "/alert");
    assert_eq!((&flow[0][3]["paymentFlow"], &flow[1][3]["paymentFlow"]), (&json!("upfront"), &json!("upfront")));
}

#[test]
fn before_the_facilitators_word_nothing_is_offered_that_needs_it() {
    let waiting = reasons(&config(""), &Kinds::unknown());
    assert_eq!(
        waiting,
        [
            "nothing is offered on base: the facilitator has given no facilitatorAddress for it",
            "nothing is offered on stellar:pubnet: the facilitator has not said yet what \"exact\" payments there need",
        ]
    );
    assert_eq!(ways(&config("").price_table(&Kinds::unknown()).0, "/weather"), json!([]));
}

#[test]
fn what_the_facilitator_leaves_out_may_be_the_operators_word() {
    let none = kinds(&json!({}), &json!({}));
    let missing = "nothing is offered on base: the facilitator has given no facilitatorAddress for it";
    assert_eq!(reasons(&config(""), &none), [missing]);
    let config = config(&format!("extra = {{ facilitatorAddress = \"{FACILITATOR}\" }}"));
    assert_eq!(reasons(&config, &none), [""; 0]);
    let named = json!({ "facilitatorAddress": "0x0000000000000000000000000000000000000001" });
    let (table, _) = config.price_table(&kinds(&named, &json!({})));
    assert_eq!(ways(&table, "/weather")[0][3]["facilitatorAddress"], FACILITATOR);
}

#[test]
fn a_scheme_that_is_not_settled_or_settles_twice_is_left_out() {
    let escrow =
        kinds(&json!({ "facilitatorAddress": FACILITATOR, "paymentFlow": "escrow" }), &json!({ "paymentFlow": 1 }));
    assert_eq!(
        reasons(&config(""), &escrow),
        [
            "nothing is offered on base: the facilitator wants the payment flow \"escrow\" there, which is not spoken here",
            "nothing is offered on stellar:pubnet: the facilitator wants the payment flow 1 there, which is not spoken here",
        ]
    );
    let nothing = Kinds::from_supported(&Default::default(), &Kinds::unknown());
    assert_eq!(
        reasons(&config(""), &nothing),
        [
            "nothing is offered on base: the facilitator settles no \"upto\" payments there",
            "nothing is offered on stellar:pubnet: the facilitator settles no \"exact\" payments there",
        ]
    );
}
