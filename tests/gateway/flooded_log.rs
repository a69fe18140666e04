//! What strangers can cause as often as they like does not fill the disk: the first of it is in the log, the rest is
//! counted.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;
use socket2::SockRef;

use crate::support::client::request;
use crate::support::server::Reply;
use crate::support::wait::{PATIENCE, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[upstreams.nobody]
url = "http://127.0.0.1:1"

[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path     = "/nobody"
free     = true
upstream = "nobody"

[[routes]]
path     = "/paid/nobody"
price    = "$0.01"
upstream = "nobody"

[[routes]]
path = "/free"
free = true

[connections]
per_address = 1000
"#;
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TIMES: usize = 1000;
/// The lines that a kind of hostility may leave: ten from each of the places that it comes by.
const LINES_MAX: usize = 25;

/// What a client does when it has sent its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Leaves {
    /// Reads to the end of the answer.
    Politely,
    /// Ends its side first.
    AtOnce,
    /// Resets the connection.
    Rudely,
}

fn start() -> World {
    Setup { routes: ROUTES, ..Setup::default() }.start()
}

/// Does it a thousand times, each over a connection of its own.
pub(crate) fn flood(addr: SocketAddr, bytes: &[u8], leaves: Leaves) {
    for _ in 0..TIMES {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        match leaves {
            Leaves::Politely => drop(stream.read_to_end(&mut Vec::new())),
            Leaves::AtOnce => {
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            }
            Leaves::Rudely => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
}

/// The lines so far, when nobody is connected any more.
pub(crate) fn lines(world: &World) -> usize {
    until_true("the connections' end", || world.gateway.metric("gateway_connections") == 0);
    world.gateway.output().lines().count()
}

fn left_out(world: &World) -> u64 {
    let count =
        |level| world.gateway.metric(&format!("gateway_log_lines_total{{fate=\"left_out\",level=\"{level}\"}}"));
    count("error") + count("warn") + count("info")
}

#[test]
fn a_thousand_hostile_clients_of_each_kind_leave_a_few_lines() {
    let world = start();
    world.upstream.says(Reply::ok(&"long ".repeat(100_000)));
    let settings = [PREFACE.as_bytes(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let broken_frame = [settings.as_slice(), &[0, 0, 1, 6, 0, 0, 0, 0, 0, 0]].concat();
    let close = request("GET", "/free", &[("Connection", "close")], "");
    let unread = request("GET", "/paid", &[("Connection", "close"), ("PAYMENT-SIGNATURE", "e30=")], "");
    let half_body = request("POST", "/free", &[("Content-Length", "100")], "") + "half";
    let mut report = Vec::new();
    for (kind, bytes, leaves) in [
        ("nothing", &b""[..], Leaves::AtOnce),
        ("nothing, and a reset", b"", Leaves::Rudely),
        ("half a head", b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: ", Leaves::AtOnce),
        ("half a head, and a reset", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", Leaves::Rudely),
        ("garbage", b"\x16\x03\x01\x00\xff\xfe garbage\r\n\r\n", Leaves::Politely),
        ("a bad header", b"GET / HTTP/1.1\r\nHost: a\r\nX y: \x00z\r\n\r\n", Leaves::Politely),
        (
            "two lengths",
            b"POST /free HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            Leaves::AtOnce,
        ),
        ("a tunnel", b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n", Leaves::Rudely),
        ("half a preface", b"PRI * HTTP/2.0\r\n\r\nS", Leaves::AtOnce),
        ("a preface, and a reset", &settings, Leaves::Rudely),
        ("a frame of no form", &broken_frame, Leaves::AtOnce),
        ("a preface and HTTP/1", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n", Leaves::AtOnce),
        ("half a body", half_body.as_bytes(), Leaves::AtOnce),
        ("half a body, and a reset", half_body.as_bytes(), Leaves::Rudely),
        ("no patience for the answer", close.as_bytes(), Leaves::Rudely),
        ("a payment that is none", unread.as_bytes(), Leaves::Politely),
    ] {
        let before = lines(&world);
        flood(world.gateway.addr, bytes, leaves);
        report.push((kind, lines(&world) - before));
    }
    println!("lines: {report:?}, left out: {}", left_out(&world));
    assert!(report.iter().all(|(_, lines)| *lines <= LINES_MAX), "{report:?}\n{}", world.gateway.output());
    assert!(left_out(&world) > 0, "nothing was counted");
    assert!(!world.gateway.output().contains("buf: "));
    assert_eq!(world.facilitator.settled().len(), 0);
}

#[test]
fn a_thousand_requests_for_a_dead_upstream_leave_a_few_lines_behind_all_other_trouble() {
    let world = start();
    flood(world.gateway.addr, b"GET / HTTP/1.1\r\nHost: a\r\nX: ", Leaves::AtOnce);
    let half_body = request("POST", "/free", &[("Content-Length", "100")], "") + "half";
    flood(world.gateway.addr, half_body.as_bytes(), Leaves::AtOnce);
    let dead = request("GET", "/nobody", &[("Connection", "close")], "");
    flood(world.gateway.addr, dead.as_bytes(), Leaves::Politely);
    lines(&world);
    let of_the_dead = world.gateway.output().lines().filter(|line| line.contains("/nobody")).count();
    assert!((1..=LINES_MAX).contains(&of_the_dead), "{of_the_dead}:\n{}", world.gateway.output());
    assert!(left_out(&world) >= 1900, "{}", left_out(&world));
}

/// Whoever has one good payment, or none, can send it as often as he likes while nothing is delivered for it.
#[test]
fn payments_that_move_no_money_leave_a_bounded_number_of_lines() {
    let world = start();
    let refused = json!({ "isValid": false, "invalidReason": "insufficient_funds" });
    let down = Reply::status(500, "", "");
    for (what, target, verdict) in [
        ("refused", "/paid", Some(Reply::json(200, &refused))),
        ("no verdict", "/paid", Some(down)),
        ("a dead upstream", "/paid/nobody", None),
    ] {
        let payment = world.payment(target);
        match verdict {
            Some(reply) => world.facilitator.verifies(move |_| reply.clone()),
            None => world.facilitator.heals(),
        }
        let before = lines(&world);
        let bytes = request("GET", target, &[("Connection", "close"), ("PAYMENT-SIGNATURE", &payment)], "");
        flood(world.gateway.addr, bytes.as_bytes(), Leaves::Politely);
        let left = lines(&world) - before;
        // A hundred a minute; a busy machine may need more than one.
        assert!(left < TIMES / 2, "{what}: {left}");
        assert!(left > 0 || what == "refused", "{what}");
    }
    assert!(left_out(&world) >= 2000, "{}", left_out(&world));
    assert_eq!(world.facilitator.settled().len(), 0);
    // Where money moves, each has its line.
    for _ in 0..3 {
        assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
    }
    let settled = |line: &&str| line.contains("outcome=\"settled\"");
    until_true("the payments' lines", || world.gateway.output().lines().filter(settled).count() == 3);
}
