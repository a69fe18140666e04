//! Which headers pass the gateway, in both directions.

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName,
    HeaderValue,
};
use pingora::http::{RequestHeader, ResponseHeader};

use super::facts::Facts;
use super::upstream::Upstream;
use crate::crash::crash_point;
use crate::resource_server::Pass;
use crate::x402::codec;
use crate::x402::facilitator::SettleResponse;
use crate::x402::headers::{PAYMENT_RESPONSE, X_PAYMENT_RESPONSE};

/// Request headers that no upstream gets: payments, our own words, and what would change the method or the path that
/// was priced. `Access-Control-Expose-Headers` is a response header that x402 clients send.
pub(super) const STRIPPED: [&str; 15] = [
    "payment-signature",
    "x-payment",
    "payment-required",
    "x-payment-required",
    "payment-response",
    "x-payment-response",
    "sign-in-with-x",
    "settlement-overrides",
    "access-control-expose-headers",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "forwarded",
];

/// Response headers that only the gateway may set.
const STRIPPED_FROM_UPSTREAM: [&str; 7] = [
    "payment-required",
    "x-payment-required",
    "payment-response",
    "x-payment-response",
    "settlement-overrides",
    "extension-responses",
    "surrogate-control",
];

/// What a browser may read of an answer from another origin.
pub(super) const EXPOSED: &str = "PAYMENT-REQUIRED, X-PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, \
                                  Retry-After, RateLimit, RateLimit-Policy, X-Quota-Limit, X-Quota-Remaining, \
                                  X-Quota-Reset, X-Units-Cost";

const PAYER: &str = "X-Tollgate-Payer";
const PAYMENT_ID: &str = "X-Tollgate-Payment-Id";
const PLAN: &str = "X-Tollgate-Plan";

/// What a grant calls a token of the operator's.
const TOKEN: &str = "token";

/// Makes the request that goes upstream of the client's: its target is the one that was priced.
pub(super) fn to_upstream(
    request: &mut RequestHeader,
    facts: &Facts,
    upstream: &Upstream,
    pass: &Pass,
    secure: bool,
) -> pingora::Result<()> {
    let ours: Vec<HeaderName> =
        request.headers.keys().filter(|name| name.as_str().starts_with("x-tollgate-")).cloned().collect();
    ours.iter().for_each(|name| drop(request.remove_header(name)));
    STRIPPED.iter().for_each(|name| drop(request.remove_header(*name)));
    if let Some(credential) = facts.credential.as_ref().filter(|credential| credential.ours) {
        credential.headers.iter().for_each(|name| drop(request.remove_header(name)));
    }
    request.set_uri(
        facts.target.as_str().parse().map_err(|_| {
            pingora::Error::explain(pingora::ErrorType::InternalError, "a canonical target is not a URI")
        })?,
    );
    request.insert_header(HOST, upstream.authority.clone())?;
    request.insert_header("X-Forwarded-Host", facts.host.clone())?;
    request.insert_header("X-Forwarded-Proto", if secure { "https" } else { "http" })?;
    match facts.client {
        Some(client) => request.insert_header("X-Forwarded-For", client.to_string())?,
        None => drop(request.remove_header("X-Forwarded-For")),
    }
    crash_point!("upstream.asking");
    match pass {
        Pass::Free | Pass::Trial(_) => Ok(()),
        Pass::Plan(reservation) => {
            // Whoever has the token that opened the plan can spend it.
            if &*reservation.grant().credential == TOKEN {
                request.remove_header(&AUTHORIZATION);
            }
            let bought = reservation.account().subscription();
            request.insert_header(PLAN, &*bought.plan.name)?;
            request.insert_header(PAYER, &*bought.payer)
        }
        Pass::Verified(verified) => {
            request.insert_header(PAYMENT_ID, verified.presented().id.as_str())?;
            verified.payer().map_or(Ok(()), |payer| request.insert_header(PAYER, payer))
        }
        Pass::Settled(settled) => {
            request.insert_header(PAYMENT_ID, settled.presented.id.as_str())?;
            settled.receipt.payer.as_deref().map_or(Ok(()), |payer| request.insert_header(PAYER, payer))
        }
    }
}

/// Takes out of an upstream's answer what only the gateway may say.
pub(super) fn from_upstream(response: &mut ResponseHeader) {
    STRIPPED_FROM_UPSTREAM.iter().for_each(|name| drop(response.remove_header(*name)));
}

/// Marks an answer that was paid for, in money, units or free calls: it is nobody else's, so no shared cache may keep it.
pub(super) fn make_private(response: &mut ResponseHeader, from_browser: bool) -> pingora::Result<()> {
    let kept: Vec<String> = response
        .headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|directive| !directive.is_empty() && !is_shared(directive))
        .map(str::to_owned)
        .collect();
    let private = kept.iter().any(|directive| directive.eq_ignore_ascii_case("private"));
    let merged = if private { kept.join(", ") } else { [kept, vec!["private".to_owned()]].concat().join(", ") };
    response.insert_header(CACHE_CONTROL, merged)?;
    response.remove_header("CDN-Cache-Control");
    response.append_header("Vary", "PAYMENT-SIGNATURE, X-PAYMENT, X-API-KEY, Authorization")?;
    if from_browser && !response.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        response.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")?;
    }
    // Added to what the upstream exposes, not in place of it.
    response.append_header(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)?;
    Ok(())
}

fn is_shared(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("public") || name.eq_ignore_ascii_case("s-maxage")
}

/// The receipt, under both names: all clients look for `PAYMENT-RESPONSE` first.
pub(super) fn receipt(receipt: &SettleResponse) -> [(HeaderName, HeaderValue); 2] {
    let value = HeaderValue::try_from(codec::encode(receipt)).unwrap_or_else(|_| HeaderValue::from_static(""));
    let name = |name: &'static str| HeaderName::try_from(name).unwrap_or(CACHE_CONTROL);
    [(name(PAYMENT_RESPONSE), value.clone()), (name(X_PAYMENT_RESPONSE), value)]
}
