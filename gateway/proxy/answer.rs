//! An answer that the gateway makes itself, and how it is written.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH};
use http::header::{CONTENT_TYPE, EXPECT, HeaderName, HeaderValue, VARY};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::headers::{ANY_ORIGIN, CREDENTIALS, EXPOSED};

/// The most of an unread request body that is read before an early answer, so that the connection can be used again.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
/// The longest wait for it: an answer is worth more than a connection.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(1);

/// The most that an endpoint of ours is told, and the longest wait for it.
const BODY_BYTES_MAX: usize = 16 * 1024;
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What all answers of ours have: they are JSON, for nobody else, and readable from any origin.
static OURS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (VARY, CREDENTIALS),
    (ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN),
    (ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
];

/// Status, headers and body. Its `Debug` form shows neither headers nor body: a buyer's key is in one.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// Whether the gateway made it up, and not an upstream.
    pub(super) is_ours: bool,
    /// Whether the connection serves no other request after it.
    pub(super) is_last: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), is_ours: true, is_last: false }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl TryInto<HeaderValue>) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value.try_into()) {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn with_all<N: TryInto<HeaderName>>(
        mut self,
        headers: impl IntoIterator<Item = (N, HeaderValue)>,
    ) -> Self {
        self.headers.extend(headers.into_iter().filter_map(|(name, value)| Some((name.try_into().ok()?, value))));
        self
    }

    /// The same as the last one on its connection.
    pub(super) fn last(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// Its header, complete.
    pub(super) fn head(&self) -> ResponseHeader {
        let mut head = http::Response::new(()).into_parts().0;
        head.status = self.status;
        if !self.is_bodiless() {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        for (name, value) in self.fields() {
            // An upstream may have set one name several times.
            head.headers.append(name, value.clone());
        }
        head.into()
    }

    /// Its headers but those that frame it: what all of ours have, unless it has its own.
    pub(super) fn fields(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        let ours = if self.is_ours { OURS.as_slice() } else { &[] };
        let is_left_out = |name: &HeaderName| {
            self.headers.iter().any(|(own, _)| own == name) || (*name == CONTENT_TYPE && self.is_bodiless())
        };
        ours.iter().filter(move |(name, _)| !is_left_out(name)).chain(&self.headers)
    }

    /// Whether answers of this status have no body, whatever was asked.
    pub(super) fn is_bodiless(&self) -> bool {
        matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// Writes it the framework's way.
    pub(super) async fn write(self, session: &mut Session) -> pingora::Result<()> {
        let keep = !self.is_last && drain(session).await;
        if !keep {
            session.set_keepalive(None);
        }
        let head = self.head();
        let empty = self.is_bodiless() || session.req_header().method == Method::HEAD || self.body.is_empty();
        session.write_response_header(Box::new(head), empty).await?;
        if !empty {
            session.write_response_body(Some(self.body), true).await?;
        }
        Ok(())
    }
}

/// The body of a request to an endpoint of ours; empty if it is too large or does not come.
pub(super) async fn read_body(session: &mut Session) -> Vec<u8> {
    let to_its_end = async {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = session.read_request_body().await {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_BYTES_MAX {
                return Vec::new();
            }
        }
        body
    };
    tokio::time::timeout(BODY_WAIT_MAX, to_its_end).await.unwrap_or_default()
}

/// Reads a small request body to its end; says whether it came to it.
async fn drain(session: &mut Session) -> bool {
    if session.is_body_empty() {
        return true;
    }
    // Who asked for leave to send its body has not sent it, and learns from the answer that it need not.
    if session.req_header().headers.contains_key(EXPECT) {
        return false;
    }
    let to_its_end = async {
        let mut read = 0;
        loop {
            match session.read_request_body().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => return true,
                Err(_) => return false,
            }
            if read > DRAIN_BYTES_MAX {
                return false;
            }
        }
    };
    tokio::time::timeout(DRAIN_WAIT_MAX, to_its_end).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sold_key_is_not_printed() {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("mark-of-a-header"))];
        let body = Bytes::from_static(b"{\"apiKey\":\"tg_live_1\"}");
        let printed = format!("{:?}", Answer { headers, ..Answer::json(StatusCode::OK, body) });
        assert_eq!(printed, "Answer { status: 200, .. }");
    }
}
