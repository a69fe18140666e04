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

/// How often a healed gateway is asked for what stays unknown.
const TRIES_HEALED: u32 = 4;
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
    /// Wants one thing after the other until everything is healed.
    pub(crate) fn live(mut self) -> Vec<Intent> {
        let wallet = DemoWallet::random().unwrap();
        let mut intents = Vec::new();
        while !self.is_healed() {
            let wish = *match self.work {
                Work::Calls => self.rng.one_of(&[Wish::Get, Wish::Get, Wish::Upfront, Wish::Post]),
                Work::Purchases => &Wish::Plan,
                Work::Both => self.rng.one_of(&[Wish::Get, Wish::Upfront, Wish::Post, Wish::Plan]),
            };
            intents.push(self.pursue(wish, &wallet));
        }
        intents
    }

    fn pursue(&mut self, wish: Wish, wallet: &DemoWallet) -> Intent {
        let mut intent = Intent { wish, payments: Vec::new(), ending: Ending::GaveUp };
        // One in eight leaves when the first answer is lost, and never learns what became of the money.
        let (patient, mut tries, begun) = (!self.rng.is(12), 0, Instant::now());
        let mut signs = true;
        while begun.elapsed() < PATIENCE {
            if signs {
                let Some(paid) = self.sign(wish, wallet) else {
                    if self.is_healed() {
                        break;
                    }
                    sleep(PAUSE);
                    continue;
                };
                intent.payments.push(paid);
                signs = false;
            }
            let signed = intent.payments.len();
            let paid = intent.payments.last_mut().unwrap();
            match self.send(wish, paid) {
                Next::Have(what) => {
                    self.note(wish, paid, what);
                    self.once_more(wish, paid);
                    intent.ending = Ending::Delivered;
                    break;
                }
                Next::Spent => {
                    intent.ending = Ending::Spent;
                    break;
                }
                Next::SignAnew => {
                    paid.refused = true;
                    signs = true;
                    if signed == SIGNED_MAX {
                        break;
                    }
                }
                Next::Again if !patient => break,
                Next::Again => {
                    tries += u32::from(self.is_healed());
                    if tries == TRIES_HEALED {
                        intent.ending = Ending::Open;
                        break;
                    }
                    sleep(PAUSE);
                }
            }
        }
        intent
    }

    /// Some ask for the same again although they have it: they get the same, or nothing.
    fn once_more(&mut self, wish: Wish, paid: &mut Paid) {
        if self.rng.is(40)
            && let Next::Have(what) = self.send(wish, paid)
        {
            self.note(wish, paid, what);
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

    fn target(self) -> &'static str {
        match self {
            Self::Get | Self::Post => "/work",
            Self::Upfront => "/upfront",
            Self::Plan => "/x402/purchase?plan=many",
        }
    }
}
