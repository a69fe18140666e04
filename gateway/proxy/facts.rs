//! What a request says of itself, read once and checked once. Whatever could be read in two ways is a [`BadRequest`].

use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AsHeaderName, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use zeroize::Zeroizing;

use super::Snapshot;
use super::client::{Client, is_proxys_word};
use super::credential::{Credential, shown};
use super::headers::is_stripped;
use super::query_key::{Shown, is_handshake};
use super::sign_in::sign_in;
use crate::payment::siwx::SignIn;
use crate::plans::looks_like_jwt;
use crate::pricing::{PathError, Target};
use crate::resource_server::{Credentials, Market, ResourceServer};
use crate::x402::headers::PAYMENT_BYTES_MAX;

/// A request, as far as the gateway has to know it. It prints nothing of itself: much of it is secret.
pub(super) struct Facts {
    pub(super) method: Method,
    pub(super) target: Target,
    /// What buyers call us, for `X-Forwarded-Host`.
    pub(super) host: HeaderValue,
    pub(super) credential: Option<Credential>,
    /// What `Authorization: Bearer` has, if it looks like a token that somebody signed.
    pub(super) token: Option<Zeroizing<String>>,
    pub(super) payment: Option<HeaderValue>,
    /// A wallet's proof that it is asking, unread.
    pub(super) sign_in: Option<SignIn>,
    /// Whether a browser asks for leave to call from another origin.
    pub(super) preflight: bool,
    pub(super) from_browser: bool,
    pub(super) client: Client,
}

/// Why a request is refused before anybody asks what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRequest {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("the request needs exactly one valid Host")]
    Host,
    #[error("the method is not accepted")]
    Method,
    #[error("the request is framed in two ways")]
    Framing,
    #[error("the request has more than one payment")]
    Payments,
    #[error("the payment header is larger than {PAYMENT_BYTES_MAX} bytes")]
    PaymentTooLarge,
    #[error("the request has more than one wallet sign-in")]
    SignIns,
    #[error("the wallet sign-in is larger than {PAYMENT_BYTES_MAX} bytes")]
    SignInTooLarge,
    #[error("the request has more than one API key")]
    Keys,
    #[error("a header that the gateway acts on is written with an underscore or the like")]
    Underscore,
    #[error("the Connection header names what is no matter of the connection, or names too much")]
    Connection,
}

impl BadRequest {
    /// Whether it is clear all the same where the connection's next request begins: framing is looked at first, and what
    /// is said of hosts and connections may be meant for somebody between.
    pub(super) fn leaves_connection(self) -> bool {
        match self {
            Self::Path(_)
            | Self::Payments
            | Self::PaymentTooLarge
            | Self::SignIns
            | Self::SignInTooLarge
            | Self::Keys => true,
            Self::Host | Self::Method | Self::Framing | Self::Underscore | Self::Connection => false,
        }
    }
}

impl Facts {
    /// What the request has to show for itself, beside a payment.
    pub(super) fn credentials(&self, market: &Market) -> Credentials<'_> {
        let token = self.token.as_ref().map(|token| token.as_str()).filter(|_| market.proofs.takes_tokens());
        let key = self.credential.as_ref().map(|credential| credential.key.as_str());
        // One text is one credential: what is a token is no key.
        Credentials { sign_in: self.sign_in.as_ref(), key: key.filter(|key| Some(*key) != token), token }
    }

    pub(super) fn read(
        head: &RequestHeader,
        client: Client,
        snapshot: &Snapshot,
        server: &ResourceServer,
    ) -> Result<Self, BadRequest> {
        let (headers, market, key_headers) = (&head.headers, &snapshot.market, &snapshot.key_headers);
        let is_ours = |text: &str| text.starts_with(&*market.key_prefix) || server.may_be_key(text);
        let method = &head.method;
        let tokens = method.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_');
        if !tokens || *method == Method::CONNECT || *method == Method::TRACE {
            return Err(BadRequest::Method);
        }
        let there = There::of(headers, key_headers);
        let host = host(head)?;
        if there.framing {
            check_framing(head)?;
        }
        if there.connection {
            check_connection(headers)?;
        }
        let mut target = target(head, &host)?;
        if there.odd {
            check_underscores(headers, [key_headers, &snapshot.upstream_headers])?;
        }
        let browser = there.origin;
        let is_token = |text: &str| market.proofs.takes_tokens() && looks_like_jwt(text);
        let mut shown = match there.credential {
            true => shown(headers, key_headers, |text| server.may_be_imported(text), is_ours, is_token)?,
            false => Shown { credential: None, token: None },
        };
        if let Some(parameter) = snapshot.key_query.as_ref().filter(|_| is_handshake(head)) {
            shown.take_from(&mut target, parameter, is_ours, market.proofs.takes_tokens())?;
        }
        let Shown { credential, token } = shown;
        Ok(Self {
            target,
            host,
            credential,
            token,
            payment: if there.payment { payment(headers)? } else { None },
            sign_in: if there.sign_in { sign_in(headers)? } else { None },
            preflight: *method == Method::OPTIONS && browser && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            from_browser: browser,
            method: method.clone(),
            client,
        })
    }
}

/// Which headers a request has of those that are looked at here: what most have not is not looked up ten times.
#[derive(Default)]
struct There {
    framing: bool,
    connection: bool,
    origin: bool,
    payment: bool,
    /// One that may have a key or a token.
    credential: bool,
    sign_in: bool,
    /// One whose name is written with an underscore or the like.
    odd: bool,
}

impl There {
    fn of(headers: &HeaderMap, key_headers: &[HeaderName]) -> Self {
        let mut there = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "content-length" | "transfer-encoding" => there.framing = true,
                "connection" => there.connection = true,
                "origin" => there.origin = true,
                "payment-signature" | "x-payment" => there.payment = true,
                "sign-in-with-x" => there.sign_in = true,
                "authorization" => (there.credential, there.sign_in) = (true, true),
                other => there.odd |= other.contains(is_odd),
            }
            there.credential |= key_headers.contains(name);
        }
        there
    }
}

/// The Host, or the `:authority` that stands for it in HTTP/2.
fn host(head: &RequestHeader) -> Result<HeaderValue, BadRequest> {
    let value = match only(&head.headers, &HOST).map_err(|()| BadRequest::Host)? {
        Some(host) => host.clone(),
        None => head
            .uri
            .authority()
            .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
            .ok_or(BadRequest::Host)?,
    };
    let text = value.to_str().map_err(|_| BadRequest::Host)?;
    if is_plain(text) {
        return Ok(value);
    }
    let authority: http::uri::Authority = text.parse().map_err(|_| BadRequest::Host)?;
    // The type takes any digits for a port; what names a user does not begin with its host.
    let name = authority.host();
    let behind_host = text.strip_prefix(name).ok_or(BadRequest::Host)?;
    let port_ok = behind_host.strip_prefix(':').map_or(behind_host.is_empty(), is_port);
    if !name.is_empty() && port_ok { Ok(value) } else { Err(BadRequest::Host) }
}

/// Whether it is a host without a port, such as nearly all are, and in need of no parser.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The target in canonical form, from the bytes that were sent: what the framework parsed may have lost some.
fn target(head: &RequestHeader, host: &HeaderValue) -> Result<Target, BadRequest> {
    let raw = head.raw_path();
    if head.version == Version::HTTP_2 || raw.starts_with(b"/") {
        return Ok(Target::parse(raw)?);
    }
    // Absolute form (RFC 9112 §3.2.2): it must name the host that Host names.
    let authority_and_path = [b"http://".as_slice(), b"https://"].iter().find_map(|scheme| raw.strip_prefix(*scheme));
    let rest = authority_and_path.ok_or(PathError::NotAbsolute)?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !authority.eq_ignore_ascii_case(host.as_bytes()) {
        return Err(BadRequest::Host);
    }
    Ok(Target::parse(if path.is_empty() { b"/" } else { path })?)
}

/// One body length, told in one way (RFC 9112 §6.3).
fn check_framing(head: &RequestHeader) -> Result<(), BadRequest> {
    let length = only(&head.headers, &CONTENT_LENGTH).map_err(|()| BadRequest::Framing)?;
    let encoding = only(&head.headers, &TRANSFER_ENCODING).map_err(|()| BadRequest::Framing)?;
    let digits = |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    let length_ok = length.is_none_or(digits);
    let encoding_ok = encoding.is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let old = head.version < Version::HTTP_11 && encoding.is_some();
    let both = length.is_some() && encoding.is_some();
    if length_ok && encoding_ok && !both && !old { Ok(()) } else { Err(BadRequest::Framing) }
}

/// Refuses what the framework's parser lets pass and no hook sees any more: a line that ends without a carriage return,
/// which is no line's end to a proxy in front of us, and a chunked message that gave its length too, which such a proxy
/// may have believed.
pub(super) fn check_lost(session: &Session) -> Result<(), BadRequest> {
    let head = session.req_header();
    if head.version == Version::HTTP_2 {
        return Ok(());
    }
    let raw = session.to_h1_raw();
    let is_chunked = head.headers.contains_key(TRANSFER_ENCODING);
    let is_length = |line: &[u8]| {
        let name = line.split(|&b| b == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str().as_bytes())
    };
    // Behind the last line's end there is nothing.
    let mut lines = raw.strip_suffix(b"\n").unwrap_or(&raw).split(|&b| b == b'\n');
    match lines.all(|line| line.ends_with(b"\r") && !(is_chunked && is_length(line))) {
        true => Ok(()),
        false => Err(BadRequest::Framing),
    }
}

/// What the gateway writes itself, or what frames the message; besides what it takes out and what the
/// configuration names: the headers of keys, and those of upstreams.
const WRITTEN: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// What a name that we act on does not have.
fn is_odd(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '-'
}

/// `X_PAYMENT` and `X.PAYMENT` are `X-PAYMENT` to CGI-like upstreams, and something else to everybody before them.
fn check_underscores(headers: &HeaderMap, configured: [&[HeaderName]; 2]) -> Result<(), BadRequest> {
    let acts_on = |name: &str| {
        let dashed = name.replace(is_odd, "-");
        is_stripped(&dashed)
            || is_proxys_word(&dashed)
            || WRITTEN.contains(&dashed.as_str())
            || configured.into_iter().flatten().any(|header| header.as_str() == dashed)
    };
    match headers.keys().any(|name| name.as_str().contains(is_odd) && acts_on(name.as_str())) {
        true => Err(BadRequest::Underscore),
        false => Ok(()),
    }
}

/// The most names in `Connection` that the framework takes.
const NOMINATIONS_MAX: usize = 9;

/// What `Connection` names does not reach the upstream. The framework refuses whatever would not be a header of one
/// connection, but only when the call is on its way upstream: for a payment that is settled before it, that is too late.
fn check_connection(headers: &HeaderMap) -> Result<(), BadRequest> {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    for (index, name) in names.filter(|name| !name.is_empty()).enumerate() {
        let is_name = name.iter().all(|b| is_token_byte(*b)) && HeaderName::from_bytes(name).is_ok();
        let is_written = WRITTEN.iter().any(|written| name.eq_ignore_ascii_case(written.as_bytes()));
        if index >= NOMINATIONS_MAX || !is_name || is_written {
            return Err(BadRequest::Connection);
        }
    }
    Ok(())
}

/// A byte of a name (RFC 9110 §5.6.2, `tchar`).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The headers of a payment, as they are looked up.
const V2: HeaderName = HeaderName::from_static("payment-signature");
const V1: HeaderName = HeaderName::from_static("x-payment");

fn payment(headers: &HeaderMap) -> Result<Option<HeaderValue>, BadRequest> {
    let read = |name: HeaderName| only(headers, name).map_err(|()| BadRequest::Payments);
    let (v2, v1) = (read(V2)?, read(V1)?);
    // No base64 has a comma: it is several in one line, as RFC 9110 §5.3 lets a proxy join them.
    if [v2, v1].into_iter().flatten().any(|value| value.as_bytes().contains(&b',')) {
        return Err(BadRequest::Payments);
    }
    // One wallet in the field sends the same payment in both.
    let payment = match (v2, v1) {
        (Some(v2), Some(v1)) if v2 != v1 && !v2.is_empty() && !v1.is_empty() => return Err(BadRequest::Payments),
        (Some(v2), _) if !v2.is_empty() => Some(v2),
        (_, v1) => v1.filter(|v1| !v1.is_empty()),
    };
    match payment {
        Some(value) if value.len() > PAYMENT_BYTES_MAX => Err(BadRequest::PaymentTooLarge),
        payment => Ok(payment.cloned().map(|mut payment| {
            payment.set_sensitive(true);
            payment
        })),
    }
}

/// The header's only value. An error if there are several.
pub(super) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(()),
    }
}
