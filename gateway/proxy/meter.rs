//! Answers that a plan pays by the byte: what may leave, and how it ends when the plan does.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType};
use pingora::proxy::Session;

use super::frames::Frames;
use super::unsent::Unsent;
use crate::resource_server::{Ended, Tab};

/// Marks our own reason for ending an answer.
pub(super) const UNPAID: ErrorType = ErrorType::new("answer no longer paid for");

/// Counts what leaves, and has it paid first.
pub(super) struct Meter {
    tab: Tab,
    form: Form,
    unsent: Unsent,
    ended: Option<Ended>,
}

/// What an answer is made of: it decides on what counts, and on how it may be ended.
pub(super) enum Form {
    /// A WebSocket: the data in its frames counts, and a close frame ends it.
    Frames(Frames),
    /// Server-sent events: a last one ends them, if it does not stand in the middle of another.
    Events(Tail),
    /// Anything else can only be cut off.
    Opaque,
}

/// The last bytes that have passed.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Meter {
    /// Begins with the header as it leaves.
    pub(super) fn begin(tab: Tab, response: &ResponseHeader) -> Self {
        Self { tab, form: Form::of(response), unsent: Unsent::begin(response), ended: None }
    }

    /// Has a piece of the body paid, and lets pass what is.
    ///
    /// # Errors
    /// Pingora's, when the answer has to end. [`Meter::into_end`] then says how.
    pub(super) fn pass(&mut self, session: &Session, body: &mut Option<Bytes>) -> pingora::Result<()> {
        self.unsent.forget_sent(session);
        let Some(piece) = body.take_if(|piece| !piece.is_empty()) else { return Ok(()) };
        let (tab, length) = (&mut self.tab, |bytes: &Bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let (piece, ended) = match &mut self.form {
            Form::Frames(frames) => {
                let passed = frames.pass(&piece, |bytes| tab.reserve(bytes));
                tab.commit(passed.data);
                (passed.bytes, passed.ended)
            }
            Form::Events(_) | Form::Opaque => match tab.spend(length(&piece)) {
                Ok(()) => (piece, None),
                Err(ended) => (Bytes::new(), Some(ended)),
            },
        };
        if let Form::Events(tail) = &mut self.form {
            tail.follow(&piece);
        }
        self.unsent.add(&piece);
        match ended {
            None => *body = Some(piece),
            Some(ended) => {
                self.ended = Some(ended);
                return Error::e_explain(UNPAID, ended.as_str());
            }
        }
        Ok(())
    }

    /// Whether the answer was ended here.
    pub(super) fn ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Why the answer ends here, if it does, with what it was made of and what of it has passed and has not left.
    pub(super) fn into_end(self) -> Option<(Ended, Form, Unsent)> {
        Some((self.ended?, self.form, self.unsent))
    }
}

impl Form {
    fn of(response: &ResponseHeader) -> Self {
        let kind = response.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        // Nothing can be added to what is compressed, or has a length.
        let plain = !response.headers.contains_key(CONTENT_ENCODING) && !response.headers.contains_key(CONTENT_LENGTH);
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            return Self::Frames(Frames::default());
        }
        match essence.eq_ignore_ascii_case("text/event-stream") && plain {
            true => Self::Events(Tail::default()),
            false => Self::Opaque,
        }
    }
}

impl Tail {
    /// As many bytes as the end of a line and an empty line can have.
    const BYTES: usize = 4;

    fn follow(&mut self, piece: &[u8]) {
        let from = piece.len().saturating_sub(Self::BYTES);
        self.0.extend_from_slice(piece.split_at(from).1);
        let from = self.0.len().saturating_sub(Self::BYTES);
        drop(self.0.drain(..from));
    }

    /// Whether the next byte begins an event: an empty line was before it, or nothing.
    pub(super) fn is_between_events(&self) -> bool {
        self.0.is_empty() || [&b"\n\n"[..], b"\r\r", b"\n\r\n"].iter().any(|end| self.0.ends_with(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line_however_it_is_cut() {
        for (text, between) in [
            ("", true),
            ("data: x\n\n", true),
            ("data: x\r\n\r\n", true),
            ("data: x\r\r", true),
            (": ping\n\n", true),
            ("data: x", false),
            ("data: x\n", false),
            ("data: x\r\n", false),
            ("data: x\n\ndata: y\n", false),
        ] {
            for size in 1..=text.len().max(1) {
                let mut tail = Tail::default();
                text.as_bytes().chunks(size).for_each(|piece| tail.follow(piece));
                assert_eq!(tail.is_between_events(), between, "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn an_answer_can_be_added_to_if_it_is_plain_events_without_a_length() {
        let form = |status: u16, headers: &[(&'static str, &'static str)]| {
            let mut response = ResponseHeader::build(status, None).unwrap();
            headers.iter().for_each(|(name, value)| response.insert_header(*name, *value).unwrap());
            match Form::of(&response) {
                Form::Frames(_) => "frames",
                Form::Events(_) => "events",
                Form::Opaque => "opaque",
            }
        };
        assert_eq!(form(101, &[]), "frames");
        assert_eq!(form(200, &[("content-type", "text/event-stream")]), "events");
        assert_eq!(form(200, &[("content-type", "Text/Event-Stream ; charset=utf-8")]), "events");
        assert_eq!(form(200, &[("content-type", "text/event-streams")]), "opaque");
        assert_eq!(form(200, &[("content-type", "text/event-stream"), ("content-length", "9")]), "opaque");
        assert_eq!(form(200, &[("content-type", "text/event-stream"), ("content-encoding", "gzip")]), "opaque");
        assert_eq!(form(200, &[]), "opaque");
    }
}
