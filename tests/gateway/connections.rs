//! How many connections there may be, what a request may take of one, and what is left when a client takes too much.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::client::{Wire, request};
use crate::support::facilitator::good;
use crate::support::gateway::free_port;
use crate::support::multiplexed::{self, Multiplexed};
use crate::support::server::Reply;
use crate::support::wait::{PATIENCE, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path   = "/upfront"
price  = "$0.02"
settle = "before"

[[routes]]
path  = "/keyed"
units = 2

[[routes]]
path = "/free"
free = true

[[plans]]
name     = "ten"
price    = "$1"
units    = 10
duration = "30d"
"#;

/// A gateway with these lines for `[connections]`.
pub(crate) fn start(connections: &str) -> World {
    let routes = format!("[connections]\n{connections}\n{ROUTES}");
    Setup { routes: &routes, ..Setup::default() }.start()
}

/// A connection from one of this machine's many addresses.
fn wire_from(world: &World, last: u8) -> Wire {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)).into()).unwrap();
    socket.connect(&world.gateway.addr.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Wire::over(stream)
}

fn refused(world: &World, reason: &str) -> u64 {
    world.gateway.metric(&format!("gateway_connections_refused_total{{reason=\"{reason}\"}}"))
}

fn until_none_is_open(world: &World) {
    until_true("the connections' end", || world.gateway.metric("gateway_connections") == 0);
}

#[test]
fn an_address_has_so_many_connections_and_others_have_theirs() {
    let world = start("per_address = 3");
    until_none_is_open(&world);
    let mut wires: Vec<_> = (0..3).map(|_| wire_from(&world, 1)).collect();
    for wire in &mut wires {
        assert_eq!(wire.get("/free", &[]).status, 200);
    }
    let mut fourth = wire_from(&world, 1);
    fourth.send(request("GET", "/free", &[], ""));
    assert!(fourth.try_answer().is_none());
    assert_eq!(refused(&world, "per_address"), 1);
    assert_eq!(wire_from(&world, 2).get("/free", &[]).status, 200);
    // Those that are in are served on, and who leaves makes room.
    assert_eq!(wires[0].get("/free", &[]).status, 200);
    drop(wires.pop());
    until_true("room", || {
        let mut wire = wire_from(&world, 1);
        wire.send(request("GET", "/free", &[], ""));
        wire.try_answer().is_some_and(|answer| answer.status == 200)
    });
    drop(wires);
    until_none_is_open(&world);
}

#[test]
fn there_are_so_many_connections_in_all() {
    let world = start("max = 4");
    until_none_is_open(&world);
    let mut wires: Vec<_> = (1..=4).map(|last| wire_from(&world, last)).collect();
    for wire in &mut wires {
        assert_eq!(wire.get("/free", &[]).status, 200);
    }
    let mut fifth = wire_from(&world, 5);
    fifth.send(request("GET", "/free", &[], ""));
    assert!(fifth.try_answer().is_none());
    assert_eq!((refused(&world, "max"), world.gateway.metric("gateway_connections")), (1, 4));
    drop(wires);
    until_none_is_open(&world);
    assert_eq!(wire_from(&world, 5).get("/free", &[]).status, 200);
}

#[test]
fn a_reload_changes_the_limits_of_new_connections() {
    let world = start("per_address = 2");
    let file = world.gateway.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    until_none_is_open(&world);
    let mut wires: Vec<_> = (0..2).map(|_| wire_from(&world, 1)).collect();
    wires.iter_mut().for_each(|wire| assert_eq!(wire.get("/free", &[]).status, 200));
    std::fs::write(&file, text.replace("per_address = 2", "per_address = 3\nhead_limit = \"64KiB\"")).unwrap();
    until_true("the new limit", || {
        let mut wire = wire_from(&world, 1);
        wire.send(request("GET", "/free", &[], ""));
        wire.try_answer().is_some()
    });
    // HTTP/2 is told of it once, so it stays for all.
    until_true("the warning", || world.gateway.output().contains("connections.head_limit"));
}

#[test]
fn a_head_is_as_large_as_it_may_be_and_no_larger() {
    let world = start("head_limit = \"8KiB\"");
    let head = |length: usize| {
        let frame = request("GET", "/free", &[("X", "")], "").len();
        request("GET", "/free", &[("X", &"x".repeat(length - frame))], "")
    };
    for (length, status) in [(8 * 1024, 200), (8 * 1024 + 1, 431), (100_000, 431), (2_000_000, 431)] {
        let mut wire = world.wire();
        wire.send(head(length));
        assert_eq!(wire.answer().status, status, "{length}");
        if status == 200 {
            // The next one has as much.
            wire.send(head(length));
        }
        assert!(status != 200 || wire.answer().status == 200);
    }
    // In many lines, in a line of its own, and one byte at a time.
    for text in [
        request("GET", "/free", &vec![("X", "y"); 3000], ""),
        format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)),
        "a".repeat(9000),
    ] {
        let mut wire = world.wire();
        for piece in text.as_bytes().chunks(7) {
            wire.send(piece);
        }
        let status = wire.try_answer().map_or(431, |answer| answer.status);
        assert!([400, 431].contains(&status), "{status}");
        assert!(wire.is_closed());
    }
    assert_eq!(world.upstream.hits(), 2);
    assert!(world.gateway.metric("gateway_connections_cut_total{reason=\"head_limit\"}") >= 4);
}

#[test]
fn a_head_that_is_too_large_ends_its_stream_of_http_2_or_the_connection() {
    let world = start("head_limit = \"8KiB\"");
    for length in [9_000, 60_000] {
        let connection = Multiplexed::cleartext(world.gateway.addr);
        let large = multiplexed::request("GET", "/free", &[("x", &"x".repeat(length))], b"");
        let status = connection.ask(large).map_or(431, |answer| answer.status());
        assert_eq!(status, 431, "{length}");
    }
    assert_eq!(world.upstream.hits(), 0);
    let connection = Multiplexed::cleartext(world.gateway.addr);
    assert_eq!(connection.ask(multiplexed::request("GET", "/free", &[], b"")).unwrap().status(), 200);
}

#[test]
fn a_body_that_says_that_it_is_too_large_goes_nowhere() {
    let world = start("body_limit = \"1KiB\"");
    let (key, payment) = (world.buy("ten"), world.payment("/paid"));
    world.journal.take();
    let credentials = [vec![("X-API-KEY", key.as_str())], vec![("PAYMENT-SIGNATURE", payment.as_str())], vec![]];
    for target in ["/free", "/keyed", "/paid", "/upfront", "/x402/pricing"] {
        for headers in &credentials {
            for length in [1025, 3_000_000] {
                let body = "x".repeat(length);
                let answer = world.ask("POST", target, headers, &body);
                assert_eq!((answer.status, answer.reason().as_str()), (413, "body_too_large"), "{target} {length}");
                let connection = Multiplexed::cleartext(world.gateway.addr);
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
                let length = length.to_string();
                let mut named: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                named.push(("content-length", &length));
                let answer = connection.ask(multiplexed::request("POST", target, &named, body.as_bytes())).unwrap();
                assert_eq!(answer.status(), 413, "{target} {length} by HTTP/2");
            }
        }
    }
    assert_eq!((world.journal.all(), world.units_used()), (vec![], vec![0]));
    assert_eq!(world.ask("POST", "/free", &[], &"x".repeat(1024)).status, 200);
    assert_eq!(world.ask("POST", "/paid", &[("PAYMENT-SIGNATURE", &payment)], &"x".repeat(1024)).status, 200);
}

#[test]
fn a_body_that_turns_out_too_large_is_not_paid_for_unless_it_was_before() {
    let world = start("body_limit = \"1KiB\"");
    let key = world.buy("ten");
    world.facilitator.settles(good);
    let settled = world.facilitator.settled().len();
    let (paid, upfront) = (world.payment("/paid"), world.payment("/upfront"));
    for (target, header, secret) in [
        ("/free", "X", "y"),
        ("/keyed", "X-API-KEY", key.as_str()),
        ("/paid", "PAYMENT-SIGNATURE", &paid),
        ("/upfront", "PAYMENT-SIGNATURE", &upfront),
    ] {
        let mut wire = world.wire();
        let part = format!("400\r\n{}\r\n", "x".repeat(1024));
        wire.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a.example\r\n{header}: {secret}\r\nTransfer-Encoding: chunked\r\n\r\n\
             {part}{part}0\r\n\r\n"
        ));
        let answer = wire.answer();
        assert_eq!((answer.status, answer.reason().as_str()), (413, "body_too_large"), "{target}");
        assert_eq!(answer.header("payment-response").is_some(), target == "/upfront", "{target}");
        assert!(wire.is_closed());
    }
    assert!(world.upstream.heard().iter().all(|heard| !heard.whole));
    assert_eq!(world.facilitator.settled().len(), settled + 1);
    assert_eq!(world.units_used(), [0]);
    // What was verified and not settled may be used again.
    assert_eq!(world.ask("POST", "/paid", &[("PAYMENT-SIGNATURE", &paid)], "small").status, 200);
}

#[test]
fn a_body_may_be_of_any_size_if_the_file_says_so() {
    let world = start("body_limit = \"none\"");
    assert_eq!(world.ask("POST", "/free", &[], &"x".repeat(3_000_000)).status, 200);
    assert_eq!(world.upstream.last().body.len(), 3_000_000);
}

#[test]
fn what_a_tunnel_carries_is_no_body() {
    let world = start("body_limit = \"1KiB\"\nbody_timeout = \"200ms\"\nkeep_alive = \"200ms\"");
    world.upstream.says(
        Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").then_echo(),
    );
    let mut wire = world.wire();
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    wire.send(request("GET", "/free", &headers, ""));
    assert_eq!(wire.answer().status, 101);
    assert!(wire.is_silent_for(std::time::Duration::from_millis(600)));
    for text in ["first".repeat(1000), "last".repeat(1000)] {
        wire.send(&text);
        assert_eq!(wire.until(&text), text);
    }
}

#[test]
fn each_of_several_listeners_is_served() {
    let other = free_port();
    let server = format!("unlisted = \"deny\"\nlisten = [\"{{addr}}\", \"{other}\", \"[::1]:{}\"]", other.port());
    let world = Setup { server: &server, ..Setup::default() }.start();
    let six = SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), other.port());
    for addr in [world.gateway.addr, other, six] {
        assert_eq!(Wire::to(addr).get("/free", &[]).status, 200, "{addr}");
    }
}
