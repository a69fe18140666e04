//! Any byte string as a target: what is served was priced as what the upstream received, and as whatever a careless
//! upstream makes of that.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tollgate::config;
use tollgate::pricing::{Found, Kinds, PriceTable, Target};

use crate::support::client::Wire;
use crate::support::multiplexed::{Multiplexed, request};
use crate::support::upstreams::readings;
use crate::support::world::{Setup, World};

const ROUTES: &str = r#"
[[routes]]
path = "/free"
free = true

[[routes]]
path = "/docs/{page...}"
free = true

[[routes]]
path  = "/weather"
price = "$0.01"
units = 1

[[routes]]
path  = "/api/{rest...}"
price = "$0.02"
units = 2

[[routes]]
path  = "/api/dear"
price = "$0.50"
units = 50

[[routes]]
path  = "/Mixed/{id}/Now"
price = "$0.03"
units = 3

[[routes]]
path  = "/keyed"
units = 5

[[plans]]
name     = "endless"
price    = "$1"
duration = "30d"
"#;

/// Where payments are for.
const SOLD: [&str; 4] = ["/weather", "/api/x", "/api/dear", "/Mixed/7/Now"];

const WORDS: [&str; 11] =
    ["free", "docs", "weather", "api", "dear", "Mixed", "7", "Now", "keyed", "other", "api.example.com"];

const ENDS: [&[u8]; 7] = [b"", b"/", b"?", b"?x=/weather", b"/weather", b";", b"%20"];

const DANGEROUS: [&[u8]; 34] = [
    b"/",
    b"//",
    b"/./",
    b"/../",
    b"..",
    b".",
    b"%2e",
    b"%2E%2e",
    b"%2f",
    b"%2F",
    b"%5c",
    b"\\",
    b";",
    b";x=1",
    b"?",
    b"#",
    b"%00",
    b"%25",
    b"%252f",
    b"%252e",
    b"*",
    b"@",
    b":",
    b"http://",
    b"https://api.example.com/",
    b"\t",
    b" ",
    b"%20",
    b"\xff",
    b"\xc3\xa9",
    b"%c0%af",
    b"%",
    b"+",
    b"%0d",
];

const CASES: u32 = 6000;
/// Younger payments are not refused for their age.
const FRESH: Duration = Duration::from_secs(20);

/// What a request has to show for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shown {
    Nothing,
    Key,
    /// A payment for a call of this one.
    Payment(&'static str),
}

#[derive(Clone)]
struct Case {
    target: Vec<u8>,
    shown: Shown,
    multiplexed: bool,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {:?}, HTTP/2: {}", self.target.escape_ascii(), self.shown, self.multiplexed)
    }
}

/// What stands in the table, and what stands beside it.
const PATHS: [&str; 12] = [
    "/free",
    "/docs",
    "/docs/7",
    "/weather",
    "/api",
    "/api/x",
    "/api/dear",
    "/api/dear/x",
    "/Mixed/7/Now",
    "/keyed",
    "/other",
    "/",
];

/// A text in some spelling: as it is, with a letter of the other case, encoded, encoded twice.
fn spelled(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(texts), 0..12_u8, any::<prop::sample::Index>()).prop_map(|(text, style, at)| {
        let (before, rest) = text.as_bytes().split_at(at.index(text.len()));
        let (byte, after) = rest.split_first().unwrap();
        let spelled = match style {
            0..7 => vec![*byte],
            7 | 8 => vec![byte ^ if byte.is_ascii_alphabetic() { 0x20 } else { 0 }],
            9 | 10 => format!("%{byte:02x}").into_bytes(),
            _ => format!("%25{byte:02X}").into_bytes(),
        };
        [before, &spelled, after].concat()
    })
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let dangerous = || prop::sample::select(&DANGEROUS[..]).prop_map(<[u8]>::to_vec);
    let (word, path) = (|| spelled(&WORDS), || spelled(&PATHS));
    let end = prop::sample::select(&ENDS[..]);
    // A line end would end the target, and be another request's beginning.
    let raw = prop::collection::vec(any::<u8>().prop_filter("a line end", |b| !b"\r\n".contains(b)), 0..24);
    prop_oneof![
        4 => path(),
        3 => (path(), end).prop_map(|(path, end)| [path, end.to_vec()].concat()),
        3 => (path(), dangerous()).prop_map(|(path, end)| [path, end].concat()),
        3 => (path(), dangerous(), word(), dangerous()).prop_map(|(path, one, word, two)| [path, one, word, two].concat()),
        3 => prop::collection::vec(prop_oneof![dangerous(), word()], 1..8).prop_map(|parts| parts.concat()),
        2 => raw.clone().prop_map(|raw| [b"/".as_slice(), &raw].concat()),
        1 => raw,
        2 => path().prop_map(|path| [b"http://api.example.com".as_slice(), &path].concat()),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let payment = prop::sample::select(&SOLD[..]).prop_map(Shown::Payment);
    let shown = prop_oneof![1 => Just(Shown::Nothing), 1 => Just(Shown::Key), 2 => payment];
    (target(), shown, prop::bool::weighted(0.2)).prop_map(|(target, shown, multiplexed)| Case {
        target,
        shown,
        multiplexed,
    })
}

/// How often it went which way, so that a run which shows nothing is noticed.
#[derive(Debug, Default)]
struct Seen {
    refused: Cell<usize>,
    free: Cell<usize>,
    by_key: Cell<usize>,
    paid: Cell<usize>,
}

/// A gateway and what is kept from case to case.
struct Asking {
    world: World,
    prices: PriceTable,
    key: String,
    payments: RefCell<HashMap<&'static str, (String, Instant)>>,
    wire: RefCell<Option<Wire>>,
    multiplexed: Multiplexed,
    seen: Seen,
}

/// An answer, whichever protocol it came by.
struct Said {
    status: u16,
    paid: bool,
    units: Option<String>,
}

impl Asking {
    fn start(unlisted: &str) -> Self {
        let server = format!("unlisted = \"{unlisted}\"");
        let world = Setup { server: &server, routes: ROUTES, ..Setup::default() }.start();
        let prices = config::load(&world.gateway.config_file()).unwrap().config.price_table(&Kinds::unknown()).0;
        let (key, multiplexed) = (world.buy("endless"), Multiplexed::cleartext(world.gateway.addr));
        let (payments, wire, seen) = (RefCell::default(), RefCell::default(), Seen::default());
        Self { world, prices, key, payments, wire, multiplexed, seen }
    }

    fn header(&self, shown: Shown) -> Option<(&'static str, String)> {
        match shown {
            Shown::Nothing => None,
            Shown::Key => Some(("x-api-key", self.key.clone())),
            Shown::Payment(target) => {
                let mut payments = self.payments.borrow_mut();
                let made = || (self.world.payment(target), Instant::now());
                let (payment, at) = payments.entry(target).or_insert_with(made);
                if at.elapsed() > FRESH {
                    (*payment, *at) = made();
                }
                Some(("payment-signature", payment.clone()))
            }
        }
    }

    /// Sends a case. None if there was no answer.
    fn send(&self, case: &Case) -> Option<Said> {
        let header = self.header(case.shown);
        self.world.upstream.forget();
        if case.multiplexed {
            // What is no URI cannot be sent by this client.
            let target = std::str::from_utf8(&case.target).ok().filter(|target| target.starts_with('/'))?;
            format!("http://api.example.com{target}").parse::<http::Uri>().ok()?;
            let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = self.multiplexed.ask(request("GET", target, &headers, b"")).ok()?;
            let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            return Some(Said {
                status: answer.status(),
                paid: text("payment-response").is_some(),
                units: text("x-units-cost"),
            });
        }
        let header = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let mut kept = self.wire.borrow_mut();
        let mut wire = kept.take().unwrap_or_else(|| self.world.wire());
        wire.send(
            [b"GET ", case.target.as_slice(), b" HTTP/1.1\r\nHost: api.example.com\r\n", header.as_bytes(), b"\r\n"]
                .concat(),
        );
        let answer = wire.try_answer()?;
        if answer.whole && [200, 402, 404].contains(&answer.status) && answer.header("connection") != Some("close") {
            *kept = Some(wire);
        }
        Some(Said {
            status: answer.status,
            paid: answer.header("payment-response").is_some(),
            units: answer.header("x-units-cost").map(str::to_owned),
        })
    }

    /// What was charged for an answer: units in thousandths for a key, atomic units for a payment.
    fn charged(&self, case: &Case, said: &Said) -> u64 {
        match case.shown {
            Shown::Nothing => 0,
            Shown::Key => said.units.as_ref().map_or(0, |units| thousandths(units)),
            Shown::Payment(_) if !said.paid => 0,
            Shown::Payment(target) => {
                self.payments.borrow_mut().remove(target);
                let settled = self.world.facilitator.settled().last().unwrap().json();
                settled["paymentRequirements"]["amount"].as_str().unwrap().parse().unwrap()
            }
        }
    }

    /// What a path takes of who shows that; more than anybody has if it is not for sale in that way.
    fn cost(&self, path: &str, shown: Shown) -> u64 {
        let found = self.prices.find(&Method::GET, path);
        let Found::Route(route) = found else { return 0 };
        match shown {
            _ if route.access.is_free() => 0,
            Shown::Nothing => u64::MAX,
            Shown::Key => route.access.metering().map_or(u64::MAX, |metering| thousandths(&metering.units.to_string())),
            Shown::Payment(_) => {
                let offer = route.access.offer().map(|offer| offer.terms[0].amount.to_string());
                offer.map_or(u64::MAX, |amount| amount.parse().unwrap())
            }
        }
    }

    fn check(&self, case: &Case) -> Result<(), TestCaseError> {
        let said = self.send(case);
        let heard = self.world.upstream.heard();
        let count = |counter: &Cell<usize>| counter.set(counter.get() + 1);
        let Some(said) = said.filter(|_| !heard.is_empty()) else {
            count(&self.seen.refused);
            // Nothing was asked of the upstream, or nobody was answered; neither is charged, and both is not so.
            prop_assert!(heard.is_empty(), "no answer, but the upstream heard {}", heard[0].target());
            return Ok(());
        };
        prop_assert_eq!((said.status, heard.len()), (200, 1));
        let charged = self.charged(case, &said);
        count(match (charged, case.shown) {
            (0, _) => &self.seen.free,
            (_, Shown::Key) => &self.seen.by_key,
            _ => &self.seen.paid,
        });
        let target = Target::parse(heard[0].target().as_bytes());
        let target = target.map_err(|error| TestCaseError::fail(format!("{}: {error}", heard[0].target())))?;
        prop_assert_eq!(target.as_str(), heard[0].target(), "not in canonical form");
        prop_assert_eq!(charged, self.cost(target.path(), case.shown), "{} has another price", &target);
        let listed = !matches!(self.prices.find(&Method::GET, target.path()), Found::Unlisted | Found::Endpoint(_));
        prop_assert!(listed || self.prices.unlisted == tollgate::pricing::Unlisted::Free, "{} is denied", &target);
        for reading in readings(heard[0].target()) {
            let cost = self.cost(&reading, case.shown);
            prop_assert!(
                cost <= charged,
                "{} may be read as {reading}, and cost {charged} in place of {cost}",
                &target
            );
        }
        Ok(())
    }
}

fn thousandths(units: &str) -> u64 {
    let (whole, digits) = units.split_once('.').unwrap_or((units, ""));
    format!("{whole}{digits:0<3}").replace('_', "").parse().unwrap()
}

fn try_many(unlisted: &str) {
    let asking = Asking::start(unlisted);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    match runner.run(&case(), |case| asking.check(&case)) {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{case:?}: {why}"),
        Err(error) => panic!("{error}"),
    }
    // A run in which nothing got through would prove nothing.
    let seen = &asking.seen;
    for counter in [&seen.refused, &seen.free, &seen.by_key, &seen.paid] {
        assert!(counter.get() >= 50, "{seen:?}");
    }
}

#[test]
fn whatever_the_target_is_it_is_priced_as_it_arrives_where_unlisted_paths_are_free() {
    try_many("free");
}

#[test]
fn whatever_the_target_is_it_is_priced_as_it_arrives_where_unlisted_paths_are_denied() {
    try_many("deny");
}
