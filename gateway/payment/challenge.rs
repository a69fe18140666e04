//! The 402: one answer that clients of both versions can pay.
//!
//! Version 2 reads the header, version 1 the body; the carriers do not overlap, so both are sent. The texts are put
//! together from parts that the terms hold ready, since this is the answer that strangers ask for most.

use super::quote::MEMBER;
use super::{QuoteMint, Refused, plans_json};
use crate::pricing::{Offer, PriceTable, Terms};
use crate::x402::codec;

/// What a 402 carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The value of `PAYMENT-REQUIRED`: none if there is nothing that a payment for this request would buy.
    pub header: Option<String>,
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
    /// A payment was sent and not taken.
    Payment(Refused),
}

impl Shortfall {
    /// `details.reason`.
    pub fn reason(&self) -> &str {
        match self {
            Self::MissingCredentials => "missing_credentials",
            Self::ExpiredKey => "expired_api_key",
            Self::InvalidKey => "invalid_api_key",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Payment(refused) => &refused.reason,
        }
    }

    /// `error`: what v2 clients show, and v1 clients read.
    fn error(&self) -> &str {
        match self {
            Self::Payment(refused) => &refused.reason,
            _ => "PAYMENT_REQUIRED",
        }
    }

    fn sentence(&self) -> &str {
        match self {
            Self::MissingCredentials => "This request has to be paid for.",
            Self::ExpiredKey => "The API key's subscription has expired.",
            Self::InvalidKey => "The API key is not valid.",
            Self::QuotaExhausted => "The API key's plan is used up.",
            Self::Payment(refused) => &refused.message,
        }
    }
}

impl Challenge {
    /// The challenge of an offer. `resource` is the absolute URL of what was asked for; `plans` says whether a plan
    /// would do as well. `random` must be fresh for each challenge.
    pub fn of_offer(
        offer: &Offer,
        resource: &str,
        shortfall: &Shortfall,
        table: &PriceTable,
        plans: bool,
        mint: &QuoteMint,
        now: (u64, &str),
        random: [u8; 8],
    ) -> Self {
        let resource = json(resource);
        let mut v2 = String::with_capacity(1024);
        v2.push_str(r#"{"x402Version":2,"error":"#);
        v2.push_str(&json(shortfall.error()));
        v2.push_str(r#","resource":{"url":"#);
        v2.push_str(&resource);
        if !offer.description.is_empty() {
            v2.push_str(r#","description":"#);
            v2.push_str(&json(&offer.description));
        }
        if !offer.mime_type.is_empty() {
            v2.push_str(r#","mimeType":"#);
            v2.push_str(&json(&offer.mime_type));
        }
        v2.push_str(r#"},"accepts":["#);
        for (index, terms) in offer.terms.iter().enumerate() {
            if index > 0 {
                v2.push(',');
            }
            push_v2(&mut v2, terms, &mint.quote(&offer.key, &terms.digest, now.0, random));
        }
        v2.push_str("]}");

        let mut v1 = String::with_capacity(1024);
        for terms in offer.terms.iter().filter(|terms| terms.v1_network.is_some()) {
            v1.push_str(if v1.is_empty() { r#"{"x402Version":1,"accepts":["# } else { "," });
            push_v1(&mut v1, offer, terms, &resource);
        }
        v1.push_str(if v1.is_empty() { "{" } else { "]," });
        let header = (!offer.terms.is_empty()).then(|| codec::encode_bytes(v2.as_bytes()));
        Self { header, body: finish(v1, &resource, shortfall, table, plans, now.1) }
    }

    /// The challenge of a route that only a plan opens: nothing to pay for here, so that no client pays for something
    /// it would not get.
    pub fn of_plans(resource: &str, shortfall: &Shortfall, table: &PriceTable, now: &str) -> Self {
        Self { header: None, body: finish("{".to_owned(), &json(resource), shortfall, table, true, now) }
    }
}

fn push_v2(text: &mut String, terms: &Terms, quote: &str) {
    let requirements = json(&terms.requirements());
    // `extra` is the last member: the quote goes before the two braces that end it and the whole.
    text.push_str(requirements.strip_suffix("}}").unwrap_or(&requirements));
    if !terms.extra.is_empty() {
        text.push(',');
    }
    text.push('"');
    text.push_str(MEMBER);
    text.push_str(r#"":""#);
    text.push_str(quote);
    text.push_str(r#""}}"#);
}

fn push_v1(text: &mut String, offer: &Offer, terms: &Terms, resource: &str) {
    let requirements = terms.requirements();
    let (amount, pay_to) = (json(&terms.amount), json(&requirements.pay_to));
    let (network, asset) = (json(&terms.v1_network.unwrap_or_default()), json(&requirements.asset));
    let (timeout, extra) = (terms.max_timeout_seconds, json(&terms.extra));
    let (description, mime_type) = (json(&offer.description), json(&offer.mime_type));
    text.push_str(&format!(
        r#"{{"scheme":"exact","network":{network},"maxAmountRequired":{amount},"resource":{resource},"description":{description},"mimeType":{mime_type},"payTo":{pay_to},"maxTimeoutSeconds":{timeout},"asset":{asset},"extra":{extra}}}"#
    ));
}

fn finish(
    mut body: String,
    resource: &str,
    shortfall: &Shortfall,
    table: &PriceTable,
    plans: bool,
    now: &str,
) -> String {
    let (sentence, purchase) = (shortfall.sentence(), format!("{}/purchase?plan=…", table.endpoints));
    let message = match (table.plans.is_empty(), plans) {
        (true, _) => sentence.to_owned(),
        (false, true) => format!("{sentence} Buy a plan at {purchase}"),
        (false, false) => format!("{sentence} No plan opens this route; for others they are sold at {purchase}"),
    };
    body.push_str(&format!(
        r#""code":402,"error":{},"message":{},"timestamp":"{now}","details":{{"reason":{}}},"resource":{resource},"pricingUrl":{}"#,
        json(shortfall.error()),
        json(&message),
        json(shortfall.reason()),
        json(&table.endpoint_url("pricing")),
    ));
    if !table.plans.is_empty() {
        body.push_str(&format!(r#","purchaseUrl":{}"#, json(&table.endpoint_url("purchase"))));
    }
    if plans {
        body.push_str(r#","plans":"#);
        body.push_str(&json(&plans_json(table)));
    }
    body.push('}');
    body
}

pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    // Texts, numbers and maps with text keys always have a JSON form.
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}
