//! What one request may take of its connection.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::prelude::{Error, ErrorType};
use pingora::proxy::Session;
use serde_json::json;

use super::Snapshot;
use super::answer::Answer;
use super::exchange::Exchange;
use super::line::{Line, Turn};
use super::wording::Wording;

impl Exchange {
    /// Begins with the request's head read: its body has its time from now.
    pub(super) fn begin_turn(&mut self, session: &mut Session) {
        let has_body = !session.is_body_empty();
        let Some(line) = Line::of(session) else { return };
        let (line, write_timeout) = (Arc::clone(line), line.limits().write_timeout);
        self.turn = Some(Turn::begin(&line, has_body));
        if session.is_http2() {
            // A client may take everything of the connection and leave one stream no window.
            session.set_write_timeout(Some(write_timeout));
        } else if session.req_header().headers.contains_key(TRANSFER_ENCODING) {
            // The framework's parser takes `;x` for a chunk's size, and a bare line feed for a part of its extension. A
            // proxy in front of us may read another end of the body there, so nothing behind it is anybody's request.
            session.set_keepalive(None);
        } else if session.get_keepalive().is_some() {
            // Without a time of the framework's own: the line has one.
            session.set_keepalive(Some(0));
        }
    }

    /// Notes a piece of the request's body on its way to the upstream. What a tunnel carries is none.
    ///
    /// # Errors
    /// Pingora's, with status 413, when there is too much of it.
    pub(super) fn count_body(&mut self, session: &Session, piece: Option<&Bytes>, ends: bool) -> pingora::Result<()> {
        let is_tunnel = session.was_upgraded();
        if (ends || is_tunnel)
            && let Some(turn) = &mut self.turn
        {
            turn.end_body();
        }
        if is_tunnel {
            return Ok(());
        }
        let bytes = piece.and_then(|piece| u64::try_from(piece.len()).ok()).unwrap_or_default();
        self.body_bytes = self.body_bytes.saturating_add(bytes);
        match self.snapshot.as_ref().and_then(|snapshot| snapshot.connections.body_bytes_max) {
            Some(most) if self.body_bytes > most => {
                Error::e_explain(ErrorType::HTTPStatus(413), "the request's body is larger than connections.body_limit")
            }
            _ => Ok(()),
        }
    }
}

/// The answer to a request that says itself that its body is too large. What does not say is counted on its way.
pub(super) fn too_large<'w>(
    session: &Session,
    snapshot: &Snapshot,
    wording: impl FnOnce() -> Wording<'w>,
) -> Option<Answer> {
    let most = snapshot.connections.body_bytes_max?;
    let said = session.req_header().headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>();
    // A number that is none was refused before; one beyond all numbers is too large.
    if said.is_ok_and(|said| said <= most) {
        return None;
    }
    let message = format!("The request's body is larger than {most} bytes.");
    Some(wording().problem(413, "body_too_large", &message, json!({ "reason": "body_too_large", "limit": most })))
}
