//! A hundred copies of one payment at once, in every spelling: one settlement, one upstream call, one delivery.

use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::World;

const COPIES: usize = 100;

/// The same payment as others may write it. The first is the client's own, and what has the quote is the buyer's.
fn spellings(payment: &str) -> Vec<(&'static str, String, bool)> {
    let text = String::from_utf8(STANDARD.decode(payment).unwrap()).unwrap();
    let message: Value = serde_json::from_str(&text).unwrap();
    let encoded = |message: &Value| STANDARD.encode(message.to_string());
    let mut shouting = message.clone();
    let authorization = &mut shouting["payload"]["authorization"];
    let nonce = authorization["nonce"].as_str().unwrap().trim_start_matches("0x").to_uppercase();
    authorization["nonce"] = json!(format!("0x{nonce}"));
    authorization["from"] = json!(authorization["from"].as_str().unwrap().to_lowercase());
    let mut elsewhere = message.clone();
    elsewhere["resource"] = json!({ "url": "https://elsewhere.example.com/" });
    let mut unquoted = message.clone();
    unquoted["accepted"]["extra"].as_object_mut().unwrap().remove("quote");
    let old = json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": message["payload"] });
    vec![
        ("PAYMENT-SIGNATURE", payment.to_owned(), true),
        ("PAYMENT-SIGNATURE", STANDARD_NO_PAD.encode(&text), true),
        ("PAYMENT-SIGNATURE", STANDARD.encode(serde_json::to_string_pretty(&message).unwrap()), true),
        ("PAYMENT-SIGNATURE", encoded(&shouting), true),
        ("PAYMENT-SIGNATURE", encoded(&elsewhere), true),
        ("X-PAYMENT", payment.to_owned(), true),
        ("PAYMENT-SIGNATURE", encoded(&unquoted), false),
        ("X-PAYMENT", encoded(&old), false),
    ]
}

/// All of them at once.
fn storm(world: &World, spellings: &[(&'static str, String, bool)]) -> Vec<(Answer, bool)> {
    thread::scope(|scope| {
        let sent: Vec<_> = (0..COPIES)
            .map(|copy| {
                let (name, value, quoted) = &spellings[copy % spellings.len()];
                (scope.spawn(move || world.get("/paid", &[(name, value)])), *quoted)
            })
            .collect();
        sent.into_iter().map(|(answer, quoted)| (answer.join().unwrap(), quoted)).collect()
    })
}

/// Nobody was told to pay again, and only the buyer was served, always the same.
fn assert_one_delivery(answers: &[(Answer, bool)]) {
    let mut served = 0;
    for (answer, quoted) in answers {
        match answer.status {
            200 => {
                served += 1;
                assert_eq!(answer.text(), "answer 1");
                assert!(*quoted || answer.header("idempotent-replayed").is_none(), "a stored answer for a stranger");
            }
            409 => assert!(answer.header("payment-required").is_none()),
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(served >= 1);
}

/// A world whose upstream numbers its answers and takes a moment.
fn world() -> World {
    let world = World::start();
    let mut number = 0;
    world.upstream.answers(move |_| {
        number += 1;
        Reply::ok(&format!("answer {number}")).after_thought()
    });
    world
}

#[test]
fn of_a_hundred_copies_in_every_spelling_one_is_served() {
    let world = world();
    let spellings = spellings(&world.payment("/paid"));
    let answers = storm(&world, &spellings);
    let first = answers.iter().filter(|(answer, _)| answer.status == 200);
    assert_eq!(first.filter(|(answer, _)| answer.header("idempotent-replayed").is_none()).count(), 1);
    assert_one_delivery(&answers);
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
}

#[test]
fn copies_across_a_reload_are_one_payment() {
    let world = world();
    let spellings = spellings(&world.payment("/paid"));
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| crate::support::facilitator::good(heard).behind(&gate));
    let (name, value, _) = &spellings[0];
    thread::scope(|scope| {
        let first = scope.spawn(|| world.get("/paid", &[(name, value)]));
        until_true("the settlement", || world.facilitator.settled().len() == 1);
        let file = world.gateway.config_file();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("$0.01", "$0.03")).unwrap();
        until_true("the reload", || world.gateway.metric("gateway_reloads_total{result=\"ok\"}") == 1);
        let meanwhile = storm(&world, &spellings);
        assert!(meanwhile.iter().all(|(answer, _)| [402, 409].contains(&answer.status)));
        settled.open();
        assert_eq!(first.join().unwrap().text(), "answer 1");
    });
    let quoted: Vec<_> = spellings.into_iter().filter(|(.., quoted)| *quoted).collect();
    assert_one_delivery(&storm(&world, &quoted));
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
}

#[test]
fn copies_across_a_restart_are_one_payment() {
    let mut world = world();
    let spellings = spellings(&world.payment("/paid"));
    assert_eq!(world.pay("/paid", &spellings[0].1).text(), "answer 1");
    until_true("the delivery", || world.states() == ["delivered"]);
    world.gateway.crash_and_restart();
    let answers = storm(&world, &spellings);
    assert_one_delivery(&answers);
    for (answer, quoted) in &answers {
        assert_eq!(*quoted, answer.status == 200, "the buyer, and nobody else: {} {}", answer.status, answer.text());
    }
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
}
