//! Nobody knows whether the money has moved: the answer is never "pay again", and the same payment picks up the result.

use serde_json::{Value, json};

use crate::support::facilitator::{NETWORK, receipt};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

fn impatient() -> World {
    Setup { facilitator: "settle_timeout = \"400ms\"\nresolve_timeout = \"0s\"", ..Setup::default() }.start()
}

/// Answers to `/settle` that leave it open whether the money has moved.
fn open_answers(never: &Gate) -> Vec<(&'static str, Reply)> {
    let settled = json!({ "success": true, "transaction": "0xabc", "network": NETWORK });
    let with = |member: &str, value: Value| {
        let mut settled = settled.clone();
        settled[member] = value;
        Reply::json(200, &settled)
    };
    vec![
        ("silence", Reply::silence(never)),
        ("a reset", Reply::reset()),
        ("an end", Reply::default().then_close()),
        ("500", Reply::json(500, &json!({ "success": false }))),
        ("500 that says yes", Reply::json(500, &settled)),
        ("502 with a page", Reply::status(502, "Content-Type: text/html\r\n", "<html>Bad gateway</html>")),
        ("200 with a page", Reply::status(200, "Content-Type: text/html\r\n", "<html>Thanks</html>")),
        ("202", Reply::json(202, &json!({ "success": true, "transaction": "0xabc", "network": NETWORK }))),
        ("nothing", Reply::ok("")),
        ("half an answer", Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"success\":tr").then_close()),
        ("no transaction", with("transaction", Value::Null)),
        ("an empty transaction", with("transaction", json!(""))),
        ("another network", with("network", json!("eip155:1"))),
        ("no network", with("network", Value::Null)),
        ("a yes in quotes", with("success", json!("true"))),
        ("no outcome", with("success", Value::Null)),
        (
            "still pending",
            Reply::json(
                200,
                &json!({
                    "success": false, "errorReason": "settlement_pending", "transaction": "0xabc", "network": NETWORK,
                }),
            ),
        ),
        ("a redirect away", Reply::status(308, "Location: https://example.com/settle\r\n", "")),
    ]
}

#[test]
fn an_unknown_outcome_is_503_and_the_same_payment_picks_up_the_result() {
    let world = impatient();
    let never = Gate::default();
    world.upstream.says(Reply::ok("SECRET"));
    for (what, reply) in open_answers(&never) {
        let payment = world.payment("/paid");
        world.facilitator.settles(move |_| reply.clone());
        world.journal.take();
        let mut wire = world.send_paid("/paid", &payment);
        let answer = wire.answer();
        assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"), "{what}");
        assert!(answer.header("retry-after").is_some(), "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        assert!(answer.json()["details"]["paymentId"].as_str().unwrap().starts_with("pay_"), "{what}");
        assert!(answer.header("payment-required").is_none() && answer.header("payment-response").is_none(), "{what}");
        assert!(!format!("{answer:?}").contains("SECRET"), "{what}");
        assert_eq!(&world.journal.take()[..3], ["verify", "upstream", "settle"], "{what}");
        assert_eq!(world.states().last().unwrap(), "unknown", "{what}");

        world.facilitator.heals();
        let answer = world.pay("/paid", &payment);
        assert_eq!((answer.status, answer.text().as_str()), (200, "SECRET"), "{what}");
        assert_eq!(answer.decoded("payment-response")["success"], json!(true), "{what}");
        // What the upstream said was kept: it is not asked a second time.
        assert_eq!(world.journal.take(), ["settle"], "{what}");
        assert_eq!(world.states().last().unwrap(), "delivered", "{what}");
        assert_eq!(world.pay("/paid", &payment).text(), "SECRET", "{what}");
        assert_eq!(world.journal.take(), [""; 0], "{what}");
    }
    never.open();
}

#[test]
fn a_settlement_is_asked_for_again_with_the_same_bytes() {
    let world = impatient();
    world.facilitator.settles(|_| Reply::reset());
    let payment = world.payment("/paid");
    for _ in 0..3 {
        assert_eq!(world.pay("/paid", &payment).status, 503);
    }
    world.facilitator.heals();
    assert_eq!(world.pay("/paid", &payment).status, 200);
    let asked = world.facilitator.settled();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|one| one.body == asked[0].body));
}

#[test]
fn a_no_after_an_unknown_outcome_proves_nothing() {
    let world = impatient();
    world.facilitator.settles(|_| Reply::reset());
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 503);
    // What a chain says of a payment that has already gone through.
    let used = json!({ "success": false, "errorReason": "invalid_exact_evm_nonce_already_used", "network": NETWORK });
    world.facilitator.settles(move |_| Reply::json(200, &used));
    let answer = world.pay("/paid", &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"));
    assert_eq!(world.states(), ["unknown"]);
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn work_that_may_have_been_done_is_not_done_twice() {
    let world = impatient();
    world.facilitator.settles(|_| Reply::reset());
    let payment = world.sign(&world.ask("POST", "/paid", &[], ""));
    let headers = [("PAYMENT-SIGNATURE", payment.as_str())];
    assert_eq!(world.ask("POST", "/paid", &headers, "work").status, 503);
    world.facilitator.heals();
    let answer = world.ask("POST", "/paid", &headers, "work");
    assert_eq!((answer.status, answer.text().as_str()), (200, "from upstream"));
    assert_eq!(answer.decoded("payment-response")["success"], json!(true));
    assert_eq!(world.upstream.hits(), 1);
}

/// Some are a head alone, and say so in different ways. A large request takes another way to the upstream.
#[test]
fn an_answer_is_kept_however_it_says_where_it_ends() {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
    let world = impatient();
    let answers = [
        (204, "", "\r\n".to_owned()),
        (201, "", "Content-Length: 0\r\n\r\n".to_owned()),
        (200, "made", "Content-Length: 4\r\n\r\nmade".to_owned()),
        (200, "", format!("{CHUNKED}0\r\n\r\n")),
        (200, "made", format!("Content-Length: 0\r\n{CHUNKED}4\r\nmade\r\n0\r\n\r\n")),
        (200, "", "Connection: close\r\n\r\n".to_owned()),
        (200, "made", "Connection: close\r\n\r\nmade".to_owned()),
    ];
    for work in ["work", &"x".repeat(100_000)] {
        for (status, text, bytes) in &answers {
            let what = format!("{status} {bytes:?} to {} bytes", work.len());
            let reply = Reply::raw(format!("HTTP/1.1 {status} X\r\n{bytes}"));
            world.upstream.says(if bytes.starts_with("Connection") { reply.then_close() } else { reply });
            world.upstream.forget();
            world.facilitator.settles(|_| Reply::reset());
            let payment = world.sign(&world.ask("POST", "/paid", &[], ""));
            let headers = [("PAYMENT-SIGNATURE", payment.as_str())];
            let answer = world.ask("POST", "/paid", &headers, work);
            assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"), "{what}");
            world.facilitator.heals();
            let answer = world.ask("POST", "/paid", &headers, work);
            assert_eq!((answer.status, answer.text().as_str()), (*status, *text), "{what}");
            assert_eq!(answer.decoded("payment-response")["success"], json!(true), "{what}");
            assert_eq!(world.upstream.hits(), 1, "{what}");
        }
    }
}

#[test]
fn what_is_too_large_to_be_kept_is_not_done_twice_either() {
    let world = impatient();
    world.facilitator.settles(|_| Reply::reset());
    world.upstream.says(Reply::ok(&"x".repeat(70_000)));
    let payment = world.sign(&world.ask("POST", "/paid", &[], ""));
    let headers = [("PAYMENT-SIGNATURE", payment.as_str())];
    assert_eq!(world.ask("POST", "/paid", &headers, "work").status, 503);
    world.facilitator.heals();
    let answer = world.ask("POST", "/paid", &headers, "work");
    assert_eq!((answer.status, answer.reason().as_str()), (409, "payment_already_used"));
    assert_eq!(answer.decoded("payment-response")["success"], json!(true));
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn an_unknown_payment_upfront_asks_nothing_of_the_upstream() {
    let world = impatient();
    world.facilitator.settles(|_| Reply::reset());
    let payment = world.payment("/upfront");
    let answer = world.pay("/upfront", &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (503, "retry_same_payment"));
    assert_eq!(world.upstream.hits(), 0);
    world.facilitator.settles(|heard| Reply::json(200, &receipt(heard)));
    assert_eq!(world.pay("/upfront", &payment).status, 200);
    assert_eq!((world.upstream.hits(), world.facilitator.settled().len()), (1, 2));
}

#[test]
fn an_unknown_outcome_is_counted_until_it_is_known() {
    let world = impatient();
    world.facilitator.settles(|_| Reply::reset());
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 503);
    assert_eq!(world.gateway.metric("gateway_open_payments"), 1);
    until_true("the count", || world.gateway.metric("gateway_payments_total{outcome=\"unknown\"}") == 1);
    world.facilitator.heals();
    assert_eq!(world.pay("/paid", &payment).status, 200);
    assert_eq!(world.gateway.metric("gateway_open_payments"), 0);
}
