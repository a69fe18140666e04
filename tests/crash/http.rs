//! Just enough HTTP for servers that think in threads, and for buyers whose gateway dies.

use std::io::{self, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::message::{Framing, Head, Reader};

/// Longer than the gateway takes for anything here, so that it is a lost answer and not a slow one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between the pieces of a body, so that each is one of its own.
const BETWEEN_PIECES: Duration = Duration::from_millis(2);

/// A request that a server got.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// What it says.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) pieces: Vec<String>,
}

/// A server. It takes no more connections when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    over: Arc<AtomicBool>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: String,
}

impl Server {
    /// Starts one; a handler that says nothing ends the connection.
    pub(crate) fn start(handler: impl Fn(&Heard) -> Option<Said> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { addr: listener.local_addr().unwrap(), over: Arc::default() };
        let (over, handler) = (Arc::clone(&server.over), Arc::new(handler));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let handler = Arc::clone(&handler);
                thread::spawn(move || drop(serve(&stream, &*handler)));
            }
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.addr));
    }
}

fn serve(mut stream: &TcpStream, handler: &dyn Fn(&Heard) -> Option<Said>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::new(stream);
    while let Some(head) = reader.head()? {
        let body = reader.body(head.framing(Framing::None));
        if !body.whole {
            break;
        }
        let Some(said) = handler(&Heard { head, body: body.bytes }) else { break };
        let length: usize = said.pieces.iter().map(String::len).sum();
        let head = format!("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {length}", said.status);
        stream.write_all(format!("{head}\r\n\r\n").as_bytes())?;
        for piece in &said.pieces {
            thread::sleep(BETWEEN_PIECES);
            stream.write_all(piece.as_bytes())?;
        }
    }
    Ok(())
}

impl Said {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, pieces: vec![body.to_string()] }
    }
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// `details.reason`.
    pub(crate) fn reason(&self) -> String {
        self.json()["details"]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// Asks over a new connection; an answer that breaks off is as good as none.
pub(crate) fn ask(to: SocketAddr, method: &str, target: &str, header: Option<(&str, &str)>) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let header = header.map_or(String::new(), |(name, value)| format!("{name}: {value}\r\n"));
    let length = if method == "POST" { "Content-Length: 4\r\n\r\nwork" } else { "\r\n" };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n{header}{length}");
    stream.write_all(head.as_bytes())?;
    let mut reader = Reader::new(stream);
    let head = reader.head()?.ok_or(ErrorKind::UnexpectedEof)?;
    let body = reader.body(head.framing(Framing::UntilClose));
    if !body.whole {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let status = head.word(1).parse().map_err(|_| ErrorKind::InvalidData)?;
    Ok(Answer { status, head, body: String::from_utf8_lossy(&body.bytes).into_owned() })
}
