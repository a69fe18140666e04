use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;

/// What was let pass and has not left.
///
/// Pingora filters all pieces that have come before it writes the first of them, and writes none if one is refused. What
/// was paid for and stood before the refused piece is written from here.
pub(super) struct Unsent {
    header: Option<Box<ResponseHeader>>,
    pieces: Vec<Bytes>,
    /// The length of all pieces so far.
    passed: usize,
    upgraded: bool,
}

impl Unsent {
    /// Begins with the header as it leaves.
    pub(super) fn begin(response: &ResponseHeader) -> Self {
        let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
        Self { header: Some(Box::new(response.clone())), pieces: Vec::new(), passed: 0, upgraded }
    }

    /// Lets go of what has left: all of it, unless more pieces of one batch are being filtered.
    pub(super) fn forget_sent(&mut self, session: &Session) {
        if session.response_written().is_some() {
            self.header = None;
        }
        if session.as_ref().body_bytes_sent() == self.passed {
            self.pieces.clear();
        }
    }

    pub(super) fn add(&mut self, piece: &Bytes) {
        self.passed = self.passed.saturating_add(piece.len());
        if !piece.is_empty() {
            self.pieces.push(piece.clone());
        }
    }

    /// What is to be written, in order.
    pub(super) fn into_tasks(self) -> Vec<HttpTask> {
        let upgraded = self.upgraded;
        let header = self.header.into_iter().map(|header| HttpTask::Header(framed(header), false));
        header.chain(self.pieces.into_iter().map(|piece| task(upgraded, Some(piece), false))).collect()
    }
}

/// A piece of a body, or of what has become of the connection.
pub(super) fn task(upgraded: bool, piece: Option<Bytes>, end: bool) -> HttpTask {
    if upgraded { HttpTask::UpgradedBody(piece, end) } else { HttpTask::Body(piece, end) }
}

/// The header as Pingora writes it: of an answer that came over HTTP/2, it does this after our filter.
fn framed(mut header: Box<ResponseHeader>) -> Box<ResponseHeader> {
    header.set_version(Version::HTTP_11);
    let bodiless = matches!(header.status.as_u16(), 101 | 204 | 304);
    if !bodiless && !header.headers.contains_key(CONTENT_LENGTH) {
        // A name and a value that are in order.
        let _ = header.insert_header(TRANSFER_ENCODING, "chunked");
    }
    header
}
