//! Requests with a key, among few keys and among many.
//!
//! One hot key; keys drawn at random from all, each as likely as another; and drawn from Zipf's law, by which the second key
//! calls half as often as the first, the third a third. All of them called before, so the gateway has them in memory, as
//! many as it keeps there, and waits for the memory that they lie in. Every account that was used is written down within a
//! second: of many keys that is nearly a row for each call, on a page of its own. The books stand behind the calls, so a round
//! is four times as long as those of other rows.

use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, Zipf};

use super::gateway::Gateway;
use super::load::{self, Row};
use super::report::{self, Table};
use super::shop::Shop;
use super::wire::{Wire, get};
use super::{Bench, Result};

const FEW: u32 = 1000;
const PATH: &str = "/keyed";
const TABLES: &str = r#"
[[routes]]
path = "/keyed"
units = 1
[[plans]]
name = "bench"
price = "$1"
units = 1_000_000_000
duration = "30d"
"#;

pub(super) async fn measure(bench: &Bench) -> Result<()> {
    let mut shops = Vec::new();
    let mut sizes =
        Table::new(["keys", "ready after, ms", "memory, MiB", "keys that called", "then, MiB", "bytes a key"]);
    for count in [FEW, bench.settings.keys.max(FEW)] {
        let shop = Shop::stock(count).await?;
        let tables = format!("{TABLES}{}", shop.table());
        let gateway = Gateway::start(&bench.neighbours, &bench.pinned, &tables).await?;
        let before = gateway.memory()?;
        let called = warm(&gateway, &shop).await?;
        let after = gateway.memory()?;
        let (ready, [before_mib, after_mib]) =
            (gateway.ready_after.as_millis(), [before, after].map(|bytes| bytes >> 20));
        sizes.row([
            report::grouped(count),
            ready.to_string(),
            before_mib.to_string(),
            report::grouped(called),
            after_mib.to_string(),
            report::each(before, after, called),
        ]);
        shops.push((count, shop, gateway, u64::from(called)));
    }
    sizes.publish("Keys: start and memory", &bench.settings)?;
    let answered = requests(bench, &shops).await?;
    for ((_, shop, mut gateway, warmed), answered) in shops.into_iter().zip(answered) {
        gateway.stop()?;
        let (spent, booked) = (warmed + answered, shop.used().await?);
        if spent != booked {
            return Err(format!("{spent} keyed requests were answered, and {booked} are in the books").into());
        }
    }
    Ok(())
}

/// Calls with each key once; says how many there are.
async fn warm(gateway: &Gateway, shop: &Shop) -> Result<u32> {
    const AT_ONCE: usize = 64;
    let count = shop.keys.len();
    let each = count.div_ceil(AT_ONCE);
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|part| {
            let (addr, keys) = (gateway.addr, Arc::clone(&shop.keys));
            tokio::spawn(async move {
                let mut wire = Wire::to(addr).await?;
                for key in keys.iter().skip(part * each).take(each) {
                    wire.ask(&request(key)).await?.ok()?;
                }
                Result::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(u32::try_from(count)?)
}

/// Compares; says how many were answered by each gateway.
async fn requests(bench: &Bench, shops: &[(u32, Shop, Gateway, u64)]) -> Result<Vec<u64>> {
    let settings = bench.settings.in_longer_rounds(4);
    let mut rows = Vec::new();
    for draw in ["one hot key", "of all", "by Zipf's law"] {
        let base = rows.len();
        for (count, shop, gateway, _) in shops {
            let keys = Arc::clone(&shop.keys);
            let law = Zipf::new(f64::from(*count), 1.0)?;
            let ask = move |random: &mut StdRng| {
                let number = match draw {
                    "one hot key" => 0,
                    "of all" => random.random_range(0..keys.len()),
                    _ => rank(law.sample(random)),
                };
                request(keys.get(number).map_or("", |key| key))
            };
            rows.push(Row::new(format!("{draw}: {} keys", report::grouped(*count)), gateway, base, "200", ask));
        }
        // By itself: what keys at random leave for the books to write would fall into the rounds of the hot key.
        load::run(rows.get_mut(base..).unwrap_or_default(), &settings).await?;
    }
    load::table(&rows).publish(&format!("Keys: requests, in rounds of {:?}", settings.time), &settings)?;
    Ok((0..shops.len()).map(|shop| rows.iter().skip(shop).step_by(shops.len()).map(|row| row.answered).sum()).collect())
}

fn request(key: &str) -> Vec<u8> {
    get(PATH, &format!("X-API-KEY: {key}"))
}

/// The law counts from 1.
#[allow(clippy::as_conversions, reason = "a rank is a small whole number")]
fn rank(rank: f64) -> usize {
    rank as usize - 1
}
