//! Schemes and networks that the gateway knows nothing of: it passes on what the facilitator wants and what payers send.

use std::time::SystemTime;

use serde_json::{Value, json};
use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;
use tollgate::x402::codec;

use crate::support::client::Answer;
use crate::support::facilitator::Facilitator;
use crate::support::gateway::Gateway;
use crate::support::permit2;
use crate::support::server::{Heard, Journal, Reply, Server};
use crate::support::wait::until;
use crate::support::world::{SELLER, Setup, World};

const NETWORK: &str = "stellar:pubnet";
const ASSET: &str = "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75";
const PAYEE: &str = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";

const ROUTES: &str = r#"
"stellar:pubnet" = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"

[networks."stellar:pubnet"]
scheme = "streamed"
asset  = { address = "CCW67TSZV3SSS2HXMBQ5JFGCKJNXKZM7UQUWUZPUTHXSTZLEO7SJMI75", decimals = 7 }
extra  = { channel = "ours", steps = [1, { last = true }] }

[[routes]]
path  = "/paid"
price = "$0.01"
"#;

/// A gateway whose facilitator settles these kinds, and settles payments as it is told.
fn world(routes: &str, kinds: &Value, mut settle: impl FnMut(&Heard) -> Reply + Send + 'static) -> World {
    let journal = Journal::default();
    let (upstream, facilitator) = (Server::start("upstream", &journal), Facilitator::start(&journal));
    let supported = Reply::json(200, &json!({ "kinds": kinds }));
    facilitator.answers(move |heard| match heard.target() {
        "/supported" => supported.clone(),
        "/settle" => settle(heard),
        _ => Reply::json(200, &json!({ "isValid": true, "payer": "GPAYER" })),
    });
    let setup = Setup { routes, ..Setup::default() };
    let gateway = Gateway::start(&|addr, admin| setup.config(addr, admin, upstream.addr(), &facilitator.url()));
    World { gateway, upstream, facilitator, journal, wallet: DemoWallet::random().unwrap() }
}

/// What the facilitator of the invented scheme says of it.
fn streamed() -> Value {
    json!([{
        "x402Version": 2, "scheme": "streamed", "network": NETWORK,
        "extra": { "channel": "theirs", "areFeesSponsored": true, "quote": "not yours", "plan": 1 },
    }])
}

fn settled(transaction: &str, network: &str) -> Reply {
    Reply::json(200, &json!({ "success": true, "transaction": transaction, "network": network, "payer": "GPAYER" }))
}

/// The challenge once the only way to pay has come to be known.
fn challenge(world: &World, network: &str) -> Answer {
    let way = |answer: &Answer| accepts(answer).iter().any(|way| way["network"] == network);
    until("the offer", || Some(world.get("/paid", &[])).filter(|answer| answer.status == 402 && way(answer)))
}

fn accepts(answer: &Answer) -> Vec<Value> {
    let header = answer.header("payment-required").unwrap_or_default();
    let text = codec::decode(header.as_bytes()).unwrap_or_default();
    let required: Value = serde_json::from_str(&text).unwrap_or_default();
    required["accepts"].as_array().cloned().unwrap_or_default()
}

fn payment(accepted: &Value, payload: &Value) -> String {
    codec::encode(&json!({ "x402Version": 2, "accepted": accepted, "payload": payload }))
}

#[test]
fn a_scheme_and_a_network_that_nobody_knows_are_paid_for() {
    let world = world(ROUTES, &streamed(), |_| settled("TX1", NETWORK));
    let accepted = accepts(&challenge(&world, NETWORK)).remove(0);
    let quote = accepted["extra"]["quote"].clone();
    assert_ne!(quote, "not yours");
    let ours = json!({
        "scheme": "streamed", "network": NETWORK, "amount": "100000", "asset": ASSET, "payTo": PAYEE,
        "maxTimeoutSeconds": 150,
        "extra": { "areFeesSponsored": true, "channel": "ours", "steps": [1, { "last": true }] },
    });
    let mut shown = accepted.clone();
    shown["extra"].as_object_mut().unwrap().remove("quote");
    assert_eq!(shown, ours, "the facilitator's word, and over it the operator's");

    let sent = payment(&accepted, &json!({ "stream": "AAAA", "n": 1.50 }));
    let paid = world.pay("/paid", &sent);
    assert_eq!(paid.status, 200, "{}", paid.text());
    for heard in [world.facilitator.verified().remove(0), world.facilitator.settled().remove(0)] {
        let body = heard.json();
        assert_eq!((&body["paymentRequirements"], &body["paymentPayload"]["accepted"]), (&ours, &ours));
        assert_eq!(body["paymentPayload"]["payload"], json!({ "stream": "AAAA", "n": 1.5 }));
    }
    let receipt = codec::decode(paid.header("payment-response").unwrap().as_bytes()).unwrap();
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    assert_eq!((&receipt["transaction"], &receipt["payer"]), (&json!("TX1"), &json!("GPAYER")));
    let event = until("the event", || {
        world.gateway.output().lines().find(|line| line.contains("payment_id")).map(str::to_owned)
    });
    assert!(event.contains("streamed") && event.contains(NETWORK), "{event}");

    let again = world.pay("/paid", &sent);
    assert_eq!((again.status, again.body), (200, paid.body), "the buyer's repeat gets the same answer");
    assert_eq!((world.upstream.heard().len(), world.facilitator.settled().len()), (1, 1));
}

#[test]
fn what_is_not_offered_is_refused_before_anybody_is_asked() {
    let world = world(ROUTES, &streamed(), |_| settled("TX1", NETWORK));
    let accepted = accepts(&challenge(&world, NETWORK)).remove(0);
    for (pointer, value) in [
        ("/scheme", json!("exact")),
        ("/scheme", json!("Streamed")),
        ("/network", json!("stellar:testnet")),
        ("/amount", json!("1")),
        ("/asset", json!(ASSET.to_lowercase())),
        ("/payTo", json!("GSOMEBODYELSE")),
        ("/extra/channel", json!("theirs")),
        ("/extra/steps", json!([1])),
        ("/extra/quote", json!("not yours")),
    ] {
        let mut other = accepted.clone();
        *other.pointer_mut(pointer).unwrap() = value.clone();
        let refused = world.pay("/paid", &payment(&other, &json!({ "stream": "AAAA" })));
        assert_eq!(refused.status, 402, "{pointer} {value}: {}", refused.text());
    }
    assert_eq!((world.upstream.heard().len(), world.facilitator.verified().len()), (0, 0));
}

/// Nobody here knows which part of such a payload was signed, so anybody can write the same payment in two ways.
#[test]
fn one_transaction_pays_for_one_call_however_the_payment_is_written() {
    let world = world(ROUTES, &streamed(), |_| settled("TX1", NETWORK));
    let accepted = accepts(&challenge(&world, NETWORK)).remove(0);
    let first = world.pay("/paid", &payment(&accepted, &json!({ "stream": "AAAA" })));
    let varied = payment(&accepted, &json!({ "stream": "AAAA", "and": "more" }));
    let second = world.pay("/paid", &varied);
    let third = world.pay("/paid", &varied);
    assert_eq!((first.status, second.status, third.status), (200, 503, 503), "{}", second.text());
    assert!(second.header("payment-required").is_none(), "nobody is asked to pay again");
    assert_eq!(world.states(), ["delivered", "unknown"]);
    let spaced = codec::encode_bytes(
        format!(r#"{{"x402Version": 2, "accepted": {accepted}, "payload": {{  "stream":"AAAA"}}}}"#).as_bytes(),
    );
    assert_eq!(world.pay("/paid", &spaced).status, 200, "the same members are the same payment");
    assert_eq!(world.states().len(), 2);
}

#[test]
fn a_facilitator_that_wants_to_settle_twice_is_not_sold_through() {
    let mut escrow = streamed();
    escrow[0]["extra"]["paymentFlow"] = json!("escrow");
    let routes = ROUTES.replace("price = \"$0.01\"", "price = \"$0.01\"\n[[routes]]\npath = \"/other\"\nfree = true");
    let world = world(&routes, &escrow, |_| settled("TX1", NETWORK));
    until("the warning", || world.gateway.output().contains("payment flow \"escrow\"").then_some(()));
    assert_eq!(accepts(&world.get("/paid", &[])), Vec::<Value>::new());
}

/// Chains that no table has: the operator's word is enough.
#[test]
fn any_evm_chain_is_paid_on_by_either_method() {
    const CHAIN: &str = "eip155:4815162342";
    for method in ["eip3009", "permit2"] {
        let routes = format!(
            "\"{CHAIN}\" = \"{SELLER}\"\n[networks.\"{CHAIN}\"]\nasset = {{ address = \"{}\", decimals = 18, \
             symbol = \"ODD\", name = \"Odd Dollar\", version = \"7\", transfer = \"{method}\" }}\n\
             [[routes]]\npath = \"/paid\"\nprice = \"0.01 ODD\"\n",
            "0x00000000000000000000000000000000000A11cE"
        );
        let kinds = json!([{ "x402Version": 2, "scheme": "exact", "network": CHAIN }]);
        let world = world(&routes, &kinds, |_| settled("0x01", CHAIN));
        let challenge = challenge(&world, CHAIN);
        let accepted = accepts(&challenge).remove(0);
        assert_eq!(
            (&accepted["amount"], &accepted["extra"]["name"]),
            (&json!("10000000000000000"), &json!("Odd Dollar"))
        );
        let now = unix_seconds(SystemTime::now());
        let sign = |chain: &str| match method {
            "permit2" => payment(&accepted, &permit2::exact(&accepted, chain, now)),
            _ => {
                let mut other = codec::decode(challenge.header("payment-required").unwrap().as_bytes()).unwrap();
                other = other.replace(CHAIN, chain);
                let header = world.wallet.pay(codec::encode_bytes(other.as_bytes()).as_bytes(), now).unwrap().header;
                codec::encode_bytes(codec::decode(header.as_bytes()).unwrap().replace(chain, CHAIN).as_bytes())
            }
        };
        let refused = world.pay("/paid", &sign("eip155:8453"));
        assert_eq!(refused.status, 402, "{method}: signed for another chain");
        assert_eq!(world.facilitator.verified().len(), 0, "{method}");
        let paid = world.pay("/paid", &sign(CHAIN));
        assert_eq!(paid.status, 200, "{method}: {}", paid.text());
        assert_eq!(world.facilitator.settled()[0].json()["paymentRequirements"]["network"], CHAIN);
        assert_eq!(world.upstream.heard().len(), 1, "{method}");
    }
}
