//! Keyed calls on several connections while the program ends: what the books lose is never the buyer's, never more than
//! the last moments' calls, and nothing if it is told to stop.
//!
//! ```text
//! TOLLGATE_KEYED_KILLS=100 TOLLGATE_KEYED_SEED=1 cargo test --test gateway keyed_crash -- --nocapture
//! ```

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tollgate::plans::Units;
use tollgate::sandbox::DemoWallet;

use crate::support::client::{Wire, request};
use crate::support::server::{Heard, Reply};
use crate::support::wait::{PATIENCE, until_true};
use crate::support::world::{Setup, World};

#[path = "../crash/rng.rs"]
#[allow(dead_code, reason = "the crash tests use the rest")]
mod rng;

use rng::Rng;

/// Targets and what they take, in thousandths; each has a route. The last one is dear enough to use up what is left.
const TARGETS: [(&str, i64); 5] =
    [("/cheap", 250), ("/one", 1_000), ("/dear", 2_500), ("/failing", 1_000), ("/whale", 500_000)];
/// As many of them are called under load.
const USUAL: u64 = 4;

const ROUTES: &str = r#"
[[routes]]
path  = "/cheap"
units = 0.25

[[routes]]
path  = "/one"
units = 1

[[routes]]
path  = "/dear"
units = 2.5

[[routes]]
path  = "/failing"
units = 1

[[routes]]
path  = "/whale"
units = 500

[[plans]]
name     = "large"
price    = "$1"
units    = 100_000
duration = "30d"

[[plans]]
name     = "small"
price    = "$1"
units    = 2_000
duration = "30d"
"#;

/// Kills, unless the environment says how many.
const KILLS: u64 = 4;
const CONNECTIONS_PER_KEY: usize = 2;
/// A life is longer than what may be lost, or nothing would be shown.
const LIFE_MS_MIN: u64 = 1_500;
const LIFE_MS_SPAN: u64 = 2_500;
/// Units are written down every second; on a busy machine that takes its time.
const LOST_MAX: Duration = Duration::from_secs(2);

/// A call that the upstream served.
#[derive(Debug, Clone)]
struct Hit {
    payer: String,
    thousandths: i64,
    at: Instant,
}

/// A buyer with a plan and keys to it.
#[derive(Debug)]
struct Buyer {
    payer: String,
    keys: Vec<String>,
    bought: i64,
    /// What the books have lost of what was served, kill by kill.
    lost: i64,
}

/// Buyers between the program and an upstream that counts.
struct Stage {
    world: World,
    hits: Arc<Mutex<Vec<Hit>>>,
    /// In the order of their subscriptions in the books.
    buyers: Vec<Buyer>,
}

impl Stage {
    fn start() -> Self {
        let world = Setup { routes: ROUTES, ..Setup::default() }.start();
        let hits = Arc::new(Mutex::new(Vec::new()));
        let counting = Arc::clone(&hits);
        world.upstream.answers(move |heard| serve(heard, &counting));
        let mut stage = Self { world, hits, buyers: Vec::new() };
        for (plan, keys, units) in [("large", 2, 100_000), ("large", 1, 100_000), ("small", 1, 2_000)] {
            stage.world.wallet = DemoWallet::random().unwrap();
            let mut buyer = Buyer {
                payer: stage.world.wallet.address().to_lowercase(),
                keys: vec![stage.world.buy(plan)],
                bought: units * 1_000,
                lost: 0,
            };
            while buyer.keys.len() < keys {
                let made = stage.world.ask("POST", "/x402/keys", &[("X-API-KEY", &buyer.keys[0])], "").json();
                buyer.keys.push(made["apiKey"].as_str().unwrap().to_owned());
            }
            stage.buyers.push(buyer);
        }
        stage
    }

    /// Begins to call with all keys, does that to the program meanwhile, and waits for the callers' end. Says how many
    /// thousandths they got answers for.
    fn under_load(&mut self, rng: &mut Rng, act: impl FnOnce(&mut World)) -> i64 {
        let addr = self.world.gateway.addr;
        let Self { world, buyers, .. } = self;
        thread::scope(|scope| {
            let keys = buyers.iter().flat_map(|buyer| &buyer.keys);
            let callers: Vec<_> = keys
                .flat_map(|key| std::iter::repeat_n(key, CONNECTIONS_PER_KEY))
                .map(|key| (key, rng.fork()))
                .map(|(key, rng)| scope.spawn(move || call(addr, key, rng)))
                .collect();
            act(world);
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        })
    }

    /// What a buyer was served, by the upstream's count, since then.
    fn served(&self, buyer: &Buyer, since: Option<Instant>) -> i64 {
        let hits = self.hits.lock().unwrap();
        let theirs = hits.iter().filter(|hit| hit.payer == buyer.payer && since.is_none_or(|since| hit.at >= since));
        theirs.map(|hit| hit.thousandths).sum()
    }

    /// What the books say after a start, which is what the buyers are told.
    fn used(&self) -> Vec<i64> {
        let used = self.world.units_used();
        self.buyers.iter().zip(&used).for_each(|(buyer, used)| self.is_told(buyer, *used));
        used
    }

    fn is_told(&self, buyer: &Buyer, used: i64) {
        let status = self.world.get("/x402/status", &[("X-API-KEY", &buyer.keys[0])]).json();
        let told = Units::from_thousandths(u64::try_from(used).unwrap()).to_json();
        assert_eq!(status["quota"]["used"], told, "{status}");
    }

    /// Spends what is left to the last thousandth that a call can have.
    fn spend_the_rest(&self) {
        for (buyer, used) in self.buyers.iter().zip(self.used()) {
            let before = self.served(buyer, None);
            for (target, _) in TARGETS.iter().rev().filter(|(target, _)| *target != "/failing") {
                until_true("the end of the plan", || {
                    let answer = self.world.get(target, &[("X-API-KEY", &buyer.keys[0])]);
                    assert!(answer.status == 200 || answer.reason() == "quota_exhausted", "{}", answer.text());
                    answer.status == 402
                });
            }
            assert_eq!(self.served(buyer, None) - before, buyer.bought - used, "all that was left");
            self.is_told(buyer, buyer.bought);
        }
        until_true("the books", || {
            self.world.units_used().into_iter().eq(self.buyers.iter().map(|buyer| buyer.bought))
        });
    }
}

fn serve(heard: &Heard, hits: &Mutex<Vec<Hit>>) -> Reply {
    let Some((target, thousandths)) = TARGETS.into_iter().find(|(target, _)| *target == heard.target()) else {
        return Reply::status(404, "", "");
    };
    if target == "/failing" {
        return Reply::status(500, "", "failed");
    }
    let payer = heard.head.get("x-tollgate-payer").unwrap().to_lowercase();
    hits.lock().unwrap().push(Hit { payer, thousandths, at: Instant::now() });
    Reply::ok("served")
}

/// Calls over one connection to its end. Says how many thousandths the answers were worth.
fn call(addr: SocketAddr, key: &str, mut rng: Rng) -> i64 {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut wire = Wire::over(stream);
    let mut received = 0;
    loop {
        let (target, thousandths) = TARGETS[usize::try_from(rng.below(USUAL)).unwrap()];
        wire.send(request("GET", target, &[("X-API-KEY", key)], ""));
        match wire.try_answer() {
            Some(answer) if answer.status == 200 => received += thousandths,
            Some(answer) if [402, 500].contains(&answer.status) => {}
            _ => return received,
        }
    }
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Thousandths as people read them.
fn units(thousandths: i64) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

#[test]
fn a_killed_gateway_forgets_the_last_moments_calls_and_nothing_else() {
    let (kills, seed) = (number("TOLLGATE_KEYED_KILLS", KILLS), number("TOLLGATE_KEYED_SEED", 1));
    let (mut stage, mut rng) = (Stage::start(), Rng::new(seed));
    let (mut received, mut lost_most) = (0, 0);
    for kill in 1..=kills {
        let life = Duration::from_millis(LIFE_MS_MIN + rng.below(LIFE_MS_SPAN));
        let mut killed = Instant::now();
        received += stage.under_load(&mut rng, |world| {
            thread::sleep(life);
            killed = Instant::now();
            world.gateway.crash_and_restart();
        });
        assert!(stage.world.units_leased().into_iter().all(|leased| leased == 0), "what was set aside is free");
        let mut losses = Vec::new();
        for (place, used) in stage.used().into_iter().enumerate() {
            let buyer = &stage.buyers[place];
            let lost = stage.served(buyer, None) - used - buyer.lost;
            let most = stage.served(buyer, killed.checked_sub(LOST_MAX));
            println!("kill {kill} after {life:?}: {} of the last {} units are lost", units(lost), units(most));
            assert!(lost >= 0, "kill {kill}, seed {seed}: {} units more in the books than served", units(-lost));
            assert!(lost <= most, "kill {kill}, seed {seed}: {} of {} units are lost", units(lost), units(most));
            assert!(used <= buyer.bought, "{} units were bought, {} used", units(buyer.bought), units(used));
            losses.push(lost);
        }
        lost_most = lost_most.max(losses.iter().sum());
        stage.buyers.iter_mut().zip(losses).for_each(|(buyer, lost)| buyer.lost += lost);
    }
    let (served, calls) =
        (stage.buyers.iter().map(|buyer| stage.served(buyer, None)).sum(), stage.hits.lock().unwrap().len());
    assert!(received <= served);
    stage.spend_the_rest();
    for buyer in &stage.buyers {
        assert_eq!(stage.served(buyer, None), buyer.bought + buyer.lost, "what was bought, and what was lost");
    }
    let lost = stage.buyers.iter().map(|buyer| buyer.lost).sum();
    println!(
        "{kills} kills, seed {seed}: {calls} calls of {} units were served, {} answered; {} units lost, {} at one kill",
        units(served),
        units(received),
        units(lost),
        units(lost_most)
    );
}

#[test]
fn a_gateway_that_is_told_to_stop_forgets_nothing() {
    let (mut stage, mut rng) = (Stage::start(), Rng::new(1));
    let hits = Arc::clone(&stage.hits);
    for _ in 0..3 {
        let calls = hits.lock().unwrap().len() + 300;
        stage.under_load(&mut rng, |world| {
            until_true("some load", || hits.lock().unwrap().len() > calls);
            world.gateway.signal("TERM");
            assert_eq!(world.gateway.exit().code(), Some(0));
        });
        let served: Vec<_> = stage.buyers.iter().map(|buyer| stage.served(buyer, None)).collect();
        assert_eq!(stage.world.units_used(), served);
        assert!(stage.world.units_leased().into_iter().all(|leased| leased == 0), "what was set aside is given back");
        stage.world.gateway.start_again();
    }
    println!("3 stops: {} calls were served, and all are in the books", hits.lock().unwrap().len());
    stage.spend_the_rest();
}
