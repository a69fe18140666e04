//! One run: lives that end badly, one that heals everything, and the comparison of the books.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::buyer::{Buyer, Intent, World};
use crate::facilitator::{Facilitator, Second, Temper};
use crate::gateway::{Gateway, Life};
use crate::judge::{Evidence, judge};
use crate::ledger;
use crate::points::{POINTS, Point};
use crate::rng::Rng;
use crate::story::{Moment, Story};
use crate::totals::{NOT_REACHED, RUNS, Totals};
use crate::upstream::Upstream;

const BUYERS: u64 = 4;
const WORKERS: usize = 4;
/// A point that is not passed by then is not on anybody's way.
const TO_REACH: Duration = Duration::from_secs(3);
/// The reconciler would have nothing to do for seconds, if time did not pass faster for it.
const AGED_EVERY: Duration = Duration::from_millis(300);
/// A rare one is tried in so many lives.
const LIVES_FOR_A_POINT: u32 = 6;
/// For what the reconciler can end.
const TO_RECONCILE: Duration = Duration::from_secs(10);

/// What the buyers want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Calls,
    Purchases,
    Both,
}

/// How a life ends.
#[derive(Debug, Clone)]
pub(crate) enum Kill {
    /// At some moment, `kill -9`.
    After(Duration),
    /// At a point, after it was passed so often.
    At(Point, u64),
}

/// A whole run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) work: Work,
    pub(crate) kills: Vec<Kill>,
    /// What the facilitator says to a second `/settle`.
    pub(crate) second: Second,
    /// What the gateway makes of it.
    pub(crate) unproven: &'static str,
}

impl Kill {
    pub(crate) fn at(point: &Point, rng: &mut Rng) -> Self {
        Self::At(*point, if point.is_usual { rng.below(4) } else { 0 })
    }

    fn random(work: Work, rng: &mut Rng) -> Self {
        let points: Vec<_> = POINTS.into_iter().filter(|point| point.is_reached_by(work)).collect();
        if cfg!(feature = "crash-points") && rng.is(70) {
            return Self::at(rng.one_of(&points), rng);
        }
        Self::After(Duration::from_millis(20 + rng.below(500)))
    }
}

impl Plan {
    /// A run without an end yet.
    pub(crate) fn of(seed: u64, work: Work) -> Self {
        let modes = [(Second::Receipt, "hold"), (Second::Used, "hold"), (Second::Used, "accept")];
        let (second, unproven) = modes[usize::try_from(seed % 3).unwrap()];
        Self { seed, work, kills: Vec::new(), second, unproven }
    }

    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let work = *rng.one_of(&[Work::Calls, Work::Purchases, Work::Both, Work::Both]);
        let count = 1 + rng.below(3);
        let kills = (0..count).map(|_| Kill::random(work, &mut rng)).collect();
        Self { kills, ..Self::of(seed, work) }
    }
}

/// Everything that takes part.
struct Stage<'a> {
    plan: &'a Plan,
    story: Story,
    gateway: Gateway,
    facilitator: Facilitator,
    upstream: Upstream,
    lives: u64,
    kills: Vec<Moment>,
}

/// Goes through all of them, several at a time: most of a run is waiting.
pub(crate) fn run_all(plans: Vec<Plan>) -> Totals {
    let plans = Mutex::new(plans.into_iter());
    thread::scope(|scope| {
        let work = || {
            let mut totals = Totals::default();
            loop {
                let next = plans.lock().unwrap().next();
                let Some(plan) = next else { return totals };
                run(&plan, &mut totals);
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let mut all = Totals::default();
        workers.into_iter().for_each(|worker| all.merge(worker.join().unwrap()));
        all
    })
}

fn run(plan: &Plan, totals: &mut Totals) {
    let (story, mut rng) = (Story::new(), Rng::new(plan.seed));
    let mut stage = Stage {
        plan,
        gateway: Gateway::new(),
        facilitator: Facilitator::start(plan.second, rng.fork(), &story),
        upstream: Upstream::new(rng.fork(), &story),
        story,
        lives: 0,
        kills: Vec::new(),
    };
    let world = Arc::new(World::default());
    let buyers: Vec<_> = (0..BUYERS)
        .map(|_| {
            let (gateway, work, story) = (stage.gateway.addr, plan.work, stage.story.clone());
            let buyer = Buyer { gateway, work, story, rng: rng.fork(), world: Arc::clone(&world) };
            thread::spawn(move || buyer.live())
        })
        .collect();
    for kill in &plan.kills {
        stage.end_a_life(kill, totals);
    }
    stage.facilitator.behaves(Temper::HEALED);
    let door = stage.live(None);
    world.healed.store(true, Ordering::SeqCst);
    let failed = |_| panic!("a buyer failed, TOLLGATE_CRASH_SEED={}", plan.seed);
    let intents: Vec<Intent> = buyers.into_iter().flat_map(|buyer| buyer.join().unwrap_or_else(failed)).collect();
    stage.reconcile();
    let evidence = stage.evidence(&intents);
    totals.add(RUNS, 1);
    judge(&evidence, totals);
    drop(door);
}

impl Stage<'_> {
    fn end_a_life(&mut self, kill: &Kill, totals: &mut Totals) {
        let (point, passings) = match kill {
            Kill::After(time) => {
                let door = self.live(None);
                sleep(*time);
                self.killed("kill -9", totals);
                drop(door);
                return;
            }
            Kill::At(point, passings) => (point, *passings),
        };
        let rare = Temper { broken: 60, refused: if point.name == "settle.voided" { 30 } else { 4 }, delay_ms: 30 };
        self.facilitator.behaves(if point.is_usual { Temper::USUAL } else { rare });
        for attempt in 0..LIVES_FOR_A_POINT {
            let passings = if attempt == 0 { passings } else { 0 };
            let off = if passings == 0 { String::new() } else { format!("{passings}*off->") };
            let door = self.live(Some(format!("{}={off}1*return", point.name)));
            let struck = self.waits_for(point);
            self.killed(if struck { point.name } else { NOT_REACHED }, totals);
            drop(door);
            if struck {
                break;
            }
        }
        self.facilitator.behaves(Temper::USUAL);
    }

    /// Says whether the gateway has come to its end by itself.
    fn waits_for(&mut self, point: &Point) -> bool {
        let until = Instant::now() + TO_REACH;
        while Instant::now() < until {
            if self.gateway.ends_within(AGED_EVERY) {
                return true;
            }
            if !point.is_usual {
                ledger::age(&self.gateway.store_file());
            }
        }
        false
    }

    fn live(&mut self, crash: Option<String>) -> crate::http::Server {
        self.lives += 1;
        self.story.tell("", format!("life {} begins, {}", self.lives, crash.as_deref().unwrap_or("unarmed")));
        let door = self.upstream.door(self.lives);
        let Plan { unproven, .. } = self.plan;
        let life = Life { upstream: door.addr, facilitator: self.facilitator.server.addr, unproven, crash };
        self.gateway.live(&life);
        door
    }

    fn killed(&mut self, how: &'static str, totals: &mut Totals) {
        self.gateway.kill();
        self.kills.push(self.story.tell("", format!("life {} has ended: {how}", self.lives)));
        totals.killed(how, self.plan.work);
    }

    /// Waits until nothing is unknown that can be known.
    fn reconcile(&self) {
        let file = self.gateway.store_file();
        let until = Instant::now() + TO_RECONCILE;
        while !self.is_known() && Instant::now() < until {
            ledger::age(&file);
            sleep(AGED_EVERY);
        }
    }

    fn is_known(&self) -> bool {
        let books = self.facilitator.books();
        let landed = |id: &String| books.get(id).is_some_and(|booked| booked.moved > 0);
        let hopeless = |id| self.plan.can_stay_unknown() && landed(id);
        ledger::rows(&self.gateway.store_file())
            .iter()
            .all(|(id, (state, _))| !matches!(state.as_str(), "settling" | "unknown") || hopeless(id))
    }

    fn evidence<'b>(&self, intents: &'b [Intent]) -> Evidence<'b> {
        Evidence {
            plan: self.plan.clone(),
            story: self.story.clone(),
            log: self.gateway.log(),
            gateway: self.gateway.addr,
            intents,
            books: self.facilitator.books(),
            hits: self.upstream.hits(),
            rows: ledger::rows(&self.gateway.store_file()),
            kills: self.kills.clone(),
        }
    }
}

impl Plan {
    /// Whether nobody can say that a payment has landed, once the answer is lost.
    pub(crate) fn can_stay_unknown(&self) -> bool {
        self.second == Second::Used && self.unproven == "hold"
    }
}
