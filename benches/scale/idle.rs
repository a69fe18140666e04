//! Connections that rest: what they take, and what they cost the others.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::gateway::Gateway;
use super::load::{self, Row};
use super::report::{self, Table};
use super::wire::{Wire, get};
use super::{Bench, Result};

const PATH: &str = "/plain";
const SOLD: &str = "/sold";

pub(super) async fn measure(bench: &Bench) -> Result<()> {
    let count = bench.settings.idle;
    let files = open_files()?;
    let others = 256 + u64::try_from(bench.settings.connections)?;
    if files.is_some_and(|files| files < u64::from(count) + others) {
        return Err(format!("{count} idle connections need more open files than {files:?}").into());
    }
    let tables = format!(
        "[connections]\nmax = {}\nkeep_alive = \"1h\"\n[[routes]]\npath = \"{PATH}\"\nfree = true\n\
         [[routes]]\npath = \"{SOLD}\"\nprice = \"$0.01\"\n",
        count + 1000
    );
    let alone = Gateway::start(&bench.neighbours, &bench.pinned, &tables).await?;
    let crowded = Gateway::start(&bench.neighbours, &bench.pinned, &tables).await?;
    // What the first requests take is no connection's.
    for gateway in [&alone, &crowded] {
        for _ in 0..100 {
            ask(&mut Wire::to(gateway.addr).await?).await?;
        }
    }
    let empty = crowded.memory()?;
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(Wire::to(crowded.addr).await?);
    }
    // The last one is answered after all others were let in.
    ask(&mut Wire::to(crowded.addr).await?).await?;
    let opened = crowded.memory()?;
    for wire in &mut idle {
        ask(wire).await?;
    }
    let asked = crowded.memory()?;
    let mut sizes = Table::new(["idle connections", "memory, MiB", "bytes a connection"]);
    let mib = |bytes: u64| (bytes >> 20).to_string();
    sizes.row(["none".to_owned(), mib(empty), String::new()]);
    let count_text = report::grouped(count);
    sizes.row([format!("{count_text} that never asked"), mib(opened), report::each(empty, opened, count)]);
    sizes.row([format!("{count_text} that asked once"), mib(asked), report::each(empty, asked, count)]);
    sizes.publish("Idle connections: memory", &bench.settings)?;
    let mut rows = Vec::new();
    for (name, status, path) in [("free", "200", PATH), ("challenge", "402", SOLD)] {
        let base = rows.len();
        for (beside, gateway) in [("none", &alone), (&count_text, &crowded)] {
            rows.push(Row::new(format!("{name}: {beside} beside"), gateway, base, status, move |_| get(path, "")));
        }
    }
    load::run(&mut rows, &bench.settings).await?;
    for wire in &mut idle {
        ask(wire).await.map_err(|error| format!("an idle connection is of no use any more: {error}"))?;
    }
    load::table(&rows).publish("Idle connections: requests beside them", &bench.settings)
}

async fn ask(wire: &mut Wire) -> Result<()> {
    wire.ask(&get(PATH, "")).await?.ok().map(drop)
}

/// As many as this process may have; none if there is no limit.
fn open_files() -> Result<Option<u64>> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current)
}
