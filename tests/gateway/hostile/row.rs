//! One buyer's story with one behaviour, and what must be true of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::behaviours::Behaviour;
use super::books::{Account, Books, Moves, Tells};
use super::field::{Field, SECRET};
use crate::support::client::Answer;

/// How often the same payment is sent while the facilitator is hostile, after the first time.
const REPEATS: usize = 2;
/// How often when it is honest again; a busy machine may let an honest answer come too late.
const TRIES: usize = 8;
/// Between those.
const PAUSE: Duration = Duration::from_millis(200);

/// What is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Post,
    Purchase,
    Upfront,
    UpfrontPost,
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) behaviour: &'static Behaviour,
    pub(crate) kind: Kind,
    pub(crate) moves: Moves,
    pub(crate) tells: Tells,
    /// Whether the buyer waits for the reconciler and does not send the payment again before.
    pub(crate) waits: bool,
}

/// What the buyer saw, and how the books stood.
#[derive(Debug)]
struct Seen {
    healed: bool,
    status: u16,
    reason: String,
    /// The secret word with its number, or the key.
    goods: Option<String>,
    /// The secret where it must not be, or a header that was smuggled in.
    leaks: bool,
    invites: bool,
    moved: bool,
    hits: usize,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) row: Row,
    payer: String,
    account: Arc<Account>,
    seen: Vec<Seen>,
    /// The money moved after a 402, without the buyer's doing.
    moved_after_402: bool,
    pub(crate) books: Books,
    pub(crate) hits: usize,
    pub(crate) state: String,
}

impl Kind {
    fn method(self) -> &'static str {
        if matches!(self, Self::Post | Self::UpfrontPost) { "POST" } else { "GET" }
    }

    fn target(self, number: usize) -> String {
        match self {
            Self::Get | Self::Post => format!("/paid?row={number}"),
            Self::Upfront | Self::UpfrontPost => format!("/upfront?row={number}"),
            Self::Purchase => "/x402/purchase?plan=five".to_owned(),
        }
    }

    fn goods(self, answer: &Answer) -> Option<String> {
        if answer.status >= 300 {
            return None;
        }
        match self {
            Self::Purchase => answer.json()["apiKey"].as_str().map(str::to_owned),
            _ => answer.text().contains(SECRET).then(|| answer.text()),
        }
    }
}

impl Row {
    pub(crate) fn new(behaviour: &'static Behaviour, kind: Kind, moves: Moves) -> Self {
        Self { behaviour, kind, moves, tells: Tells::Receipt, waits: false }
    }

    /// Plays it to its end. `number` is one that no other row of the field has.
    pub(crate) fn play(self, field: &Field, number: usize) -> Story {
        let wallet = DemoWallet::random().unwrap();
        let account = Account::new(self.behaviour, self.moves, self.tells);
        let account = field.double.open(wallet.address(), account);
        let mut play = Play { field, kind: self.kind, account, target: self.kind.target(number), seen: Vec::new() };
        let challenge = play.ask(&[]);
        let required = challenge.header("payment-required").unwrap_or_else(|| panic!("no challenge: {challenge:?}"));
        let payment = wallet.pay(required.as_bytes(), unix_seconds(SystemTime::now())).unwrap().header;

        let mut moved_after_402 = play.present(&payment, false);
        if !self.waits {
            for _ in 0..REPEATS {
                moved_after_402 |= play.present(&payment, false);
            }
        }
        play.account.heals();
        if self.waits {
            field.until_ended(&wallet.address());
        }
        for _ in 0..TRIES {
            moved_after_402 |= play.present(&payment, true);
            if play.is_over() {
                break;
            }
            thread::sleep(PAUSE);
        }
        // Once more after the delivery. For a moment after it, the payment may still be worked on.
        for _ in 0..TRIES {
            moved_after_402 |= play.present(&payment, true);
            if !play.is_busy() {
                break;
            }
            thread::sleep(PAUSE);
        }
        let Play { account, seen, target, .. } = play;
        let (books, hits) = (account.books(), field.hits(&target));
        let (payer, state) = (wallet.address(), String::new());
        Story { row: self, payer, account, seen, moved_after_402, books, hits, state }
    }
}

struct Play<'a> {
    field: &'a Field,
    kind: Kind,
    account: Arc<Account>,
    target: String,
    seen: Vec<Seen>,
}

impl Play<'_> {
    fn ask(&self, headers: &[(&str, &str)]) -> Answer {
        let body = if self.kind.method() == "POST" { "work" } else { "" };
        self.field.world.ask(self.kind.method(), &self.target, headers, body)
    }

    /// Sends the payment. Says whether the money moved since it was refused with 402 the last time.
    fn present(&mut self, payment: &str, healed: bool) -> bool {
        let moved_after_402 = self.seen.last().is_some_and(|last| last.invites && self.account.has_moved());
        let answer = self.ask(&[("PAYMENT-SIGNATURE", payment)]);
        let all = format!("{}{}", String::from_utf8_lossy(&answer.head.raw), answer.text());
        self.seen.push(Seen {
            healed,
            status: answer.status,
            reason: answer.reason(),
            goods: self.kind.goods(&answer),
            leaks: (answer.status >= 300 && (all.contains(SECRET) || all.contains("tg_live_")))
                || answer.header("set-cookie").is_some(),
            invites: answer.status == 402,
            moved: self.account.has_moved(),
            hits: self.field.hits(&self.target),
        });
        moved_after_402
    }

    /// Somebody is at work on it.
    fn is_busy(&self) -> bool {
        self.seen.last().is_some_and(|last| last.reason == "payment_in_progress")
    }

    /// Served, or what cannot change any more: an honest facilitator says "used" of a payment that is in doubt.
    fn is_over(&self) -> bool {
        let last = self.seen.last();
        last.is_some_and(|last| last.goods.is_some() || (last.moved && self.account.tells == Tells::Used))
    }
}

impl Story {
    /// How the ledger and the books stand when all is over.
    pub(crate) fn close(&mut self, field: &Field) {
        self.books = self.account.books();
        self.state = field.state(&self.payer);
        // A delivery is noted after the answer has left.
        for _ in 0..20 {
            if self.state != "settled" || self.deliveries().is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
            self.state = field.state(&self.payer);
        }
        let last = self.seen.last();
        self.moved_after_402 |= last.is_some_and(|last| last.invites) && self.moved();
    }

    pub(crate) fn moved(&self) -> bool {
        !self.books.moved.is_empty()
    }

    pub(crate) fn deliveries(&self) -> BTreeSet<&str> {
        self.seen.iter().filter_map(|seen| seen.goods.as_deref()).collect()
    }

    /// Which rules it breaks.
    pub(crate) fn complaints(&self) -> Vec<&'static str> {
        let served = self.seen.iter().position(|seen| seen.goods.is_some());
        // Told that nothing is charged, the buyer starts anew by sending the payment again.
        let anew = |seen: &&Seen| seen.status == 402 || seen.reason == "facilitator_unavailable";
        let starts = 1 + self.seen.iter().filter(anew).count();
        let after_delivery = served.is_some_and(|first| self.seen[first].hits < self.hits);
        let settled_after = !matches!(self.state.as_str(), "unknown" | "settling" | "settled" | "delivered");
        let healed = self.seen.last().is_some_and(|seen| seen.status == 200) && self.state == "delivered";
        [
            (self.books.nonces.len() > 1 || self.books.moved.len() > 1, "more than one payment"),
            (self.books.bodies.len() > 1, "/settle was asked with other bytes"),
            (self.seen.iter().any(|seen| seen.goods.is_some() && !seen.moved), "served free"),
            (self.seen.iter().any(|seen| seen.status < 300 && seen.goods.is_none()), "a success without the goods"),
            (self.deliveries().len() > 1, "two different deliveries"),
            (self.seen.iter().any(|seen| seen.leaks), "the secret in an error, or a smuggled header"),
            (self.seen.iter().any(|seen| seen.invites && seen.moved), "402 after the money moved"),
            (self.moved_after_402, "the money moved after a 402"),
            (self.seen.iter().any(|seen| seen.status == 500), "an error of the gateway's own"),
            (self.row.kind.method() == "POST" && self.hits > starts, "the work was done again"),
            (after_delivery, "the upstream was asked after the delivery"),
            (self.moved() && served.is_none() && settled_after, "the money is lost"),
            (!self.moved() && matches!(self.state.as_str(), "settled" | "delivered"), "settled, and nothing moved"),
            (self.row.tells == Tells::Receipt && !healed, "not delivered by an honest facilitator"),
        ]
        .into_iter()
        .filter_map(|(broken, what)| broken.then_some(what))
        .collect()
    }
}

/// A line of the table.
impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |seen: Option<&Seen>| seen.map_or(String::new(), |seen| format!("{} {}", seen.status, seen.reason));
        write!(
            f,
            "{:<30} {:<11} {:<5} {:<7} {:<5} {:<28} {:<25} {:>4} {:>5} {:>4}  {}",
            self.row.behaviour.name,
            format!("{:?}", self.row.kind),
            format!("{:?}", self.row.moves),
            format!("{:?}", self.row.tells),
            self.moved(),
            show(self.seen.first()),
            show(self.seen.last()),
            self.hits,
            self.books.settles,
            self.deliveries().len(),
            self.state,
        )
    }
}

/// The heads of its columns.
pub(crate) fn heads() -> String {
    format!(
        "{:<30} {:<11} {:<5} {:<7} {:<5} {:<28} {:<25} {:>4} {:>5} {:>4}  {}",
        "behaviour", "kind", "moves", "tells", "moved", "first", "last", "hits", "asked", "got", "ledger"
    )
}

/// The whole of it, for whoever has to find out what went wrong.
pub(crate) fn tell(story: &Story) -> String {
    let seen: Vec<_> = story
        .seen
        .iter()
        .map(|seen| format!("    {}: {seen:?}", if seen.healed { "honest" } else { "hostile" }))
        .collect();
    let Books { verifies, settles, moved, .. } = &story.books;
    let waits = story.row.waits;
    format!("{story}\n    waits {waits}, {verifies} verifies, {settles} settles, moved {moved:?}\n{}", seen.join("\n"))
}
