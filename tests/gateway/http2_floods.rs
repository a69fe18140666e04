//! Frames of HTTP/2 that cost the sender little: the connection that floods is ended or slowed, the others are served.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::flood::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Flood, HEADERS, PING, PREFACE, Poured, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, has, head,
};
use crate::support::multiplexed::{Multiplexed, request};
use crate::support::server::Reply;
use crate::support::wait::{Gate, PATIENCE, until_still, until_true};
use crate::support::world::{Setup, World};

/// What a gateway may grow by in a flood.
const GROWTH_MAX: usize = 24 * 1024 * 1024;

fn start(connections: &str) -> World {
    let routes = format!(
        "[connections]\n{connections}\n[[routes]]\npath = \"/paid\"\nprice = \"$0.01\"\n\
         [[routes]]\npath = \"/free\"\nfree = true\n"
    );
    Setup { routes: &routes, ..Setup::default() }.start()
}

/// Others are served, by both versions, and little was grown by.
#[track_caller]
fn is_well(world: &World, before: usize) {
    assert_eq!(world.get("/free?honest", &[]).status, 200);
    let connection = Multiplexed::cleartext(world.gateway.addr);
    assert_eq!(connection.ask(request("GET", "/paid", &[], b"")).unwrap().status(), 402);
    let growth = world.gateway.resident().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    until_true("the requests' end", || world.gateway.metric("gateway_requests_in_flight") == 0);
}

#[test]
fn streams_that_are_given_up_at_once_end_the_connection_or_cost_little() {
    for path in ["/free", "/paid"] {
        let world = start("");
        let before = world.gateway.resident();
        let mut flood = Flood::start(world.gateway.addr);
        let poured = flood.pour(50_000, |index| {
            let stream = index * 2 + 1;
            let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(path));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            bytes
        });
        assert!(!matches!(poured, Poured::Stuck));
        is_well(&world, before);
        drop(flood);
        assert!(world.upstream.heard().iter().all(|heard| heard.target() != "/paid"));
    }
}

#[test]
fn streams_that_we_are_made_to_give_up_end_the_connection() {
    // What the server resets a stream for (MadeYouReset): a window of no bytes, one of too many, a body behind its end.
    for (flags, kind, payload) in [
        (END_HEADERS, WINDOW_UPDATE, 0_u32.to_be_bytes()),
        (END_HEADERS, WINDOW_UPDATE, 0x7fff_ffff_u32.to_be_bytes()),
        (END_HEADERS | END_STREAM, DATA, *b"body"),
    ] {
        let world = start("");
        // Nothing of it comes to its end by itself.
        let gate = Gate::default();
        let shut = gate.clone();
        world.upstream.answers(move |heard| match heard.target() {
            "/free" => Reply::ok("").behind(&shut),
            _ => Reply::ok(""),
        });
        let before = world.gateway.resident();
        let mut flood = Flood::start(world.gateway.addr);
        let mut given_up = 0;
        while given_up < 1000 {
            let stream = given_up * 2 + 1;
            let mut bytes = frame(HEADERS, flags, stream, &head("/free"));
            bytes.extend(frame(kind, 0, stream, &payload));
            if !matches!(flood.pour(1, |_| bytes.clone()), Poured::All) {
                break;
            }
            given_up += 1;
            // One by one, so that each is taken before it is given up: a crowd of them is ended sooner.
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(given_up < 1000, "frames of kind {kind} go on");
        is_well(&world, before);
        gate.open();
    }
}

#[test]
fn streams_that_are_given_up_after_they_were_taken_let_go_of_the_upstream() {
    let world = start("");
    let gate = Gate::default();
    world.upstream.says(Reply::ok("").behind(&gate));
    let before = world.gateway.resident();
    let mut flood = Flood::start(world.gateway.addr);
    let mut next = 0;
    for _ in 0..20 {
        let streams: Vec<_> = (0..10).map(|index| next + index * 2 + 1).collect();
        next += 20;
        flood.pour(1, |_| {
            streams
                .iter()
                .flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, *stream, &head("/free")))
                .collect()
        });
        let hits = usize::try_from(next / 2).unwrap();
        until_true("the calls", || world.upstream.hits() == hits);
        flood.pour(1, |_| streams.iter().flat_map(|stream| frame(RST_STREAM, 0, *stream, &[0, 0, 0, 8])).collect());
        until_true("their end", || world.gateway.metric("gateway_requests_in_flight") == 0);
    }
    gate.open();
    is_well(&world, before);
}

#[test]
fn streams_that_are_given_up_while_nobody_looks_are_so_many_and_no_more() {
    // Whoever connects to this one waits: the system keeps one for it, and that is there.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let deaf = listener.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(deaf).unwrap();
    let routes = format!(
        "[upstreams.deaf]\nurl = \"http://{deaf}\"\nconnect_timeout = \"20s\"\n\
         [[routes]]\npath = \"/deaf\"\nfree = true\nupstream = \"deaf\"\n\
         [[routes]]\npath = \"/paid\"\nprice = \"$0.01\"\n[[routes]]\npath = \"/free\"\nfree = true\n"
    );
    let world = Setup { routes: &routes, ..Setup::default() }.start();
    let running = || world.gateway.metric("gateway_requests_in_flight");
    let mut flood = Flood::start(world.gateway.addr);
    let (mut next, mut most) = (1, 0);
    loop {
        let streams: Vec<_> = (0..10).map(|index| next + index * 2).collect();
        next += 20;
        assert!(next < 2000, "a thousand requests of one connection");
        let heads = streams.iter().flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, *stream, &head("/deaf")));
        let heads: Vec<_> = heads.collect();
        let resets: Vec<_> = streams.iter().flat_map(|stream| frame(RST_STREAM, 0, *stream, &[0, 0, 0, 8])).collect();
        if !matches!(flood.pour(1, |_| heads.clone()), Poured::All) {
            break;
        }
        until_true("that they are taken, or the end", || running() >= most + 10 || flood.has_ended());
        most = running();
        if flood.has_ended() || !matches!(flood.pour(1, |_| resets.clone()), Poured::All) {
            break;
        }
    }
    assert!(most <= 220, "{most}");
    assert_eq!(world.gateway.metric("gateway_connections_cut_total{reason=\"given_up\"}"), 1);
    assert_eq!(world.get("/free", &[]).status, 200);
}

#[test]
fn answers_that_nobody_takes_cost_little() {
    let world = start("");
    let part = vec![b'x'; 1024 * 1024];
    let answer = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n").then_repeat(&part, 32);
    world.upstream.answers(move |heard| if heard.target() == "/free" { answer.clone() } else { Reply::ok("") });
    let before = world.gateway.resident();
    let mut stream = TcpStream::connect(world.gateway.addr).unwrap();
    stream.write_all(PREFACE).unwrap();
    // All the room that there is, for each stream and for all of them, and nobody who reads.
    stream.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).unwrap();
    stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes())).unwrap();
    for index in 0..20 {
        stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, index * 2 + 1, &head("/free"))).unwrap();
    }
    until_true("the calls", || world.upstream.hits() == 20);
    until_still("the upstream", || world.upstream.sent());
    let growth = world.gateway.resident().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "{growth}");
    assert_eq!(world.get("/free?honest", &[]).status, 200);
    drop(stream);
    until_true("the requests' end", || world.gateway.metric("gateway_requests_in_flight") == 0);
}

#[test]
fn a_head_in_endless_pieces_ends_the_connection() {
    for flags in [0, END_STREAM] {
        for size in [0, 1, 1000, 16_000] {
            let world = start("");
            let before = world.gateway.resident();
            let mut flood = Flood::start(world.gateway.addr);
            flood.pour(1, |_| frame(HEADERS, flags, 1, &head("/free")));
            // A header that does not end, in frames that do not say that it does.
            let piece = vec![0; size];
            let poured = flood.pour(100_000, |_| frame(CONTINUATION, 0, 1, &piece));
            poured.ended_before(100_000);
            is_well(&world, before);
            assert_eq!(world.upstream.hits(), 1);
        }
    }
}

#[test]
fn a_small_head_that_grows_when_it_is_unpacked_goes_nowhere() {
    let world = start("");
    let before = world.gateway.resident();
    let mut flood = Flood::start(world.gateway.addr);
    // One header of four thousand bytes goes into the table, and then a byte names it, thousands of times.
    let mut block = head("/free");
    block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    block.extend(vec![b'y'; 4000]);
    block.extend(vec![0xbe; 10_000]);
    flood.pour(200, |index| frame(HEADERS, END_STREAM | END_HEADERS, index * 2 + 1, &block));
    drop(flood);
    is_well(&world, before);
    assert_eq!(world.upstream.hits(), 1);
}

#[test]
fn more_streams_than_are_allowed_are_refused() {
    let world = start("");
    let gate = Gate::default();
    world.upstream.says(Reply::ok("").behind(&gate));
    let before = world.gateway.resident();
    let mut flood = Flood::start(world.gateway.addr);
    flood.pour(300, |index| frame(HEADERS, END_STREAM | END_HEADERS, index * 2 + 1, &head("/free")));
    until_true("the first calls", || world.upstream.hits() >= 1);
    std::thread::sleep(Duration::from_millis(300));
    assert!(world.upstream.hits() <= 100, "{}", world.upstream.hits());
    drop(flood);
    gate.open();
    is_well(&world, before);
}

#[test]
fn pings_and_settings_without_end_keep_nobody_else_waiting() {
    let world = start("");
    for piece in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9])] {
        let before = world.gateway.resident();
        let mut flood = Flood::start(world.gateway.addr);
        flood.pour(1000, |_| piece.repeat(100));
        is_well(&world, before);
        drop(flood);
    }
}

#[test]
fn who_asks_for_echoes_and_does_not_take_them_is_cut() {
    let world = start("write_timeout = \"500ms\"");
    let before = world.gateway.resident();
    let mut stream = TcpStream::connect(world.gateway.addr).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(10_000);
    while stream.write_all(&pings).is_ok() {}
    let cut = "gateway_connections_cut_total{reason=\"write_timeout\"}";
    until_true("the cut", || world.gateway.metric(cut) == 1);
    is_well(&world, before);
}

#[test]
fn small_pieces_of_a_body_without_end_cost_little() {
    let world = start("");
    let gate = Gate::default();
    world.upstream.holds_bodies(&gate);
    let before = world.gateway.resident();
    let mut flood = Flood::start(world.gateway.addr);
    flood.pour(1, |_| frame(HEADERS, END_HEADERS, 1, &head("/free")));
    for piece in [frame(DATA, 0, 1, &[]), frame(DATA, 0, 1, b"x")] {
        flood.pour(2000, |_| piece.repeat(100));
    }
    gate.open();
    drop(flood);
    is_well(&world, before);
}

#[test]
fn a_connection_that_only_pings_is_idle() {
    let world = start("keep_alive = \"500ms\"");
    until_true("no connections", || world.gateway.metric("gateway_connections") == 0);
    let mut flood = Flood::start(world.gateway.addr);
    let mut pings = 0;
    while matches!(flood.pour(1, |_| frame(PING, 0, 0, &[7; 8])), Poured::All) {
        std::thread::sleep(Duration::from_millis(20));
        pings += 1;
        assert!(pings < 500, "pings keep it open");
    }
    until_true("its seat", || world.gateway.metric("gateway_connections") == 0);
}

#[test]
fn a_head_that_does_not_end_is_no_request_and_buys_no_time() {
    let world = start("keep_alive = \"500ms\"");
    let mut flood = Flood::start(world.gateway.addr);
    flood.pour(1, |_| frame(HEADERS, 0, 1, &head("/free")));
    let end = flood.end();
    assert!(!has(&end, HEADERS), "{end:?}");
    assert_eq!(world.upstream.hits(), 0);
}
