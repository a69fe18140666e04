//! The 402: one answer that clients of both versions can pay.
//!
//! Version 2 reads the header, version 1 the body; the carriers do not overlap, so both are sent. The texts are put
//! together from parts that the terms hold ready, since this is the answer that strangers ask for most.

use http::HeaderValue;

use super::plan_list::plan_names_json;
use super::quote::MEMBER;
use super::{Hints, QuoteMint, Refused, identifier, siwx};
use crate::pricing::{Offer, PriceTable, Terms};
use crate::x402::codec;

/// What a 402 carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The value of `PAYMENT-REQUIRED`: none if there is nothing that a payment for this request would buy.
    pub header: Option<HeaderValue>,
    /// The JSON body.
    pub body: String,
}

/// Why the request was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// Neither payment nor key.
    MissingCredentials,
    /// The key's subscription is over.
    ExpiredKey,
    /// The key is none of ours, or was revoked.
    InvalidKey,
    /// The key's plan is used up.
    QuotaExhausted,
    /// It is proved who asks, and they have no plan.
    NoSubscription,
    /// A payment was sent and not taken.
    Payment(Refused),
    /// A wallet's sign-in was sent and proves nothing.
    SignIn(Refused),
}

impl Shortfall {
    /// `details.reason`.
    pub fn reason(&self) -> &str {
        match self {
            Self::MissingCredentials => "missing_credentials",
            Self::ExpiredKey => "expired_api_key",
            Self::InvalidKey => "invalid_api_key",
            Self::QuotaExhausted => "quota_exhausted",
            Self::NoSubscription => "no_subscription",
            Self::Payment(refused) | Self::SignIn(refused) => &refused.reason,
        }
    }

    /// `error`: what v2 clients show, and v1 clients read.
    fn error(&self) -> &str {
        match self {
            Self::Payment(refused) | Self::SignIn(refused) => &refused.reason,
            _ => "PAYMENT_REQUIRED",
        }
    }

    fn sentence(&self) -> &str {
        match self {
            Self::MissingCredentials => "This request has to be paid for.",
            Self::ExpiredKey => "The API key's subscription has expired.",
            Self::InvalidKey => "The API key is not valid.",
            Self::QuotaExhausted => "The API key's plan is used up.",
            Self::NoSubscription => "Whoever asks has no plan.",
            Self::Payment(refused) | Self::SignIn(refused) => &refused.message,
        }
    }
}

/// The request that is not served, as a challenge has to know it.
#[derive(Debug, Clone, Copy)]
pub struct Unserved<'a> {
    /// Its absolute URL.
    pub resource: &'a str,
    /// Why it is not served.
    pub shortfall: &'a Shortfall,
    /// Whether a key of a plan would do.
    pub plans: bool,
    /// What costs what.
    pub table: &'a PriceTable,
    /// Blocks of which buyers need not ask their own chain.
    pub hints: &'a Hints,
    /// The time, in seconds of Unix time.
    pub now: u64,
    /// The time for people.
    pub timestamp: &'a str,
}

impl Challenge {
    /// The challenge of an offer. `random` must be fresh for each challenge.
    pub fn of_offer(offer: &Offer, request: Unserved<'_>, mint: &QuoteMint, random: [u8; 8]) -> Self {
        let resource = json_text(request.resource);
        let mut v2 = String::with_capacity(1024);
        v2.push_str(r#"{"x402Version":2,"error":"#);
        push_json(&mut v2, request.shortfall.error());
        push_all(&mut v2, [r#","resource":{"url":"#, &resource]);
        for (name, text) in [(r#","description":"#, &offer.description), (r#","mimeType":"#, &offer.mime_type)] {
            if !text.is_empty() {
                v2.push_str(name);
                push_json(&mut v2, text);
            }
        }
        v2.push_str(r#"},"accepts":["#);
        for (index, terms) in offer.terms.iter().enumerate() {
            if index > 0 {
                v2.push(',');
            }
            push_v2(&mut v2, terms, request, random, &mint.quote(&offer.key, &terms.digest, request.now, random));
        }
        v2.push(']');
        push_extensions(&mut v2, offer, request, || mint.nonce(request.now, random));
        v2.push('}');

        let mut v1 = String::with_capacity(1024);
        for terms in offer.terms.iter().filter(|terms| terms.v1_network.is_some()) {
            v1.push_str(if v1.is_empty() { r#"{"x402Version":1,"accepts":["# } else { "," });
            push_v1(&mut v1, offer, terms, &resource);
        }
        v1.push_str(if v1.is_empty() { "{" } else { "]," });
        let header = (!offer.terms.is_empty()).then(|| codec::encode_json(&v2));
        Self { header, body: finish(v1, &resource, &hint(Some(offer), request), request) }
    }

    /// The challenge of a route that only a plan opens: nothing to pay for here, so that no client pays for something
    /// it would not get.
    pub fn of_plans(request: Unserved<'_>) -> Self {
        Self { header: None, body: finish("{".to_owned(), &json_text(request.resource), &hint(None, request), request) }
    }
}

/// What a buyer can do about it, beside paying.
fn hint(offer: Option<&Offer>, request: Unserved<'_>) -> String {
    let endpoints = &request.table.endpoints;
    match offer.and_then(|offer| offer.key.plan_name()) {
        Some(plan) => [" Paid, ", endpoints, "/purchase?plan=", plan, " answers with an API key."].concat(),
        None if request.table.plans.is_empty() => String::new(),
        None if request.plans => [" Buy a plan at ", endpoints, "/purchase?plan=NAME."].concat(),
        None => [" No plan opens this route; for others they are sold at ", endpoints, "/purchase?plan=NAME."].concat(),
    }
}

fn push_v2(text: &mut String, terms: &Terms, request: Unserved<'_>, random: [u8; 8], quote: &str) {
    text.push_str(&terms.v2_head);
    if !terms.memo_head.is_empty() {
        text.push_str(&terms.memo_head);
        text.push_str(&QuoteMint::memo_end(random));
        text.push_str("\",");
    }
    if let Some(hint) = request.hints.of(&terms.network, request.now) {
        text.push_str(hint);
    }
    push_all(text, ["\"", MEMBER, "\":\"", quote, "\"}}"]);
}

/// The optional parts of the protocol. A purchase has them, since its answer is worth getting again; for a call their
/// kilobyte and more in each challenge would serve nobody.
fn push_extensions(text: &mut String, offer: &Offer, request: Unserved<'_>, nonce: impl FnOnce() -> String) {
    if offer.key.plan_name().is_some() {
        text.push_str(r#","extensions":{"#);
        siwx::push_declaration(text, offer.terms.iter().map(|terms| &terms.network), request, &nonce());
        text.push_str(identifier::DECLARATION);
        text.push('}');
    }
}

fn push_v1(text: &mut String, offer: &Offer, terms: &Terms, resource: &str) {
    push_all(text, [&terms.v1_head, r#","resource":"#, resource, r#","description":"#]);
    push_json(text, &offer.description);
    text.push_str(r#","mimeType":"#);
    push_json(text, &offer.mime_type);
    text.push('}');
}

/// The part of the body that is the same for all: number, word, sentence, time, details, and where plans are sold.
fn finish(mut body: String, resource: &str, hint: &str, request: Unserved<'_>) -> String {
    let Unserved { shortfall, table, timestamp, .. } = request;
    body.push_str(r#""code":402,"error":"#);
    push_json(&mut body, shortfall.error());
    body.push_str(r#","message":"#);
    push_json(&mut body, &[shortfall.sentence(), hint].concat());
    push_all(&mut body, [r#","timestamp":""#, timestamp, r#"","details":{"reason":"#]);
    push_json(&mut body, shortfall.reason());
    push_all(&mut body, [r#"},"resource":"#, resource, r#","pricingUrl":"#]);
    push_json(&mut body, &table.endpoint_url("pricing"));
    if !table.plans.is_empty() {
        body.push_str(r#","purchaseUrl":"#);
        push_json(&mut body, &table.endpoint_url("purchase"));
    }
    if request.plans {
        body.push_str(r#","plans":"#);
        body.push_str(&json(&plan_names_json(table)));
    }
    body.push('}');
    body
}

fn push_all<'t>(text: &mut String, parts: impl IntoIterator<Item = &'t str>) {
    parts.into_iter().for_each(|part| text.push_str(part));
}

/// Writes a text as JSON. Nearly all have nothing in them that JSON writes in another way.
fn push_json(to: &mut String, text: &str) {
    // Without a way out on the first, which is quicker.
    if text.bytes().fold(false, |odd, b| odd | (b < b' ') | (b == b'"') | (b == b'\\')) {
        to.push_str(&json(text));
    } else {
        push_all(to, ["\"", text, "\""]);
    }
}

fn json_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_json(&mut json, text);
    json
}

pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    // Texts, numbers and maps with text keys always have a JSON form.
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}
