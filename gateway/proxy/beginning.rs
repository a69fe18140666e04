//! What the first bytes of a head tell, before anybody has read it: on which threads a request is served, and which way.
//!
//! They decide on nothing else: what is not seen there is served with all others, the framework's way.

use bytes::Bytes;
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
}

impl Beginning {
    /// What a head begins with, as far as it is here. `key_headers` are those that may have a key.
    pub(super) fn of(head: &Bytes, key_headers: &[HeaderName]) -> Self {
        let (mut pays, mut opens, mut ends) = (false, false, false);
        // The framework answers those who want a tunnel.
        let mut is_plain = !head.starts_with(b"CONNECT");
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            // The rest is the body.
            if let [] | [b'\r'] = line {
                ends = true;
                break;
            }
            let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            pays |= PAYMENTS.into_iter().any(is);
            opens |= CREDENTIALS.into_iter().any(is) || key_headers.iter().any(|header| is(header.as_str()));
            is_plain &= !is("transfer-encoding") && !is("expect") && (!is("content-length") || is_small(value));
        }
        Self { pays: pays && !opens, is_plain: is_plain && ends }
    }
}

/// Whether it is a length that is taken in before the upstream is asked.
fn is_small(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b":").map(<[u8]>::trim_ascii).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.is_some_and(|digits| digits.parse().is_ok_and(|length: usize| length <= BODY_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(head: &str) -> Beginning {
        Beginning::of(&Bytes::copy_from_slice(head.as_bytes()), &[HeaderName::from_static("x-api-key")])
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
            ("POST / HTTP/1.1\r\nContent-Length\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nEXPECT: 100-continue\r\n\r\n", false),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n", false),
            ("GET / HTTP/1.1\r\n", false),
            ("GET", false),
            ("", false),
        ] {
            assert_eq!(beginning(head).is_plain, is_plain, "{head:?}");
        }
    }
}
