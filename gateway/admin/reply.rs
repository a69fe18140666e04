//! What the operator's API answers: JSON, in the form that the public side has.

use std::time::SystemTime;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::clock::iso_millis;
use crate::resource_server::Unregistered;
use crate::store::StoreError;

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: &'static str,
    message: String,
    header: Option<(HeaderName, String)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), header: None }
    }

    pub(super) fn bad(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, message)
    }

    pub(super) fn missing(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, message)
    }

    pub(super) fn unauthorized(error: &'static str) -> Self {
        let message = "Send the token of server.admin_token: Authorization: Bearer TOKEN.";
        let problem = Self::new(StatusCode::UNAUTHORIZED, error, message);
        Self { header: Some((WWW_AUTHENTICATE, "Bearer".to_owned())), ..problem }
    }

    pub(super) fn method(allowed: &[&str]) -> Self {
        let problem =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here.");
        Self { header: Some((ALLOW, allowed.join(", "))), ..problem }
    }

    pub(super) fn answer(&self, now: SystemTime) -> Response<Vec<u8>> {
        let body = json!({
            "code": self.status.as_u16(),
            "error": self.error,
            "message": self.message,
            "timestamp": iso_millis(now),
            "details": { "reason": self.error },
        });
        let mut response = reply(self.status, &body);
        if let Some((name, value)) = &self.header
            && let Ok(value) = HeaderValue::try_from(value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An answer that nobody keeps: some of them have a key in the clear.
pub(super) fn reply(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    let body = body.to_string().into_bytes();
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(CONTENT_LENGTH, body.len().into());
    *response.body_mut() = body;
    response
}

impl From<Unregistered> for Problem {
    fn from(error: Unregistered) -> Self {
        let message = error.to_string();
        match error {
            Unregistered::NoPlan(..) => Self::missing("unknown_plan", message),
            Unregistered::NoHolder(_) => Self::missing("unknown_holder", message),
            Unregistered::NoKey(_) => Self::missing("unknown_key", message),
            Unregistered::NoName(_) | Unregistered::Nobodys => Self::bad("invalid_holder", message),
            Unregistered::NoEnd => Self::bad("invalid_expiry", message),
            Unregistered::NoUnits => Self::bad("invalid_units", message),
            Unregistered::TooManyKeys(_) => Self::new(StatusCode::CONFLICT, "too_many_keys", message),
            Unregistered::HasAnother(..) => Self::new(StatusCode::CONFLICT, "other_subscription", message),
            Unregistered::AddressTaken(..) => Self::new(StatusCode::CONFLICT, "address_taken", message),
            Unregistered::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        let message = "The gateway cannot keep its books at the moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message)
    }
}
