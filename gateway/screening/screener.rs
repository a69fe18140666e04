//! An outside screener: one question for each address, asked once and remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, Uri};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::Screened;
use crate::money::{Address, Network};
use crate::outbound::{Outbound, TlsError};

/// Verdicts that are remembered.
const VERDICTS_MAX: usize = 50_000;
/// The longest reason that is taken down.
const REASON_CHARS: usize = 200;

/// `[screening.http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenerSettings {
    /// What is posted to.
    pub url: Uri,
    /// Sent with each question; those that are secret are marked so.
    pub headers: HeaderMap,
    /// For the whole of a question.
    pub timeout: Duration,
    /// How long a verdict is good.
    pub cache_ttl: Duration,
}

/// Asks by HTTP: `POST {"address": "…", "network": "eip155:8453"}`, answered by `{"allowed": true}` or
/// `{"allowed": false, "reason": "…"}`. Anything else is no verdict.
#[derive(Debug)]
pub struct HttpScreener {
    settings: ScreenerSettings,
    client: Outbound,
    verdicts: Cache<Question, (Screened, Instant)>,
    asking: Mutex<HashMap<Question, Asking>>,
}

/// The screener has not said yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the screener gives no verdict")]
pub struct NoVerdict;

type Question = (Address, Network);

/// A question under way, for all who want to know.
type Asking = Arc<OnceCell<Result<Screened, NoVerdict>>>;

#[derive(Deserialize)]
struct Verdict {
    allowed: bool,
    reason: Option<Value>,
}

impl HttpScreener {
    /// Makes one, with nothing remembered.
    ///
    /// # Errors
    /// [`TlsError`] if this machine cannot speak TLS.
    pub fn new(settings: ScreenerSettings) -> Result<Self, TlsError> {
        let client = Outbound::new(settings.url.scheme_str() == Some("https"))?;
        Ok(Self { settings, client, verdicts: Cache::new(VERDICTS_MAX), asking: Mutex::default() })
    }

    /// What it was made from.
    pub fn settings(&self) -> &ScreenerSettings {
        &self.settings
    }

    /// Asks about a payer, unless the answer is known. If the future is dropped, somebody else who waits asks.
    pub(super) async fn screen(&self, payer: &Address, network: &Network) -> Result<Screened, NoVerdict> {
        let question = (payer.clone(), network.clone());
        if let Some(known) = self.known(&question) {
            return Ok(known);
        }
        let asking = Arc::clone(self.lock().entry(question.clone()).or_default());
        let answer = asking.get_or_init(|| self.ask(&question)).await.clone();
        let mut all = self.lock();
        if all.get(&question).is_some_and(|current| Arc::ptr_eq(current, &asking)) {
            all.remove(&question);
        }
        answer
    }

    fn known(&self, question: &Question) -> Option<Screened> {
        let (screened, at) = self.verdicts.get(question)?;
        (at.elapsed() < self.settings.cache_ttl).then_some(screened)
    }

    async fn ask(&self, question: &Question) -> Result<Screened, NoVerdict> {
        // Whoever came when the one before had just been answered finds the answer here.
        if let Some(known) = self.known(question) {
            return Ok(known);
        }
        let (payer, network) = question;
        let body = json!({ "address": payer.to_string(), "network": network.caip2() }).to_string();
        let (headers, timeout) = (self.settings.headers.clone(), self.settings.timeout);
        let answer =
            self.client.post(&self.settings.url, headers, body, timeout).await.map_err(|error| error.to_string());
        let screened = answer.and_then(|answer| read(answer.status, &answer.body));
        match screened {
            Ok(screened) => {
                self.verdicts.insert(question.clone(), (screened.clone(), Instant::now()));
                Ok(screened)
            }
            Err(why) => {
                tracing::warn!(%payer, %network, reason = why, "the screener gives no verdict");
                Err(NoVerdict)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Asking>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Screened, String> {
    if status != StatusCode::OK {
        return Err(format!("it answered {status}"));
    }
    let verdict: Verdict =
        serde_json::from_slice(body).map_err(|error| format!("its answer is no verdict: {error}"))?;
    if verdict.allowed {
        return Ok(Screened::Clear);
    }
    let reason = verdict.reason.as_ref().and_then(Value::as_str).unwrap_or("refused by the screener");
    Ok(Screened::Refused(reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect::<String>().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_word_is_a_verdict() {
        let said = |body: &str| read(StatusCode::OK, body.as_bytes());
        assert_eq!(said(r#"{"allowed": true, "score": 1}"#), Ok(Screened::Clear));
        assert_eq!(said(r#"{"allowed": false, "reason": "a\nlist"}"#), Ok(Screened::Refused("alist".into())));
        assert_eq!(said(r#"{"allowed": false}"#), Ok(Screened::Refused("refused by the screener".into())));
        for nonsense in [
            "",
            "{}",
            "true",
            "[]",
            "<html>",
            r#"{"allowed": 1}"#,
            r#"{"allowed": "true"}"#,
            r#"{"allowed": null}"#,
            r#"{"allowed": true, "allowed": false}"#,
            r#"{"Allowed": true}"#,
            r#"{"allowed": true"#,
        ] {
            assert!(said(nonsense).is_err(), "{nonsense}");
        }
        for status in [201, 204, 302, 404, 500] {
            assert!(read(StatusCode::from_u16(status).unwrap(), br#"{"allowed": true}"#).is_err(), "{status}");
        }
    }
}
