//! HTTP/2 without TLS, with prior knowledge, on the port that speaks HTTP/1 too.

use std::time::Duration;

use serde_json::json;

use crate::support::client::Wire;
use crate::support::facilitator::good;
use crate::support::multiplexed::{Multiplexed, Stream, request};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::World;

fn connection(world: &World) -> Multiplexed {
    Multiplexed::cleartext(world.gateway.addr)
}

fn text(stream: &Stream) -> String {
    String::from_utf8_lossy(&stream.body).into_owned()
}

#[test]
fn an_unpaid_post_gets_its_price() {
    let world = World::start();
    let connection = connection(&world);
    for length in [0, 1, 60_000, 100_000, 3_000_000] {
        let answer = connection.ask(request("POST", "/paid", &[], &vec![b'x'; length])).unwrap();
        assert_eq!(answer.status(), 402, "{length}");
        assert!(answer.headers().contains_key("payment-required"), "{length}");
        assert_eq!((&answer.json()["code"], answer.error.is_none()), (&json!(402), true), "{length}");
    }
    assert_eq!(connection.ask(request("GET", "/free", &[], b"")).unwrap().status(), 200);
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn a_paid_call_is_verified_served_and_settled() {
    let world = World::start();
    let connection = connection(&world);
    let challenge = connection.ask(request("GET", "/paid", &[], b"")).unwrap();
    let required = challenge.headers()["payment-required"].as_bytes();
    let payment =
        world.wallet.pay(required, tollgate::clock::unix_seconds(std::time::SystemTime::now())).unwrap().header;
    let headers = [("payment-signature", payment.as_str())];
    let answer = connection.ask(request("POST", "/paid", &headers, b"a body")).unwrap();
    assert_eq!((answer.status(), text(&answer).as_str()), (200, "from upstream"));
    assert!(answer.headers().contains_key("payment-response"));
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
    let heard = world.upstream.last();
    assert_eq!((heard.target(), heard.body.as_slice()), ("/paid", b"a body".as_slice()));
    assert_eq!(heard.head.all("host"), [world.upstream.addr().to_string()]);
    assert_eq!(heard.head.all("x-forwarded-host"), ["api.example.com"]);
    assert!(!heard.head.has("payment-signature"));
    assert_eq!(connection.ask(request("GET", "/paid", &headers, b"")).unwrap().status(), 409);
}

#[test]
fn nothing_of_an_answer_leaves_before_it_is_settled() {
    let world = World::start();
    let settled = Gate::default();
    let gate = settled.clone();
    world.facilitator.settles(move |heard| good(heard).behind(&gate));
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </secret.css>\r\n\r\n";
    world.upstream.says(Reply::raw(hints).then("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"));
    let connection = connection(&world);
    let payment = world.payment("/paid");
    let running = connection.begin(request("GET", "/paid", &[("payment-signature", &payment)], b""));
    until_true("the settlement", || world.journal.all().contains(&"settle".to_owned()));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.is_finished());
    // Others on the connection are not held up.
    assert_eq!(connection.ask(request("GET", "/paid", &[], b"")).unwrap().status(), 402);
    settled.open();
    assert_eq!(text(&connection.wait(running).unwrap()), "x");
}

#[test]
fn a_refused_settlement_ends_its_own_stream_only() {
    let world = World::start();
    world.upstream.says(Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nSECRET\r\n0\r\n\r\n"));
    let refusal = json!({ "success": false, "errorReason": "insufficient_funds", "transaction": "", "network": "" });
    world.facilitator.settles(move |_| Reply::json(200, &refusal));
    let connection = connection(&world);
    let payments: Vec<_> = (0..3).map(|_| world.payment("/paid")).collect();
    let mut requests: Vec<_> =
        payments.iter().map(|payment| request("GET", "/paid", &[("payment-signature", payment)], b"")).collect();
    requests.push(request("GET", "/free", &[], b""));
    let answers: Vec<_> = connection.ask_all(requests).into_iter().map(Result::unwrap).collect();
    let (free, refused) = answers.split_last().unwrap();
    for answer in refused {
        assert_eq!((answer.status(), &answer.json()["details"]["reason"]), (402, &json!("insufficient_funds")));
        assert!(!text(answer).contains("SECRET") && !answer.headers().contains_key("payment-required"));
        assert!(answer.headers().contains_key("payment-response") && answer.error.is_none());
    }
    assert_eq!(text(free), "SECRET");
    assert_eq!(connection.ask(request("GET", "/free", &[], b"")).unwrap().status(), 200);
}

#[test]
fn of_fifty_copies_of_a_payment_one_is_served() {
    let world = World::start();
    let payment = world.payment("/paid");
    let headers = [("payment-signature", payment.as_str())];
    let answers = connection(&world).ask_all((0..50).map(|_| request("GET", "/paid", &headers, b"")).collect());
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    // Those that come when the first one is over get its answer again.
    let (again, first): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.headers().contains_key("idempotent-replayed"));
    assert!(again.iter().all(|answer| answer.status() == 200));
    let mut statuses: Vec<_> = first.iter().map(|answer| answer.status()).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses.get(1).is_none_or(|status| *status == 409)), (200, true), "{statuses:?}");
    assert_eq!(world.journal.all(), ["verify", "upstream", "settle"]);
}

#[test]
fn what_is_ambiguous_in_the_older_version_is_so_here() {
    let world = World::start();
    let connection = connection(&world);
    for target in
        ["/free/../paid", "//paid", "/free%2f..%2fpaid", "/%2570aid", "/paid;x", "/free/%2e%2e/paid", "/paid%00", "*"]
    {
        let target = if target == "*" { "" } else { target };
        let mut asked = request("GET", target, &[], b"");
        if target.is_empty() {
            *asked.method_mut() = http::Method::OPTIONS;
            *asked.uri_mut() = "*".parse().unwrap();
        }
        let status = connection.ask(asked).map_or(0, |answer| answer.status());
        assert!([0, 400].contains(&status), "{target}: {status}");
    }
    for (target, status) in [("/%70aid", 402), ("/PAID/", 402), ("/paid?a=/../free", 402), ("/free", 200)] {
        assert_eq!(connection.ask(request("GET", target, &[], b"")).unwrap().status(), status, "{target}");
    }
    let (one, other) = (world.payment("/paid"), world.payment("/paid"));
    for headers in [
        [("payment-signature", &*one), ("payment-signature", &other)],
        [("payment-signature", &one), ("x-payment", &other)],
    ] {
        assert_eq!(connection.ask(request("GET", "/paid", &headers, b"")).unwrap().status(), 400);
    }
    for method in ["TRACE", "get"] {
        assert_eq!(connection.ask(request(method, "/free", &[], b"")).unwrap().status(), 405, "{method}");
    }
    assert_eq!(world.upstream.hits(), 1);
    assert_eq!(world.journal.all(), ["upstream"]);
}

#[test]
fn a_head_has_no_body_and_a_failure_is_not_charged() {
    let world = World::start();
    let connection = connection(&world);
    let answer = connection.ask(request("HEAD", "/paid", &[], b"")).unwrap();
    assert_eq!((answer.status(), answer.body.len(), answer.error.is_none()), (402, 0, true));
    let payment = world.payment("/paid");
    let headers = [("payment-signature", payment.as_str())];
    for (reply, status) in [(Reply::status(500, "", "sorry"), 500), (Reply::reset(), 502)] {
        world.upstream.says(reply);
        assert_eq!(connection.ask(request("GET", "/paid", &headers, b"")).unwrap().status(), status);
    }
    world.upstream.says(Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"));
    let answer = connection.ask(request("GET", "/paid", &headers, b"")).unwrap();
    assert_eq!((answer.status(), answer.error.is_none()), (204, true));
    assert!(answer.headers().contains_key("payment-response"));
    assert_eq!(world.facilitator.settled().len(), 1);
}

#[test]
fn a_stop_lets_a_paid_stream_finish() {
    let mut world = World::start();
    let answered = Gate::default();
    world.upstream.says(Reply::ok("finished").behind(&answered));
    let connection = connection(&world);
    let payment = world.payment("/paid");
    let running = connection.begin(request("GET", "/paid", &[("payment-signature", &payment)], b""));
    until_true("the upstream's call", || world.upstream.hits() == 1);
    world.gateway.signal("TERM");
    until_true("the stop", || Wire::to(world.gateway.admin).get("/readyz", &[]).status == 503);
    assert_eq!(connection.ask(request("GET", "/free", &[], b"")).unwrap().status(), 503);
    answered.open();
    assert_eq!(text(&connection.wait(running).unwrap()), "finished");
    assert_eq!(world.gateway.exit().code(), Some(0));
    assert_eq!(world.states(), ["delivered"]);
}
