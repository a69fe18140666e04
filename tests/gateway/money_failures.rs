//! The upstream or the facilitator fails: nobody pays for nothing, and what failed can be tried again.

use serde_json::json;
use tollgate::sandbox::DemoWallet;

use crate::support::facilitator::receipt;
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[upstreams.nobody]
url = "http://127.0.0.1:1"

[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path     = "/nobody"
price    = "$0.01"
upstream = "nobody"

[[routes]]
path = "/free"
free = true
"#;

fn impatient() -> World {
    Setup {
        upstream: "read_timeout = \"300ms\"",
        facilitator: "verify_timeout = \"300ms\"",
        routes: ROUTES,
        ..Setup::default()
    }
    .start()
}

#[test]
fn an_upstreams_failure_is_not_charged_and_the_payment_stays_good() {
    let world = impatient();
    let never = Gate::default();
    let cut = "HTTP/1.1 200 OK\r\nContent-Le";
    for (what, reply, status) in [
        ("400", Reply::status(400, "", "no"), 400),
        ("402", Reply::status(402, "PAYMENT-REQUIRED: e30=\r\n", "no"), 402),
        ("404", Reply::status(404, "", "no"), 404),
        ("500", Reply::status(500, "", "no"), 500),
        ("503", Reply::status(503, "", "no"), 503),
        ("a reset", Reply::reset(), 502),
        ("an end", Reply::default().then_close(), 502),
        ("half a head", Reply::raw(cut).then_close(), 502),
        ("garbage", Reply::raw("220 mail.example.com ESMTP\r\n\r\n").then_close(), 502),
        ("silence", Reply::silence(&never), 504),
        ("silence after half a head", Reply::raw(cut).then_pass(&never), 504),
    ] {
        let payment = world.payment("/paid");
        world.upstream.says(reply);
        world.journal.take();
        let answer = world.pay("/paid", &payment);
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(world.journal.take(), ["verify", "upstream"], "{what}");
        assert!(answer.header("payment-response").is_none() && answer.header("payment-required").is_none(), "{what}");

        world.upstream.says(Reply::ok("better"));
        assert_eq!(world.pay("/paid", &payment).text(), "better", "{what}");
        assert_eq!(world.journal.take(), ["verify", "upstream", "settle"], "{what}");
    }
    never.open();
}

#[test]
fn an_upstream_that_nobody_listens_on_is_not_charged() {
    let world = impatient();
    let payment = world.payment("/nobody");
    for _ in 0..2 {
        let answer = world.pay("/nobody", &payment);
        assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unavailable"));
    }
    assert_eq!(world.journal.all(), ["verify", "verify"]);
    assert_eq!(world.states(), [""; 0]);
}

#[test]
fn an_answer_that_breaks_off_is_settled_once_and_can_be_fetched_again() {
    let world = impatient();
    world.upstream.says(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").then_close());
    let payment = world.payment("/paid");
    let answer = world.pay("/paid", &payment);
    assert_eq!((answer.status, answer.whole), (200, false));
    assert_eq!(answer.decoded("payment-response")["success"], json!(true));
    assert_eq!(world.states(), ["settled"]);

    world.upstream.says(Reply::ok("the whole"));
    let answer = world.pay("/paid", &payment);
    assert_eq!((answer.status, answer.text().as_str()), (200, "the whole"));
    assert_eq!(answer.decoded("payment-response")["success"], json!(true));
    until_true("the delivery", || world.states() == ["delivered"]);
    let hits = world.upstream.hits();
    assert_eq!((world.pay("/paid", &payment).text().as_str(), world.upstream.hits()), ("the whole", hits));
    assert_eq!(world.facilitator.settled().len(), 1);
}

#[test]
fn a_paid_call_goes_upstream_once_even_if_a_kept_connection_dies_under_it() {
    let world = impatient();
    let payment = world.payment("/paid");
    // Fills the pool; what comes over that connection next is its end.
    for (target, headers, hits) in [
        ("/paid", vec![("PAYMENT-SIGNATURE", payment.as_str())], 1),
        // A free one may be tried again: whoever asked gets an answer, and nobody has paid.
        ("/free", vec![], 2),
    ] {
        let mut first = None;
        world.upstream.answers(move |heard| match *first.get_or_insert(heard.connection) {
            connection if connection == heard.connection && heard.target() != "/free?fill" => Reply::reset(),
            _ => Reply::ok("over a new connection"),
        });
        assert_eq!(world.get("/free?fill", &headers).status, 200);
        // The connection is put into the pool after the answer has left: only then is it there for the next request.
        until_true("the filler's end", || world.gateway.metric("gateway_requests_in_flight") == 0);
        let before = world.upstream.hits();
        let answer = world.get(target, &headers);
        assert_eq!(answer.status, if hits == 1 { 502 } else { 200 }, "{target}");
        assert_eq!(world.upstream.hits() - before, hits, "{target}");
        let kept = world.upstream.heard();
        assert_eq!(kept[before - 1].connection, kept[before].connection, "the connection was not kept");
    }
    assert_eq!(world.facilitator.settled().len(), 0);
}

#[test]
fn without_a_verdict_nothing_goes_upstream() {
    let world = impatient();
    let never = Gate::default();
    for (what, reply) in [
        ("silence", Reply::silence(&never)),
        ("a reset", Reply::reset()),
        ("500", Reply::json(500, &json!({ "isValid": true }))),
        ("a page", Reply::status(200, "Content-Type: text/html\r\n", "<html>isValid: true</html>")),
        ("nothing", Reply::ok("")),
        ("an empty object", Reply::json(200, &json!({}))),
        ("a text", Reply::json(200, &json!({ "isValid": "true" }))),
        ("a number", Reply::json(200, &json!({ "isValid": 1 }))),
        ("a list", Reply::json(200, &json!([{ "isValid": true }]))),
        (
            "an answer that breaks off",
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"isValid\":true}").then_close(),
        ),
        ("a redirect", Reply::status(308, "Location: https://example.com/verify\r\n", "")),
    ] {
        let payment = world.payment("/paid");
        world.facilitator.verifies(move |_| reply.clone());
        let answer = world.pay("/paid", &payment);
        assert_eq!((answer.status, answer.reason().as_str()), (503, "facilitator_unavailable"), "{what}");
        assert!(answer.header("retry-after").is_some(), "{what}");
        assert!(answer.header("payment-required").is_none(), "{what}");
        assert_eq!(world.upstream.hits(), 0, "{what}");

        world.facilitator.heals();
        assert_eq!(world.pay("/paid", &payment).status, 200, "{what}");
        assert_eq!(world.journal.take().last().unwrap(), "settle", "{what}");
        world.upstream.forget();
    }
    never.open();
}

#[test]
fn a_payment_that_the_facilitator_finds_bad_gets_a_new_challenge() {
    let world = impatient();
    let payment = world.payment("/paid");
    let verdict = json!({ "isValid": false, "invalidReason": "insufficient_funds" });
    world.facilitator.verifies(move |_| Reply::json(200, &verdict));
    let answer = world.pay("/paid", &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (402, "insufficient_funds"));
    assert!(answer.header("payment-required").is_some() && answer.header("payment-response").is_none());
    assert_eq!(world.journal.take(), ["verify"]);

    // Somebody else's word for who pays is not believed either.
    let verdict = json!({ "isValid": true, "payer": "0x0000000000000000000000000000000000000001" });
    world.facilitator.verifies(move |_| Reply::json(200, &verdict));
    let answer = world.pay("/paid", &payment);
    assert_eq!((answer.status, answer.reason().as_str()), (402, "payer_mismatch"));
    assert_eq!(world.journal.take(), ["verify"]);
}

#[test]
fn an_answer_whose_settlement_is_refused_does_not_leave() {
    let mut world = impatient();
    for reply in [
        Reply::ok("SECRET"),
        Reply::status(200, "X-Secret: SECRET\r\n", ""),
        Reply::raw("HTTP/1.1 204 SECRET\r\nX-Secret: SECRET\r\n\r\n"),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nSECRET\r\n0\r\n\r\n"),
    ] {
        world.upstream.says(reply);
        let refusal =
            json!({ "success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "" });
        world.facilitator.settles(move |_| Reply::json(200, &refusal));
        let payment = world.payment("/paid");
        world.journal.take();
        let mut wire = world.send_paid("/paid", &payment);
        let answer = wire.answer();
        assert_eq!((answer.status, answer.reason().as_str()), (402, "insufficient_funds"));
        assert!(!format!("{answer:?}").contains("SECRET"));
        assert!(answer.header("payment-required").is_none());
        let receipt = answer.decoded("payment-response");
        assert_eq!((&receipt["success"], &receipt["transaction"]), (&json!(false), &json!("")));
        assert_eq!(receipt["errorReason"], "insufficient_funds");
        assert!(wire.is_closed());
        assert_eq!(world.journal.take(), ["verify", "upstream", "settle"]);
    }
    // The money has not moved, so the same payment may be tried again. Not by who failed that often, though.
    world.wallet = DemoWallet::random().unwrap();
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 402);
    world.facilitator.settles(|heard| Reply::json(200, &receipt(heard)));
    assert_eq!(world.pay("/paid", &payment).status, 200);
}

#[test]
fn a_payment_that_ends_while_the_upstream_works_is_neither_charged_nor_served() {
    let world = impatient();
    let gate = Gate::default();
    world.upstream.says(Reply::ok("SECRET").behind(&gate));
    let ended = "invalid_exact_evm_payload_authorization_valid_before";
    let refusal =
        json!({ "success": false, "errorReason": ended, "errorMessage": "too late", "transaction": "", "network": "" });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    let payment = world.payment("/paid");
    world.journal.take();
    let mut wire = world.send_paid("/paid", &payment);
    until_true("the upstream's turn", || world.upstream.hits() == 1);
    gate.open();
    let answer = wire.answer();
    assert_eq!((answer.status, answer.reason().as_str()), (402, ended));
    assert!(answer.text().contains("too late"), "{}", answer.text());
    assert!(!format!("{answer:?}").contains("SECRET"));
    assert_eq!(answer.decoded("payment-response")["errorReason"], ended);
    assert_eq!(world.journal.take(), ["verify", "upstream", "settle"]);
    assert_eq!(world.states(), ["voided"]);
}
