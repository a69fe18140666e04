//! The same requests, among few routes and among many.

use std::fmt::Write as _;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::gateway::Gateway;
use super::load::{self, Row};
use super::report::{self, Table};
use super::wire::get;
use super::{Bench, Result};

/// Routes come in sixes: with a literal path, with a parameter and with a rest, each free and priced.
const KINDS: u32 = 6;
const FEW: u32 = 12;
/// How many rounds here are one of the usual length.
const ROUNDS: u16 = 6;

/// A kind of request: its name, its answers' status, and its path, which begins with the route of that number.
type Case = (&'static str, &'static str, fn(u32) -> String);

const CASES: [Case; 9] = [
    ("literal", "200", |number| format!("/literal/{number:06}")),
    ("{name}", "200", |number| format!("/one/{number:06}/name")),
    ("{name...}", "200", |number| format!("/rest/{number:06}/of/it")),
    ("literal, priced", "402", |number| format!("/sold/literal/{number:06}")),
    ("{name}, priced", "402", |number| format!("/sold/one/{number:06}/name")),
    ("{name...}, priced", "402", |number| format!("/sold/rest/{number:06}/of/it")),
    ("priced, spelt another way", "402", |number| format!("/Sold/Literal/{number:06}.JSON/")),
    ("priced, with twelve readings", "402", |number| format!("/sold/one/{number:06}/a.b%3Bx.json%3Fy%23%3Bz.json")),
    ("no route", "404", |number| format!("/literal/none/{number:06}")),
];

/// So many routes. Names are equally long, whatever their number.
pub(super) fn tables(count: u32) -> String {
    let mut text = String::new();
    for route in 0..count {
        let number = route / KINDS;
        let (path, is_free) = match route % KINDS {
            0 => (format!("/literal/{number:06}"), true),
            1 => (format!("/one/{number:06}/{{name}}"), true),
            2 => (format!("/rest/{number:06}/{{name...}}"), true),
            3 => (format!("/sold/literal/{number:06}"), false),
            4 => (format!("/sold/one/{number:06}/{{name}}"), false),
            _ => (format!("/sold/rest/{number:06}/{{name...}}"), false),
        };
        let access = if is_free { "free = true" } else { "price = \"$0.01\"" };
        let _ = writeln!(text, "[[routes]]\npath = \"{path}\"\n{access}");
    }
    text
}

pub(super) async fn measure(bench: &Bench) -> Result<()> {
    let most = bench.settings.routes.max(FEW);
    let middle = (most / 100).max(FEW);
    let mut gateways = Vec::new();
    let mut sizes = Table::new(["routes", "ready after, ms", "memory, MiB", "bytes a route"]);
    let mut least = 0;
    for count in [FEW, middle, most] {
        let gateway = Gateway::start(&bench.neighbours, &bench.pinned, &tables(count)).await?;
        // What only the building took is given back meanwhile, which takes the allocator some six seconds.
        tokio::time::sleep(bench.settings.time * 10).await;
        let memory = gateway.memory()?;
        least = if gateways.is_empty() { memory } else { least };
        let ready = gateway.ready_after.as_millis().to_string();
        let each = if gateways.is_empty() { String::new() } else { report::each(least, memory, count - FEW) };
        sizes.row([report::grouped(count), ready, (memory >> 20).to_string(), each]);
        gateways.push((count, gateway));
    }
    sizes.publish("Routes: start and memory", &bench.settings)?;
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (name, status, path) in CASES {
        let base = rows.len();
        for (count, gateway) in &gateways {
            let among = count / KINDS;
            let ask = move |random: &mut StdRng| get(&path(random.random_range(0..among)), "");
            rows.push(Row::new(format!("{name}: {} routes", report::grouped(*count)), gateway, base, status, ask));
        }
    }
    let settings = bench.settings.in_shorter_rounds(ROUNDS);
    load::run(&mut rows, &settings).await?;
    load::table(&rows).publish(&format!("Routes: requests, in {} shorter rounds", settings.rounds), &settings)
}
