//! A buyer who wants what was paid for, and sends the same payment until it comes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use crate::books::identity_of_header;
use crate::http::{Answer, ask};
use crate::rng::Rng;
use crate::run::Work;
use crate::story::{Moment, Story};

/// How often something is asked for in vain before the buyer turns to the next, and comes back at the end.
const TRIES: u32 = 10;
/// Enough for the gateway to come back.
const TRIES_ONCE_MORE: u32 = 40;
/// A payment that was refused is signed anew so often.
const SIGNED_MAX: usize = 3;
/// Between two tries, while the gateway may be dead.
const PAUSE: Duration = Duration::from_millis(25);
/// For what may take no longer when everything is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody with a wallet.
pub(crate) struct Buyer {
    pub(crate) gateway: SocketAddr,
    pub(crate) work: Work,
    pub(crate) rng: Rng,
    pub(crate) story: Story,
    pub(crate) world: Arc<World>,
}

/// What everybody sees.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// No more crashes: what is begun is brought to its end.
    pub(crate) healed: AtomicBool,
}

/// Something that is wanted once.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) wish: Wish,
    /// All payments for it, one after the other.
    pub(crate) payments: Vec<Paid>,
    /// The last thing that was heard of it.
    pub(crate) ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Get,
    Upfront,
    Post,
    Plan,
}

/// A signed payment and what it brought.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    pub(crate) id: String,
    header: String,
    /// A 402 said that a new one has to be signed.
    pub(crate) refused: bool,
    /// Each whole good answer: when it came, and which one it is.
    pub(crate) delivered: Vec<(Moment, String)>,
    /// A delivery of something that names another payment.
    pub(crate) foreign: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was got.
    Delivered,
    /// The gateway says that the payment is used.
    Spent,
    /// It stays unknown.
    Open,
    /// The buyer went away, or had enough.
    GaveUp,
}

/// What an answer tells the buyer to do.
enum Next {
    Have(String),
    SignAnew,
    Spent,
    Again,
}

impl Buyer {
    /// Wants one thing after the other until everything is healed, and then once more what is still open.
    pub(crate) fn live(mut self) -> Vec<Intent> {
        let wallet = DemoWallet::random().unwrap();
        let mut intents = Vec::new();
        while !self.is_healed() {
            let wish = *match self.work {
                Work::Calls => self.rng.one_of(&[Wish::Get, Wish::Get, Wish::Upfront, Wish::Post]),
                Work::Purchases => &Wish::Plan,
                Work::Both => self.rng.one_of(&[Wish::Get, Wish::Upfront, Wish::Post, Wish::Plan]),
            };
            // Some leave when the first answer is lost, and never learn what became of the money.
            let tries = if self.rng.is(15) { 1 } else { TRIES };
            let mut intent = Intent { wish, payments: Vec::new(), ending: Ending::Open };
            self.pursue(&mut intent, &wallet, tries);
            if tries == 1 && intent.ending == Ending::Open {
                intent.ending = Ending::GaveUp;
            }
            intents.push(intent);
        }
        for intent in intents.iter_mut().filter(|intent| intent.ending == Ending::Open) {
            self.pursue(intent, &wallet, TRIES);
        }
        intents
    }

    /// Sends the same payment until it brings something, or as often as there is patience.
    fn pursue(&mut self, intent: &mut Intent, wallet: &DemoWallet, mut tries: u32) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && tries > 0 {
            if intent.payments.last().is_none_or(|paid| paid.refused) {
                match self.sign(intent.wish, wallet) {
                    _ if intent.payments.len() == SIGNED_MAX => intent.ending = Ending::GaveUp,
                    Some(paid) => intent.payments.push(paid),
                    None if self.is_healed() => intent.ending = Ending::GaveUp,
                    None => {
                        sleep(PAUSE);
                        continue;
                    }
                }
            }
            let Some(paid) = intent.payments.last_mut().filter(|_| intent.ending == Ending::Open) else { return };
            match self.send(intent.wish, paid) {
                Next::Have(what) => {
                    self.note(intent.wish, paid, what);
                    self.once_more(intent.wish, paid);
                    intent.ending = Ending::Delivered;
                }
                Next::Spent => intent.ending = Ending::Spent,
                Next::SignAnew => paid.refused = true,
                Next::Again => {
                    tries -= 1;
                    sleep(PAUSE);
                }
            }
        }
    }

    /// Some ask for the same again although they have it: they get the same, or nothing.
    fn once_more(&mut self, wish: Wish, paid: &mut Paid) {
        if !self.rng.is(40) {
            return;
        }
        for _ in 0..TRIES_ONCE_MORE {
            match self.send(wish, paid) {
                Next::Have(what) => return self.note(wish, paid, what),
                Next::Again => sleep(PAUSE),
                Next::SignAnew => return paid.refused = true,
                Next::Spent => return,
            }
        }
    }

    fn note(&self, wish: Wish, paid: &mut Paid, what: String) {
        let at = self.story.tell(&paid.id, format!("the buyer has {what}"));
        let serial = match wish {
            Wish::Plan => what,
            _ => {
                let body: serde_json::Value = serde_json::from_str(&what).unwrap_or_default();
                paid.foreign |= body["payment"] != paid.id.as_str();
                body["serial"].to_string()
            }
        };
        paid.delivered.push((at, serial));
    }

    fn sign(&self, wish: Wish, wallet: &DemoWallet) -> Option<Paid> {
        let challenge = ask(self.gateway, wish.method(), wish.target(), None).ok()?;
        let required = challenge.head.get("payment-required")?;
        let header = wallet.pay(required.as_bytes(), unix_seconds(SystemTime::now())).unwrap().header;
        let id = identity_of_header(&header);
        self.story.tell(&id, format!("a buyer signs for {wish:?}"));
        Some(Paid { id, header, refused: false, delivered: Vec::new(), foreign: false })
    }

    fn send(&self, wish: Wish, paid: &Paid) -> Next {
        let answer = ask(self.gateway, wish.method(), wish.target(), Some(("PAYMENT-SIGNATURE", &paid.header)));
        let (said, next) = read(wish, answer);
        self.story.tell(&paid.id, format!("the buyer hears {said}"));
        next
    }

    fn is_healed(&self) -> bool {
        self.world.healed.load(Ordering::SeqCst)
    }
}

fn read(wish: Wish, answer: io::Result<Answer>) -> (String, Next) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (error.to_string(), Next::Again),
    };
    let reason = answer.reason();
    let next = match (answer.status, reason.as_str(), wish) {
        (200, _, Wish::Plan) => Next::Have(answer.json()["apiKey"].as_str().unwrap_or_default().to_owned()),
        (200, ..) => Next::Have(answer.body),
        (402, ..) => Next::SignAnew,
        (409, "payment_already_used", _) => Next::Spent,
        (409, "payment_in_progress", _) | (500.., ..) => Next::Again,
        (status, ..) => panic!("an answer that nobody expects: {status} {reason}"),
    };
    (format!("{} {reason}", answer.status), next)
}

impl Wish {
    fn method(self) -> &'static str {
        if self == Self::Post { "POST" } else { "GET" }
    }

    /// Whether asking for it again does no work twice.
    pub(crate) fn is_safe(self) -> bool {
        self != Self::Post
    }

    fn target(self) -> &'static str {
        match self {
            Self::Get | Self::Post => "/work",
            Self::Upfront => "/upfront",
            Self::Plan => "/x402/purchase?plan=many",
        }
    }
}
