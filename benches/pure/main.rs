//! The parts of a request that need no network, no store and no clock, one by one.
//!
//! ```text
//! cargo bench --bench pure               all
//! cargo bench --bench pure -- payment    those with this in their names
//! ```
//! Criterion compares with the run before. Times are those of this machine at this moment: what holds over time is
//! what `tests/instructions.sh` counts. Under `cargo test --benches` each runs once.

#![allow(clippy::indexing_slicing, reason = "not in the gateway")]

mod market;

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use tollgate::payment::{Challenge, Hints, Presented, Shortfall, Unserved};
use tollgate::plans::{Allowance, KeyMint, Units, allow};
use tollgate::pricing::Target;
use tollgate::x402::codec;

use market::{Market, NOW};

// As in the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUOTE_TTL: Duration = Duration::from_secs(300);

/// From a header to a payment that is worth a question to the facilitator.
fn payment(criterion: &mut Criterion) {
    let market = Market::open(10);
    let offer = market.offer();
    let read = |header: &str| Presented::read(black_box(header.as_bytes()), offer, &market.mint, QUOTE_TTL, NOW);
    let good = market.payment(|_| {});
    // Judged by its amount, before anything is hashed; and hashed, recovered, and of somebody else.
    let small = market.payment(|authorization| authorization["value"] = "1".into());
    let forged = market.payment(|authorization| authorization["nonce"] = format!("0x{}", "ab".repeat(32)).into());
    let presented = read(&good).expect("a good payment");
    assert!(read(&small).is_err() && read(&forged).is_err(), "what is refused is no payment");

    let mut group = criterion.benchmark_group("payment");
    group.bench_function("decode the header", |b| b.iter(|| codec::decode(black_box(good.as_bytes()))));
    group.bench_function("refuse an amount", |b| b.iter(|| read(&small)));
    group.bench_function("refuse a signature", |b| b.iter(|| read(&forged)));
    group.bench_function("read and judge", |b| b.iter(|| read(&good)));
    group.bench_function("EIP-712 hash", |b| b.iter(|| market::digest(black_box(&market.authorization))));
    let (digest, signature) = (market::digest(&market.authorization), market::sign(&market.authorization));
    group.bench_function("recover", |b| b.iter(|| market::recover(black_box(digest), black_box(&signature))));
    group.bench_function("ask the facilitator", |b| b.iter(|| serde_json::to_vec(black_box(&presented.request))));
    group.finish();
}

/// The 402 of both versions, with a fresh quote.
fn challenge(criterion: &mut Criterion) {
    let market = Market::open(10);
    let (table, hints, offer) = (&market.table, &Hints::default(), market.offer());
    let shortfall = &Shortfall::MissingCredentials;
    let (resource, timestamp) = ("https://api.example.com/v1/paid", "2026-01-01T00:00:00.000Z");
    let request = Unserved { resource, shortfall, plans: false, table, hints, now: NOW, timestamp };
    let mut random = 0_u64;
    criterion.bench_function("challenge", |b| {
        b.iter(|| {
            random += 1;
            Challenge::of_offer(offer, black_box(request), &market.mint, random.to_be_bytes())
        });
    });
}

/// From the bytes of a target to its route.
fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    let paths =
        [("literal", "/v1/group8/item8/fixed"), ("parameter", "/v1/group7/item7/oslo"), ("none", "/v2/weather")];
    for routes in [10, 10_000] {
        let table = Market::open(routes).table;
        for (name, path) in paths {
            let find = || table.find(&Method::GET, black_box(path));
            group.bench_function(format!("{name}, among {routes}"), |b| b.iter(find));
        }
    }
    for (name, raw) in [("plain path", "/v1/weather/oslo?unit=c"), ("escaped path", "/v1/%77eather/a%2Fb//c?unit=c")] {
        group.bench_function(name, |b| b.iter(|| Target::parse(black_box(raw.as_bytes()))));
    }
    group.finish();
}

/// A key and what its plan still has.
fn plan(criterion: &mut Criterion) {
    let mint = KeyMint::new(&[7; 32]);
    let key = mint.derive("tg_live_", "pay_1", "sub_1");
    let (front, last) = key.reveal().split_at(key.reveal().len() - 1);
    let forged = format!("{front}{}", if last == "0" { "1" } else { "0" });
    assert!(mint.recognise(key.reveal()).is_some() && mint.recognise(&forged).is_none(), "keys are told from others");
    let (now, left) = (SystemTime::UNIX_EPOCH + Duration::from_secs(NOW), Units::from_thousandths(5000));
    let end = now + Duration::from_secs(1);

    let mut group = criterion.benchmark_group("plan");
    group.bench_function("recognise a key", |b| b.iter(|| mint.recognise(black_box(key.reveal()))));
    group.bench_function("refuse a key", |b| b.iter(|| mint.recognise(black_box(&forged))));
    group.bench_function("derive a key", |b| b.iter(|| mint.derive("tg_live_", black_box("pay_1"), "sub_1")));
    group.bench_function("spend", |b| {
        b.iter(|| match allow(black_box(end), now) {
            Allowance::Allowed => black_box(left).checked_sub(black_box(Units::from_thousandths(1000))),
            Allowance::Expired => None,
        });
    });
    group.finish();
}

criterion_group!(parts, payment, challenge, route, plan);
criterion_main!(parts);
