//! The way to the upstream and back of a request whose body is small, or that has none.
//!
//! The framework can go it too, and does for requests that have a large body: there both sides speak at the same time, so
//! it has two halves that send each other what they read. Where one side speaks after the other, one loop does, at half
//! the cost. The hooks are the framework's, in its order. What becomes a tunnel begins here, too: the framework ends one
//! whose upstream agrees before it has been told that the request has no body.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, EXPECT, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, HttpPeer};
use pingora::protocols::Stream;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::{ProxyHttp as _, Session};
use tokio::task::unconstrained;

use super::exchange::Exchange;
use super::upstream::Upstream;
use super::{Gateway, headers};
use crate::crash::crash_point;

/// How often a request is tried.
const TRIES_MAX: usize = 16;
/// How many pieces of an answer that are here leave together.
const PIECES_MAX: usize = 4;

/// The largest body that is taken in before the upstream is asked: as much as the framework keeps to ask again.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Whether a request is only asked, and then only answered.
pub(super) fn is_plain(session: &mut Session) -> bool {
    let is_bodiless = session.is_body_empty();
    let headers = &session.req_header().headers;
    // Who expects an interim answer before the body goes, gets the upstream's.
    !headers.contains_key(EXPECT) && (is_bodiless || headers.get(CONTENT_LENGTH).is_some_and(is_small))
}

fn is_small(length: &HeaderValue) -> bool {
    length.to_str().is_ok_and(|length| length.parse().is_ok_and(|length: usize| length <= BODY_BYTES_MAX))
}

impl Gateway {
    /// Asks the upstream, and passes on what it answers.
    ///
    /// # Errors
    /// The framework's, when there is no answer, or not all of one.
    pub(super) async fn forward(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> pingora::Result<()> {
        let body = self.take_in(session, exchange).await?;
        let mut tries = 1;
        loop {
            let Err(error) = self.ask(session, &body, exchange).await else { return Ok(()) };
            if !error.retry() || tries >= TRIES_MAX {
                return Err(error);
            }
            tracing::warn!(%error, tries, "an upstream is asked again");
            tries += 1;
        }
    }

    /// The body of a request, once it is here to its end.
    async fn take_in(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> pingora::Result<BytesMut> {
        let mut body = BytesMut::new();
        // A body in HTTP/2 that trailers follow is never said to be done: there its end is that nothing comes.
        while !session.is_body_done()
            && let Some(piece) = session.read_request_body().await.map_err(Error::into_down)?
        {
            let mut piece = Some(piece);
            self.request_body_filter(session, &mut piece, false, exchange).await?;
            // Pieces may be a byte each: kept as they are, they would take many times the body's size.
            piece.iter().for_each(|piece| body.extend_from_slice(piece));
            if body.len() > BODY_BYTES_MAX {
                return Error::e_explain(ErrorType::InternalError, "a body of another length than was announced");
            }
        }
        self.request_body_filter(session, &mut None, true, exchange).await?;
        Ok(body)
    }

    async fn ask(&self, session: &mut Session, body: &[u8], exchange: &mut Box<Exchange>) -> pingora::Result<()> {
        let (upstream, to) = exchange.choose_upstream()?;
        let group = self.group();
        let (stream, is_reused) = match upstream.pool(group).take(to) {
            Some(stream) => (stream, true),
            // Seldom, and much larger than all the rest.
            None => (Box::pin(self.connect(session, exchange, &upstream.peer(to, group))).await?, false),
        };
        let mut http = HttpSession::new(stream);
        http.read_timeout = Some(upstream.config().read_timeout);
        http.write_timeout = Some(upstream.config().read_timeout);
        let is_whole = match self.pass_on(session, &mut http, body, exchange).await {
            Ok(is_whole) => is_whole,
            Err(error) => {
                return Err(self.error_while_proxy(&upstream.peer(to, group), session, error, exchange, is_reused));
            }
        };
        http.respect_keepalive();
        // Dropped, it is ended: an upstream that has half of a request waits for the rest.
        if is_whole && let Some(stream) = http.reuse().await {
            upstream.pool(group).rest(stream, to);
        }
        Ok(())
    }

    async fn connect(
        &self,
        session: &mut Session,
        exchange: &mut Box<Exchange>,
        peer: &HttpPeer,
    ) -> pingora::Result<Stream> {
        let connected = self.connector.new_stream(peer).await;
        connected.map_err(|error| self.fail_to_connect(session, peer, exchange, error.into_up()).into_up())
    }

    /// Asks and answers; says whether the upstream has taken the whole of the request.
    async fn pass_on(
        &self,
        session: &mut Session,
        upstream: &mut HttpSession,
        body: &[u8],
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<bool> {
        let mut request = headers::beyond_this_hop(session.req_header());
        self.upstream_request_filter(session, &mut request, exchange).await?;
        upstream.write_request_header(Box::new(request)).await.map_err(Error::into_up)?;
        // It may have answered before it ended the connection.
        let mut unsent = write(upstream, body).await.err();
        let is_whole = unsent.is_none();
        loop {
            let piece = tokio::select! {
                biased;
                piece = upstream.read_response_task() => {
                    piece.map_err(|error| unsent.take().unwrap_or(error).into_up())?
                }
                gone = session.as_downstream_mut().read_body_or_idle(true) => {
                    // What the upstream has not got, nobody is charged for who leaves.
                    return Err(unsent.take().map_or_else(|| left(gone), Error::into_up));
                }
            };
            let pieces = self.with_more(session, upstream, piece, exchange).await?;
            if session.write_response_tasks(pieces).await? {
                return Ok(is_whole);
            }
            if session.was_upgraded() {
                return self.tunnel(session, upstream, exchange).await.map(|()| is_whole);
            }
        }
    }

    /// What has come leaves together, so that a short answer is one packet.
    pub(super) async fn with_more(
        &self,
        session: &mut Session,
        upstream: &mut HttpSession,
        first: HttpTask,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<Vec<HttpTask>> {
        let mut pieces = Vec::with_capacity(PIECES_MAX);
        let mut next = Some(first);
        while let Some(piece) = next {
            let is_last = piece.is_end() || pieces.len() + 1 == PIECES_MAX;
            pieces.push(self.pass_piece(session, piece, exchange).await?);
            // What fails now fails behind what has come before.
            let mut read = || unconstrained(upstream.read_response_task()).now_or_never();
            let more = if is_last { None } else { read() };
            next = more.map(|piece| piece.unwrap_or_else(|error| HttpTask::Failed(error.into_up())));
        }
        Ok(pieces)
    }

    async fn pass_piece(
        &self,
        session: &mut Session,
        mut piece: HttpTask,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<HttpTask> {
        match &mut piece {
            HttpTask::Header(response, ends) => {
                frame(session, response, *ends)?;
                self.response_filter(session, response, exchange).await?;
            }
            HttpTask::Body(body, ends) | HttpTask::UpgradedBody(body, ends) => {
                self.response_body_filter(session, body, *ends, exchange)?;
                exchange.until_kept().await;
            }
            _ => {}
        }
        Ok(piece)
    }
}

impl Exchange {
    /// The upstream of this request, and which of its addresses is to be asked.
    ///
    /// # Errors
    /// The framework's, if no address is known.
    pub(super) fn choose_upstream(&mut self) -> pingora::Result<(Arc<Upstream>, SocketAddr)> {
        self.upstream_asked = self.payment.is_some().then(Instant::now);
        crash_point!("upstream.choosing");
        let chosen = self.upstream.as_ref().and_then(|upstream| Some((Arc::clone(upstream), upstream.address()?)));
        let unknown = || Error::explain(ErrorType::ConnectError, "the upstream's name has no address");
        chosen.ok_or_else(unknown).map_err(Error::into_up)
    }
}

async fn write(upstream: &mut HttpSession, body: &[u8]) -> pingora::Result<()> {
    if !body.is_empty() {
        upstream.write_body(body).await?;
    }
    upstream.finish_body().await.map(drop)
}

/// An answer whose end only the connection's end would tell is sent in chunks: the client's connection is kept.
fn frame(session: &Session, response: &mut ResponseHeader, ends: bool) -> pingora::Result<()> {
    let has_no_body = session.req_header().method == Method::HEAD
        || response.status.is_informational()
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_framed = response.headers.contains_key(TRANSFER_ENCODING) || response.headers.contains_key(CONTENT_LENGTH);
    if ends || has_no_body || is_framed {
        return Ok(());
    }
    response.set_version(Version::HTTP_11);
    response.insert_header(TRANSFER_ENCODING, "chunked")
}

/// Nobody is there any more who would hear the answer.
fn left(how: pingora::Result<Option<Bytes>>) -> Box<Error> {
    let unasked = |_| Error::explain(ErrorType::ReadError, "a client that speaks out of turn");
    how.map_or_else(|error| error, unasked).into_down()
}
