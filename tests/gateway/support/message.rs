//! HTTP/1 messages as bytes: just enough of a parser to see what was really sent.

use std::io::{self, Read};

/// A start line and its headers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// Every byte of it, the empty line included.
    pub(crate) raw: Vec<u8>,
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// A body, and whether it came to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) whole: bool,
}

/// Messages that come in over a connection.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    /// What has come and was not taken yet.
    pub(crate) buffer: Vec<u8>,
}

impl Head {
    fn parse(raw: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Self { raw, start, headers }
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a header.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A word of the start line.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.start.split(' ').nth(index).unwrap_or_default()
    }

    /// The framing of what follows; `otherwise` is what no header at all means.
    pub(crate) fn framing(&self, otherwise: Framing) -> Framing {
        if self.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Framing::Chunked;
        }
        self.get("content-length").and_then(|length| length.parse().ok()).map_or(otherwise, Framing::Length)
    }
}

impl<S: Read> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next head. None if the connection ends before it does.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return Ok(Some(Head::parse(self.buffer.drain(..end + 4).collect())));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// A body, as far as it comes.
    pub(crate) fn body(&mut self, framing: Framing) -> Body {
        let mut body = Body::default();
        body.whole = match framing {
            Framing::None => true,
            Framing::Length(length) => self.take(length, &mut body.bytes),
            Framing::Chunked => self.chunks(&mut body.bytes),
            Framing::UntilClose => {
                let ended = loop {
                    match self.fill() {
                        Ok(0) => break true,
                        Ok(_) => {}
                        Err(_) => break false,
                    }
                };
                body.bytes.append(&mut self.buffer);
                ended
            }
        };
        body
    }

    /// Reads until the bytes that were not taken yet contain `needle`, and takes them up to its end.
    pub(crate) fn until(&mut self, needle: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, needle) {
                return Ok(self.buffer.drain(..at + needle.len()).collect());
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads once. Nothing is the end.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> bool {
        let end = into.len() + length;
        loop {
            let count = self.buffer.len().min(end - into.len());
            into.extend(self.buffer.drain(..count));
            if into.len() == end {
                return true;
            }
            if !matches!(self.fill(), Ok(1..)) {
                return false;
            }
        }
    }

    fn chunks(&mut self, into: &mut Vec<u8>) -> bool {
        loop {
            let Ok(line) = self.until(b"\r\n") else { return false };
            let size = String::from_utf8_lossy(&line);
            let size = size.trim().split(';').next().unwrap_or_default();
            let Ok(size) = usize::from_str_radix(size, 16) else { return false };
            let whole = size == 0 || self.take(size, into);
            if !whole || !matches!(self.until(b"\r\n").as_deref(), Ok(b"\r\n")) {
                return false;
            }
            if size == 0 {
                return true;
            }
        }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
