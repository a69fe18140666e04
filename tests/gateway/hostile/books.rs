//! A facilitator that says what it likes and keeps true books: whose money has moved, and how often it was asked.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::behaviours::{Asked, Behaviour, Endpoint, Step, whole};
use crate::support::facilitator::NETWORK;
use crate::support::message::{Framing, Reader};

/// The longest that a connection is held in silence; the gateway hangs up long before.
const SILENCE: Duration = Duration::from_secs(5);
/// Between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(30);

/// When the money moves, whatever is said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moves {
    /// Not before the facilitator is honest again.
    Never,
    /// At the first `/settle`.
    First,
}

/// What an honest facilitator says when it is asked to settle what has moved already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// The same receipt again.
    Receipt,
    /// That the nonce is used.
    Used,
}

/// The double; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Double {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

/// A payer's page in the books.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) behaviour: &'static Behaviour,
    pub(crate) moves: Moves,
    pub(crate) tells: Tells,
    honest: AtomicBool,
    books: Mutex<Books>,
}

/// What has happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    /// Nonces whose money has moved.
    pub(crate) moved: BTreeSet<String>,
    /// Nonces that were presented.
    pub(crate) nonces: BTreeSet<String>,
    pub(crate) verifies: usize,
    pub(crate) settles: usize,
    /// Different bodies of `/settle`.
    pub(crate) bodies: BTreeSet<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Shared {
    accounts: Mutex<HashMap<String, Arc<Account>>>,
    supported: Option<&'static Behaviour>,
    /// Requests that came by another name than ours: somebody followed a redirect.
    astray: AtomicUsize,
    /// Answers that hang at this moment.
    hanging: AtomicUsize,
    stopped: AtomicBool,
}

impl Account {
    pub(crate) fn new(behaviour: &'static Behaviour, moves: Moves, tells: Tells) -> Self {
        Self { behaviour, moves, tells, honest: AtomicBool::new(false), books: Mutex::default() }
    }

    /// From now on it says what is in the books.
    pub(crate) fn heals(&self) {
        self.honest.store(true, Ordering::SeqCst);
    }

    pub(crate) fn books(&self) -> Books {
        self.books.lock().unwrap().clone()
    }

    pub(crate) fn has_moved(&self) -> bool {
        !self.books.lock().unwrap().moved.is_empty()
    }

    /// Enters a request into the books, and says what is answered.
    fn answer(&self, endpoint: Endpoint, body: &[u8], own: &str) -> Vec<Step> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let authorization = &json["paymentPayload"]["payload"]["authorization"];
        let text = |name: &str| authorization[name].as_str().unwrap_or_default().to_owned();
        let (nonce, payer) = (text("nonce"), text("from"));
        let mut books = self.books.lock().unwrap();
        books.nonces.insert(nonce.clone());
        let before = books.moved.contains(&nonce);
        let number = match endpoint {
            Endpoint::Settle => {
                books.settles += 1;
                books.bodies.insert(body.to_vec());
                books.settles
            }
            _ => {
                books.verifies += 1;
                books.verifies
            }
        };
        let hostile = !self.honest.load(Ordering::SeqCst) && endpoint == self.behaviour.endpoint;
        if endpoint == Endpoint::Settle && (!hostile || self.moves == Moves::First) {
            books.moved.insert(nonce.clone());
        }
        let asked = Asked { nonce, payer, number, own: own.to_owned() };
        match (hostile, endpoint) {
            (true, _) => (self.behaviour.answer)(&asked),
            (false, Endpoint::Settle) if before && self.tells == Tells::Used => asked.used(),
            (false, Endpoint::Settle) => asked.receipt(),
            (false, _) if before => asked.invalid("invalid_exact_evm_nonce_already_used"),
            (false, _) => asked.valid(),
        }
    }
}

impl Double {
    pub(crate) fn start(supported: Option<&'static Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { supported, ..Shared::default() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, own) = (Arc::clone(&accepting), addr.to_string());
                thread::spawn(move || shared.serve(&stream, &own));
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Opens a page for a payer.
    pub(crate) fn open(&self, payer: String, account: Account) -> Arc<Account> {
        let account = Arc::new(account);
        self.shared.accounts.lock().unwrap().insert(payer, Arc::clone(&account));
        account
    }

    /// How many requests followed a redirect to another origin.
    pub(crate) fn astray(&self) -> usize {
        self.shared.astray.load(Ordering::SeqCst)
    }

    /// How many answers hang at this moment.
    pub(crate) fn hanging(&self) -> usize {
        self.shared.hanging.load(Ordering::SeqCst)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream, own: &str) {
        let _ = stream.set_nodelay(true);
        let mut reader = Reader::new(stream);
        while let Ok(Some(head)) = reader.head() {
            let body = reader.body(head.framing(Framing::None)).bytes;
            if head.get("host") != Some(own) {
                self.astray.fetch_add(1, Ordering::SeqCst);
            }
            let steps = match head.word(1) {
                "/verify" => self.page(&body).map(|page| page.answer(Endpoint::Verify, &body, own)),
                "/settle" => self.page(&body).map(|page| page.answer(Endpoint::Settle, &body, own)),
                _ => Some(self.kinds(own)),
            };
            let steps = steps.unwrap_or_else(|| whole(400, "", r#"{"error":"no such payer"}"#));
            if !steps.into_iter().all(|step| self.take(step, stream)) {
                return;
            }
        }
    }

    fn page(&self, body: &[u8]) -> Option<Arc<Account>> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let payer = json["paymentPayload"]["payload"]["authorization"]["from"].as_str()?.to_owned();
        self.accounts.lock().unwrap().get(&payer).cloned()
    }

    fn kinds(&self, own: &str) -> Vec<Step> {
        match self.supported {
            Some(behaviour) => (behaviour.answer)(&Asked { own: own.to_owned(), ..Asked::default() }),
            None => {
                let kinds = json!([{ "x402Version": 2, "scheme": "exact", "network": NETWORK }]);
                whole(200, "", &json!({ "kinds": kinds }).to_string())
            }
        }
    }

    /// Takes a step; says whether the connection goes on.
    fn take(&self, step: Step, mut stream: &TcpStream) -> bool {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).is_ok(),
            Step::Flood(bytes, times) => (0..times).all(|_| stream.write_all(&bytes).is_ok()),
            Step::Drip(bytes) => bytes.chunks(1).all(|byte| {
                thread::sleep(DRIP);
                stream.write_all(byte).is_ok()
            }),
            Step::Hang => {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_read_timeout(Some(SILENCE));
                let _ = stream.read(&mut [0]);
                self.hanging.fetch_sub(1, Ordering::SeqCst);
                false
            }
            Step::Close => false,
            Step::Reset => {
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
                false
            }
        }
    }
}
