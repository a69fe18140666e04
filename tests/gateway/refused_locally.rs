//! Payments that the gateway can see to be no good: refused with the reason, before anybody is asked and anything is
//! written.

use std::thread;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;
use tollgate::x402::codec;

use crate::support::world::World;

/// Of each sort.
const EACH: usize = 25;
/// At full speed, and over so many connections.
const FAST: usize = 400;
const CONNECTIONS: usize = 4;

/// What is wrong, the reason, and what the message must name so that the buyer knows what to change.
const SORTS: [(&str, &str, &[&str]); 9] = [
    ("signature", "invalid_exact_evm_signature", &["extra.name", "extra.version"]),
    ("EIP-712 name", "invalid_exact_evm_signature", &["extra.name", "extra.version"]),
    ("chain", "invalid_exact_evm_signature", &["EIP-712 domain"]),
    ("amount", "invalid_exact_evm_payload_authorization_value_mismatch", &["is over 1,", "the price is 10000"]),
    (
        "receiver",
        "invalid_exact_evm_recipient_mismatch",
        &["pays 0x00000000000000000000000000000000000000AA, not 0x20"],
    ),
    ("network", "no_matching_payment_requirements", &["offered here"]),
    ("end", "invalid_exact_evm_payload_authorization_valid_before", &["ends at", "sign a new one"]),
    ("window", "invalid_exact_evm_payload_authorization_valid_before", &["ends at", "sign a new one"]),
    ("beginning", "invalid_exact_evm_payload_authorization_valid_after", &["is good after"]),
];

/// A payment with one thing wrong.
fn spoilt(challenge: &str, sort: &str) -> String {
    let wallet = DemoWallet::random().unwrap();
    let now = unix_seconds(SystemTime::now());
    let good: Value = serde_json::from_str(&codec::decode(challenge.as_bytes()).unwrap()).unwrap();
    let signed = |challenge: &Value, now| {
        let header = wallet.pay(codec::encode(challenge).as_bytes(), now).unwrap().header;
        serde_json::from_str::<Value>(&codec::decode(header.as_bytes()).unwrap()).unwrap()
    };
    // What is signed is not what is echoed.
    let other_terms = |pointer: &str, value: Value| {
        let mut challenge = good.clone();
        *challenge.pointer_mut(&format!("/accepts/0{pointer}")).unwrap() = value;
        let mut payment = signed(&challenge, now);
        payment["accepted"] = good["accepts"][0].clone();
        payment
    };
    let payment = match sort {
        "signature" => {
            let mut payment = signed(&good, now);
            let other = DemoWallet::random().unwrap().pay(challenge.as_bytes(), now).unwrap().header;
            let other: Value = serde_json::from_str(&codec::decode(other.as_bytes()).unwrap()).unwrap();
            payment["payload"]["signature"] = other["payload"]["signature"].clone();
            payment
        }
        "EIP-712 name" => other_terms("/extra/name", json!("USDC")),
        "chain" => other_terms("/network", json!("eip155:1")),
        "amount" => other_terms("/amount", json!("1")),
        "receiver" => other_terms("/payTo", json!("0x00000000000000000000000000000000000000AA")),
        "network" => {
            let mut payment = other_terms("/network", json!("eip155:1"));
            payment["accepted"]["network"] = json!("eip155:1");
            payment
        }
        "end" => signed(&good, now - 3600),
        "window" => other_terms("/maxTimeoutSeconds", json!(3)),
        _ => {
            let mut payment = signed(&good, now);
            payment["payload"]["authorization"]["validAfter"] = json!((now + 1000).to_string());
            payment
        }
    };
    codec::encode(&payment)
}

/// How often somebody else has written to the database, and how long its files are.
async fn written(world: &World, connection: &mut SqliteConnection) -> (i64, Vec<u64>) {
    let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await.unwrap();
    let file = world.gateway.store_file();
    let files = [file.clone(), file.with_extension("db-wal")];
    let lengths = files.iter().map(|file| std::fs::metadata(file).map_or(0, |file| file.len())).collect();
    (version, lengths)
}

#[test]
fn payments_that_are_seen_to_be_bad_cost_nobody_anything() {
    let world = World::start();
    let challenge = world.get("/paid", &[]).header("payment-required").unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = SqliteConnectOptions::new().filename(world.gateway.store_file()).read_only(true);
    let mut connection = runtime.block_on(options.connect()).unwrap();
    let before = runtime.block_on(written(&world, &mut connection));

    for (sort, reason, told) in SORTS {
        let mut wire = world.wire();
        for _ in 0..EACH {
            let answer = wire.get("/paid", &[("PAYMENT-SIGNATURE", &spoilt(&challenge, sort))]);
            assert_eq!((answer.status, answer.reason().as_str()), (402, reason), "{sort}: {}", answer.text());
            assert!(answer.header("payment-required").is_some(), "{sort}");
            let text = answer.text();
            assert!(told.iter().all(|told| text.contains(told)), "{sort}: {text}");
        }
    }
    at_full_speed(&world, &challenge);

    assert_eq!(world.journal.all(), [""; 0], "somebody was asked");
    assert_eq!(runtime.block_on(written(&world, &mut connection)), before, "something was written");
    assert_eq!(world.states(), [""; 0]);
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
}

fn at_full_speed(world: &World, challenge: &str) {
    let count = FAST / CONNECTIONS;
    let payments: Vec<Vec<_>> = (0..CONNECTIONS)
        .map(|_| SORTS.iter().cycle().take(count).map(|(sort, ..)| spoilt(challenge, sort)).collect())
        .collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        for payments in &payments {
            scope.spawn(move || {
                let mut wire = world.wire();
                for payment in payments {
                    assert_eq!(wire.get("/paid", &[("PAYMENT-SIGNATURE", payment)]).status, 402);
                }
            });
        }
    });
    let took = begun.elapsed();
    let rate = 1000 * u128::try_from(FAST).unwrap() / took.as_millis().max(1);
    println!("a debug build refuses {rate} bad payments per second");
}
