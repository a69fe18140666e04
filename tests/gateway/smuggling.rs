//! Bytes that are one request to one reader and two to another: the upstream gets what was paid for, once, and never
//! what hid behind it.

use std::net::Shutdown;

use crate::support::client::{Wire, request};
use crate::support::multiplexed::{self, Multiplexed};
use crate::support::server::Reply;
use crate::support::world::World;

/// What hides. Were it ever read as a request, the upstream or the books would know.
const HIDDEN: &str = "GET /free?hidden HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";

/// Heads that not everybody reads alike; `{}` is the path.
const HALF_READ: [&str; 36] = [
    // Lines that end in one byte of two.
    "GET {} HTTP/1.1\nHost: api.example.com\n\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\nA: b\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\nContent-Length: 1\r\n\r\nz",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\r\n\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\n\nX: y\r\n\r\n",
    "GET {} HTTP/1.1\rHost: api.example.com\r\r",
    "GET {} HTTP/1.1\rHost: api.example.com\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\rA: b\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\r\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\n\rX: y\r\n\r\n",
    // Bytes that end a text elsewhere, and names that are none.
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\0z\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX\0: y\r\n\r\n",
    "GET {}\0 HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\u{b}z\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\u{7f}\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX y: z\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\n\tX: y\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX: y\r\n\tz\r\n\r\n",
    "GET {} HTTP/1.1\r\n Host: api.example.com\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost : api.example.com\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: api.example.com\r\nX\u{e9}: y\r\n\r\n",
    // Start lines.
    "GET {} HTTP/1.1 \r\nHost: api.example.com\r\n\r\n",
    "GET {} http/1.1\r\nHost: api.example.com\r\n\r\n",
    "GET {} HTTP/1.10\r\nHost: api.example.com\r\n\r\n",
    "GET {} HTTP/01.1\r\nHost: api.example.com\r\n\r\n",
    "GET {} HTTP/2.0\r\nHost: api.example.com\r\n\r\n",
    "GET {} HTTP/0.9\r\nHost: api.example.com\r\n\r\n",
    "GET {} HTTP/1.1 HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    "GET {}\r\n\r\n",
    "GET\t{} HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    "GET {}\tHTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    " GET {} HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    // The target names somebody before its host, or another host.
    "GET http://user@api.example.com{} HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    "GET http://user:word@api.example.com{} HTTP/1.1\r\nHost: user:word@api.example.com\r\n\r\n",
];

/// What is sent in chunks, and the body that it is. None if it is no body, so that nobody may take it for a whole one.
const CHUNKS: [(&str, Option<&str>); 35] = [
    ("0\r\n\r\n", Some("")),
    ("00000\r\n\r\n", Some("")),
    ("0;x\r\n\r\n", Some("")),
    ("0;x=y;z=\"0\"\r\n\r\n", Some("")),
    ("3\r\nabc\r\n0;x\r\n\r\n", Some("abc")),
    ("003\r\nabc\r\n0\r\n\r\n", Some("abc")),
    ("A\r\n0123456789\r\n0\r\n\r\n", Some("0123456789")),
    // No chunks by the letter, and others may read another end of them: harmless, since the upstream gets what was read
    // here, framed anew, and nothing behind them is read at all.
    (";x\r\nabc\r\n0\r\n\r\n", Some("")),
    ("\r\nabc\r\n0\r\n\r\n", Some("")),
    ("3;\n\r\nabc\r\n0\r\n\r\n", Some("abc")),
    ("3 \t\r\nabc\r\n0\r\n\r\n", Some("abc")),
    ("0x0\r\n\r\n", None),
    ("0X3\r\nabc\r\n0\r\n\r\n", None),
    ("+3\r\nabc\r\n0\r\n\r\n", None),
    ("-0\r\n\r\n", None),
    ("3_0\r\nabc\r\n0\r\n\r\n", None),
    ("3,3\r\nabc\r\n0\r\n\r\n", None),
    ("3 3\r\nabc\r\n0\r\n\r\n", None),
    ("3\0\r\nabc\r\n0\r\n\r\n", None),
    ("3\u{b}\r\nabc\r\n0\r\n\r\n", None),
    ("10000000000000003\r\nabc\r\n0\r\n\r\n", None),
    ("100000003\r\nabc\r\n0\r\n\r\n", None),
    ("FFFFFFFFFFFFFFFE\r\nabc\r\n0\r\n\r\n", None),
    ("8000000000000000\r\nabc\r\n0\r\n\r\n", None),
    ("3\r\nabcXY0\r\n\r\n", None),
    ("3\r\nab\r\n0\r\n\r\n", None),
    ("3\r\nabc0\r\n\r\n", None),
    // Half a line's end after a size, in an extension, after the bytes, at the last chunk.
    ("3\nabc\r\n0\r\n\r\n", None),
    ("3\rabc\r\n0\r\n\r\n", None),
    ("3;x\nabc\r\n0\r\n\r\n", None),
    ("3;\r\r\nabc\r\n0\r\n\r\n", None),
    ("3\r\nabc\n0\r\n\r\n", None),
    ("3\r\nabc\r0\r\n\r\n", None),
    ("3\r\nabc\r\n0\n\n", None),
    ("3\r\nabc\r\n0\r\n\n", None),
];

fn post(target: &str, head: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: api.example.com\r\n{head}\r\n{body}")
}

/// What the upstream was asked for after so many requests.
fn targets_after(world: &World, before: usize) -> Vec<String> {
    world.upstream.heard().split_off(before).iter().map(|heard| heard.target().to_owned()).collect()
}

/// Everything that comes until the connection ends, as statuses.
fn statuses(wire: &mut Wire) -> Vec<u16> {
    std::iter::from_fn(|| wire.try_answer()).map(|answer| answer.status).collect()
}

#[test]
fn a_head_that_not_everybody_reads_alike_is_refused_and_the_connection_ended() {
    let world = World::start();
    let payment = world.payment("/paid");
    let mut wrong = Vec::new();
    for head in HALF_READ {
        for (path, paid) in [("/free", ""), ("/paid", ""), ("/paid", payment.as_str())] {
            let mut head = head.replace("{}", path);
            if let Some((start, rest)) = head.split_once("Host").filter(|_| !paid.is_empty()) {
                head = format!("{start}PAYMENT-SIGNATURE: {paid}\r\nHost{rest}");
            }
            let mut wire = world.wire();
            wire.send(head.clone() + HIDDEN);
            let said = statuses(&mut wire);
            if !matches!(said.as_slice(), [] | [400]) || !wire.is_closed() {
                wrong.push(format!("{said:?} for {head:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((world.upstream.hits(), world.facilitator.settled().len()), (0, 0));
    assert_eq!(world.pay("/paid", &payment).status, 200, "the payment is as good as before");
}

#[test]
fn chunks_have_one_end_or_none_and_nothing_behind_them_is_read() {
    let world = World::start();
    let rows =
        || CHUNKS.into_iter().enumerate().flat_map(|(row, chunks)| [(row, chunks, 1), (row, chunks, usize::MAX)]);
    let wrong: Vec<_> =
        rows().filter_map(|(row, (chunks, body), piece)| chunked(&world, row, chunks, body, piece)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // None of it came later.
    assert!(world.upstream.heard().iter().all(|heard| !heard.target().contains("hidden")));
}

/// Sends chunks, in pieces of that many bytes, and a request behind them; says what is wrong with what came of it.
fn chunked(world: &World, row: usize, chunks: &str, body: Option<&str>, piece: usize) -> Option<String> {
    let (target, mut wire) = (format!("/free?{row}"), world.wire());
    let before = world.upstream.hits();
    wire.send(post(&target, "Transfer-Encoding: chunked\r\n", ""));
    chunks.as_bytes().chunks(piece).for_each(|piece| wire.send(piece));
    // Behind the answer too, when nothing of it was read along with the body.
    let first = body.and_then(|_| wire.try_answer()).map(|answer| answer.status);
    wire.send(request("GET", "/free?hidden", &[("Connection", "close")], ""));
    if body.is_none() {
        // Nobody waits for more of it.
        let _ = wire.writer().shutdown(Shutdown::Write);
    }
    let said: Vec<_> = first.into_iter().chain(statuses(&mut wire)).collect();
    let whole = world.upstream.heard().split_off(before).into_iter().filter(|heard| heard.whole);
    let heard: Vec<_> = whole.map(|heard| (heard.target().to_owned(), heard.body)).collect();
    let right = match body {
        Some(body) => heard == [(target, body.as_bytes().to_vec())] && said == [200],
        None => heard.is_empty() && said.len() <= 1 && said.iter().all(|status| *status >= 400),
    };
    (!right || !wire.is_closed()).then(|| format!("{chunks:?} in {piece}: {said:?}, upstream {heard:?}"))
}

#[test]
fn what_comes_behind_a_request_is_a_request_of_its_own_or_is_dropped() {
    let world = World::start();
    let payment = world.payment("/paid");
    let get = |target: &str, headers: &[(&str, &str)]| request("GET", target, headers, "");
    // The last of several, so that the test need not wait for more.
    let last = |target: &str, headers: &[(&str, &str)]| get(target, &[headers, &[("Connection", "close")]].concat());
    let old = |connection: &str| format!("GET /free?1 HTTP/1.0\r\nHost: api.example.com\r\n{connection}\r\n");
    let paid = [("PAYMENT-SIGNATURE", payment.as_str())];
    let chunked = "Transfer-Encoding: chunked\r\n";
    let expecting = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", HIDDEN.len());
    for (text, answers, asked) in [
        // Each has its own answer, and its own price.
        (get("/free?1", &[]) + &last("/paid", &[]), vec![200, 402], vec!["/free?1"]),
        (get("/free?1", &[]) + &last("/free?2", &[]), vec![200, 200], vec!["/free?1", "/free?2"]),
        (get("/paid", &[]) + &last("/free?2", &[]), vec![402, 200], vec!["/free?2"]),
        (request("POST", "/free?1", &[], HIDDEN) + &last("/paid", &[]), vec![200, 402], vec!["/free?1"]),
        (request("POST", "/paid", &[], HIDDEN) + &last("/paid", &[]), vec![402, 402], vec![]),
        // The payment is the second one's, whoever was first.
        (get("/paid?1", &[]) + &last("/paid?2", &paid), vec![402, 200], vec!["/paid?2"]),
        // Old clients have to ask for it.
        (old("") + &last("/free?2", &[]), vec![200], vec!["/free?1"]),
        (old("Connection: close\r\n") + &last("/free?2", &[]), vec![200], vec!["/free?1"]),
        (old("Connection: keep-alive\r\n") + &last("/paid", &[]), vec![200, 402], vec!["/free?1"]),
        (old("Connection: keep-alive\r\nContent-Length: 0\r\n") + &last("/paid", &[]), vec![200, 402], vec!["/free?1"]),
        // A last request is the last.
        (get("/free?1", &[("Connection", "close")]) + &last("/free?2", &[]), vec![200], vec!["/free?1"]),
        (get("/paid", &[("Connection", "close")]) + &last("/free?2", &[]), vec![402], vec![]),
        // Bodies that look like requests, of requests that are answered before anybody reads them.
        (post("/paid", chunked, HIDDEN), vec![402], vec![]),
        (post("/paid", chunked, "5\r\n") + HIDDEN, vec![402], vec![]),
        (post("/paid", chunked, "ffffff\r\n") + HIDDEN, vec![402], vec![]),
        (post("/paid", &expecting, HIDDEN) + &last("/paid", &[]), vec![402, 402], vec![]),
        (post("/free?1", &expecting, HIDDEN) + &last("/paid", &[]), vec![200, 402], vec!["/free?1"]),
        (post("/paid", "Content-Length: 10000000000\r\n", HIDDEN), vec![413], vec![]),
        (post("/unlisted", chunked, HIDDEN), vec![404], vec![]),
        (post("/a%2fb", chunked, HIDDEN), vec![400], vec![]),
        // Lines before a request are none.
        ("\r\n".to_owned() + &last("/free?1", &[]), vec![200], vec!["/free?1"]),
    ] {
        let before = world.upstream.hits();
        let mut wire = world.wire();
        wire.send(&text);
        let said = statuses(&mut wire);
        // All of it or the beginning: a connection may be ended behind any answer.
        assert!(!said.is_empty() && answers.starts_with(&said), "{said:?} for {text:?}");
        let heard = targets_after(&world, before);
        assert!(asked.starts_with(&heard.iter().map(String::as_str).collect::<Vec<_>>()), "{heard:?} for {text:?}");
        assert!(said.len() < answers.len() || heard == asked, "{heard:?} for {text:?}");
    }
}

#[test]
fn only_a_websocket_becomes_a_tunnel_and_only_after_the_upstream_agrees() {
    let world = World::start();
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ";
    for (upgrade, connection, opens) in [
        ("websocket", "Upgrade", true),
        ("websocket", "keep-alive, Upgrade", true),
        ("WebSocket", "upgrade", true),
        ("h2c", "Upgrade, HTTP2-Settings", false),
        ("h2c", "Upgrade", false),
        ("websocket, h2c", "Upgrade", false),
        ("h2c, websocket", "Upgrade, HTTP2-Settings", false),
        ("foo", "Upgrade", false),
        ("TLS/1.0", "Upgrade", false),
    ] {
        let headers = [("Connection", connection), ("Upgrade", upgrade), ("HTTP2-Settings", "AAMAAABkAAQAAP__")];
        // The upstream takes whatever it is offered, and nothing else.
        world.upstream.answers(move |heard| match heard.head.get("upgrade") {
            Some(offered) => Reply::raw(format!("{switched}{offered}\r\n\r\n")).then_echo(),
            None => Reply::ok("no tunnel"),
        });
        for target in ["/free", "/paid", "/upfront"] {
            let before = world.upstream.hits();
            let payment = if target == "/free" { String::new() } else { world.payment(target) };
            let paid = [("PAYMENT-SIGNATURE", payment.as_str())];
            let mut wire = world.wire();
            wire.send(request("GET", target, &[&headers[..], &paid[..]].concat(), "") + HIDDEN);
            let first = wire.answer();
            let name = format!("{upgrade} {connection} {target}");
            assert_eq!(first.status, if opens { 101 } else { 200 }, "{name}");
            if opens {
                // It is the tunnel's, and nobody's request.
                assert_eq!(wire.until(HIDDEN), HIDDEN, "{name}");
            } else {
                assert!(statuses(&mut wire).iter().all(|status| *status == 200), "{name}");
            }
            drop(wire);
            let heard = targets_after(&world, before);
            assert_eq!(heard.first().map(String::as_str), Some(target), "{name}");
            assert!(heard.len() == 1 || !opens && heard == [target, "/free?hidden"], "{heard:?} {name}");
            let first = &world.upstream.heard()[before];
            assert!(first.body.is_empty() && first.head.has("upgrade") == opens, "{name}");
        }
        // Without a payment there is nothing to become anything.
        let before = world.upstream.hits();
        let mut wire = world.wire();
        wire.send(request("GET", "/paid", &headers, "") + &request("GET", "/paid", &[("Connection", "close")], ""));
        let said = statuses(&mut wire);
        assert!(!said.is_empty() && said.iter().all(|status| *status == 402), "{said:?} {upgrade}");
        assert_eq!(world.upstream.hits(), before, "{upgrade}");
    }
}

#[test]
fn an_upstream_that_switches_unasked_gets_no_tunnel_and_no_money() {
    let world = World::start();
    world.upstream.says(
        Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            .then("SECRET")
            .then_echo(),
    );
    for headers in [vec![], vec![("Connection", "Upgrade"), ("Upgrade", "h2c")]] {
        for method in ["GET", "POST"] {
            for target in ["/free", "/paid"] {
                let payment = if target == "/free" { String::new() } else { world.payment(target) };
                let paid = [headers.clone(), vec![("PAYMENT-SIGNATURE", payment.as_str())]].concat();
                let answer = world.ask(method, target, &paid, if method == "POST" { "body" } else { "" });
                let told = answer.text();
                assert!(answer.status == 502 && !told.contains("SECRET"), "{headers:?} {method} {target}: {answer:?}");
            }
        }
    }
    let payment = world.payment("/paid");
    let old = format!("GET /paid HTTP/1.0\r\nHost: api.example.com\r\nPAYMENT-SIGNATURE: {payment}\r\n\r\n");
    let mut wire = world.wire();
    wire.send(old);
    assert_eq!(wire.answer().status, 502);
    let connection = Multiplexed::cleartext(world.gateway.addr);
    let paid = multiplexed::request("GET", "/paid", &[("payment-signature", &payment)], b"");
    assert_eq!(connection.ask(paid).unwrap().status(), 502);
    assert!(world.facilitator.settled().is_empty());
    assert_eq!(world.gateway.metric("gateway_panics_total"), 0);
    // It is as good as before.
    world.upstream.says(Reply::ok("goods"));
    assert_eq!(world.pay("/paid", &payment).text(), "goods");
}
