//! The answer of a paid call, kept while it streams, so that the buyer's repeat gets it if it was lost.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;

use super::answer::Answer;
use super::headers::receipt;
use crate::crash::crash_point;
use crate::store::StoredResponse;
use crate::x402::facilitator::SettleResponse;

/// What belongs to the connection, or follows from the body.
const NOT_KEPT: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("date"),
];
/// Says that an answer is an earlier one again, as others say it who know idempotency keys.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer under way.
#[derive(Debug)]
pub(super) struct Kept {
    status: StatusCode,
    headers: Vec<(String, Vec<u8>)>,
    body: BytesMut,
    room: usize,
    /// The whole body has come from the upstream.
    whole: bool,
}

impl Kept {
    /// Begins with the header as the client gets it, but for the receipt. None for what cannot be kept: another protocol follows, or the
    /// body is larger than `room` by its own account.
    pub(super) fn begin(response: &ResponseHeader, method: &Method, room: usize) -> Option<Self> {
        let length =
            response.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let bodiless = *method == Method::HEAD || length == Some(0) || matches!(response.status.as_u16(), 204 | 304);
        if response.status == StatusCode::SWITCHING_PROTOCOLS
            || (!bodiless && length.is_some_and(|length| length > room))
        {
            return None;
        }
        let headers = response.headers.iter().filter(|(name, _)| !NOT_KEPT.contains(name));
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
        Some(Self { status: response.status, headers, body: BytesMut::new(), room, whole: bodiless })
    }

    /// Takes in a piece of the body. Says whether there was room for it; without it the answer is no longer kept.
    pub(super) fn add(&mut self, piece: Option<&Bytes>, end: bool) -> bool {
        let piece = piece.map_or(&[][..], |piece| piece);
        self.whole |= end;
        if end {
            crash_point!("body.ended");
        } else {
            crash_point!("body.passing");
        }
        let fits = self.body.len().saturating_add(piece.len()) <= self.room;
        if fits {
            self.body.extend_from_slice(piece);
        }
        fits
    }

    /// Whether the answer is known to have no body.
    pub(super) fn is_bodiless(&self) -> bool {
        self.whole && self.body.is_empty()
    }

    /// Whether the upstream's whole answer is here, even if the client is not there any more.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What is put into the store.
    pub(super) fn finish(self, expires_at: SystemTime) -> StoredResponse {
        StoredResponse { status: self.status, headers: self.headers, body: self.body.freeze(), expires_at }
    }
}

/// The answer as it was, with its receipt, marked as a repeat.
pub(super) fn replay(stored: StoredResponse, settled: &SettleResponse) -> Answer {
    let headers = stored
        .headers
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&value).ok()?)));
    let headers = headers.chain(receipt(settled)).chain([(REPLAYED, HeaderValue::from_static("true"))]).collect();
    Answer { status: stored.status, headers, body: stored.body, is_ours: false, is_last: false }
}
