//! Tells another machine what has happened, in the form of Standard Webhooks. Never on the path of a request.
//!
//! Not for what must not be forgotten: events are kept in memory until they are delivered, at most [`PENDING_MAX`].
//!
//! ```text
//! POST url
//! webhook-id: msg_…                     the same at each attempt
//! webhook-timestamp: 1777118400         of the attempt
//! webhook-signature: v1,BASE64          HMAC-SHA256 of "id.timestamp.body"
//!
//! {"type":"payer.limit_exceeded","timestamp":"2026-04-25T12:00:00.000Z","data":{…}}
//! ```

mod message;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use http::Uri;
use prometheus::IntCounterVec;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub use message::{SecretError, SigningSecret};

use self::message::Message;
use crate::clock::unix_seconds;
use crate::outbound::{Outbound, TlsError};

/// Events that wait to be delivered; more are dropped.
pub const PENDING_MAX: usize = 1000;
/// Attempts at a time.
const AT_A_TIME: usize = 8;
/// The waits before an event is tried again.
const TRY_AGAIN_AFTER: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// `[webhook]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// What is posted to.
    pub url: Uri,
    /// What messages are signed with.
    pub secret: SigningSecret,
    /// For the whole of an attempt.
    pub timeout: Duration,
}

/// A handle for whoever has something to tell. Clones tell the same machine.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<Outbox>>);

struct Outbox {
    receiver: ArcSwapOption<Receiver>,
    pending: Arc<Semaphore>,
    attempts: Semaphore,
    runtime: Handle,
    outcomes: IntCounterVec,
}

struct Receiver {
    webhook: Webhook,
    client: Outbound,
}

impl Events {
    /// A handle that tells nobody yet. Deliveries run on `runtime` and are counted by their `outcome`.
    pub fn new(runtime: Handle, outcomes: IntCounterVec) -> Self {
        Self(Some(Arc::new(Outbox {
            receiver: ArcSwapOption::empty(),
            pending: Arc::new(Semaphore::new(PENDING_MAX)),
            attempts: Semaphore::new(AT_A_TIME),
            runtime,
            outcomes,
        })))
    }

    /// Says who is told from now on, also of what was not delivered yet. None: nobody.
    ///
    /// # Errors
    /// [`TlsError`] if this machine cannot speak TLS; nothing is changed then.
    pub fn deliver_to(&self, webhook: Option<&Webhook>) -> Result<(), TlsError> {
        let Some(outbox) = &self.0 else { return Ok(()) };
        let receiver = match webhook {
            Some(webhook) => {
                let client = Outbound::new(webhook.url.scheme_str() == Some("https"))?;
                Some(Arc::new(Receiver { webhook: webhook.clone(), client }))
            }
            None => None,
        };
        outbox.receiver.store(receiver);
        Ok(())
    }

    /// Tells of something. Returns at once; if too much is waiting, it is dropped with a line in the log.
    pub fn send(&self, kind: &'static str, data: Value) {
        let Some(outbox) = self.0.as_ref().filter(|outbox| outbox.receiver.load().is_some()) else { return };
        let Ok(place) = Arc::clone(&outbox.pending).try_acquire_owned() else {
            outbox.count("dropped");
            tracing::error!(kind, "an event was dropped: too many wait for the webhook");
            return;
        };
        let (outbox, message) = (Arc::clone(outbox), Message::new(kind, data, SystemTime::now()));
        let runtime = outbox.runtime.clone();
        runtime.spawn(async move {
            outbox.deliver(&message).await;
            drop(place);
        });
    }
}

impl Outbox {
    async fn deliver(&self, message: &Message) {
        let waits = TRY_AGAIN_AFTER.iter().map(Some).chain([None]);
        for wait in waits {
            let Err(why) = self.attempt(message).await else {
                self.count("delivered");
                return;
            };
            let Some(wait) = wait else {
                self.count("failed");
                tracing::error!(id = message.id(), kind = message.kind(), reason = why, "an event was not delivered");
                return;
            };
            tracing::warn!(id = message.id(), kind = message.kind(), reason = why, "an event is to be sent again");
            tokio::time::sleep(*wait).await;
        }
    }

    async fn attempt(&self, message: &Message) -> Result<(), String> {
        let _turn = self.attempts.acquire().await.map_err(|error| error.to_string())?;
        let receiver = self.receiver.load_full().ok_or("there is no webhook any more")?;
        let Receiver { webhook, client } = &*receiver;
        let headers = message.headers(&webhook.secret, unix_seconds(SystemTime::now()));
        let answer = client.post(&webhook.url, headers, message.body().to_owned(), webhook.timeout).await;
        match answer {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn count(&self, outcome: &str) {
        self.outcomes.with_label_values(&[outcome]).inc();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let receives = self.0.as_ref().is_some_and(|outbox| outbox.receiver.load().is_some());
        f.debug_struct("Events").field("receives", &receives).finish()
    }
}
