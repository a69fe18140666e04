//! Units that the upstream reports, and units for each byte that streams.

use serde_json::{Value, json};

use crate::support::client::{Answer, Wire, request};
use crate::support::multiplexed::{self, Multiplexed};
use crate::support::server::Reply;
use crate::support::wait::{Gate, until_true};
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path         = "/reported"
price        = "$0.01"
units        = 1
units_header = "X-Units"
units_max    = 3

[[routes]]
path           = "/stream"
units          = 0.5
units_per_byte = 0.005

[[plans]]
name     = "ten"
price    = "$1"
units    = 10
duration = "30d"

[[plans]]
name     = "short"
price    = "$1"
units    = 10
duration = "3s"
"#;

/// Ten units, but for the call's own half, are that many bytes.
const BYTES: usize = 1900;

const SSE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn start() -> World {
    Setup { routes: ROUTES, ..Setup::default() }.start()
}

impl World {
    fn keyed(&self, target: &str, key: &str) -> Answer {
        self.get(target, &[("X-API-KEY", key)])
    }

    fn taken(&self, key: &str) -> Value {
        self.keyed("/x402/status", key).json()["quota"]["used"].clone()
    }

    fn stream(&self, key: &str) -> Wire {
        let mut wire = self.wire();
        wire.send(request("GET", "/stream", &[("X-API-KEY", key)], ""));
        wire
    }

    fn websocket(&self, key: &str) -> Wire {
        let mut wire = self.wire();
        let headers = [
            ("X-API-KEY", key),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        wire.send(request("GET", "/stream", &headers, ""));
        wire
    }
}

fn chunk(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n", body.len())
}

/// A server-sent event of that many bytes.
fn event(bytes: usize) -> String {
    format!("data: {}\n\n", "x".repeat(bytes - 8))
}

/// A short frame from a server.
fn frame(opcode: u8, payload: usize) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, u8::try_from(payload).unwrap()];
    frame.resize(2 + payload, b'x');
    frame
}

fn close(reason: &str) -> Vec<u8> {
    [&[0x88, u8::try_from(reason.len()).unwrap() + 2, 0x03, 0xf0], reason.as_bytes()].concat()
}

/// What comes until the connection ends.
fn rest(wire: &mut Wire) -> Vec<u8> {
    std::iter::from_fn(|| wire.try_bytes()).flatten().collect()
}

#[test]
fn a_call_takes_what_the_upstream_reports() {
    let world = start();
    for (status, headers, taken) in [
        (200, "X-Units: 0.25\r\n", json!(0.25)),
        (200, "x-units: 2\r\n", json!(2)),
        (200, "X-Units: 0\r\n", json!(0)),
        (404, "X-Units: 0\r\n", json!(0)),
        (200, "X-Units: 3.001\r\n", json!(3)),
        (200, "X-Units: 99999999999999999999999\r\n", json!(3)),
        (200, "", json!(1)),
        (200, "X-Units: many\r\n", json!(1)),
        (200, "X-Units: -1\r\n", json!(1)),
        (200, "X-Units: 0.0001\r\n", json!(1)),
        (200, "X-Units: \r\n", json!(1)),
        (200, "X-Units: 1\r\nX-Units: 2\r\n", json!(1)),
        (500, "X-Units: 2\r\n", json!(0)),
    ] {
        let key = world.buy("ten");
        world.upstream.says(Reply::status(status, headers, "body"));
        let answer = world.keyed("/reported", &key);
        assert_eq!((answer.status, answer.text().as_str()), (status, "body"));
        assert_eq!(answer.header("x-units"), None, "{headers}");
        assert_eq!(world.taken(&key), taken, "{status} {headers}");
    }
    let complaints = world.gateway.output().matches("cannot be read").count();
    assert_eq!(complaints, 1, "a complaint for each call would bury the log");
}

#[test]
fn a_report_is_hidden_from_those_who_pay_for_the_call() {
    let world = start();
    world.upstream.says(Reply::status(200, "X-Units: 2\r\n", "body"));
    let payment = world.payment("/reported");
    let first = world.pay("/reported", &payment);
    assert_eq!((first.status, first.header("x-units")), (200, None));
    until_true("the delivery", || world.states() == ["delivered"]);
    let repeat = world.pay("/reported", &payment);
    assert_eq!((repeat.status, repeat.header("x-units")), (200, None));
}

#[test]
fn what_a_call_may_take_is_there_before_the_upstream_is_asked() {
    let world = start();
    let key = world.buy("ten");
    world.upstream.says(Reply::status(200, "X-Units: 2.5\r\n", "body"));
    for _ in 0..4 {
        if world.keyed("/reported", &key).status != 200 {
            break;
        }
    }
    // 2.5 units are left, and the call might take 3.
    assert_eq!(world.taken(&key), json!(7.5));
    let hits = world.upstream.hits();
    assert_eq!(world.keyed("/reported", &key).reason(), "quota_exhausted");
    assert_eq!((world.upstream.hits(), hits), (3, 3));
}

#[test]
fn events_stream_to_the_end_of_the_plan_and_say_so() {
    let world = start();
    let key = world.buy("ten");
    let silent = Gate::default();
    let reply = (0..20).fold(Reply::raw(SSE), |reply, _| reply.then(chunk(&event(100))));
    // The upstream says nothing more, and does not end either.
    world.upstream.says(reply.then_pass(&silent));
    let mut wire = world.stream(&key);
    let answer = wire.answer();
    assert!(answer.whole, "{}", answer.text());
    let text = answer.text();
    let (events, last) = text.split_at(BYTES);
    assert_eq!(events, event(100).repeat(19));
    let data = "{\"purchaseUrl\":\"https://api.example.com/x402/purchase\",\"reason\":\"quota_exhausted\"}";
    assert_eq!(last, format!("event: quota_exhausted\ndata: {data}\n\n"));
    assert!(wire.is_closed());
    assert_eq!(world.taken(&key), json!(10));
    until_true("the upstream's release", || world.gateway.metric("gateway_requests_in_flight") == 0);
    silent.open();
    until_true("the upstream's connection", || world.upstream.connections() == 0);
    assert_eq!(world.gateway.metric("gateway_requests_total{outcome=\"keyed\"}"), 1);
    assert_eq!(world.keyed("/stream", &key).reason(), "quota_exhausted");
}

#[test]
fn events_end_over_http2_too() {
    let world = start();
    let key = world.buy("ten");
    let reply = (0..20).fold(Reply::raw(SSE), |reply, _| reply.then(chunk(&event(100))));
    world.upstream.says(reply.then_pass(&Gate::default()));
    let connection = Multiplexed::cleartext(world.gateway.addr);
    let ask = || connection.ask(multiplexed::request("GET", "/stream", &[("x-api-key", &key)], b"")).unwrap();
    let answer = ask();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.error.is_none() && text.starts_with(&event(100).repeat(19)), "{text}");
    assert!(text.split_at(BYTES).1.starts_with("event: quota_exhausted\n"), "{text}");
    assert_eq!(ask().status(), 402, "the connection goes on");
}

#[test]
fn an_answer_that_cannot_say_so_is_cut_off() {
    let world = start();
    let in_the_middle = event(100) + "data: half";
    for (head, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", "x".repeat(1000)),
        (SSE, chunk(&in_the_middle)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(&"x".repeat(1000))),
    ] {
        let key = world.buy("ten");
        let (first, silent) = (Gate::default(), Gate::default());
        let more = if head.contains("chunked") { chunk(&"y".repeat(4000)) } else { "y".repeat(4000) };
        world.upstream.says(Reply::raw(head).then(body.clone()).then_pass(&first).then(more).then_pass(&silent));
        let mut wire = world.stream(&key);
        until_true("the price of the first bytes", || world.taken(&key).as_f64() > Some(0.5));
        first.open();
        let answer = wire.answer();
        assert_eq!((answer.status, answer.whole), (200, false), "{head}");
        let sent =
            if head.contains("chunked") { body.split_once("\r\n").unwrap().1.trim_end_matches("\r\n") } else { &body };
        assert_eq!(answer.text(), sent, "{head}");
        let price = 0.5 + 0.005 * f64::from(u32::try_from(sent.len()).unwrap());
        assert!((world.taken(&key).as_f64().unwrap() - price).abs() < 0.0001, "{head}");
    }
}

#[test]
fn a_websocket_runs_to_the_end_of_the_plan() {
    let world = start();
    // However the frames are cut on their way.
    for size in [1, 7, 102, 103, 5000] {
        let key = world.buy("ten");
        let silent = Gate::default();
        let frames = [frame(9, 50), frame(1, 100), frame(0x0a, 0)].concat().repeat(25);
        let reply = frames.chunks(size).fold(Reply::raw(SWITCHED), Reply::then);
        world.upstream.says(reply.then_pass(&silent));
        let mut wire = world.websocket(&key);
        assert_eq!(wire.answer().status, 101);
        let came = wire.until_close(&close("quota_exhausted"));
        let whole = [frame(9, 50), frame(1, 100), frame(0x0a, 0)].concat().repeat(19);
        assert_eq!(came, [whole, frame(9, 50)].concat(), "{size}");
        assert_eq!(world.taken(&key), json!(10), "{size}");
        silent.open();
        until_true("the upstream's release", || world.upstream.connections() == 0);
    }
}

impl Wire {
    /// The bytes up to the last ones, after which the connection must end.
    fn until_close(&mut self, last: &[u8]) -> Vec<u8> {
        let all = rest(self);
        let came = all.strip_suffix(last).unwrap_or_else(|| panic!("no close frame after {:?}", all.len()));
        came.to_vec()
    }
}

#[test]
fn heartbeats_and_what_the_client_sends_are_free() {
    let world = start();
    let key = world.buy("ten");
    world.upstream.says(Reply::raw(SWITCHED).then_echo());
    let mut wire = world.websocket(&key);
    assert_eq!(wire.answer().status, 101);
    for _ in 0..100 {
        let ping = [&[0x89, 125][..], &[b'p'; 125]].concat();
        wire.send(&ping);
        assert!(wire.until(&"p".repeat(125)).len() >= 127);
    }
    assert_eq!(world.taken(&key), json!(0.5));
    wire.send(frame(1, 4));
    wire.until("xxxx");
    assert_eq!(world.taken(&key), json!(0.52));
}

#[test]
fn a_websocket_ends_with_the_subscription() {
    let world = start();
    let key = world.buy("short");
    world.upstream.says(Reply::raw(SWITCHED).then_echo());
    let mut wire = world.websocket(&key);
    assert_eq!(wire.answer().status, 101);
    wire.send(frame(1, 4));
    wire.until("xxxx");
    until_true("the subscription's end", || world.keyed("/x402/status", &key).json()["active"] == json!(false));
    wire.send(frame(9, 4));
    assert_eq!(rest(&mut wire), close("subscription_expired"));
}

#[test]
fn many_streams_of_one_key_get_no_more_than_was_bought() {
    let world = start();
    let key = world.buy("ten");
    let reply = (0..50).fold(Reply::raw(SSE), |reply, _| reply.then(chunk(&event(20))));
    world.upstream.says(reply.then("0\r\n\r\n"));
    let received: usize = std::thread::scope(|scope| {
        let streams: Vec<_> = (0..20).map(|_| scope.spawn(|| world.stream(&key).answer())).collect();
        let answers = streams.into_iter().map(|stream| stream.join().unwrap());
        answers
            .filter(|answer| answer.status == 200)
            .map(|answer| {
                assert!(answer.whole);
                // The call's own half unit, and five thousandths for each byte.
                500 + 5 * answer.text().split("event:").next().unwrap().len()
            })
            .sum()
    });
    assert!(received <= 10_000, "{received} thousandths were served of 10,000");
    assert!(received > 9_900, "{received}");
    until_true("the books", || world.units_used() == [i64::try_from(received).unwrap()]);
}

#[test]
fn a_client_that_leaves_pays_for_what_has_left() {
    let world = start();
    let key = world.buy("ten");
    let more = Gate::default();
    world.upstream.says(Reply::raw(SSE).then(chunk(&event(100))).then_pass(&more).then(chunk(&event(100))));
    let mut wire = world.stream(&key);
    wire.until("\n\n");
    drop(wire);
    until_true("the request's end", || world.gateway.metric("gateway_requests_in_flight") == 0);
    assert_eq!(world.taken(&key), json!(1));
    more.open();
    until_true("the upstream's release", || world.upstream.connections() == 0);
    assert_eq!(world.taken(&key), json!(1));
}
