//! What the first bytes of a head tell, before anybody has read it: on which threads a request is served, and which way.
//!
//! They decide on nothing else: what is not seen there is served with all others, the framework's way.

use http::HeaderName;

use super::forward::BODY_BYTES_MAX;

/// The headers that bring a payment.
const PAYMENTS: [&str; 2] = ["payment-signature", "x-payment"];
/// Headers that open a route for whoever has a plan, beside those that the configuration names.
const CREDENTIALS: [&str; 2] = ["authorization", "sign-in-with-x"];

/// The beginning of a request of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Whether it brings a payment and nothing else that opens a route: whoever calls with a key is served with all
    /// others.
    pub(super) pays: bool,
    /// Whether the whole head is there, and announces no body but a small one: then it is only asked and answered.
    pub(super) is_plain: bool,
    /// Whether it is here in whole, and nothing behind it.
    pub(super) is_alone: bool,
}

impl Beginning {
    /// What a head begins with, as far as it is here. `key_headers` are those that may have a key.
    pub(super) fn of(head: &[u8], key_headers: &[HeaderName]) -> Self {
        // The framework answers those who want a tunnel, and knows what stands before a request.
        let may_be_plain = !head.starts_with(b"CONNECT") && !head.starts_with(b"\r") && !head.starts_with(b"\n");
        let (mut pays, mut is_plain, mut ends, mut is_alone) = (false, may_be_plain, false, false);
        for (line, behind) in lines(head) {
            ends |= is_end(line);
            is_alone = is_end(line) && behind.is_empty();
            pays |= PAYMENTS.into_iter().any(|payment| is(line, payment));
            is_plain &= !is(line, "transfer-encoding") && !is(line, "expect") && !is_large(line);
        }
        let opens = |line: &[u8]| {
            let names = CREDENTIALS.into_iter().chain(key_headers.iter().map(HeaderName::as_str));
            names.into_iter().any(|name| is(line, name))
        };
        let opens_otherwise = pays && lines(head).any(|(line, _)| opens(line));
        Self { pays: pays && !opens_otherwise, is_plain: is_plain && ends, is_alone }
    }
}

/// The lines behind the first, with the empty one that ends the head, if it is here, and what stands behind each.
fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = memchr::memchr(b'\n', head).and_then(|end| head.get(end.saturating_add(1)..));
    std::iter::from_fn(move || {
        let from = rest?;
        let (line, behind) = match memchr::memchr(b'\n', from) {
            Some(end) => (from.get(..end)?, from.get(end.saturating_add(1)..)),
            None => (from, None),
        };
        rest = behind.filter(|_| !is_end(line));
        // An end that is not there in whole is none yet.
        Some((line, behind.unwrap_or_default())).filter(|(line, _)| behind.is_some() || !is_end(line))
    })
}

fn is_end(line: &[u8]) -> bool {
    matches!(line, [] | [b'\r'])
}

/// Whether a line is of this header.
fn is(line: &[u8], name: &str) -> bool {
    line.get(name.len()) == Some(&b':')
        && line.get(..name.len()).is_some_and(|named| named.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether it announces a body that is not taken in before the upstream is asked.
fn is_large(line: &[u8]) -> bool {
    const NAME: &str = "content-length";
    let value = line.get(NAME.len() + 1..).map(<[u8]>::trim_ascii).and_then(|value| std::str::from_utf8(value).ok());
    is(line, NAME) && !value.is_some_and(|value| value.parse().is_ok_and(|length: usize| length <= BODY_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(head: &str) -> Beginning {
        Beginning::of(head.as_bytes(), &[HeaderName::from_static("x-api-key")])
    }

    #[test]
    fn a_payment_is_seen_in_the_head() {
        for header in ["PAYMENT-SIGNATURE", "payment-signature", "X-PAYMENT", "x-PaYment"] {
            assert!(beginning(&format!("GET / HTTP/1.1\r\nHost: a\r\n{header}: eyJ")).pays, "{header}");
            assert!(beginning(&format!("GET / HTTP/1.1\n{header}:eyJ\n\n")).pays, "{header}");
        }
    }

    #[test]
    fn nothing_else_is_a_payment() {
        for head in [
            "GET / HTTP/1.1\r\nX-API-KEY: eyJ\r\n\r\n",
            "GET /?x-payment: HTTP/1.1\r\nA: x-payment: eyJ\r\n\r\n",
            "GET / HTTP/1.1\r\nx-payment-required: eyJ\r\nX-PAYMENT : 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\r\nX-PAYMENT: eyJ\r\n\r\n",
            "POST / HTTP/1.1\nHost: a\n\nX-PAYMENT: eyJ\n\n",
            "GET / HTTP/1.1\r\nX-PAYMENT: eyJ\r\nX-Api-Key: k",
            "GET / HTTP/1.1\r\nAuthorization: Bearer k\r\nX-PAYMENT: eyJ",
            "GET / HTTP/1.1\r\nX-PAYMENT: eyJ\r\nsign-in-with-x: k\r\n\r\n",
            "X-PAYMENT: eyJ",
            "",
        ] {
            assert!(!beginning(head).pays, "{head}");
        }
    }

    #[test]
    fn a_request_is_plain_if_its_whole_head_says_so() {
        for (head, is_plain) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\nHost: a\n\n", true),
            ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", true),
            ("POST / HTTP/1.1\r\ncontent-length:65536\r\n\r\nbody", true),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\nContent-Length: 70000\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 65537\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nEXPECT: 100-continue\r\n\r\n", false),
            ("\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("\n\nGET / HTTP/1.1\r\n\r\n", false),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r", false),
            ("GET / HTTP/1.1\r\n", false),
            ("GET", false),
            ("", false),
        ] {
            assert_eq!(beginning(head).is_plain, is_plain, "{head:?}");
        }
    }

    #[test]
    fn a_head_is_alone_if_nothing_is_behind_it() {
        for (head, is_alone) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\nHost: a\n\n", true),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nG", false),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n", false),
            ("GET / HTTP/1.1", false),
            ("", false),
        ] {
            assert_eq!(beginning(head).is_alone, is_alone, "{head:?}");
        }
    }
}
