//! Where a message ends: nobody may see another end of it than the upstream does.

use crate::support::client::request;
use crate::support::message::Framing;
use crate::support::server::Reply;
use crate::support::world::World;

/// Heads that say in two ways, or in none that everybody reads alike, how long the body is.
const AMBIGUOUS: [(&str, &str); 31] = [
    ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "1.1"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "1.1"),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "1.1"),
    ("Content-Length: 3\r\nContent-Length: 3\r\n", "1.1"),
    ("Content-Length: 3\r\nContent-Length: 4\r\n", "1.1"),
    ("Content-Length: 3, 3\r\n", "1.1"),
    ("Content-Length: 3,4\r\n", "1.1"),
    ("Content-Length: +3\r\n", "1.1"),
    ("Content-Length: -3\r\n", "1.1"),
    ("Content-Length: 0x3\r\n", "1.1"),
    ("Content-Length: 3 \t3\r\n", "1.1"),
    ("Content-Length: \r\n", "1.1"),
    ("Content-Length: 99999999999999999999999\r\n", "1.1"),
    ("Transfer-Encoding: gzip\r\n", "1.1"),
    ("Transfer-Encoding: gzip, chunked\r\n", "1.1"),
    ("Transfer-Encoding: identity, chunked\r\n", "1.1"),
    ("Transfer-Encoding: chunked, chunked\r\n", "1.1"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "1.1"),
    ("Transfer-Encoding: xchunked\r\n", "1.1"),
    ("Transfer-Encoding: \"chunked\"\r\n", "1.1"),
    ("Transfer-Encoding: identity\r\n", "1.1"),
    ("Transfer-Encoding: chunked\r\n", "1.0"),
    // Names and values that some read and others do not.
    ("Transfer-Encoding : chunked\r\n", "1.1"),
    ("Transfer-Encoding\t: chunked\r\n", "1.1"),
    ("Transfer-Encoding:\u{b}chunked\r\n", "1.1"),
    ("Transfer-Encoding:\r\n chunked\r\n", "1.1"),
    ("Transfer-Encoding: chunked\r\n , identity\r\n", "1.1"),
    ("X: y\r\n Transfer-Encoding: chunked\r\n", "1.1"),
    ("X: y\rTransfer-Encoding: chunked\r\n", "1.1"),
    ("Transfer-Encoding: chunked;q=1\r\n", "1.1"),
    ("Content-Length : 3\r\n", "1.1"),
];

/// A body that is a request, to whoever lost count.
const SMUGGLED: &str = "GET /free?smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

/// A body in one chunk and the last one, or in the last one alone.
fn chunked(body: &str) -> String {
    let first = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
    first + "0\r\n\r\n"
}

fn post_chunked(target: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunked(body))
}

#[test]
fn a_body_of_two_lengths_is_refused_and_the_connection_ended() {
    let world = World::start();
    for (framing, version) in AMBIGUOUS {
        for target in ["/free", "/paid"] {
            let mut wire = world.wire();
            wire.send(format!(
                "POST {target} HTTP/{version}\r\nHost: api.example.com\r\n{framing}\r\n0\r\n\r\n{SMUGGLED}"
            ));
            let status = wire.try_answer().map_or(0, |answer| answer.status);
            assert!([0, 400].contains(&status), "{target} {framing:?}: {status}");
            assert!(wire.is_closed(), "{target} {framing:?}");
        }
    }
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn chunks_that_are_none_end_the_connection() {
    let world = World::start();
    for chunks in
        ["0x3\r\nabc\r\n0\r\n\r\n", "-1\r\n\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "zz\r\n", "ffffffffffffffffff\r\nabc"]
    {
        let mut wire = world.wire();
        wire.send(format!(
            "POST /free HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        let status = wire.try_answer().map_or(0, |answer| answer.status);
        assert!([0, 400, 502].contains(&status), "{chunks:?}: {status}");
        assert!(wire.is_closed(), "{chunks:?}");
    }
    assert!(world.upstream.heard().iter().all(|heard| !heard.whole));
}

#[test]
fn what_a_chunk_says_of_itself_and_what_follows_the_last_goes_nowhere() {
    let world = World::start();
    for chunks in ["3;a=b\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\nX-Units: 1\r\nHost: other\r\n\r\n"] {
        let mut wire = world.wire();
        wire.send(format!(
            "POST /free HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        if wire.try_answer().is_some_and(|answer| answer.status == 200) {
            let heard = world.upstream.last();
            assert_eq!((heard.body.as_slice(), heard.head.has("x-units")), (b"abc".as_slice(), false), "{chunks:?}");
        }
    }
    assert_eq!(world.upstream.heard().iter().filter(|heard| heard.whole).count(), world.upstream.hits());
}

#[test]
fn an_unpaid_request_with_a_small_body_leaves_the_connection_good() {
    let world = World::start();
    let mut wire = world.wire();
    for _ in 0..2 {
        wire.send(request("POST", "/paid", &[], SMUGGLED));
        assert_eq!(wire.answer().status, 402);
    }
    assert_eq!(world.upstream.hits(), 0);
    assert_eq!(wire.get("/free?mine", &[]).status, 200);
    // Whose end others may see elsewhere, it is the last one.
    for body in [SMUGGLED, ""] {
        let mut wire = world.wire();
        wire.send(post_chunked("/paid", body));
        assert_eq!(wire.answer().status, 402);
        assert!(wire.is_closed());
    }
    let targets: Vec<_> = world.upstream.heard().iter().map(|heard| heard.target().to_owned()).collect();
    assert_eq!(targets, ["/free?mine"]);
}

#[test]
fn an_unpaid_body_that_comes_in_parts_is_waited_for() {
    let world = World::start();
    let mut wire = world.wire();
    let text = request("POST", "/paid", &[], SMUGGLED);
    let (head, body) = text.split_at(text.len() - SMUGGLED.len());
    wire.send(head);
    for byte in body.as_bytes() {
        wire.send([*byte]);
    }
    assert_eq!(wire.answer().status, 402);
    assert_eq!(wire.get("/free?mine", &[]).status, 200);
    assert_eq!(world.upstream.last().target(), "/free?mine");
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn an_unpaid_body_that_stalls_is_not_waited_for_long() {
    let world = World::start();
    let mut wire = world.wire();
    let text = request("POST", "/paid", &[], SMUGGLED);
    wire.send(text.split_at(text.len() - 1).0);
    // The client's patience is shorter than the minute that the framework waits for a body.
    assert_eq!(wire.answer().status, 402);
    assert!(wire.is_closed());
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn what_follows_a_body_is_a_request_of_its_own_or_nothing() {
    let world = World::start();
    let next = request("GET", "/free?next", &[], "");
    for first in
        [request("POST", "/paid", &[], "body"), post_chunked("/paid", "body"), request("GET", "/paid", &[], "")]
    {
        let mut wire = world.wire();
        wire.send(first + &next);
        assert_eq!(wire.answer().status, 402);
        if let Some(answer) = wire.try_answer() {
            assert_eq!(answer.status, 200);
        }
        assert!(world.upstream.heard().iter().all(|heard| heard.target() == "/free?next"));
    }
}

#[test]
fn a_large_unpaid_body_is_not_read_to_its_end() {
    let world = World::start();
    for head in ["Content-Length: 100000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut wire = world.wire();
        let mut writer = wire.writer();
        wire.send(format!("POST /paid HTTP/1.1\r\nHost: api.example.com\r\n{head}\r\n"));
        let sending = std::thread::spawn(move || {
            use std::io::Write as _;
            let part = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            let mut sent = 0;
            while sent < 100_000_000 && writer.write_all(part.as_bytes()).is_ok() {
                sent += part.len();
            }
            sent
        });
        assert_eq!(wire.answer().status, 402, "{head}");
        assert!(wire.is_closed(), "{head}");
        drop(wire);
        assert!(sending.join().unwrap() < 50_000_000, "{head}");
    }
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn who_asks_before_sending_a_body_learns_the_price_without_sending_it() {
    let world = World::start();
    let mut wire = world.wire();
    wire.send("POST /paid HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let answer = wire.answer();
    assert_eq!((answer.status, answer.interim.as_slice()), (402, [].as_slice()));
    assert!(wire.is_closed());
    assert_eq!(world.upstream.hits(), 0);
}

#[test]
fn who_asks_before_sending_a_body_and_pays_is_told_to_send_it() {
    let world = World::start();
    let payment = world.payment("/paid");
    for (target, headers) in [("/free", vec![]), ("/paid", vec![("PAYMENT-SIGNATURE", payment.as_str())])] {
        let mut wire = world.wire();
        let head = request("POST", target, &[headers, vec![("Expect", "100-continue")]].concat(), "hello");
        wire.send(head.strip_suffix("hello").unwrap());
        let first = wire.head();
        assert_eq!(first.word(1), "100", "{target}");
        wire.send("hello");
        assert_eq!(wire.answer().status, 200, "{target}");
        assert_eq!(world.upstream.last().body, b"hello", "{target}");
    }
}

#[test]
fn a_body_reaches_the_upstream_as_it_was_sent() {
    let world = World::start();
    let long = "0123456789abcdef".repeat(20_000);
    for body in ["", "a", "0\r\n\r\n", SMUGGLED, &long] {
        let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        for framed in [length, format!("Transfer-Encoding: chunked\r\n\r\n{}", chunked(body))] {
            for target in ["/free", "/paid"] {
                let payment = format!("PAYMENT-SIGNATURE: {}\r\n", world.payment("/paid"));
                let payment = if target == "/paid" { payment.as_str() } else { "" };
                let mut wire = world.wire();
                wire.send(format!("POST {target} HTTP/1.1\r\nHost: api.example.com\r\n{payment}{framed}"));
                assert_eq!(wire.answer().status, 200, "{target} {}", body.len());
                let heard = world.upstream.last();
                assert!(heard.whole && heard.body == body.as_bytes(), "{target} {}", body.len());
                assert_eq!(heard.head.all("content-length").len() + heard.head.all("transfer-encoding").len(), 1);
            }
        }
    }
}

#[test]
fn an_old_client_is_served_and_let_go() {
    let world = World::start();
    let mut wire = world.wire();
    wire.send("GET /free HTTP/1.0\r\nHost: api.example.com\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
    assert!(wire.is_closed());
    let mut wire = world.wire();
    wire.send("GET /paid HTTP/1.0\r\nHost: api.example.com\r\n\r\n");
    assert_eq!(wire.answer().status, 402);
    assert!(wire.is_closed());
    let mut wire = world.wire();
    wire.send("GET /free HTTP/1.2\r\nHost: api.example.com\r\n\r\n");
    assert_eq!(wire.try_answer().map_or(400, |answer| answer.status), 400);
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn an_answers_length_is_the_upstreams() {
    let world = World::start();
    for (reply, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", "abc"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", ""),
    ] {
        world.upstream.answers(move |_| {
            let raw = Reply::raw(reply);
            if reply.contains("close") { raw.then_close() } else { raw }
        });
        for paid in [false, true] {
            let target = if paid { "/paid" } else { "/free" };
            let mut wire = if paid { world.send_paid("/paid", &world.payment("/paid")) } else { world.wire() };
            if !paid {
                wire.send(request("GET", target, &[], ""));
            }
            let answer = wire.answer();
            assert_eq!((answer.text().as_str(), answer.whole), (body, true), "{target} {reply:?}");
            assert_eq!(
                answer.head.framing(Framing::UntilClose) == Framing::UntilClose,
                body.is_empty() && !reply.contains("304")
            );
        }
    }
}

/// What is wrong with a path is no reason to reconnect; with a body's length it is, whatever else is wrong.
#[test]
fn a_refusal_that_leaves_the_framing_clear_leaves_the_connection() {
    let world = World::start();
    let mut wire = world.wire();
    for line in ["GET //paid", "GET /free/../paid", "GET /paid%2f"] {
        wire.send(format!("{line} HTTP/1.1\r\nHost: api.example.com\r\n\r\n"));
        assert_eq!(wire.answer().status, 400, "{line}");
    }
    wire.send(
        "POST //paid HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 29\r\n\r\nGET /free HTTP/1.1\r\nHost: x\r\n",
    );
    assert_eq!(wire.answer().status, 400);
    assert_eq!(wire.get("/free", &[]).status, 200, "the connection, and not what stood in the body");
    assert_eq!(world.upstream.hits(), 1);

    for lines in ["Content-Length: 1\r\nTransfer-Encoding: chunked", "Content-Length: 1\r\nContent-Length: 1"] {
        let mut wire = world.wire();
        wire.send(format!("POST //paid HTTP/1.1\r\nHost: api.example.com\r\n{lines}\r\n\r\nx"));
        assert_eq!(wire.answer().status, 400, "{lines}");
        assert!(wire.is_closed(), "{lines}");
    }
}
