//! A client of HTTP/2 that sends any frames it likes, and reads as little as it can.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::wait::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `GET http://api.example.com/free` in HPACK, all of it literal or from the static table.
pub(crate) fn head(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (index, value) in [(0x04, path), (0x01, "api.example.com")] {
        block.push(index);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend_from_slice(value.as_bytes());
    }
    block
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A client that sends what it likes and reads nothing but the connection's end.
pub(crate) struct Flood(pub(crate) TcpStream);

impl Flood {
    pub(crate) fn start(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(PREFACE).unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self(stream)
    }

    /// Sends pieces until so many are sent, the connection ends, or nobody takes any more for a second.
    pub(crate) fn pour(&mut self, count: usize, mut piece: impl FnMut(u32) -> Vec<u8>) -> Poured {
        for index in 0..count {
            let bytes = piece(u32::try_from(index).unwrap());
            let (mut sent, mut since) = (0, Instant::now());
            while sent < bytes.len() {
                let mut chunk = [0; 16 * 1024];
                match self.0.read(&mut chunk) {
                    Ok(0) => return Poured::Ended(index),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return Poured::Ended(index),
                }
                match self.0.write(&bytes[sent..]) {
                    Ok(count) => (sent, since) = (sent + count, Instant::now()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if since.elapsed() > Duration::from_secs(1) {
                            return Poured::Stuck;
                        }
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(_) => return Poured::Ended(index),
                }
            }
        }
        Poured::All
    }

    /// Whether the other side has ended the connection.
    pub(crate) fn has_ended(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.0.read(&mut chunk) {
                Ok(1..) => {}
                Ok(0) => return true,
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    /// Reads to the connection's end.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.set_nonblocking(false).unwrap();
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = Vec::new();
        let ended = self.0.read_to_end(&mut bytes);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        bytes
    }
}

#[derive(Debug)]
pub(crate) enum Poured {
    All,
    Stuck,
    Ended(usize),
}

impl Poured {
    #[track_caller]
    pub(crate) fn ended_before(&self, most: usize) {
        assert!(matches!(self, Self::Ended(count) if *count < most), "{}", self.word());
    }

    pub(crate) fn word(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Stuck => "stuck".to_owned(),
            Self::Ended(count) => format!("ended after {count}"),
        }
    }
}

/// Whether a frame of a kind is among these.
pub(crate) fn has(bytes: &[u8], kind: u8) -> bool {
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_at_checked(9) {
        let length = usize::from(header[1]) << 8 | usize::from(header[2]) | usize::from(header[0]) << 16;
        if header[3] == kind {
            return true;
        }
        rest = after.get(length..).unwrap_or_default();
    }
    false
}
