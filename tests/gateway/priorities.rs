//! Which threads of the gateway go first, as Linux sees it.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::client::Wire;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path  = "/paid"
price = "$0.01"

[[routes]]
path  = "/keyed"
units = 1

[[plans]]
name     = "five"
price    = "$1"
units    = 5
duration = "30d"
"#;

/// The niceness of the threads of each name, as far as the kernel keeps names.
fn nicenesses(world: &World) -> BTreeMap<String, BTreeSet<i32>> {
    let tasks = Path::new("/proc").join(world.gateway.id().to_string()).join("task");
    let mut all: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for task in fs::read_dir(tasks).unwrap() {
        // One that ends meanwhile has none.
        let Ok(stat) = fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
        // The 19th field; the second is the name.
        let niceness = rest.split(' ').nth(16).unwrap().parse().unwrap();
        all.entry(name.to_owned()).or_default().insert(niceness);
    }
    all
}

#[test]
fn requests_go_before_money_and_books() {
    let world = Setup { routes: ROUTES, ..Setup::default() }.start();
    let usual = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let usual: i32 = usual.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap();
    assert_eq!(world.pay("/paid", &world.payment("/paid")).status, 200);
    let key = world.buy("five");
    assert_eq!(world.get("/keyed", &[("X-API-KEY", &key)]).status, 200);
    let all = nicenesses(&world);
    let of = |beginning: &str| -> BTreeSet<i32> {
        let all: BTreeSet<_> =
            all.iter().filter(|(name, _)| name.starts_with(beginning)).flat_map(|(_, all)| all.clone()).collect();
        assert!(!all.is_empty(), "no thread is called {beginning}…");
        all
    };
    let (money, books) = (of("tollgate-money"), of("tollgate-books"));
    assert!(money.first() > Some(&usual) && books.first() > money.last(), "{all:?}");
    // What a key is looked up by must not be behind payments.
    for first in ["public", "sqlx-", "tollgate-look"] {
        assert_eq!(of(first), BTreeSet::from([usual]), "{first}: {all:?}");
    }
}

/// Whoever made a connection to an upstream is woken first when it has something to say, whoever waits for it.
#[test]
fn no_request_uses_an_upstream_connection_of_a_payment() {
    let world = World::start();
    let mut wire = world.wire();
    let asked_over = |wire: &mut Wire, target: &str, payment: Option<&str>, filler: usize| {
        let filler = "e".repeat(filler);
        let headers = [("X-FILLER", Some(filler.as_str())), ("PAYMENT-SIGNATURE", payment)];
        let headers: Vec<_> = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        assert_eq!(wire.get(target, &headers).status, 200);
        world.until_idle();
        world.upstream.last().connection
    };
    let (mut paid, mut others) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..3 {
        let payment = world.payment("/paid");
        paid.insert(asked_over(&mut wire, "/paid", Some(&payment), 1));
        paid.insert(asked_over(&mut wire, "/free", Some(&payment), 1));
        others.insert(asked_over(&mut wire, "/free", None, 1));
        // A payment behind what is looked at is served with all others.
        others.insert(asked_over(&mut wire, "/paid", Some(&world.payment("/paid")), 4000));
    }
    assert_eq!((paid.len(), others.len(), world.upstream.connections()), (1, 1, 2));
}
