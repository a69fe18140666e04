//! A wallet's sign-in on its way through the edge: read once, never passed on.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use pingora::http::RequestHeader;

use super::facts::{BadRequest, Facts};
use crate::payment::siwx::SignIn;
use crate::pricing::PriceTable;
use crate::x402::headers::{PAYMENT_BYTES_MAX, SIGN_IN_WITH_X};

/// The sign-in of a request. Two are nobody's.
pub(super) fn sign_in(headers: &HeaderMap) -> Result<Option<SignIn>, BadRequest> {
    let mut sent = headers.get_all(SIGN_IN_WITH_X).iter();
    let header = match (sent.next(), sent.next()) {
        (_, Some(_)) => return Err(BadRequest::SignIns),
        (header, None) => header.filter(|value| !value.is_empty()).map(|value| SignIn::Header(text(value))),
    };
    // Neither form has a comma: it is several in one line, as RFC 9110 §5.3 lets a proxy join them.
    let is_joined = |value: &String| value.contains(',') && value.split(',').any(|part| token(part).is_some());
    let values: Vec<_> = headers.get_all(AUTHORIZATION).iter().map(text).collect();
    let tokens: Vec<_> = values.iter().filter_map(|value| token(value)).collect();
    if values.iter().any(is_joined) || matches!(&header, Some(SignIn::Header(text)) if text.contains(',')) {
        return Err(BadRequest::SignIns);
    }
    let sign_in = match (header, tokens.as_slice()) {
        (header, []) => header,
        (None, [token]) if values.len() == 1 => Some(SignIn::Authorization((*token).to_owned())),
        _ => return Err(BadRequest::SignIns),
    };
    match &sign_in {
        Some(SignIn::Header(text) | SignIn::Authorization(text)) if text.len() > PAYMENT_BYTES_MAX => {
            Err(BadRequest::SignInTooLarge)
        }
        _ => Ok(sign_in),
    }
}

/// Takes a sign-in at this gateway out of what goes upstream: whoever has it could ask for the key. A token for
/// another domain is the upstream's own business. `SIGN-IN-WITH-X` never goes there.
pub(super) fn strip(request: &mut RequestHeader, facts: &Facts, prices: &PriceTable) {
    if let Some(token @ SignIn::Authorization(_)) = &facts.sign_in
        && token.is_for(&prices.public_url)
    {
        request.remove_header(&AUTHORIZATION);
    }
}

/// What stands behind the scheme.
fn token(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("siwx").then(|| token.trim())
}

/// What is not UTF-8 is no sign-in whichever way it is read.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
