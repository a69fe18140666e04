//! The operator's API: what `tollgate keys` does, by HTTP, for whoever has the token.

use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode};
use pingora::protocols::http::ServerSession;
use subtle::ConstantTimeEq as _;

use super::operation::{Asked, Operation, asked};
use super::query::Query;
use super::reply::{Problem, reply};
use super::{Admin, acts};
use crate::plans::KeyId;
use crate::proxy::Snapshot;
use crate::resource_server::Registrar;

/// Below this path everything is the API's.
pub(super) const PREFIX: &str = "/api/";

/// The most that the API is told, and the longest wait for it.
const BODY_BYTES_MAX: usize = 16 * 1024;
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Who acts here, as the books have it.
const WHO: &str = "the API";

impl Admin {
    pub(super) async fn api(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let now = self.server.clock().now();
        let answered = self.asked_of_api(session, now).await;
        answered.unwrap_or_else(|problem| {
            // What is left of a body that was not read would be taken for the next request.
            session.set_keepalive(None);
            problem.answer(now)
        })
    }

    async fn asked_of_api(&self, session: &mut ServerSession, now: SystemTime) -> Result<Response<Vec<u8>>, Problem> {
        let (snapshot, head) = (self.live.load_full(), session.req_header());
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let granted = authorize(&snapshot, &head.headers);
        let (operation, id) = match asked(&method, uri.path()) {
            // It says nothing of anybody; without a token there is no API that it would describe.
            Asked::For(Operation::Description, _) if snapshot.admin_token.is_some() => (Operation::Description, ""),
            asked => match granted.and(Ok(asked))? {
                Asked::For(operation, id) => (operation, id),
                Asked::Otherwise(allowed) => return Err(Problem::method(&allowed)),
                Asked::Nothing => return Err(Problem::missing("not_found", "There is no such endpoint.")),
            },
        };
        let body = body(session).await?;
        let (registrar, query) = (self.registrar(&snapshot), Query::parse(uri.query()));
        match operation {
            Operation::Description => description(),
            Operation::Holder => self.holder(id, query, now).await,
            Operation::Subscriptions => self.subscriptions(query, now).await,
            Operation::Subscription => self.subscription(id, query, now).await,
            Operation::Keys => self.keys(query, now).await,
            Operation::Usage => self.usage(query).await,
            Operation::MakeKey => acts::make(&registrar, &body, query, now).await,
            Operation::RotateKey => acts::rotate(&registrar, &KeyId::new(id), query).await,
            Operation::RevokeKey => acts::revoke(&registrar, &KeyId::new(id), query).await,
        }
    }

    fn registrar<'a>(&'a self, snapshot: &'a Snapshot) -> Registrar<'a> {
        Registrar { server: &self.server, market: &snapshot.market, register: &*self.register, who: WHO }
    }
}

/// Whether the request has the token. Without one in the configuration there is no API.
fn authorize(snapshot: &Snapshot, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &snapshot.admin_token else {
        let message =
            "The operator's API is off. server.admin_token = { env = \"NAME\" } in the configuration turns it on.";
        return Err(Problem::missing("api_off", message));
    };
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(sent), None) = (sent.next(), sent.next()) else { return Err(Problem::unauthorized("missing_token")) };
    let sent = sent.to_str().ok().and_then(|text| text.split_once(' '));
    let sent = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, sent)| sent.trim());
    let same: bool = sent.as_bytes().ct_eq(token.reveal().as_bytes()).into();
    if same { Ok(()) } else { Err(Problem::unauthorized("invalid_token")) }
}

fn description() -> Result<Response<Vec<u8>>, Problem> {
    let description = serde_json::from_str(include_str!("openapi.json"));
    let broken = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The description is broken.");
    Ok(reply(StatusCode::OK, &description.map_err(broken)?))
}

/// The whole body of a request.
async fn body(session: &mut ServerSession) -> Result<Vec<u8>, Problem> {
    let to_its_end = async {
        let mut body = Vec::new();
        loop {
            match session.read_request_body().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > BODY_BYTES_MAX => {
                    let message = "The body has more than 16 KiB.";
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(_) => return Err(Problem::bad("invalid_body", "The body broke off.")),
            }
        }
    };
    let late = || Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body did not come.");
    tokio::time::timeout(BODY_WAIT_MAX, to_its_end).await.unwrap_or_else(|_| Err(late()))
}
