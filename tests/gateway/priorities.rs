//! Which threads of the gateway go first, as Linux sees it.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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
    for behind in ["tollgate-money", "tollgate-books", "tollgate-known"] {
        assert!(of(behind).iter().all(|niceness| *niceness > usual), "{behind}: {all:?}");
    }
    // What a key is looked up by must not be behind payments.
    for first in ["public", "sqlx-"] {
        assert_eq!(of(first), BTreeSet::from([usual]), "{first}: {all:?}");
    }
}

/// Whoever made a connection to an upstream is woken first when it has something to say, whoever waits for it.
#[test]
fn no_request_uses_an_upstream_connection_of_a_payment() {
    let world = World::start();
    let mut wire = world.wire();
    let paid = |filler: usize| {
        let payment = world.payment("/paid");
        [("X-FILLER", "e".repeat(filler)), ("PAYMENT-SIGNATURE", payment)]
    };
    // The second payment's header is behind what is looked at.
    for filler in [1, 4000] {
        for _ in 0..2 {
            let headers = paid(filler);
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            assert_eq!(wire.get("/paid", &headers).status, 200);
            assert_eq!(wire.get("/free", &headers).status, 200);
            assert_eq!(wire.get("/free", &[]).status, 200);
        }
    }
    let over = |pays: bool| -> BTreeSet<usize> {
        let heard = world.upstream.heard();
        heard
            .iter()
            .filter(|heard| heard.head.get("x-filler").is_some() == pays)
            .map(|heard| heard.connection)
            .collect()
    };
    assert_eq!(world.upstream.hits(), 12);
    assert_eq!(over(true).intersection(&over(false)).count(), 0, "{:?} {:?}", over(true), over(false));
}
