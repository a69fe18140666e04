//! Connections that have become something else, as a WebSocket: from then on both sides speak when they like.

use http::Version;
use pingora::http::ResponseHeader;
use pingora::prelude::Error;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::{ProxyHttp as _, Session};

use super::Gateway;
use super::exchange::Exchange;

impl Exchange {
    /// Whether an upstream that says so may speak another protocol from here on: both sides have to have asked for it, in
    /// the one version of HTTP that knows it (RFC 9110 §7.8).
    pub(super) fn may_switch(&self, session: &Session, response: &ResponseHeader) -> bool {
        self.asks_to_switch && session.is_upgrade_req() && response.version == Version::HTTP_11
    }
}

impl Gateway {
    /// Passes on what both sides say, until one of them ends.
    ///
    /// # Errors
    /// The framework's, when a side breaks off.
    pub(super) async fn tunnel(
        &self,
        session: &mut Session,
        upstream: &mut HttpSession,
        exchange: &mut Box<Exchange>,
    ) -> pingora::Result<()> {
        upstream.maybe_upgrade_body_writer();
        // An upstream that hears no more may still have something to say.
        let mut unsent = None;
        loop {
            // Whoever says much keeps the other one from nothing: there is no order between them.
            tokio::select! {
                piece = upstream.read_response_task() => {
                    let piece = piece.map_err(|error| unsent.take().unwrap_or(error).into_up())?;
                    let pieces = self.with_more(session, upstream, piece, exchange).await?;
                    if session.write_response_tasks(pieces).await? {
                        return Ok(());
                    }
                }
                said = session.read_request_body(), if unsent.is_none() => {
                    let mut said = said.map_err(Error::into_down)?;
                    self.request_body_filter(session, &mut said, false, exchange).await?;
                    let Some(said) = said else { return Ok(()) };
                    unsent = upstream.write_body(&said).await.err();
                }
            }
        }
    }
}
