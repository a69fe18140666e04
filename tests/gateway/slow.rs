//! Clients that take their time, with each of the things that they can take it with.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::connections::start;
use crate::support::client::{Wire, request};
use crate::support::multiplexed::{self, Multiplexed};
use crate::support::server::Reply;
use crate::support::wait::{Gate, PATIENCE, until_true};
use crate::support::world::World;

const LARGE: usize = 48 * 1024 * 1024;

fn cut(world: &World, reason: &str) -> u64 {
    world.gateway.metric(&format!("gateway_connections_cut_total{{reason=\"{reason}\"}}"))
}

/// Sends a byte now and then, for as long as somebody takes it or the test looks.
fn drip(wire: &Wire, byte: &'static [u8]) {
    let mut writer = wire.writer();
    std::thread::spawn(move || {
        while writer.write_all(byte).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn a_head_that_drips_in_is_cut_however_steadily_it_does() {
    let world = start("head_timeout = \"400ms\"");
    for beginning in ["GET /paid HTTP/1.1\r\nHost: a.example\r\nX: ", "GET /", "PRI * HTTP/2.0\r\n", "P"] {
        let mut wire = world.wire();
        wire.send(beginning);
        if !beginning.starts_with("PRI") {
            drip(&wire, b"x");
        }
        let answer = wire.try_answer();
        assert!(answer.is_none_or(|answer| [400, 408].contains(&answer.status)), "{beginning:?}");
        assert!(wire.is_closed(), "{beginning:?}");
    }
    assert!(cut(&world, "head_timeout") >= 3);
    // The time is that of each request, not of the connection.
    let mut wire = world.wire();
    for _ in 0..6 {
        assert_eq!(wire.get("/free", &[]).status, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(world.upstream.hits(), 6);
}

#[test]
fn a_second_head_has_no_more_time_than_the_first() {
    let world = start("head_timeout = \"300ms\"");
    let mut wire = world.wire();
    assert_eq!(wire.get("/free", &[]).status, 200);
    wire.send("GET /free HTTP/1.1\r\n");
    assert_eq!(wire.answer().status, 408);
    assert!(wire.is_closed());
}

#[test]
fn a_connection_without_a_request_is_let_go() {
    let world = start("keep_alive = \"300ms\"");
    let mut fresh = world.wire();
    let mut used = world.wire();
    assert_eq!(used.get("/free", &[]).status, 200);
    let mut unpaid = world.wire();
    unpaid.send(request("POST", "/paid", &[], "a body"));
    assert_eq!(unpaid.answer().status, 402);
    assert!(fresh.is_closed() && used.is_closed() && unpaid.is_closed());
    let connection = Multiplexed::cleartext(world.gateway.addr);
    assert_eq!(connection.ask(multiplexed::request("GET", "/free", &[], b"")).unwrap().status(), 200);
    until_true("the end of the last connection", || world.gateway.metric("gateway_connections") == 0);
    // Nothing was wrong with any of them.
    assert!(!Wire::to(world.gateway.admin).get("/metrics", &[]).text().contains("connections_cut_total{"));
}

#[test]
fn a_long_answer_is_no_idle_connection() {
    let world = start("keep_alive = \"200ms\"\nhead_timeout = \"200ms\"\nbody_timeout = \"200ms\"");
    for multiplexed in [false, true] {
        let gate = Gate::default();
        world.upstream.says(Reply::ok("at last").behind(&gate));
        let opening = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(800));
            gate.open();
        });
        if multiplexed {
            let connection = Multiplexed::cleartext(world.gateway.addr);
            let answer = connection.ask(multiplexed::request("POST", "/free", &[], b"body")).unwrap();
            assert_eq!(answer.body, b"at last");
        } else {
            let answer = world.ask("POST", "/free", &[], "body");
            assert_eq!(answer.text(), "at last");
        }
        opening.join().unwrap();
    }
}

#[test]
fn a_body_that_drips_in_is_cut_and_not_charged() {
    let world = start("body_timeout = \"400ms\"");
    let key = world.buy("ten");
    let paid = world.payment("/paid");
    let settled = world.facilitator.settled().len();
    for (target, header, secret) in
        [("/free", "X", "y"), ("/keyed", "X-API-KEY", key.as_str()), ("/paid", "PAYMENT-SIGNATURE", &paid)]
    {
        for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
            let mut wire = world.wire();
            wire.send(format!("POST {target} HTTP/1.1\r\nHost: a.example\r\n{header}: {secret}\r\n{framing}\r\n\r\n"));
            drip(&wire, b"1\r\nx\r\n");
            assert!(wire.try_answer().is_none_or(|answer| answer.status >= 400), "{target}");
            assert!(wire.is_closed(), "{target}");
            world.until_idle();
        }
    }
    assert_eq!(cut(&world, "body_timeout"), 6);
    assert!(world.upstream.heard().iter().all(|heard| !heard.whole));
    assert_eq!((world.facilitator.settled().len(), world.units_used()), (settled, vec![0]));
    assert_eq!(world.pay("/paid", &paid).status, 200);
}

#[test]
fn a_body_of_http_2_that_drips_in_is_cut() {
    let world = start("body_timeout = \"400ms\"");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(world.gateway.addr).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let ended = tokio::spawn(connection);
        let head = http::Request::post("http://api.example.com/free").body(()).unwrap();
        let (_answer, mut body) = client.send_request(head, false).unwrap();
        let dripping = tokio::spawn(async move {
            while body.send_data(Bytes::from_static(b"x"), false).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let _ = tokio::time::timeout(PATIENCE, ended).await.expect("the connection's end");
        dripping.abort();
    });
    assert_eq!(cut(&world, "body_timeout"), 1);
    world.until_idle();
}

#[test]
fn an_answer_that_nobody_takes_is_cut_and_stays_paid() {
    let world = start("write_timeout = \"500ms\"");
    let part = vec![b'x'; 1024 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.upstream.says(Reply::raw(head).then_repeat(&part, LARGE / part.len()));
    let wire = world.send_paid("/paid", &world.payment("/paid"));
    let mut free = world.wire();
    free.send(request("GET", "/free", &[], ""));
    until_true("the cuts", || cut(&world, "write_timeout") == 2);
    world.until_idle();
    until_true("the upstream's release", || world.upstream.connections() == 0);
    drop(wire);
    assert!(!free.answer().whole);
    assert_eq!((world.facilitator.settled().len(), world.states()), (1, vec!["settled".to_owned()]));
}

#[test]
fn an_answer_that_is_taken_a_byte_at_a_time_is_cut() {
    let world = start("write_timeout = \"1s\"");
    let part = vec![b'x'; 1024 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.upstream.says(Reply::raw(head).then_repeat(&part, LARGE / part.len()));
    let mut wire = world.wire();
    wire.send(request("GET", "/free", &[], ""));
    let mut socket = wire.writer();
    let mut taken = 0;
    // A system tells the other side of room when there is some, not of each byte.
    while cut(&world, "write_timeout") == 0 {
        taken += std::io::Read::read(&mut socket, &mut [0; 100]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(taken < 100_000, "still open");
    }
    world.until_idle();
    until_true("the upstream's release", || world.upstream.connections() == 0);
}

#[test]
fn a_stream_of_http_2_that_gets_a_byte_of_window_at_a_time_ends() {
    let world = start("write_timeout = \"500ms\"");
    let part = vec![b'x'; 1024 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.upstream.says(Reply::raw(head).then_repeat(&part, LARGE / part.len()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(world.gateway.addr).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(10).initial_connection_window_size(10_000_000);
        let (client, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        tokio::spawn(connection);
        let get = http::Request::get("http://api.example.com/free").body(()).unwrap();
        let (answer, _) = client.ready().await.unwrap().send_request(get, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        let (mut taken, mut ended) = (0, false);
        while let Some(data) = tokio::time::timeout(PATIENCE, body.data()).await.expect("an end or a byte") {
            let Ok(data) = data else {
                ended = true;
                break;
            };
            taken += data.len();
            assert!(taken < 10_000, "still open");
            tokio::time::sleep(Duration::from_millis(20)).await;
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert!(ended, "it is reset");
    });
    world.until_idle();
}

#[test]
fn events_that_come_seldom_are_nobodys_slowness() {
    let world = start("write_timeout = \"200ms\"\nkeep_alive = \"200ms\"");
    for multiplexed in [false, true] {
        let gates: Vec<_> = (0..3).map(|_| Gate::default()).collect();
        let reply = Reply::raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 12\r\n\r\n");
        world.upstream.says(gates.iter().fold(reply, |reply, gate| reply.then_pass(gate).then("e\n\n\n")));
        let opening = std::thread::spawn(move || {
            for gate in gates {
                std::thread::sleep(Duration::from_millis(600));
                gate.open();
            }
        });
        let body = if multiplexed {
            let connection = Multiplexed::cleartext(world.gateway.addr);
            connection.ask(multiplexed::request("GET", "/free", &[], b"")).unwrap().body
        } else {
            world.get("/free", &[]).body
        };
        assert_eq!(body, b"e\n\n\n".repeat(3));
        opening.join().unwrap();
    }
}

#[test]
fn an_answer_that_is_taken_slowly_but_steadily_arrives() {
    let world = start("write_timeout = \"1s\"");
    let part = vec![b'x'; 1024 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.upstream.says(Reply::raw(head).then_repeat(&part, LARGE / part.len()));
    let wire = world.send_paid("/paid", &world.payment("/paid"));
    let mut socket = wire.writer();
    let mut taken = 0;
    let mut piece = vec![0; 4 * 1024 * 1024];
    while taken < LARGE {
        std::thread::sleep(Duration::from_millis(150));
        let count = std::io::Read::read(&mut socket, &mut piece).unwrap();
        assert!(count > 0, "cut after {taken}");
        taken += count;
    }
    assert_eq!(cut(&world, "write_timeout"), 0);
}

#[test]
fn a_stream_of_http_2_that_gets_no_window_ends_alone() {
    let world = start("write_timeout = \"500ms\"");
    let part = vec![b'x'; 1024 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.upstream.answers(move |heard| match heard.target() {
        "/free" => Reply::ok("small"),
        _ => Reply::raw(head.clone()).then_repeat(&part, LARGE / part.len()),
    });
    let payment = world.payment("/paid");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&served);
    let before = world.gateway.resident();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(world.gateway.addr).await.unwrap();
        // The connection has room; the streams do not.
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1000).initial_connection_window_size(10_000_000);
        let (client, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        tokio::spawn(connection);
        let get = |target: &str| {
            let request = http::Request::get(format!("http://api.example.com{target}"));
            request.header("payment-signature", &payment).body(()).unwrap()
        };
        let (stalled, _) = client.clone().ready().await.unwrap().send_request(get("/paid"), true).unwrap();
        let mut stalled = stalled.await.unwrap().into_body();
        for _ in 0..20 {
            let (free, _) = client.clone().ready().await.unwrap().send_request(get("/free"), true).unwrap();
            assert_eq!(free.await.unwrap().status(), 200);
            counting.fetch_add(1, Ordering::SeqCst);
        }
        // Nothing of it is acknowledged.
        let end = loop {
            match tokio::time::timeout(PATIENCE, stalled.data()).await.expect("the stream's end") {
                Some(Ok(_)) => {}
                end => break end,
            }
        };
        assert!(end.is_some_and(|end| end.is_err()), "the stream is reset");
        let (free, _) = client.clone().ready().await.unwrap().send_request(get("/free"), true).unwrap();
        assert_eq!(free.await.unwrap().status(), 200);
    });
    assert_eq!((served.load(Ordering::SeqCst), world.facilitator.settled().len()), (20, 1));
    assert!(world.gateway.resident().saturating_sub(before) < 20 * 1024 * 1024);
    until_true("the upstream's release", || world.gateway.metric("gateway_requests_in_flight") == 0);
}

#[test]
fn many_slow_clients_do_not_keep_an_honest_one_waiting() {
    let world = start("head_timeout = \"2s\"\nper_address = 300");
    let crowd: Vec<_> = (0..200)
        .map(|index| {
            let mut stream = TcpStream::connect(world.gateway.addr).unwrap();
            let beginning = if index % 2 == 0 { "GET /free HTTP/1.1\r\nX: " } else { "PRI * HT" };
            stream.write_all(beginning.as_bytes()).unwrap();
            stream
        })
        .collect();
    let payment = world.payment("/paid");
    assert_eq!(world.pay("/paid", &payment).status, 200);
    until_true("their end", || cut(&world, "head_timeout") >= 200);
    drop(crowd);
    until_true("their seats", || world.gateway.metric("gateway_connections") == 0);
}
