//! What a facilitator may say instead of the truth.

use serde_json::{Value, json};

use super::books::Moves::{self, First, Never};
use crate::support::facilitator::NETWORK;

/// Another host by name, and the same machine, so that who follows is seen.
const ELSEWHERE: &str = "localhost";

/// One way to misbehave.
#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) name: &'static str,
    pub(crate) endpoint: Endpoint,
    /// What may be true of the money.
    pub(crate) moves: &'static [Moves],
    pub(crate) answer: fn(&Asked) -> Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Verify,
    Settle,
    Supported,
}

/// A piece of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Flood(Vec<u8>, usize),
    /// A byte at a time.
    Drip(Vec<u8>),
    Hang,
    Close,
    Reset,
}

/// What is asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) nonce: String,
    pub(crate) payer: String,
    /// The first time, the second…
    pub(crate) number: usize,
    /// The facilitator's own host and port.
    pub(crate) own: String,
}

impl Asked {
    pub(crate) fn receipt(&self) -> Vec<Step> {
        self.yes(json!({}))
    }

    pub(crate) fn used(&self) -> Vec<Step> {
        self.no(json!({ "errorReason": "invalid_exact_evm_nonce_already_used" }))
    }

    pub(crate) fn valid(&self) -> Vec<Step> {
        whole(200, "", &json!({ "isValid": true, "payer": self.payer }).to_string())
    }

    pub(crate) fn invalid(&self, reason: &str) -> Vec<Step> {
        whole(200, "", &json!({ "isValid": false, "invalidReason": reason, "payer": self.payer }).to_string())
    }

    /// A receipt, but for these members.
    fn receipt_with(&self, members: Value) -> String {
        let receipt = json!({ "success": true, "transaction": self.nonce, "network": NETWORK, "payer": self.payer });
        merged(receipt, members).to_string()
    }

    fn yes(&self, members: Value) -> Vec<Step> {
        whole(200, "", &self.receipt_with(members))
    }

    fn no(&self, members: Value) -> Vec<Step> {
        let refusal = json!({ "success": false, "transaction": "", "network": NETWORK, "payer": self.payer });
        whole(200, "", &merged(refusal, members).to_string())
    }

    fn pending(&self) -> Vec<Step> {
        self.no(json!({ "errorReason": "settlement_pending", "transaction": self.nonce }))
    }

    fn redirect(&self, status: u16) -> Vec<Step> {
        let port = self.own.rsplit(':').next().unwrap_or_default();
        whole(status, &format!("Location: http://{ELSEWHERE}:{port}/settle\r\n"), "")
    }
}

fn merged(mut whole: Value, members: Value) -> Value {
    let (Some(all), Value::Object(members)) = (whole.as_object_mut(), members) else { return whole };
    for (name, value) in members {
        all.insert(name, value);
        all.retain(|_, value| *value != json!("absent"));
    }
    whole
}

/// A whole answer with its length.
pub(crate) fn whole(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}");
    raw(&format!("{head}Content-Length: {length}\r\n\r\n{body}"))
}

fn raw(bytes: &str) -> Vec<Step> {
    vec![Step::Send(bytes.as_bytes().to_vec())]
}

fn page(status: u16) -> Vec<Step> {
    let page = "<html><body>success: true, isValid: true</body></html>";
    raw(&format!("HTTP/1.1 {status} X\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}", page.len()))
}

fn then(mut steps: Vec<Step>, step: Step) -> Vec<Step> {
    steps.push(step);
    steps
}

/// A good answer, spoilt by what comes before its end.
fn cut(asked: &Asked, at: usize, step: Step) -> Vec<Step> {
    let all = bytes(asked.receipt());
    vec![Step::Send(all.into_iter().take(at).collect()), step]
}

fn bytes(steps: Vec<Step>) -> Vec<u8> {
    let sent = steps.into_iter().filter_map(|step| if let Step::Send(bytes) = step { Some(bytes) } else { None });
    sent.flatten().collect()
}

/// 10 MB, and then what is wanted.
fn flood(end: &str) -> Vec<Step> {
    let (piece, times) = ("x".repeat(64 * 1024), 160);
    let length = piece.len() * times + end.len() + 8;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{{\"pad\":\"");
    vec![Step::Send(head.into_bytes()), Step::Flood(piece.into_bytes(), times), Step::Send(end.as_bytes().to_vec())]
}

/// It may have moved, or not.
const EITHER: &[Moves] = &[Never, First];
/// A clear no, and it is true.
const NEVER: &[Moves] = &[Never];
/// A yes in an odd form, and it is true.
const MOVED: &[Moves] = &[First];

const fn settle(name: &'static str, moves: &'static [Moves], answer: fn(&Asked) -> Vec<Step>) -> Behaviour {
    Behaviour { name, endpoint: Endpoint::Settle, moves, answer }
}

const fn verify(name: &'static str, answer: fn(&Asked) -> Vec<Step>) -> Behaviour {
    Behaviour { name, endpoint: Endpoint::Verify, moves: NEVER, answer }
}

const fn supported(name: &'static str, answer: fn(&Asked) -> Vec<Step>) -> Behaviour {
    Behaviour { name, endpoint: Endpoint::Supported, moves: NEVER, answer }
}

/// Of `/settle`.
pub(crate) static SETTLE: &[Behaviour] = &[
    settle("hang", EITHER, |_| vec![Step::Hang]),
    settle("slow drip", EITHER, |asked| vec![Step::Drip(bytes(asked.receipt()))]),
    settle("500, empty", EITHER, |_| whole(500, "", "")),
    settle("502, a page", EITHER, |_| page(502)),
    settle("503, Retry-After", EITHER, |_| whole(503, "Retry-After: 0\r\n", r#"{"error":"busy"}"#)),
    settle("429", NEVER, |_| whole(429, "Retry-After: 1\r\n", r#"{"error":"rate limited"}"#)),
    settle("401", NEVER, |_| whole(401, "WWW-Authenticate: Bearer\r\n", r#"{"error":"unauthorized"}"#)),
    settle("404, a page", NEVER, |_| page(404)),
    settle("409, no outcome", EITHER, |_| whole(409, "", r#"{"error":"in progress"}"#)),
    settle("another network", EITHER, |asked| asked.yes(json!({ "network": "eip155:1" }))),
    settle("transaction empty", EITHER, |asked| asked.yes(json!({ "transaction": "" }))),
    settle("transaction missing", EITHER, |asked| asked.yes(json!({ "transaction": "absent" }))),
    settle("success \"true\"", EITHER, |asked| asked.yes(json!({ "success": "true" }))),
    settle("success 1", EITHER, |asked| asked.yes(json!({ "success": 1 }))),
    settle("success null", EITHER, |asked| asked.yes(json!({ "success": null }))),
    settle("{}", EITHER, |_| whole(200, "", "{}")),
    settle("[]", EITHER, |_| whole(200, "", "[]")),
    settle("[receipt]", EITHER, |asked| whole(200, "", &format!("[{}]", asked.receipt_with(json!({}))))),
    settle("null", EITHER, |_| whole(200, "", "null")),
    settle("body empty", EITHER, |_| whole(200, "", "")),
    settle("200, a page", EITHER, |_| page(200)),
    settle("10 MB", EITHER, |asked| flood(&format!("\",{}", asked.receipt_with(json!({})).split_at(1).1))),
    settle("gzip, garbage", EITHER, |_| whole(200, "Content-Encoding: gzip\r\n", "\u{1f}\u{8}garbage")),
    settle("301 elsewhere", EITHER, |asked| asked.redirect(301)),
    settle("302 elsewhere", EITHER, |asked| asked.redirect(302)),
    settle("307 elsewhere", EITHER, |asked| asked.redirect(307)),
    settle("308 elsewhere", EITHER, |asked| asked.redirect(308)),
    settle("308 in a circle", EITHER, |_| whole(308, "Location: /settle\r\n", "")),
    settle("reset", EITHER, |_| vec![Step::Reset]),
    settle("end", EITHER, |_| vec![Step::Close]),
    settle("reset in the head", EITHER, |asked| cut(asked, 30, Step::Reset)),
    settle("reset in the body", EITHER, |asked| cut(asked, 90, Step::Reset)),
    settle("JSON cut, right length", EITHER, |asked| whole(200, "", asked.receipt_with(json!({})).split_at(60).0)),
    settle("JSON cut, wrong length", EITHER, |asked| cut(asked, 120, Step::Close)),
    settle("chunked garbage", EITHER, |_| {
        then(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), Step::Close)
    }),
    settle("not HTTP", EITHER, |_| then(raw("220 mail.example.com ESMTP\r\n\r\n"), Step::Close)),
    settle("pending for ever", EITHER, Asked::pending),
    settle("202 for ever", EITHER, |asked| whole(202, "", &asked.receipt_with(json!({ "paymentId": "p1" })))),
    settle("202, paymentId alone", EITHER, |_| whole(202, "", r#"{"paymentId":"p1"}"#)),
    settle("pending, paymentId alone", EITHER, |asked| {
        asked.no(json!({ "errorReason": "settlement_pending", "paymentId": "p1" }))
    }),
    settle("pending in status", EITHER, |asked| asked.yes(json!({ "status": "pending" }))),
    settle("pending, then success", MOVED, |asked| match asked.number {
        1 => asked.pending(),
        _ => asked.receipt(),
    }),
    settle("pending, then failure", NEVER, |asked| match asked.number {
        1 => asked.pending(),
        _ => asked.no(json!({ "errorReason": "invalid_exact_evm_transaction_failed", "transaction": asked.nonce })),
    }),
    settle("500, then other receipts", MOVED, |asked| match asked.number {
        1 => whole(500, "", ""),
        number => asked.yes(json!({ "transaction": format!("0x{number}") })),
    }),
    settle("already used", EITHER, Asked::used),
    settle("duplicate_settlement", EITHER, |asked| asked.no(json!({ "errorReason": "duplicate_settlement: seen" }))),
    settle("no, with a transaction", EITHER, |asked| {
        asked.no(json!({ "errorReason": "some_day", "transaction": asked.nonce }))
    }),
    settle("unexpected_settle_error", EITHER, |asked| asked.no(json!({ "errorReason": "unexpected_settle_error" }))),
    settle("500, success true", EITHER, |asked| whole(500, "", &asked.receipt_with(json!({})))),
    settle("500, success false", EITHER, |asked| whole(500, "", &asked.receipt_with(json!({ "success": false })))),
    settle("400, success true", EITHER, |asked| whole(400, "", &asked.receipt_with(json!({})))),
    settle("yes, with a reason", EITHER, |asked| asked.yes(json!({ "errorReason": "insufficient_funds" }))),
    settle("yes, another payer", EITHER, |asked| {
        asked.yes(json!({ "payer": "0x00000000000000000000000000000000000000AA" }))
    }),
    settle("yes, lines in the transaction", EITHER, |asked| {
        asked.yes(json!({ "transaction": "0x1\r\nSet-Cookie: a=b\u{0}" }))
    }),
    settle("yes, lines in the payer", MOVED, |asked| asked.yes(json!({ "payer": "x\r\nSet-Cookie: a=b\u{0}" }))),
    settle("no, lines in the reason", NEVER, |asked| {
        asked.no(json!({ "errorReason": "no\r\nSet-Cookie: a=b\u{0}", "payer": "\u{0}\n" }))
    }),
    settle("no, 2 KB of reason", NEVER, |asked| asked.no(json!({ "errorReason": "é".repeat(1024) }))),
    settle("no", NEVER, |asked| asked.no(json!({ "errorReason": "insufficient_funds" }))),
    settle("no, without a reason", NEVER, |asked| asked.no(json!({}))),
    settle("no, transaction failed", NEVER, |asked| {
        asked.no(json!({ "errorReason": "invalid_exact_evm_transaction_failed", "transaction": asked.nonce }))
    }),
    settle("HTTP/1.0 without length", MOVED, |asked| {
        then(raw(&format!("HTTP/1.0 200 OK\r\n\r\n{}", asked.receipt_with(json!({})))), Step::Close)
    }),
    settle("HTTP/1.0, cut", EITHER, |asked| {
        then(raw(&format!("HTTP/1.0 200 OK\r\n\r\n{}", asked.receipt_with(json!({})).split_at(40).0)), Step::Close)
    }),
    settle("100 Continue, then yes", MOVED, |asked| {
        [vec![Step::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), 2000)], asked.receipt()].concat()
    }),
    settle("100 Continue for ever", EITHER, |_| {
        vec![Step::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), 100_000), Step::Hang]
    }),
    settle("headers for ever", EITHER, |_| {
        let head = b"HTTP/1.1 200 OK\r\n".to_vec();
        vec![Step::Send(head), Step::Flood(b"X-Pad: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".to_vec(), 100_000)]
    }),
    settle("two answers at once", EITHER, |asked| [whole(500, "", ""), asked.receipt()].concat()),
];

/// Of `/verify`.
pub(crate) static VERIFY: &[Behaviour] = &[
    verify("verify hangs", |_| vec![Step::Hang]),
    verify("verify drips", |asked| vec![Step::Drip(bytes(asked.valid()))]),
    verify("isValid \"true\"", |_| whole(200, "", r#"{"isValid":"true"}"#)),
    verify("isValid 1", |_| whole(200, "", r#"{"isValid":1}"#)),
    verify("isValid null", |_| whole(200, "", r#"{"isValid":null}"#)),
    verify("isValid with 500", |_| whole(500, "", r#"{"isValid":true}"#)),
    verify("isValid with 400", |_| whole(400, "", r#"{"isValid":true}"#)),
    verify("verify: {}", |_| whole(200, "", "{}")),
    verify("verify: a page", |_| page(200)),
    verify("verify: 429", |_| whole(429, "", r#"{"error":"rate limited"}"#)),
    verify("verify: 401", |_| whole(401, "", "")),
    verify("verify: reset", |_| vec![Step::Reset]),
    verify("verify: 308 elsewhere", |asked| asked.redirect(308)),
    verify("verify: in a circle", |_| whole(307, "Location: /verify\r\n", "")),
    verify("verify: 10 MB", |_| flood("\",\"isValid\":true}")),
    verify("verify: another payer", |_| {
        whole(200, "", r#"{"isValid":true,"payer":"0x00000000000000000000000000000000000000AA"}"#)
    }),
    verify("verify: no, with lines", |asked| asked.invalid("no\r\nSet-Cookie: a=b\u{0}")),
    verify("verify: no, 2 KB of reason", |asked| asked.invalid(&"é".repeat(1024))),
];

/// A facilitator that settles nothing.
pub(crate) const NO_KINDS: &str = "supported: no kinds";

/// Of `/supported`.
pub(crate) static SUPPORTED: &[Behaviour] = &[
    supported("supported: a page", |_| page(200)),
    supported("supported: 429", |_| whole(429, "Retry-After: 1\r\n", "")),
    supported(NO_KINDS, |_| whole(200, "", r#"{"kinds":[]}"#)),
    supported("supported: 10 MB", |_| flood("\",\"kinds\":[]}")),
    supported("supported: hangs", |_| vec![Step::Hang]),
];
