//! Whose word on the client's address and scheme counts.

use crate::support::client::Wire;
use crate::support::wait::until_true;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path       = "/paid"
price      = "$0.01"
free_calls = "1/d"

[[routes]]
path = "/free"
free = true

[limits]
unpaid_per_address = "2/1d"
"#;

/// A gateway that trusts these.
fn trusting(trusted: &str) -> World {
    let server = format!("unlisted = \"deny\"\ntrusted_proxies = [{trusted}]");
    Setup { server: &server, routes: ROUTES, ..Setup::default() }.start()
}

/// What the upstream is told: address and scheme.
fn told(world: &World, headers: &[(&str, &str)]) -> (String, String) {
    assert_eq!(world.get("/free", headers).status, 200, "{headers:?}");
    let head = world.upstream.last().head;
    let one = |name| match head.all(name).as_slice() {
        [value] => (*value).to_owned(),
        values => panic!("{name}: {values:?}"),
    };
    (one("x-forwarded-for"), one("x-forwarded-proto"))
}

fn pair(address: &str, scheme: &str) -> (String, String) {
    (address.to_owned(), scheme.to_owned())
}

#[test]
fn a_trusted_proxy_is_believed_on_its_client() {
    let world = trusting("\"127.0.0.0/8\", \"10.0.0.0/8\"");
    let https = ("X-Forwarded-Proto", "https");
    let from = |value| ("X-Forwarded-For", value);
    for (headers, right) in [
        (vec![], pair("127.0.0.1", "http")),
        (vec![from("192.0.2.1"), https], pair("192.0.2.1", "https")),
        (vec![from("6.6.6.6, 192.0.2.1, 10.9.9.9")], pair("192.0.2.1", "http")),
        (vec![from("6.6.6.6"), from("192.0.2.1"), from("10.9.9.9, 10.8.8.8"), https], pair("192.0.2.1", "https")),
        (vec![from("10.1.1.1, 10.2.2.2")], pair("10.1.1.1", "http")),
        (vec![from("192.0.2.1, unknown")], pair("127.0.0.1", "http")),
        (vec![from("[2001:db8::7]:4711")], pair("2001:db8::7", "http")),
        (vec![from("::ffff:192.0.2.1")], pair("192.0.2.1", "http")),
        (vec![https, ("X-Forwarded-Proto", "gopher")], pair("127.0.0.1", "http")),
        (vec![("Forwarded", "for=192.0.2.9;proto=https"), ("X-Real-IP", "192.0.2.9")], pair("127.0.0.1", "http")),
    ] {
        assert_eq!(told(&world, &headers), right, "{headers:?}");
        assert!(!world.upstream.last().head.has("forwarded"));
    }
}

#[test]
fn nobody_else_is() {
    for trusted in ["", "\"10.0.0.0/8\", \"::1\", \"127.0.0.2\""] {
        let world = trusting(trusted);
        for headers in [
            vec![("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")],
            vec![("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "192.0.2.1, 10.0.0.1")],
        ] {
            assert_eq!(told(&world, &headers), pair("127.0.0.1", "http"), "{trusted} {headers:?}");
        }
    }
}

/// Upstreams believe more names than anybody can count, so what is not in the list is a matter of the two that agree on it.
#[test]
fn no_other_word_on_a_client_is_passed_on_but_a_proxys() {
    let words = [
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Forwarded-Prefix",
        "X-Forwarded-Port",
        "X-Forwarded-Anything",
    ];
    let headers = words.map(|name| (name, "192.0.2.9"));
    for (trusted, passes) in [("", false), ("\"10.0.0.0/8\"", false), ("\"127.0.0.1\"", true)] {
        let world = trusting(trusted);
        assert_eq!(world.get("/free", &headers).status, 200);
        let head = world.upstream.last().head;
        for name in words {
            assert_eq!(head.has(&name.to_ascii_lowercase()), passes, "{trusted} {name}");
        }
        assert_eq!(world.get("/free", &[("X_Real_IP", "192.0.2.9")]).status, 400);
    }
}

#[test]
fn a_trusted_proxy_has_as_many_connections_as_its_clients() {
    for (trusted, served) in [("", 2), ("\"127.0.0.1\"", 6)] {
        let routes = format!("{ROUTES}\n[connections]\nper_address = 2\n");
        let server = format!("unlisted = \"deny\"\ntrusted_proxies = [{trusted}]");
        let world = Setup { server: &server, routes: &routes, ..Setup::default() }.start();
        let mut wires: Vec<_> = (0..6).map(|_| world.wire()).collect();
        let answered = wires.iter_mut().filter_map(|wire| {
            wire.send("GET /free HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
            wire.try_answer()
        });
        assert_eq!(answered.count(), served, "{trusted}");
    }
}

#[test]
fn what_is_counted_by_address_is_counted_by_the_one_that_is_believed() {
    let world = trusting("\"127.0.0.1\"");
    let ask = |value: &str| world.get("/paid", &[("X-Forwarded-For", value)]).status;
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8:1:1::1"] {
        assert_eq!([(); 4].map(|()| ask(client)), [200, 402, 402, 429], "{client}");
    }
    // What a client adds to the left of it changes nothing; a customer's /64 is one address, and so are both forms of IPv4.
    for client in ["6.6.6.6, 192.0.2.1", "192.0.2.1:99", "::ffff:192.0.2.1", "2001:db8:1:1:ffff::2"] {
        assert_eq!(ask(client), 429, "{client}");
    }
    assert_eq!(ask("192.0.2.1, 192.0.2.3"), 200);

    let world = trusting("");
    let ask = |value: &str| world.get("/paid", &[("X-Forwarded-For", value)]).status;
    assert_eq!(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(ask), [200, 402, 402, 429]);
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_is_an_ipv4_client() {
    let server = "unlisted = \"deny\"\nlisten = [\"[::]:{port}\"]\ntrusted_proxies = [\"127.0.0.1\"]";
    // The listener for all addresses of both families, at the port that was found for the test.
    let world = Setup { server, routes: ROUTES, ..Setup::default() }.start();
    assert_eq!(told(&world, &[]), pair("127.0.0.1", "http"));
    assert_eq!(told(&world, &[("X-Forwarded-For", "192.0.2.1")]), pair("192.0.2.1", "http"));
    let mut wire = Wire::to(([0, 0, 0, 0, 0, 0, 0, 1], world.gateway.addr.port()).into());
    assert_eq!(wire.get("/free", &[("X-Forwarded-For", "192.0.2.1")]).status, 200);
    assert_eq!(world.upstream.last().head.all("x-forwarded-for"), ["::1"]);
}

#[test]
fn who_is_trusted_may_change_while_the_gateway_runs() {
    let world = trusting("\"127.0.0.1\"");
    let headers = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")];
    assert_eq!(told(&world, &headers), pair("192.0.2.1", "https"));
    world.edit("[\"127.0.0.1\"]", "[]");
    until_true("the end of trust", || told(&world, &headers) == pair("127.0.0.1", "http"));
    world.edit("trusted_proxies = []", "trusted_proxies = [\"127.0.0.0/8\"]");
    until_true("new trust", || told(&world, &headers) == pair("192.0.2.1", "https"));
    assert!(!world.gateway.output().contains("next start"), "{}", world.gateway.output());
}
