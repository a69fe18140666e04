//! A plain request of HTTP/1 from its head to the next one's.
//!
//! The framework does the same, with all that it may need on the way to an upstream: a future of 13 KB is made and moved
//! for each request. Here the gateway goes that way itself. The hooks are the framework's, in its order.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use pingora::apps::{HttpPersistentSettings, ReusedHttpStream};
use pingora::prelude::ErrorType;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{ProxyHttp as _, Session};
use pingora::server::ShutdownWatch;

use super::Gateway;
use super::answer::Answer;
use super::brief::{self, Brief};
use super::exchange::Exchange;

/// Whose lines are looked through.
const FRAMEWORK: &str = "pingora_proxy";

impl Gateway {
    /// Serves a request; `is_alone` says whether nothing has come behind its head. None if the connection is not to be
    /// used again.
    pub(super) async fn serve_plain(
        &self,
        mut session: Session,
        is_alone: bool,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !hears(&mut session).await {
            return None;
        }
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        let mut exchange = Box::<Exchange>::default();
        let answer = self.answer(&mut session, &mut exchange).await;
        let responded = match answer {
            Some(answer) if is_alone && brief::may_be(&answer, &mut session) => {
                return self.say(Brief::of(&answer, session)?, &mut exchange).await;
            }
            // What is large, and not there for all, has a box of its own.
            Some(answer) => Box::pin(answer.write(&mut session)).await,
            None => Box::pin(self.forward(&mut session, &mut exchange)).await,
        };
        let error = responded.err();
        if let Some(error) = &error {
            let status = self.fail_to_proxy(&mut session, error, &mut exchange).await.error_code;
            if !self.suppress_error_log(&session, &exchange, error) {
                let request = self.request_summary(&session, &exchange);
                // As the framework says it: what it quotes of others is not written, nor all that they can cause.
                log::error!(target: FRAMEWORK, "a request failed: {error}, status: {status}, {request}");
            }
        }
        self.logging(&mut session, error.as_deref(), &mut exchange).await;
        if error.is_some() {
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        // The framework's own `finish` does the same, and moves the session once more.
        let ServerSession::H1(mut session) = *session.downstream_session else { return None };
        session.finish_body().await.ok()?;
        let finished = session.reuse().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(finished, settings))
    }

    /// The answer to a request. None if it goes upstream, with a pass.
    pub(super) async fn answer(&self, session: &mut Session, exchange: &mut Box<Exchange>) -> Option<Answer> {
        exchange.begin_turn(session);
        let receiving = AssertUnwindSafe(Box::pin(self.receive(session, exchange)));
        receiving.catch_unwind().await.unwrap_or_else(|_| Some(self.give_up(exchange)))
    }
}

/// Reads the head; false if there is none that can be answered.
async fn hears(session: &mut Session) -> bool {
    let read = session.downstream_session.read_request().await;
    let error = match read {
        Ok(there) => return there,
        Err(error) => error.into_down(),
    };
    log::debug!(target: FRAMEWORK, "a head could not be read: {error}");
    if *error.etype() == ErrorType::InvalidHTTPHeader {
        let _ = session.respond_error(400).await;
    }
    session.downstream_session.shutdown().await;
    false
}
