use bytes::Bytes;
use http::StatusCode;
use http::header::ACCESS_CONTROL_REQUEST_HEADERS;
use pingora::http::RequestHeader;

use super::answer::Answer;

/// Leave for a browser to call from another origin. It is free, and the upstream does not hear of it: so whichever
/// headers the browser means to send are allowed, since only the upstream knows which of them it takes.
pub(super) fn preflight(head: &RequestHeader) -> Answer {
    const OURS: &str = "PAYMENT-SIGNATURE, X-PAYMENT, X-API-KEY, Authorization, Content-Type, Accept, \
                        Access-Control-Expose-Headers, SIGN-IN-WITH-X";
    let wanted = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|wanted| wanted.to_str().ok());
    let allowed = wanted.map_or(OURS.to_owned(), |wanted| format!("{OURS}, {wanted}"));
    Answer::json(StatusCode::NO_CONTENT, Bytes::new())
        .with("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        .with("Access-Control-Allow-Headers", allowed)
        .with("Access-Control-Max-Age", "600")
}
