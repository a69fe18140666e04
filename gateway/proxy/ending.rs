//! The last words of an answer that its plan pays no more.

use std::time::Duration;

use bytes::Bytes;
use pingora::prelude::{Error, ErrorType};
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use serde_json::json;

use super::frames::close;
use super::meter::{Form, Meter};
use super::unsent::task;
use crate::resource_server::Ended;

/// How long a client has to answer our close frame: a connection with unread bytes is reset, and what was written last
/// may be lost with it.
const FAREWELL_WAIT_MAX: Duration = Duration::from_secs(1);

/// The codes of close frames (RFC 6455 §7.4.1 and its registry).
const POLICY_VIOLATION: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;

/// How an answer ends.
enum Words {
    /// A close frame, and then the connection.
    Close(Bytes),
    /// A last event, and the proper end of the body.
    Event(Bytes),
    /// Nothing: the client sees that the body is not complete.
    None,
}

/// Ends an answer: writes what was paid for and has not left, and says why no more comes, as far as the answer's form
/// allows. `purchase` is where plans are sold.
pub(super) async fn end(session: &mut Session, meter: Meter, purchase: &str) {
    let Some((ended, form, unsent)) = meter.into_end() else { return };
    tracing::debug!(reason = ended.as_str(), "an answer was ended");
    let mut tasks = unsent.into_tasks();
    let words = Words::of(ended, &form, purchase);
    let closing = matches!(words, Words::Close(_));
    match words {
        Words::Close(frame) => tasks.push(task(true, Some(frame), false)),
        Words::Event(event) => tasks.push(task(false, Some(event), true)),
        // Pingora writes out what it has before it fails.
        Words::None => {
            tasks.push(task(false, None, false));
            tasks.push(HttpTask::Failed(Error::new(ErrorType::ConnectionClosed)));
        }
    }
    match session.write_response_tasks(tasks).await {
        Ok(_) if closing => farewell(session).await,
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "an answer was cut off"),
    }
}

impl Words {
    fn of(ended: Ended, form: &Form, purchase: &str) -> Self {
        match form {
            Form::Frames(_) => {
                let code = if ended == Ended::StoreFailed { TRY_AGAIN_LATER } else { POLICY_VIOLATION };
                Self::Close(close(code, ended.as_str()))
            }
            Form::Events(tail) if tail.is_between_events() => {
                let reason = ended.as_str();
                let data = json!({ "reason": reason, "purchaseUrl": purchase });
                Self::Event(format!("event: {reason}\ndata: {data}\n\n").into())
            }
            Form::Events(_) | Form::Opaque => Self::None,
        }
    }
}

/// Reads what the client still says, until it ends the connection.
async fn farewell(session: &mut Session) {
    let to_its_end = async { while let Ok(Some(_)) = session.read_request_body().await {} };
    let _ = tokio::time::timeout(FAREWELL_WAIT_MAX, to_its_end).await;
}
