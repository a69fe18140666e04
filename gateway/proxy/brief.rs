//! Answers of ours that are brief: on a connection of HTTP/1 that is kept, to a request of which nothing more comes.
//!
//! The framework takes an answer in parts and puts each in a map, for all that one may be. These go out as they are, in
//! one piece: a challenge is what strangers ask for most.

use bytes::BufMut as _;
use http::{Method, StatusCode};
use pingora::apps::{HttpPersistentSettings, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::date::get_cached_date;
use pingora::proxy::Session;
use tokio::io::AsyncWriteExt as _;

use super::Gateway;
use super::answer::Answer;
use super::exchange::Exchange;

/// As much as all headers of ours take beside those of one answer.
const HEAD_BYTES: usize = 640;

/// Whether an answer may be said so. Whether something has come behind the request's head, the caller knows.
pub(super) fn may_be(answer: &Answer, session: &mut Session) -> bool {
    answer.is_ours && !answer.is_last && session.get_keepalive().is_some() && session.is_body_empty()
}

/// Such an answer, and its connection.
pub(super) struct Brief {
    status: StatusCode,
    wire: Vec<u8>,
    stream: Stream,
    settings: HttpPersistentSettings,
}

impl Brief {
    /// None but on a connection of HTTP/1.
    pub(super) fn of(answer: &Answer, session: Session) -> Option<Self> {
        let settings = HttpPersistentSettings::for_session(&session);
        let wire = answer.to_wire(session.req_header().method != Method::HEAD);
        let ServerSession::H1(session) = *session.downstream_session else { return None };
        Some(Self { status: answer.status, wire, stream: session.into_inner(), settings })
    }
}

impl Gateway {
    /// Says it, to the request's end. None if the connection is not to be used again.
    pub(super) async fn say(&self, brief: Brief, exchange: &mut Exchange) -> Option<ReusedHttpStream> {
        let Brief { status, wire, mut stream, settings } = brief;
        let has_left = stream.write_all(&wire).await.is_ok() && stream.flush().await.is_ok();
        self.book(exchange, status.as_u16(), has_left);
        has_left.then(|| ReusedHttpStream::new(stream, Some(settings)))
    }
}

impl Answer {
    /// What goes over the wire (RFC 9112, section 2.1), before a connection that is kept.
    fn to_wire(&self, with_body: bool) -> Vec<u8> {
        let own: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut wire = Vec::with_capacity(HEAD_BYTES + own + self.body.len());
        put_all(&mut wire, [b"HTTP/1.1 ", self.status.as_str().as_bytes(), b" ", reason(self.status), b"\r\n"]);
        if !self.is_bodiless() {
            let mut digits = itoa::Buffer::new();
            put_all(&mut wire, [b"Content-Length: ", digits.format(self.body.len()).as_bytes(), b"\r\n"]);
        }
        for (name, value) in self.fields() {
            put_all(&mut wire, [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        put_all(&mut wire, [b"Date: ", get_cached_date().as_bytes(), b"\r\nConnection: keep-alive\r\n\r\n"]);
        if with_body && !self.is_bodiless() {
            wire.put_slice(&self.body);
        }
        wire
    }
}

fn reason(status: StatusCode) -> &'static [u8] {
    status.canonical_reason().unwrap_or_default().as_bytes()
}

fn put_all<const N: usize>(wire: &mut Vec<u8>, parts: [&[u8]; N]) {
    parts.into_iter().for_each(|part| wire.put_slice(part));
}
