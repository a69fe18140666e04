//! Which headers pass the gateway, in both directions.

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CACHE_CONTROL, CONNECTION, HOST,
    HeaderName, HeaderValue, UPGRADE, VARY,
};
use http::{HeaderMap, Version, request, response};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{ErrorType, OrErr as _};

use super::client::{FORWARDED_FOR, FORWARDED_PROTO, is_proxys_word};
use super::facts::Facts;
use super::upstream::Upstream;
use crate::crash::crash_point;
use crate::resource_server::Pass;
use crate::x402::codec;
use crate::x402::facilitator::SettleResponse;

/// Whether no upstream gets a request header of this name: payments, our own words, and what would change the method or
/// the path that was priced. Python servers cut `SCRIPT_NAME` off the path, and Rack sends a front server to fetch what
/// `X-Accel-Mapping` makes of it. `Access-Control-Expose-Headers` is a response header that x402 clients send.
pub(super) fn is_stripped(name: &str) -> bool {
    name.starts_with("x-tollgate-")
        || matches!(
            name,
            "payment-signature"
                | "x-payment"
                | "payment-required"
                | "x-payment-required"
                | "payment-response"
                | "x-payment-response"
                | "sign-in-with-x"
                | "settlement-overrides"
                | "access-control-expose-headers"
                | "x-http-method-override"
                | "x-http-method"
                | "x-method-override"
                | "x-original-url"
                | "x-rewrite-url"
                | "script-name"
                | "x-script-name"
                | "path-info"
                | "x-sendfile-type"
                | "x-accel-mapping"
                | "forwarded"
        )
}

/// Whether only the gateway may set a response header of this name.
fn is_stripped_from_upstream(name: &str) -> bool {
    matches!(
        name,
        "payment-required"
            | "x-payment-required"
            | "payment-response"
            | "x-payment-response"
            | "settlement-overrides"
            | "extension-responses"
            | "x-tollgate-context"
    )
}

/// Whether a response header tells one kind of shared cache what to keep, whatever `Cache-Control` says.
fn is_for_shared_caches(name: &str) -> bool {
    name.ends_with("cdn-cache-control")
        || matches!(name, "surrogate-control" | "edge-control" | "x-accel-expires" | "x-litespeed-cache-control")
}

/// What a browser may read of an answer from another origin.
pub(super) const EXPOSED: HeaderValue = HeaderValue::from_static(
    "PAYMENT-REQUIRED, X-PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, Retry-After, RateLimit, \
     RateLimit-Policy, X-Quota-Limit, X-Quota-Remaining, X-Quota-Reset, X-Units-Cost",
);

const PAYER: HeaderName = HeaderName::from_static("x-tollgate-payer");
const PAYMENT_ID: HeaderName = HeaderName::from_static("x-tollgate-payment-id");
const PLAN: HeaderName = HeaderName::from_static("x-tollgate-plan");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A receipt's names: all clients look for the first one first.
const RECEIPT: [HeaderName; 2] =
    [HeaderName::from_static("payment-response"), HeaderName::from_static("x-payment-response")];

/// What a grant calls a token of the operator's.
const TOKEN: &str = "token";

const UPGRADING: HeaderValue = HeaderValue::from_static("Upgrade");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");
const PRIVATE: HeaderValue = HeaderValue::from_static("private");
/// What decides between the goods and a refusal, for caches that keep what they were told not to.
pub(super) const CREDENTIALS: HeaderValue =
    HeaderValue::from_static("PAYMENT-SIGNATURE, X-PAYMENT, X-API-KEY, Authorization, SIGN-IN-WITH-X");
pub(super) const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// Whether a header is a matter of one connection (RFC 9110 §7.6.1), beside those that `Connection` names.
fn is_of_one_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// A request whose body has a length or that has none, as far as it is meant for more than this connection.
pub(super) fn beyond_this_hop(request: &RequestHeader) -> RequestHeader {
    let named = |name: &HeaderName| {
        let lines = request.headers.get_all(CONNECTION).iter();
        let mut names = lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
        names.any(|named| named.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    let has_named = request.headers.contains_key(CONNECTION);
    let goes = |name: &HeaderName| is_of_one_hop(name.as_str()) || (has_named && named(name));
    let mut parts = http::Request::new(()).into_parts().0;
    // With what the gateway adds.
    parts.headers.reserve(request.headers.len().saturating_add(8));
    for (name, value) in request.headers.iter().filter(|(name, _)| !goes(name)) {
        parts.headers.append(name.clone(), value.clone());
    }
    if asks_for_websocket(request) {
        parts.headers.insert(CONNECTION, UPGRADING);
        parts.headers.insert(UPGRADE, WEBSOCKET);
    }
    parts.method = request.method.clone();
    parts.into()
}

/// Whether a request asks for the one protocol that an upstream may switch to.
fn asks_for_websocket(request: &RequestHeader) -> bool {
    let asks = |upgrade: &HeaderValue| upgrade.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes());
    request.version == Version::HTTP_11 && request.headers.get(UPGRADE).is_some_and(asks)
}

/// Makes the request that goes upstream of the client's: its target is the one that was priced.
pub(super) fn to_upstream(
    request: &mut RequestHeader,
    facts: &Facts,
    upstream: &Upstream,
    pass: &Pass,
) -> pingora::Result<()> {
    // The framework keeps the case of names in a map of its own, and so makes each change twice. They have none (RFC
    // 9110 §5.1).
    let blank = http::Request::new(()).into_parts().0;
    let mut parts: request::Parts = std::mem::replace(request, blank.into()).into();
    parts.uri = facts.target.as_str().parse().or_err(ErrorType::InternalError, "a canonical target is not a URI")?;
    let headers = &mut parts.headers;
    // Only a proxy that is trusted is passed on with what it says beside the address.
    let goes = |name: &str| is_stripped(name) || (!facts.client.is_proxied && is_proxys_word(name));
    names(headers, goes).iter().for_each(|name| drop(headers.remove(name)));
    if let Some(credential) = facts.credential.as_ref().filter(|credential| credential.ours) {
        credential.headers.iter().for_each(|name| drop(headers.remove(name)));
    }
    headers.insert(HOST, upstream.authority.clone());
    headers.insert(FORWARDED_HOST, facts.host.clone());
    headers.insert(FORWARDED_PROTO, if facts.client.secure { HTTPS } else { HTTP });
    match facts.client.address {
        Some(client) => headers.insert(FORWARDED_FOR, text(&written(client))?),
        None => headers.remove(FORWARDED_FOR),
    };
    crash_point!("upstream.asking");
    let (payment_id, payer) = match pass {
        Pass::Free | Pass::Trial(_) => (None, None),
        Pass::Plan(reservation) => {
            // Whoever has the token that opened the plan can spend it.
            if &*reservation.grant().credential == TOKEN {
                headers.remove(AUTHORIZATION);
            }
            let account = reservation.account();
            headers.insert(PLAN, account.labels().name.clone());
            let payer = HeaderValue::from_str(&account.subscription().payer).ok();
            (None, payer.filter(|payer| !payer.is_empty()))
        }
        Pass::Verified(verified) => (Some(&verified.presented().id), verified.payer().map(text).transpose()?),
        Pass::Settled(settled) => {
            (Some(&settled.presented.id), settled.receipt.payer.as_deref().map(text).transpose()?)
        }
    };
    if let Some(id) = payment_id {
        headers.insert(PAYMENT_ID, text(id.as_str())?);
    }
    if let Some(payer) = payer {
        headers.insert(PAYER, payer);
    }
    *request = parts.into();
    Ok(())
}

fn text(text: &str) -> pingora::Result<HeaderValue> {
    text.try_into().or_err(ErrorType::InternalError, "a text that no header can carry")
}

/// An address as text. The standard library takes ten times as long for the usual kind.
fn written(client: IpAddr) -> String {
    let IpAddr::V4(client) = client else { return client.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in client.octets() {
        text.push_str(if text.is_empty() { "" } else { "." });
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// Takes out of an upstream's answer what only the gateway may say.
pub(super) fn from_upstream(response: &mut ResponseHeader) {
    let stripped = names(&response.headers, is_stripped_from_upstream);
    stripped.iter().for_each(|name| drop(response.remove_header(name)));
}

/// Changes headers of an upstream's answer, whose names have no case then, as in [`to_upstream`].
pub(super) fn change(response: &mut ResponseHeader, with: impl FnOnce(&mut HeaderMap)) -> pingora::Result<()> {
    let reason = response.get_reason_phrase().filter(|reason| response.status.canonical_reason() != Some(reason));
    let reason = reason.map(str::to_owned);
    let blank = http::Response::new(()).into_parts().0;
    let mut parts: response::Parts = std::mem::replace(response, blank.into()).into();
    // As many as are set on an answer to a key.
    parts.headers.reserve(8);
    with(&mut parts.headers);
    *response = parts.into();
    if reason.is_some() { response.set_reason_phrase(reason.as_deref()) } else { Ok(()) }
}

/// The names that are to go. One pass over what is there costs less than a look-up of each that may be.
fn names(headers: &HeaderMap, goes: impl Fn(&str) -> bool) -> Vec<HeaderName> {
    headers.keys().filter(|name| goes(name.as_str())).cloned().collect()
}

/// Marks an answer to a payment or to a free call, be it a failure: it is nobody else's, so no shared cache may keep it.
/// Lets a browser read our headers from another origin.
pub(super) fn make_private(headers: &mut HeaderMap, from_browser: bool) {
    keep_from_caches(headers);
    if from_browser && !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    }
    // Added to what the upstream exposes, not in place of it.
    headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// The same for an answer to a credential. There are many, and only a browser asks what it may read.
pub(super) fn make_private_for_credential(headers: &mut HeaderMap, from_browser: bool) {
    if from_browser { make_private(headers, from_browser) } else { keep_from_caches(headers) }
}

fn keep_from_caches(headers: &mut HeaderMap) {
    let private = if headers.contains_key(CACHE_CONTROL) { privately(headers) } else { PRIVATE };
    headers.insert(CACHE_CONTROL, private);
    names(headers, is_for_shared_caches).iter().for_each(|name| drop(headers.remove(name)));
    headers.append(VARY, CREDENTIALS);
}

/// What an upstream says on caches, as far as it holds for the buyer's own.
fn privately(headers: &HeaderMap) -> HeaderValue {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives = values.flat_map(|value| value.split(',')).map(str::trim);
    let mut kept: Vec<_> = directives.filter(|directive| !directive.is_empty() && !is_shared(directive)).collect();
    if !kept.iter().any(|directive| directive.eq_ignore_ascii_case("private")) {
        kept.push("private");
    }
    // What was a header's value still is one.
    kept.join(", ").try_into().unwrap_or(PRIVATE)
}

fn is_shared(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("public") || name.eq_ignore_ascii_case("s-maxage")
}

/// The receipt, under both names.
pub(super) fn receipt(receipt: &SettleResponse) -> [(HeaderName, HeaderValue); 2] {
    let value = HeaderValue::try_from(codec::encode(receipt)).unwrap_or_else(|_| HeaderValue::from_static(""));
    RECEIPT.map(|name| (name, value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_the_standard_library_writes_it() {
        for text in ["0.0.0.0", "127.0.0.1", "10.20.30.40", "255.255.255.255", "::1", "2001:db8::ff", "::ffff:1.2.3.4"]
        {
            assert_eq!(written(text.parse().unwrap()), text);
        }
    }

    #[test]
    fn what_an_upstream_says_on_caches_holds_for_the_buyers_own() {
        for (said, kept) in [
            (&[][..], "private"),
            (&["max-age=60"], "max-age=60, private"),
            (&["Private"], "Private"),
            (&["no-store, private"], "no-store, private"),
            (&["public, max-age=60", "S-MaxAge=600"], "max-age=60, private"),
            (&["public=\"x\",, s-maxage = 1", ""], "private"),
        ] {
            let mut response = ResponseHeader::build(200, None).unwrap();
            for said in said {
                response.append_header(CACHE_CONTROL, *said).unwrap();
            }
            change(&mut response, keep_from_caches).unwrap();
            let values: Vec<_> = response.headers.get_all(CACHE_CONTROL).iter().collect();
            assert_eq!(values, [kept], "{said:?}");
        }
    }

    #[test]
    fn no_cache_has_an_order_of_its_own_to_keep_what_was_paid_for() {
        let orders = [
            "CDN-Cache-Control",
            "Cloudflare-CDN-Cache-Control",
            "Vercel-CDN-Cache-Control",
            "Surrogate-Control",
            "Edge-Control",
            "X-Accel-Expires",
            "X-LiteSpeed-Cache-Control",
        ];
        let mut response = ResponseHeader::build(200, None).unwrap();
        for name in orders {
            response.append_header(name, "public, max-age=600").unwrap();
        }
        response.append_header("ETag", "\"1\"").unwrap();
        response.append_header("X-Accel-Buffering", "no").unwrap();

        // What is free may be kept as the upstream says.
        from_upstream(&mut response);
        assert!(orders.iter().all(|name| response.headers.contains_key(*name)));

        change(&mut response, keep_from_caches).unwrap();
        let mut left: Vec<_> = response.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache-control", "etag", "vary", "x-accel-buffering"]);
    }

    #[test]
    fn only_a_browser_is_told_what_it_may_read_of_an_answer_to_a_credential() {
        for (from_browser, told) in [(false, false), (true, true)] {
            let mut response = ResponseHeader::build(200, None).unwrap();
            change(&mut response, |headers| make_private_for_credential(headers, from_browser)).unwrap();
            assert_eq!(response.headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS), told);
            assert_eq!(response.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), told);
            assert!(response.headers.contains_key(CACHE_CONTROL) && response.headers.contains_key(VARY));
        }
    }
}
