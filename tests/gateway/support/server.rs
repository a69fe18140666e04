//! A server that sends exactly the bytes that a test says, and keeps what it hears.
//!
//! Written on plain sockets, since no HTTP library sends early hints, broken framing or half an answer.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::message::{Framing, Head, Reader};
use super::wait::Gate;

/// What a server takes to think that is not on the same machine.
const THOUGHT: Duration = Duration::from_millis(50);

/// What has happened, in order, at all servers of a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

/// A request that a server got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
    /// Which of the server's connections it came over.
    pub(crate) connection: usize,
}

/// What a server does about a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    Repeat(Vec<u8>, usize),
    Pass(Gate),
    Pause,
    /// Sends back what comes, until it ends.
    Echo,
    Close,
    Reset,
}

/// A running server. It ends, connections included, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

/// The connection is to be reset.
struct WantsReset;

type Script = Box<dyn FnMut(&Heard) -> Reply + Send>;

struct Shared {
    name: &'static str,
    journal: Journal,
    script: Mutex<Script>,
    heard: Mutex<Vec<Heard>>,
    before_bodies: Mutex<Option<Gate>>,
    greeting: Mutex<Vec<u8>>,
    sent: AtomicUsize,
    connections: Mutex<HashMap<usize, TcpStream>>,
    accepted: AtomicUsize,
    stopped: AtomicBool,
}

impl Journal {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Forgets what was before, and says what it was.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Heard {
    pub(crate) fn method(&self) -> &str {
        self.head.word(0)
    }

    pub(crate) fn target(&self) -> &str {
        self.head.word(1)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Reply {
    /// 200 with a body.
    pub(crate) fn ok(body: &str) -> Self {
        Self::status(200, "", body)
    }

    /// A status with a body, and headers that each end in a line end.
    pub(crate) fn status(status: u16, headers: &str, body: &str) -> Self {
        Self::raw(format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::status(status, "Content-Type: application/json\r\n", &body.to_string())
    }

    /// These bytes and nothing else.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![Step::Send(bytes.into())])
    }

    /// The connection is reset without a word.
    pub(crate) fn reset() -> Self {
        Self(vec![Step::Reset])
    }

    /// Nothing at all, for as long as the gate is shut.
    pub(crate) fn silence(gate: &Gate) -> Self {
        Self::default().then_pass(gate).then_reset()
    }

    /// The whole of it after the gate is opened.
    pub(crate) fn behind(mut self, gate: &Gate) -> Self {
        self.0.insert(0, Step::Pass(gate.clone()));
        self
    }

    /// The whole of it after a moment.
    pub(crate) fn after_thought(mut self) -> Self {
        self.0.insert(0, Step::Pause);
        self
    }

    pub(crate) fn then(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.and(Step::Send(bytes.into()))
    }

    pub(crate) fn then_repeat(self, bytes: &[u8], times: usize) -> Self {
        self.and(Step::Repeat(bytes.to_vec(), times))
    }

    pub(crate) fn then_pass(self, gate: &Gate) -> Self {
        self.and(Step::Pass(gate.clone()))
    }

    pub(crate) fn then_echo(self) -> Self {
        self.and(Step::Echo)
    }

    pub(crate) fn then_close(self) -> Self {
        self.and(Step::Close)
    }

    pub(crate) fn then_reset(self) -> Self {
        self.and(Step::Reset)
    }

    fn and(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

impl Server {
    /// Starts one that answers 200 to everything.
    pub(crate) fn start(name: &'static str, journal: &Journal) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name,
            journal: journal.clone(),
            script: Mutex::new(Box::new(|_| Reply::ok("from upstream"))),
            heard: Mutex::default(),
            before_bodies: Mutex::default(),
            greeting: Mutex::default(),
            sent: AtomicUsize::new(0),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { addr, shared }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on, answers so.
    pub(crate) fn answers(&self, script: impl FnMut(&Heard) -> Reply + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// From now on, answers everything with this.
    pub(crate) fn says(&self, reply: Reply) {
        self.answers(move |_| reply.clone());
    }

    /// Reads no body before the gate is opened.
    pub(crate) fn holds_bodies(&self, gate: &Gate) {
        *self.shared.before_bodies.lock().unwrap() = Some(gate.clone());
    }

    /// Says this to whoever connects, before it has heard anything.
    pub(crate) fn greets(&self, greeting: &str) {
        *self.shared.greeting.lock().unwrap() = greeting.into();
    }

    /// All requests that came so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap().clone()
    }

    pub(crate) fn hits(&self) -> usize {
        self.shared.heard.lock().unwrap().len()
    }

    /// Begins to count anew.
    pub(crate) fn forget(&self) {
        self.shared.heard.lock().unwrap().clear();
    }

    /// The latest request.
    #[track_caller]
    pub(crate) fn last(&self) -> Heard {
        self.shared.heard.lock().unwrap().last().expect("a request").clone()
    }

    /// How many bytes were taken off its hands.
    pub(crate) fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Open connections.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.addr));
        for stream in self.shared.connections.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let (shared, number) = (Arc::clone(self), self.accepted.fetch_add(1, Ordering::SeqCst));
            stream.set_nodelay(true).unwrap();
            self.connections.lock().unwrap().insert(number, stream.try_clone().unwrap());
            thread::spawn(move || {
                let reset = shared.serve(&stream, number).is_err();
                shared.connections.lock().unwrap().remove(&number);
                if reset {
                    // Closed without lingering, and without the farewell that a shutdown is.
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                } else {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            });
        }
    }

    /// Serves a connection; an error is one that is to be reset.
    fn serve(&self, mut stream: &TcpStream, connection: usize) -> Result<(), WantsReset> {
        let _ = stream.write_all(&self.greeting.lock().unwrap());
        let mut reader = Reader::new(stream);
        while let Ok(Some(head)) = reader.head() {
            let framing = head.framing(Framing::None);
            let place = self.note(Heard { head, connection, ..Heard::default() });
            let gate = self.before_bodies.lock().unwrap().clone();
            if let Some(gate) = gate.filter(|_| framing != Framing::None) {
                gate.pass();
            }
            if self.at(place).head.has("expect") {
                let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let body = reader.body(framing);
            let heard = {
                let mut all = self.heard.lock().unwrap();
                (all[place].body, all[place].whole) = (body.bytes, body.whole);
                all[place].clone()
            };
            let reply = (self.script.lock().unwrap())(&heard);
            for step in reply.0 {
                if !self.take(step, stream, &mut reader)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn note(&self, heard: Heard) -> usize {
        let name = if self.name.is_empty() { heard.target().trim_start_matches('/') } else { self.name };
        if name != "supported" {
            self.journal.note(name);
        }
        let mut all = self.heard.lock().unwrap();
        all.push(heard);
        all.len() - 1
    }

    fn at(&self, place: usize) -> Heard {
        self.heard.lock().unwrap()[place].clone()
    }

    /// Takes a step; says whether the connection goes on.
    fn take(&self, step: Step, mut stream: &TcpStream, reader: &mut Reader<&TcpStream>) -> Result<bool, WantsReset> {
        let mut send = |bytes: &[u8]| {
            let sent = stream.write_all(bytes).is_ok();
            self.sent.fetch_add(bytes.len(), Ordering::SeqCst);
            sent
        };
        Ok(match step {
            Step::Send(bytes) => send(&bytes),
            Step::Repeat(bytes, times) => (0..times).all(|_| send(&bytes)),
            Step::Pass(gate) => {
                gate.pass();
                true
            }
            Step::Pause => {
                thread::sleep(THOUGHT);
                true
            }
            Step::Echo => {
                while !reader.buffer.is_empty() || matches!(reader.fill(), Ok(1..)) {
                    send(&std::mem::take(&mut reader.buffer));
                }
                false
            }
            Step::Close => false,
            Step::Reset => return Err(WantsReset),
        })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}
