//! A client that sends exactly the bytes that a test says.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::message::{Framing, Head, Reader};
use super::wait::PATIENCE;

/// A connection to a gateway.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    reader: Reader<S>,
}

/// An answer, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// What came before it: 100, 103.
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
}

impl Wire {
    pub(crate) fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }

    /// Whether nothing at all comes for that long, the connection's end included.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.reader.stream.set_read_timeout(Some(time)).unwrap();
        let silent = self.reader.buffer.is_empty()
            && self
                .reader
                .fill()
                .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.reader.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }

    /// The same connection, for another thread.
    pub(crate) fn writer(&self) -> TcpStream {
        self.reader.stream.try_clone().unwrap()
    }
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { reader: Reader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // An answer may come, and the connection end, before everything is sent.
        let _ = self.reader.stream.write_all(bytes.as_ref());
        let _ = self.reader.stream.flush();
    }

    /// Sends a request head with a Host, and reads the answer.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request("GET", target, headers, ""));
        self.answer()
    }

    /// The next answer, to anything but a HEAD.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.read(Framing::UntilClose)
    }

    /// Some bytes, unless the connection ends without any.
    pub(crate) fn try_bytes(&mut self) -> Option<Vec<u8>> {
        let some = !self.reader.buffer.is_empty() || matches!(self.reader.fill(), Ok(1..));
        some.then(|| std::mem::take(&mut self.reader.buffer))
    }

    /// The next answer, unless the connection ends without one.
    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        while self.reader.buffer.is_empty() {
            if !matches!(self.reader.fill(), Ok(1..)) {
                return None;
            }
        }
        Some(self.answer())
    }

    /// The next answer, to a HEAD.
    #[track_caller]
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.read(Framing::None)
    }

    /// The next head alone.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        self.reader.head().expect("a head").expect("an answer before the connection's end")
    }

    /// Reads up to the end of these bytes.
    #[track_caller]
    pub(crate) fn until(&mut self, needle: &str) -> String {
        let bytes = self.reader.until(needle.as_bytes()).unwrap_or_else(|error| {
            panic!("{error} before {needle:?} came, after {:?}", String::from_utf8_lossy(&self.reader.buffer))
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the other side ends the connection, without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        if !self.reader.buffer.is_empty() {
            return false;
        }
        match self.reader.fill() {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    #[track_caller]
    fn read(&mut self, otherwise: Framing) -> Answer {
        let mut interim = Vec::new();
        loop {
            let head = self.head();
            let status = head.word(1).parse().unwrap_or_default();
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let framing = match (status, otherwise) {
                (101 | 204 | 304, _) | (_, Framing::None) => Framing::None,
                _ => head.framing(otherwise),
            };
            let body = self.reader.body(framing);
            return Answer { interim, status, head, body: body.bytes, whole: body.whole };
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `details.reason`.
    pub(crate) fn reason(&self) -> String {
        self.json()["details"]["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// A header that is base64 of JSON.
    pub(crate) fn decoded(&self, name: &str) -> Value {
        let text = self.header(name).and_then(|value| tollgate::x402::codec::decode(value.as_bytes()).ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}

/// A request with a Host and, if there is a body, its length.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: api.example.com\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text + "\r\n" + body
}
