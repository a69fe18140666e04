//! A facilitator that keeps true books: the money of an authorization moves once or not at all, whatever is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::books::identity;
use crate::http::{Heard, Said, Server};
use crate::rng::Rng;
use crate::story::{Moment, Story};

/// What it says to a second `/settle` of a payment that has landed. Both are found in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// The receipt of the first.
    Receipt,
    /// That the nonce is used.
    Used,
}

/// How it behaves, in percent of its `/settle` answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Temper {
    /// An error or a broken connection, before or after the money has moved.
    pub(crate) broken: u64,
    /// A clear no, of a payment that has not landed.
    pub(crate) refused: u64,
    /// The longest wait before the money moves, and after.
    pub(crate) delay_ms: u64,
}

/// The books and the running server.
pub(crate) struct Facilitator {
    pub(crate) server: Server,
    shared: Arc<Shared>,
}

/// What it has of a payment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Booked {
    /// How often the money moved.
    pub(crate) moved: u32,
    /// When it was first asked to settle, refusals aside.
    pub(crate) asked: Option<Moment>,
}

struct Shared {
    second: Second,
    story: Story,
    rng: Mutex<Rng>,
    temper: Mutex<Temper>,
    books: Mutex<HashMap<String, Booked>>,
}

/// When it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Never,
    Before,
    After,
    Refuses,
}

impl Temper {
    pub(crate) const HEALED: Self = Self { broken: 0, refused: 0, delay_ms: 0 };
    pub(crate) const USUAL: Self = Self { broken: 30, refused: 4, delay_ms: 30 };
}

impl Facilitator {
    pub(crate) fn start(second: Second, rng: Rng, story: &Story) -> Self {
        let shared = Arc::new(Shared {
            second,
            story: story.clone(),
            rng: Mutex::new(rng),
            temper: Mutex::new(Temper::USUAL),
            books: Mutex::default(),
        });
        let asked = Arc::clone(&shared);
        let server = Server::start(move |heard| match heard.head.word(1) {
            "/verify" => asked.verify(heard),
            "/settle" => asked.settle(heard),
            _ => Some(Said::json(200, &json!({ "kinds": [KIND] }))),
        });
        Self { server, shared }
    }

    pub(crate) fn behaves(&self, temper: Temper) {
        *self.shared.temper.lock().unwrap() = temper;
    }

    pub(crate) fn books(&self) -> HashMap<String, Booked> {
        self.shared.books.lock().unwrap().clone()
    }
}

/// The only kind of payment here.
const KIND: Kind = Kind { x402_version: 2, scheme: "exact", network: "eip155:8453" };

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    x402_version: u8,
    scheme: &'static str,
    network: &'static str,
}

impl Shared {
    fn verify(&self, heard: &Heard) -> Option<Said> {
        let Asked { payment, payer, .. } = Asked::read(heard);
        let (delay, fails) = self.draw();
        thread::sleep(delay);
        let moved = self.has_landed(&payment);
        let told = self.story.tell(&payment, format!("/verify: landed {moved}"));
        if fails == Fails::Before {
            return self.break_off(&payment, told);
        }
        Some(match (moved, self.second) {
            (true, Second::Used) => {
                Said::json(200, &json!({ "isValid": false, "invalidReason": USED, "payer": payer }))
            }
            _ => Said::json(200, &json!({ "isValid": true, "payer": payer })),
        })
    }

    fn settle(&self, heard: &Heard) -> Option<Said> {
        let asked = Asked::read(heard);
        let payment = &asked.payment;
        let (delay, fails) = self.draw();
        let told = self.story.tell(payment, format!("/settle: will fail {fails:?}, takes twice {delay:?}"));
        if fails == Fails::Refuses && !self.has_landed(payment) {
            self.story.tell(payment, "/settle is refused");
            let network = &asked.network;
            let no = json!({ "success": false, "errorReason": "insufficient_funds", "network": network });
            return Some(Said::json(200, &no));
        }
        self.books.lock().unwrap().entry(payment.clone()).or_default().asked.get_or_insert(told);
        thread::sleep(delay);
        if fails == Fails::Before {
            return self.break_off(payment, told);
        }
        let was_landed = {
            let mut books = self.books.lock().unwrap();
            let booked = books.entry(payment.clone()).or_default();
            let was = booked.moved > 0;
            if !was {
                booked.moved += 1;
                self.story.tell(payment, "THE MONEY MOVES");
            }
            was
        };
        thread::sleep(delay);
        if fails == Fails::After {
            return self.break_off(payment, told);
        }
        Some(Said::json(200, &self.outcome(&asked, was_landed)))
    }

    fn outcome(&self, asked: &Asked, was_landed: bool) -> Value {
        let Asked { payment, payer, network, transaction } = asked;
        if was_landed && self.second == Second::Used {
            self.story.tell(payment, "/settle says already used");
            return json!({ "success": false, "errorReason": USED, "network": network, "payer": payer });
        }
        self.story.tell(payment, "/settle says settled");
        json!({ "success": true, "transaction": transaction, "network": network, "payer": payer })
    }

    /// An error for every other, a broken connection for the rest.
    fn break_off(&self, payment: &str, told: Moment) -> Option<Said> {
        self.story.tell(payment, "the facilitator breaks off");
        (told.is_multiple_of(2)).then(|| Said::json(502, &json!({ "error": "bad gateway" })))
    }

    fn has_landed(&self, payment: &str) -> bool {
        self.books.lock().unwrap().get(payment).is_some_and(|booked| booked.moved > 0)
    }

    fn draw(&self) -> (Duration, Fails) {
        let (temper, mut rng) = (*self.temper.lock().unwrap(), self.rng.lock().unwrap());
        let delay = Duration::from_millis(rng.below(temper.delay_ms + 1) / 2);
        let fails = match rng.below(100) {
            draw if draw < temper.broken / 3 => Fails::Before,
            draw if draw < temper.broken => Fails::After,
            draw if draw < temper.broken + temper.refused => Fails::Refuses,
            _ => Fails::Never,
        };
        (delay, fails)
    }
}

const USED: &str = "invalid_exact_evm_nonce_already_used";

/// What a request is about.
struct Asked {
    payment: String,
    payer: Value,
    network: Value,
    transaction: Value,
}

impl Asked {
    fn read(heard: &Heard) -> Self {
        let body = heard.json();
        let (payload, terms) = (&body["paymentPayload"]["payload"], &body["paymentRequirements"]);
        Self {
            payment: identity(payload, terms),
            payer: payload["authorization"]["from"].clone(),
            network: terms["network"].clone(),
            transaction: payload["authorization"]["nonce"].clone(),
        }
    }
}
