//! A kept connection that does little more than count: the load must not be what is measured.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Result;

/// What ends a body whose length is not told.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// A connection to the gateway.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer. Its parts are only good until the next.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    head: &'a str,
    /// As it came: one in chunks is still in chunks.
    pub(super) body: &'a [u8],
}

impl Wire {
    pub(super) async fn to(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = str::from_utf8(self.buffer.get(..end).unwrap_or_default())?;
                let is_chunked = header(head, "transfer-encoding").is_some_and(|coding| coding == "chunked");
                let length = header(head, "content-length").unwrap_or("0").parse::<usize>()?;
                break (end, (!is_chunked).then_some(length));
            }
            self.fill().await?;
        };
        let body = head + 4;
        // Nothing comes behind the last chunk, since nothing else was asked for.
        while length.map_or(!self.buffer.ends_with(LAST_CHUNK), |length| self.buffer.len() < body + length) {
            self.fill().await?;
        }
        let (head, rest) = self.buffer.split_at(head);
        Ok(Answer { head: str::from_utf8(head)?, body: rest.get(4..).unwrap_or_default() })
    }

    async fn fill(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the gateway closed a connection".into()),
            _ => Ok(()),
        }
    }
}

impl<'a> Answer<'a> {
    pub(super) fn status(&self) -> &'a str {
        self.head.get(9..12).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }

    /// The bytes in front of the body.
    #[allow(dead_code, reason = "shared, and each benchmark uses a part")]
    pub(super) fn head_bytes(&self) -> usize {
        self.head.len() + 4
    }

    /// Itself, if its status is 200.
    pub(super) fn ok(self) -> Result<Self> {
        self.with_status("200")
    }

    /// Itself, if its status is this.
    pub(super) fn with_status(self, status: &str) -> Result<Self> {
        if self.status() == status { Ok(self) } else { Err(self.head.replace("\r\n", "\n").into()) }
    }
}

/// A GET with one more header line, or none.
pub(super) fn get(target: &str, line: &str) -> Vec<u8> {
    let line = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
    format!("GET {target} HTTP/1.1\r\nHost: api.example.com\r\n{line}\r\n").into_bytes()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.into_iter().find_map(|(line, value)| line.eq_ignore_ascii_case(name).then_some(value))
}
