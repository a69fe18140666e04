//! One JSON-RPC call: what is common to all chains.
//!
//! The server is the operator's choice and no authority: what it sends is bounded, typed, and never put into a text
//! as a whole.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{ChainError, ConnectError};
use crate::outbound::Outbound;

/// For the whole of one call.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a server's words goes into an error.
const MESSAGE_CHARS_MAX: usize = 200;
/// A part of the URL that is this long may be a key.
const KEY_BYTES_MIN: usize = 8;

/// The client of one RPC server.
pub(super) struct Rpc {
    outbound: Outbound,
    url: Uri,
    timeout: Duration,
    next_id: AtomicU64,
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: Value,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    #[serde(default)]
    message: String,
}

/// Tells a result of null from none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Rpc {
    pub(super) fn new(url: &str) -> Result<Self, ConnectError> {
        let url: Uri = url.parse().map_err(|_| ConnectError::Url)?;
        let https = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ConnectError::Url),
        };
        Ok(Self { outbound: Outbound::new(https)?, url, timeout: TIMEOUT, next_id: AtomicU64::new(1) })
    }

    /// Asks, and reads the result as a `T`: an `Option` where null is an answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, ChainError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let answer = self.outbound.post(&self.url, HeaderMap::new(), body, self.timeout).await?;
        // Some servers put their errors under a status of 400 or 429: what counts is the body.
        let parsed = serde_json::from_slice::<Answer<'_>>(&answer.body);
        let parsed = parsed.map_err(|_| ChainError::NotJsonRpc { method, status: answer.status.as_u16() })?;
        if let Some(Fault { code, message }) = parsed.error {
            return Err(ChainError::Refused { method, code, message: self.presentable(&message) });
        }
        if parsed.id != json!(id) {
            return Err(ChainError::nonsense(method, "it answers another question"));
        }
        let result = parsed.result.filter(|_| answer.status.is_success());
        let result = result.ok_or_else(|| ChainError::nonsense(method, "it has neither result nor error"))?;
        serde_json::from_str(result.get())
            .map_err(|error| ChainError::nonsense(method, self.presentable(&error.to_string())))
    }

    /// A text of the server's, short, in one line, and without what may be a key: some servers repeat it.
    fn presentable(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let path = self.url.path_and_query().map_or("", |path| path.as_str());
        for part in path.split(['/', '?', '&', '=']).filter(|part| part.len() >= KEY_BYTES_MIN) {
            text = text.replace(part, "…");
        }
        text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rpc(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::scripted::{Reply, Scripted};
    use crate::outbound::OutboundError;

    const KEY: &str = "do-not-print-me";

    async fn answered<T: DeserializeOwned>(reply: Reply) -> Result<T, ChainError> {
        let server = Scripted::start(move |_, _| reply.clone()).await;
        let mut rpc = Rpc::new(&format!("{}/v2/{KEY}?key={KEY}", server.url())).unwrap();
        if matches!(server.reply("", &Value::Null), Reply::Silence) {
            rpc.timeout = Duration::from_millis(150);
        }
        let result = rpc.call("eth_chainId", json!([])).await;
        if let Err(error) = &result {
            assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
        }
        result
    }

    #[tokio::test]
    async fn a_result_is_read_by_its_type() {
        assert_eq!(answered(Reply::Result(json!("0x1"))).await, Ok("0x1".to_owned()));
        assert_eq!(answered::<Option<u8>>(Reply::Result(json!(null))).await, Ok(None));
        assert_eq!(answered(Reply::Raw(200, r#"{"id":1,"result":7,"error":null}"#.into())).await, Ok(7));
        for wrong in [json!(null), json!(1), json!({}), json!([[[]]])] {
            let result = answered::<String>(Reply::Result(wrong.clone())).await;
            assert!(matches!(result, Err(ChainError::Nonsense { .. })), "{wrong}: {result:?}");
        }
    }

    #[tokio::test]
    async fn an_error_is_told_in_short_and_without_the_key() {
        let long: &str = "bad key do-not-print-me\n, and so on, and so on, and so on, and so on, and so on, and so on, \
                          and so on, and so on, and so on, and so on, and so on, and so on, and so on, and so on, and so \
                          on, and so on, and so on, and so on";
        let Err(ChainError::Refused { code, message, .. }) = answered::<Value>(Reply::Error(-32_000, long)).await
        else {
            panic!("an error is an error");
        };
        assert!(
            code == -32_000 && message.starts_with("bad key …, and") && message.chars().count() <= 200,
            "{message}"
        );
        let body = r#"{"id":null,"error":{"code":-32005,"message":"slow down"}}"#;
        for status in [200, 400, 429] {
            let result = answered::<Value>(Reply::Raw(status, body.into())).await;
            assert!(matches!(result, Err(ChainError::Refused { code: -32_005, .. })), "{status}: {result:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_an_answer_to_the_question_is_none() {
        for body in [
            "",
            "<html>bad gateway</html>",
            "null",
            "[]",
            "{}",
            r#"{"id":1}"#,
            r#"{"result":1}"#,
            r#"{"id":2,"result":1}"#,
            r#"{"id":"1","result":1}"#,
            r#"{"id":1,"result":1"#,
            r#"{"id":1,"error":"no"}"#,
            r#"{"id":1,"result":1,"error":{"code":1e400}}"#,
            r#"{"id":1,"result":1,"result":2}"#,
            r#"[{"id":1,"result":1}]"#,
        ] {
            let result = answered::<Value>(Reply::Raw(200, body.into())).await;
            assert!(result.is_err(), "{body}: {result:?}");
        }
        let result = answered::<Value>(Reply::Raw(502, r#"{"id":1,"result":1}"#.into())).await;
        assert!(result.is_err(), "{result:?}");
        let deep = format!(r#"{{"id":1,"result":{}"#, "[".repeat(100_000));
        assert!(answered::<Value>(Reply::Raw(200, deep)).await.is_err());
    }

    #[tokio::test]
    async fn a_silent_server_or_a_flood_ends() {
        let silent = answered::<Value>(Reply::Silence).await;
        assert!(matches!(silent, Err(ChainError::NoAnswer(OutboundError::Timeout(_)))), "{silent:?}");
        let flood = answered::<Value>(Reply::Raw(200, " ".repeat(5 * 1024 * 1024))).await;
        assert!(matches!(flood, Err(ChainError::NoAnswer(OutboundError::Unreadable(_)))), "{flood:?}");
        let nobody = Rpc::new("http://127.0.0.1:1").unwrap().call::<Value>("eth_chainId", json!([])).await;
        assert!(matches!(nobody, Err(ChainError::NoAnswer(OutboundError::Unreachable(_)))), "{nobody:?}");
    }
}
