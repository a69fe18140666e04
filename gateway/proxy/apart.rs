//! Requests that bring a payment are served where money moves, on threads that stand behind those of all others: a wave
//! of payments keeps no request waiting that pays with a key, or not at all.
//!
//! Which ones they are is seen in the first bytes of their head. It decides on the threads and on nothing else: what is
//! not seen there is served with all others.

use bytes::Bytes;
use http::HeaderName;

use super::Gateway;

/// No head with a payment is shorter: a signature alone has as many bytes, and most other heads are.
const PAYING_BYTES_MIN: usize = 512;

/// The headers that bring one.
const PAYMENTS: [&str; 2] = ["payment-signature", "x-payment"];
/// Headers that open a route for whoever has a plan, beside those that the configuration names.
const CREDENTIALS: [&str; 2] = ["authorization", "sign-in-with-x"];

/// Which connections to an upstream are shared. Whoever made one is woken when it has something to say, and wakes whoever
/// waits for it: nobody waits for a thread that stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Those of the threads that serve requests.
    Requests,
    /// Those of payments.
    Payments,
}

impl Group {
    /// The framework's name for it.
    pub(super) fn key(self) -> u64 {
        match self {
            Self::Requests => 0,
            Self::Payments => 1,
        }
    }
}

impl Gateway {
    /// The group of whoever is served here.
    pub(super) fn group(&self) -> Group {
        if self.server.is_here() { Group::Payments } else { Group::Requests }
    }
}

/// Whether a head, as far as it is here, brings a payment and nothing else that opens a route: whoever calls with a key is
/// served with all others. `key_headers` are those that may have one.
pub(super) fn brings_payment(head: &Bytes, key_headers: &[HeaderName]) -> bool {
    if head.len() < PAYING_BYTES_MIN {
        return false;
    }
    let lines = head.split(|byte| *byte == b'\n');
    // The rest is the body.
    let headers = lines.take_while(|line| !matches!(line, [] | [b'\r']));
    let mut pays = false;
    for line in headers {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if CREDENTIALS.into_iter().any(is) || key_headers.iter().any(|header| is(header.as_str())) {
            return false;
        }
        pays |= PAYMENTS.into_iter().any(is);
    }
    pays
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brings(head: &str) -> bool {
        brings_payment(&Bytes::copy_from_slice(head.as_bytes()), &[HeaderName::from_static("x-api-key")])
    }

    #[test]
    fn a_payment_is_seen_in_the_head() {
        let payment = "e".repeat(PAYING_BYTES_MIN);
        for header in ["PAYMENT-SIGNATURE", "payment-signature", "X-PAYMENT", "x-PaYment"] {
            assert!(brings(&format!("GET / HTTP/1.1\r\nHost: a\r\n{header}: {payment}")), "{header}");
            assert!(brings(&format!("GET / HTTP/1.1\n{header}:{payment}\n\n")), "{header}");
        }
    }

    #[test]
    fn nothing_else_is_a_payment() {
        let long = "e".repeat(PAYING_BYTES_MIN);
        for head in [
            "GET / HTTP/1.1\r\nX-PAYMENT: short\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\nX-API-KEY: {long}\r\n\r\n"),
            format!("GET /?x-payment: HTTP/1.1\r\nA: x-payment: {long}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nx-payment-required: {long}\r\nX-PAYMENT : 1\r\n\r\n"),
            format!("POST / HTTP/1.1\r\nHost: a\r\n\r\nX-PAYMENT: {long}\r\n\r\n"),
            format!("POST / HTTP/1.1\nHost: a\n\nX-PAYMENT: {long}\n\n"),
            format!("GET / HTTP/1.1\r\nX-PAYMENT: {long}\r\nX-Api-Key: k"),
            format!("GET / HTTP/1.1\r\nAuthorization: Bearer k\r\nX-PAYMENT: {long}"),
            format!("GET / HTTP/1.1\r\nX-PAYMENT: {long}\r\nsign-in-with-x: k\r\n\r\n"),
            long,
        ] {
            assert!(!brings(&head), "{head}");
        }
    }
}
