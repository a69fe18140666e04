//! An API to put behind the gateway: the kind of thing that is sold, with made-up data.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, interval_at};

use super::SandboxError;
use super::loopback::{Answers, Body, LoopbackServer, json as answer_json};

/// Events of `/v1/stream`, and the pause between two.
const EVENTS: u32 = 3;
const EVENT_PAUSE: Duration = Duration::from_millis(100);
/// The longest city name that is echoed, in characters.
const CITY_CHARS_MAX: usize = 40;

/// A running sample API. It stops when this is dropped.
///
/// | request | answer |
/// |---|---|
/// | `GET /weather?city=` | today's weather, made up |
/// | `GET /premium-forecast?city=` | five days of it |
/// | `GET /v1/status` | that it is up |
/// | `POST /v1/analyze` | what is in the JSON body |
/// | `GET /v1/stream` | a few server-sent events |
#[derive(Debug)]
pub struct SampleUpstream {
    server: LoopbackServer,
    api: Arc<Api>,
}

impl SampleUpstream {
    /// Starts it on the current runtime. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`SandboxError`] if `addr` is not loopback, or cannot be listened on.
    pub async fn start(addr: SocketAddr) -> Result<Self, SandboxError> {
        let api = Arc::new(Api::default());
        let server = LoopbackServer::start(addr, "sample upstream, made-up data", Arc::clone(&api)).await?;
        tracing::info!(addr = %server.addr(), "sample upstream");
        Ok(Self { server, api })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The base URL for a gateway's `[upstream]`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// How many requests have come in, by path; those for other paths are under `other`.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.api.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Default)]
struct Api {
    requests: Mutex<BTreeMap<&'static str, u64>>,
}

/// What a path is for.
#[derive(Clone, Copy)]
enum Endpoint {
    Weather,
    Forecast,
    Status,
    Analyze,
    Stream,
}

impl Endpoint {
    const ALL: [(&'static str, Self); 5] = [
        ("/weather", Self::Weather),
        ("/premium-forecast", Self::Forecast),
        ("/v1/status", Self::Status),
        ("/v1/analyze", Self::Analyze),
        ("/v1/stream", Self::Stream),
    ];

    /// What `Allow` says; hyper leaves the body out of an answer to HEAD.
    fn methods(self) -> &'static str {
        match self {
            Self::Weather | Self::Forecast | Self::Status | Self::Stream => "GET, HEAD",
            Self::Analyze => "POST",
        }
    }
}

impl Answers for Api {
    fn answer(&self, request: &Request<Bytes>) -> Response<Body> {
        let found = Endpoint::ALL.into_iter().find(|(path, _)| *path == request.uri().path());
        self.count(found.map_or("other", |(path, _)| path));
        let Some((_, endpoint)) = found else {
            return answer_json(StatusCode::NOT_FOUND, &json!({"error": "no such path"}));
        };
        if !endpoint.methods().split(", ").any(|method| method == request.method().as_str()) {
            let mut answer = answer_json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "no such method"}));
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(endpoint.methods()));
            return answer;
        }
        match endpoint {
            Endpoint::Weather => answer_json(StatusCode::OK, &day(&city(request), "today", 0)),
            Endpoint::Forecast => answer_json(StatusCode::OK, &forecast(&city(request))),
            Endpoint::Status => answer_json(StatusCode::OK, &json!({"status": "up"})),
            Endpoint::Analyze => analyze(request.body()),
            Endpoint::Stream => stream(request.method() == Method::HEAD),
        }
    }
}

impl Api {
    fn count(&self, path: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry(path).or_default();
        *count = count.saturating_add(1);
    }
}

fn day(city: &str, day: &str, offset: usize) -> Value {
    const SKIES: [&str; 5] = ["clear", "cloudy", "rain", "fog", "snow"];
    // The same city has the same weather, so that a demo can be repeated.
    let sum = city.bytes().map(usize::from).sum::<usize>() + offset * 7;
    let sky = SKIES.get(sum % SKIES.len()).copied().unwrap_or_default();
    json!({"city": city, "day": day, "sky": sky, "celsius": sum % 35})
}

fn forecast(city: &str) -> Value {
    let days = ["today", "tomorrow", "in 2 days", "in 3 days", "in 4 days"];
    let days: Vec<Value> = days.iter().enumerate().map(|(offset, name)| day(city, name, offset)).collect();
    json!({"city": city, "days": days})
}

fn analyze(body: &[u8]) -> Response<Body> {
    let Ok(input) = serde_json::from_slice::<Value>(body) else {
        return answer_json(StatusCode::BAD_REQUEST, &json!({"error": "the body is not JSON"}));
    };
    let members = input.as_object().map_or(0, serde_json::Map::len);
    answer_json(StatusCode::OK, &json!({"bytes": body.len(), "members": members, "input": input}))
}

fn stream(head_only: bool) -> Response<Body> {
    let next = if head_only { EVENTS } else { 0 };
    let events = Events { next, pause: interval_at(Instant::now(), EVENT_PAUSE) };
    let mut response = Response::new(events.boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Server-sent events, one after the other.
struct Events {
    next: u32,
    pause: Interval,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.next >= EVENTS {
            return Poll::Ready(None);
        }
        std::task::ready!(this.pause.poll_tick(cx));
        this.next += 1;
        let event = format!("event: tick\ndata: {{\"number\":{},\"of\":{EVENTS}}}\n\n", this.next);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

/// The `city` of a query, or a default.
fn city(request: &Request<Bytes>) -> String {
    let query = request.uri().query().unwrap_or_default();
    let value = query.split('&').find_map(|pair| pair.strip_prefix("city=")).filter(|value| !value.is_empty());
    value.map_or_else(|| "Oslo".to_owned(), |value| decode(value).chars().take(CITY_CHARS_MAX).collect())
}

/// Decodes `%41` and `+`; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        rest = match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                after.get(2..).unwrap_or_default()
            }
            None => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
