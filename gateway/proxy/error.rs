//! Status and body of everything that goes wrong; chosen here and nowhere else.
//!
//! Unknown is 5xx, never 402: a 402 makes a correct client sign and pay a second time.

use http::StatusCode;
use http::header::HeaderName;
use serde_json::{Value, json};

use super::answer::Answer;
use super::facts::BadRequest;
use super::headers::receipt;
use super::wording::Wording;
use crate::payment::{Challenge, Shortfall, Unserved};
use crate::pricing::Offer;
use crate::resource_server::Denial;

/// How long a client should wait before it asks for a result again, in seconds.
const RETRY_AFTER_S: u64 = 5;

/// The names of a challenge.
const REQUIRED: [HeaderName; 2] =
    [HeaderName::from_static("payment-required"), HeaderName::from_static("x-payment-required")];

/// What was asked for, so that a 402 can say what it costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The offer that a payment would buy. None if only a plan opens it.
    pub(super) offer: Option<&'a Offer>,
    /// Its absolute URL.
    pub(super) resource: &'a str,
    /// Whether a plan would do.
    pub(super) plans: bool,
}

impl Wording<'_> {
    /// The answer to a request that is not served.
    pub(super) fn denial(&self, denial: &Denial, wanted: Wanted<'_>) -> Answer {
        match denial {
            Denial::Shortfall(shortfall) => self.challenge(shortfall, wanted),
            Denial::NotSettled(refused, failure) => {
                // The body is a challenge for version 1 and for people; the header is left to the receipt, which
                // tells version 2 that settling failed.
                let mut answer = self.challenge(&Shortfall::Payment(refused.clone()), wanted);
                answer.headers.clear();
                answer.with_all(receipt(failure))
            }
            Denial::Forbidden(id) => self.payer_refused(id),
            Denial::Exceeded(exceeded) => self.exceeded(exceeded),
            Denial::RateLimited(wait, standing) => self.rate_limited(*wait, standing),
            Denial::Exhausted(standing) => self.exhausted(standing, wanted),
            Denial::Unauthorized(scheme, refused) => self.unauthorized(scheme, refused),
            Denial::NoKey(id) => {
                let details = json!({ "reason": "unknown_key", "id": id.as_str() });
                self.problem(404, "unknown_key", "You have no working key of that id.", details)
            }
            Denial::TooManyKeys(most) => {
                let details = json!({ "reason": "too_many_keys", "limit": most });
                self.problem(409, "too_many_keys", "Revoke a key before you make another one.", details)
            }
            Denial::TooManyAddresses => {
                let details = json!({ "reason": "too_many_addresses" });
                self.problem(409, "too_many_addresses", "You have as many addresses as one may have.", details)
            }
            Denial::AddressTaken => {
                let message = "This address has a plan of its own that still runs.";
                self.problem(409, "address_taken", message, json!({ "reason": "address_taken" }))
            }
            Denial::InFlight(id) => {
                let message = "This payment is being worked on. Send it again in a moment.";
                let details = json!({ "reason": "payment_in_progress", "paymentId": id.as_str() });
                self.problem(409, "payment_in_progress", message, details).with("Retry-After", "1")
            }
            Denial::Spent(id, settled) => {
                let message = "This payment has been used. Its buyer gets the answer again with the quote that the \
                               payment was first sent with, or with a payer's SIGN-IN-WITH-X proof. For a new call, \
                               request without a payment.";
                let details = json!({ "reason": "payment_already_used", "paymentId": id.as_str() });
                let answer = self.problem(409, "payment_already_used", message, details);
                answer.with_all(settled.iter().flat_map(|settled| receipt(settled)))
            }
            Denial::Undelivered(id, settled) => {
                let message = "This payment has been used, and its answer is not known to have arrived. The call is not \
                               made again. Tell the API's operator this paymentId: the books have what became of it.";
                let details = json!({ "reason": "payment_already_used", "paymentId": id.as_str() });
                self.problem(409, "payment_already_used", message, details).with_all(receipt(settled))
            }
            Denial::IdentifierTaken(id) => {
                let message = "Another payment was sent with this payment-identifier. Send that payment, or a new \
                               identifier. Nothing was charged for this one.";
                let details = json!({ "reason": "payment_identifier_conflict", "paymentId": id.as_str() });
                self.problem(409, "payment_identifier_conflict", message, details)
            }
            Denial::Unresolved(id) => {
                let message = "It is not known yet whether the payment was settled. Send the same payment again: \
                               it is not charged twice. Without a quote (version 1) it takes a SIGN-IN-WITH-X proof \
                               of the payer's wallet beside it.";
                let details = json!({ "reason": "retry_same_payment", "paymentId": id.as_str() });
                self.problem(503, "retry_same_payment", message, details).with("Retry-After", RETRY_AFTER_S.to_string())
            }
            Denial::NoVerdict(reason) => {
                let message = "Payments cannot be checked at the moment. Nothing was charged.";
                self.problem(503, reason, message, json!({ "reason": reason }))
                    .with("Retry-After", RETRY_AFTER_S.to_string())
            }
            Denial::StoreFailed => {
                let message = "The gateway cannot keep its books at the moment. Send the same request again.";
                self.problem(503, "store_unavailable", message, json!({ "reason": "store_unavailable" }))
                    .with("Retry-After", RETRY_AFTER_S.to_string())
            }
        }
    }

    pub(super) fn challenge(&self, shortfall: &Shortfall, wanted: Wanted<'_>) -> Answer {
        let request = Unserved {
            resource: wanted.resource,
            shortfall,
            plans: wanted.plans,
            table: &self.market.prices,
            hints: &self.hints,
            now: self.now,
            timestamp: &self.timestamp,
        };
        let challenge = match wanted.offer {
            Some(offer) => {
                // Of a generator of this thread's own, which the operating system seeds.
                Challenge::of_offer(offer, request, self.quotes, rand::random())
            }
            None => Challenge::of_plans(request),
        };
        let answer = Answer::json(StatusCode::PAYMENT_REQUIRED, challenge.body);
        // One text of a thousand bytes under both names.
        match challenge.header {
            None => answer,
            Some(value) => answer.with_all(REQUIRED.map(|name| (name, value.clone()))),
        }
    }

    pub(super) fn bad_request(&self, error: BadRequest) -> Answer {
        let (status, reason) = match error {
            BadRequest::Path(_) => (400, "ambiguous_path"),
            BadRequest::Host => (400, "invalid_host"),
            BadRequest::Method => (405, "method_not_allowed"),
            BadRequest::Framing => (400, "ambiguous_framing"),
            BadRequest::Payments => (400, "ambiguous_payment"),
            BadRequest::PaymentTooLarge => (431, "payment_too_large"),
            BadRequest::SignIns => (400, "ambiguous_sign_in"),
            BadRequest::SignInTooLarge => (431, "sign_in_too_large"),
            BadRequest::Keys => (400, "ambiguous_credentials"),
            BadRequest::Underscore => (400, "ambiguous_header"),
            BadRequest::Connection => (400, "ambiguous_connection"),
        };
        self.problem(status, reason, &error.to_string(), json!({ "reason": reason }))
    }

    /// An answer in the form that all our errors have: number, word, sentence, time, details.
    pub(super) fn problem(&self, status: u16, error: &str, message: &str, details: Value) -> Answer {
        let mut body = json!({ "code": status, "error": error, "message": message, "timestamp": self.timestamp });
        if let Some(members) = body.as_object_mut() {
            members.insert("details".to_owned(), details);
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Answer::json(status, body.to_string())
    }
}
