//! Answers to payers and addresses that are refused whatever they pay: no challenge, since paying again would not help.

use serde_json::json;

use super::answer::Answer;
use super::wording::Wording;
use crate::payment::PaymentId;
use crate::screening::{Exceeded, Limit};

impl Wording<'_> {
    /// 403: the payer may not pay. The reason is the operator's business.
    pub(super) fn payer_refused(&self, id: &PaymentId) -> Answer {
        let message = "This payer is not served. Nothing was charged.";
        self.problem(403, "payer_refused", message, json!({ "reason": "payer_refused", "paymentId": id.as_str() }))
    }

    /// 429: too many, too much, or too fast.
    pub(super) fn exceeded(&self, exceeded: &Exceeded) -> Answer {
        let Exceeded { limit, retry_after } = exceeded;
        let (reason, message) = match limit {
            Limit::Payments(_) | Limit::Unsettled(_) => {
                ("payer_limit", "This payer's limit is reached. Nothing was charged.")
            }
            Limit::Strikes(_) => {
                ("payer_struck", "Too many of this payer's payments did not settle. Nothing was charged.")
            }
            Limit::Unpaid(_) | Limit::BadPayments(_) => ("address_limit", "Too many requests from this address."),
        };
        let seconds = retry_after.as_secs() + 1;
        let window = limit.per().map(|per| humantime::format_duration(per).to_string());
        let details = json!({ "reason": reason, "limit": limit.to_string(), "window": window, "retryAfter": seconds });
        self.problem(429, reason, message, details).with("Retry-After", seconds.to_string())
    }
}
