//! A key in the query of a WebSocket's handshake, where browsers can set no header.
//!
//! It is taken out of the target before anybody sees that: the route table, the upstream, the log.

use http::header::UPGRADE;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use zeroize::Zeroizing;

use super::credential::Credential;
use super::facts::{BadRequest, Facts};
use crate::plans::looks_like_jwt;
use crate::pricing::Target;

/// What a handshake has to show for itself, in its headers and in its query.
pub(super) struct Shown {
    pub(super) credential: Option<Credential>,
    pub(super) token: Option<Zeroizing<String>>,
}

impl Shown {
    /// Takes keys and, if tokens are taken here, tokens out of the query. What is neither is the upstream's own business
    /// and stays where it is. Two different ones are nobody's, wherever they are.
    pub(super) fn take_from(
        &mut self,
        target: &mut Target,
        parameter: &str,
        is_ours: impl Fn(&str) -> bool,
        takes_tokens: bool,
    ) -> Result<(), BadRequest> {
        let is_token = |text: &str| takes_tokens && looks_like_jwt(text);
        let taken = target.take_from_query(|name, value| {
            let (name, value) = (decoded(name)?, decoded(value)?);
            let named = name == parameter && (is_ours(&value) || is_token(&value));
            named.then_some(Zeroizing::new(value))
        });
        for text in taken {
            let shown = match is_token(&text) {
                true => self.token.get_or_insert_with(|| text.clone()),
                false => {
                    // A token in a header that is not ours may be the upstream's own.
                    self.credential.take_if(|credential| !credential.ours);
                    let key = || Credential { key: text.clone(), headers: Vec::new(), ours: true };
                    &mut self.credential.get_or_insert_with(key).key
                }
            };
            if *shown != text {
                return Err(BadRequest::Keys);
            }
        }
        Ok(())
    }
}

/// Has the framework, which writes targets to the log, forget what was taken out of one.
pub(super) fn hide(session: &mut Session, facts: &Facts) {
    if is_handshake(session.req_header())
        && let Ok(target) = facts.target.as_str().parse()
    {
        session.req_header_mut().set_uri(target);
    }
}

/// Whether a request asks for a WebSocket (RFC 6455 §4.1).
pub(super) fn is_handshake(head: &RequestHeader) -> bool {
    head.method == Method::GET && names_websocket(&head.headers)
}

fn names_websocket(headers: &HeaderMap) -> bool {
    let values = headers.get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2ln";

    fn shown(key: Option<(&str, bool)>, token: Option<&str>) -> Shown {
        let credential = key.map(|(key, ours)| Credential { key: key.to_owned().into(), headers: Vec::new(), ours });
        Shown { credential, token: token.map(|token| token.to_owned().into()) }
    }

    /// What is left of a target, and which key and token are shown then.
    fn taken(
        target: &str,
        mut shown: Shown,
        tokens: bool,
    ) -> Result<(String, Option<String>, Option<String>), BadRequest> {
        let mut target = Target::parse(target.as_bytes()).unwrap();
        shown.take_from(&mut target, "token", |key| key.starts_with("k_") || key == "im+/=", tokens)?;
        let text = |secret: Zeroizing<String>| secret.to_string();
        Ok((target.to_string(), shown.credential.map(|credential| text(credential.key)), shown.token.map(text)))
    }

    #[test]
    fn a_key_leaves_the_query_and_nothing_else_does() {
        for (target, left, key) in [
            ("/ws?token=k_1", "/ws", Some("k_1")),
            ("/ws?a=1&token=k_1&b=2", "/ws?a=1&b=2", Some("k_1")),
            ("/ws?token=k_1&token=k_1", "/ws", Some("k_1")),
            ("/ws?token=im%2B%2F%3D", "/ws", Some("im+/=")),
            ("/ws?%74oken=k%5F1", "/ws", Some("k_1")),
            ("/ws?token=k_1&token=theirs", "/ws?token=theirs", Some("k_1")),
            ("/ws?token=theirs", "/ws?token=theirs", None),
            ("/ws?token=", "/ws?token=", None),
            ("/ws?token", "/ws?token", None),
            ("/ws?Token=k_1&tokens=k_1&key=k_1", "/ws?Token=k_1&tokens=k_1&key=k_1", None),
            ("/ws?token=%ff", "/ws?token=%ff", None),
            ("/ws?", "/ws?", None),
            ("/ws", "/ws", None),
        ] {
            let expected = (left.to_owned(), key.map(str::to_owned), None);
            assert_eq!(taken(target, shown(None, None), true), Ok(expected), "{target}");
        }
    }

    #[test]
    fn a_token_is_taken_where_tokens_are() {
        let target = format!("/ws?token={JWT}");
        assert_eq!(taken(&target, shown(None, None), true), Ok(("/ws".to_owned(), None, Some(JWT.to_owned()))));
        assert_eq!(taken(&target, shown(None, None), false), Ok((target.clone(), None, None)));
        assert_eq!(taken(&target, shown(None, Some("an.other.one")), true), Err(BadRequest::Keys));
    }

    #[test]
    fn two_different_keys_are_nobodys() {
        assert_eq!(taken("/ws?token=k_1&token=k_2", shown(None, None), true), Err(BadRequest::Keys));
        assert_eq!(taken("/ws?token=k_1", shown(Some(("k_2", true)), None), true), Err(BadRequest::Keys));
        let same = taken("/ws?token=k_1", shown(Some(("k_1", true)), None), true);
        assert_eq!(same, Ok(("/ws".to_owned(), Some("k_1".to_owned()), None)));
        let beside_theirs = taken("/ws?token=k_1", shown(Some(("theirs", false)), None), true);
        assert_eq!(beside_theirs, Ok(("/ws".to_owned(), Some("k_1".to_owned()), None)));
    }

    #[test]
    fn a_handshake_is_a_get_that_asks_for_a_websocket() {
        let head = |method: &str, upgrade: &[&'static str]| {
            let mut head = RequestHeader::build(method, b"/ws", None).unwrap();
            upgrade.iter().for_each(|value| drop(head.append_header("Upgrade", *value)));
            is_handshake(&head)
        };
        assert!(head("GET", &["websocket"]) && head("GET", &["h2c, WebSocket"]) && head("GET", &["h2c", "websocket"]));
        assert!(!head("GET", &[]) && !head("GET", &["websockets"]) && !head("POST", &["websocket"]));
    }
}
