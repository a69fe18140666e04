//! An API that counts what it did, and for whose payment.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::http::{Heard, Said, Server};
use crate::rng::Rng;
use crate::story::{Moment, Story};

/// Larger than what is kept for a repeat.
const LARGE: usize = 12 * 1024;

/// A call that it got.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) at: Moment,
    /// In which life of the gateway.
    pub(crate) life: u64,
    /// Whose payment; nothing for a call with a key.
    pub(crate) payment: String,
    /// Whether it was answered well.
    pub(crate) good: bool,
}

/// The API; each life of the gateway has a door of its own, so that none can be taken for another.
#[derive(Clone)]
pub(crate) struct Upstream {
    story: Story,
    rng: Arc<Mutex<Rng>>,
    hits: Arc<Mutex<Vec<Hit>>>,
}

impl Upstream {
    pub(crate) fn new(rng: Rng, story: &Story) -> Self {
        Self { story: story.clone(), rng: Arc::new(Mutex::new(rng)), hits: Arc::default() }
    }

    pub(crate) fn door(&self, life: u64) -> Server {
        let upstream = self.clone();
        Server::start(move |heard| Some(upstream.serve(heard, life)))
    }

    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }

    /// The body names the payment, and a number that no other answer has.
    fn serve(&self, heard: &Heard, life: u64) -> Said {
        let payment = heard.head.get("x-tollgate-payment-id").unwrap_or_default().to_owned();
        let (good, large) = {
            let mut rng = self.rng.lock().unwrap();
            (!rng.is(4), rng.is(15))
        };
        let at = self.story.tell(&payment, format!("the upstream is called in life {life}, answers well: {good}"));
        self.hits.lock().unwrap().push(Hit { at, life, payment: payment.clone(), good });
        if !good {
            return Said::json(500, &json!({ "error": "the upstream failed" }));
        }
        let body = json!({ "serial": at, "payment": payment }).to_string();
        let (first, second) = body.split_at(body.len() / 2);
        let padding = if large { " ".repeat(LARGE) } else { String::new() };
        Said { status: 200, pieces: vec![first.to_owned(), second.to_owned(), padding, "\n".to_owned()] }
    }
}
