//! Payments on Solana: offered with a fee payer of the facilitator's, checked on the spot, taken whoever of its fee payers
//! they have.

use serde_json::{Value, json};
use tollgate::x402::codec;

use crate::support::facilitator::{FEE_PAYER, OTHER_FEE_PAYER, SOLANA, good};
use crate::support::server::{Heard, Journal, Reply, Server};
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

const SELLING: &str = r#"
solana = "EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV"

[networks.solana]
memo = "shop"

[[routes]]
path  = "/paid"
price = "$0.01"
"#;

/// It names the fee payer as the payer, by the letter of the scheme.
fn settles(heard: &Heard) -> Reply {
    let asked = || heard.json()["paymentRequirements"].clone();
    match heard.target() {
        "/verify" => Reply::json(200, &json!({ "isValid": true, "payer": asked()["extra"]["feePayer"] })),
        "/settle" => {
            let (network, payer) = (asked()["network"].clone(), asked()["extra"]["feePayer"].clone());
            let receipt = json!({ "success": true, "transaction": "sig", "network": network, "payer": payer });
            Reply::json(200, &receipt)
        }
        _ => good(heard),
    }
}

fn start() -> World {
    start_with(SELLING)
}

fn start_with(routes: &str) -> World {
    let world = Setup { routes, ..Setup::default() }.start();
    world.facilitator.answers(settles);
    until_true("Solana is offered", || required(&world)["accepts"].as_array().unwrap().len() == 2);
    world
}

fn required(world: &World) -> Value {
    world.get("/paid", &[]).decoded("payment-required")
}

/// The payment of the challenge's entry for Solana.
fn payment(world: &World) -> String {
    let challenge = codec::encode(&required(world));
    world.wallet.pay_entry(challenge.as_bytes(), 1, 0).unwrap().header
}

fn decode(header: &str) -> Value {
    serde_json::from_str(&codec::decode(header.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_payment_on_solana_is_served_to_whoever_signed_it() {
    let world = start();
    let payment = payment(&world);
    let served = world.pay("/paid", &payment);
    assert_eq!(served.status, 200, "{}", served.text());
    let receipt = served.decoded("payment-response");
    assert_eq!((&receipt["payer"], &receipt["network"]), (&json!(world.wallet.solana_address()), &json!(SOLANA)));
    let [settled] = &world.facilitator.settled()[..] else { panic!("settled once") };
    let memo = decode(&payment)["accepted"]["extra"]["memo"].clone();
    assert!(memo.as_str().unwrap().starts_with("shop/"));
    assert_eq!(settled.json()["paymentRequirements"]["extra"], json!({ "feePayer": FEE_PAYER, "memo": memo }));
}

#[test]
fn a_forged_payment_on_solana_costs_no_call() {
    let world = start();
    let mut forged = decode(&payment(&world));
    let mut transaction = codec::decode_bytes(forged["payload"]["transaction"].as_str().unwrap()).unwrap();
    transaction[65] ^= 1;
    forged["payload"]["transaction"] = codec::encode_bytes(&transaction).into();
    let refused = world.pay("/paid", &codec::encode(&forged));
    assert_eq!((refused.status, &*refused.reason()), (402, "invalid_exact_svm_payload_signature_invalid"));
    assert!(world.facilitator.verified().is_empty() && world.facilitator.settled().is_empty());
}

/// The version says nothing of the terms: the transaction's fee payer counts, whichever was offered.
#[test]
fn version_one_is_settled_with_the_fee_payer_that_it_has() {
    let world = start();
    let body = world.get("/paid", &[]).json();
    let offered = body["accepts"].as_array().unwrap().iter().find(|entry| entry["network"] == "solana").unwrap();
    assert_eq!(offered["extra"], json!({ "feePayer": FEE_PAYER }));
    let mut challenge = required(&world);
    challenge["accepts"][1]["extra"] = json!({ "feePayer": OTHER_FEE_PAYER });
    let paid = world.wallet.pay_entry(codec::encode(&challenge).as_bytes(), 1, 0).unwrap().header;
    let v1 = json!({ "x402Version": 1, "scheme": "exact", "network": "solana", "payload": decode(&paid)["payload"] });
    let served = world.get("/paid", &[("X-PAYMENT", &codec::encode(&v1))]);
    assert_eq!(served.status, 200, "{}", served.text());
    let [settled] = &world.facilitator.settled()[..] else { panic!("settled once") };
    assert_eq!(settled.json()["paymentRequirements"]["extra"], json!({ "feePayer": OTHER_FEE_PAYER }));
}

/// A server of the chain that is asked for blocks.
fn selling_with_hints(rpc: &Server) -> String {
    let hints = format!("rpc_url = \"http://{}\"\nblockhash_hints = true\nmemo", rpc.addr());
    SELLING.replace("memo", &hints)
}

fn answer(heard: &Heard, result: &Value) -> Reply {
    Reply::json(200, &json!({ "jsonrpc": "2.0", "id": heard.json()["id"], "result": result }))
}

#[test]
fn a_recent_block_is_named_where_a_chain_can_be_asked() {
    let rpc = Server::start("rpc", &Journal::default());
    let block = "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx";
    rpc.answers(move |heard| match heard.json()["method"].as_str().unwrap() {
        "getGenesisHash" => answer(heard, &json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")),
        _ => answer(heard, &json!({ "value": { "blockhash": block, "lastValidBlockHeight": 3090 } })),
    });
    let world = start_with(&selling_with_hints(&rpc));
    until_true("a block is named", || required(&world)["accepts"][1]["extra"]["recentBlockhash"] == block);
    let extra = required(&world)["accepts"][1]["extra"].clone();
    assert_eq!(extra["lastValidBlockHeight"], "3090");
    assert!(required(&world)["accepts"][0]["extra"].get("recentBlockhash").is_none(), "on Base there is no such thing");
    let served = world.pay("/paid", &payment(&world));
    assert_eq!(served.status, 200, "{}", served.text());
    let [settled] = &world.facilitator.settled()[..] else { panic!("settled once") };
    assert!(settled.json()["paymentRequirements"]["extra"].get("recentBlockhash").is_none());
}

#[test]
fn a_chain_that_lies_or_fails_is_missed_by_nobody() {
    let rpc = Server::start("rpc", &Journal::default());
    let block = json!({ "value": { "blockhash": "\",\"feePayer\":\"me", "lastValidBlockHeight": 1 } });
    rpc.answers(move |heard| match heard.json()["method"].as_str().unwrap() {
        "getGenesisHash" => answer(heard, &json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")),
        _ => answer(heard, &block),
    });
    let world = start_with(&selling_with_hints(&rpc));
    until_true("it is told", || world.gateway.output().contains("no recent block; challenges go without"));
    assert!(required(&world)["accepts"][1]["extra"].get("recentBlockhash").is_none());
    assert_eq!(world.pay("/paid", &payment(&world)).status, 200);
}
