//! Answers to callers who are refused though they are known, or just for being too fast.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::answer::Answer;
use super::error::Wanted;
use super::standing;
use super::wording::Wording;
use crate::payment::{PaymentId, Refused, Shortfall};
use crate::resource_server::Standing;
use crate::screening::{Exceeded, Limit};

impl Wording<'_> {
    /// 403: the payer may not pay. The reason is the operator's business.
    pub(super) fn payer_refused(&self, id: &PaymentId) -> Answer {
        let message = "This payer is not served. Nothing was charged.";
        self.problem(403, "payer_refused", message, json!({ "reason": "payer_refused", "paymentId": id.as_str() }))
    }

    /// 401: a credential that is not what it says it is.
    pub(super) fn unauthorized(&self, scheme: &str, refused: &Refused) -> Answer {
        let challenge = format!("{scheme} error=\"invalid_token\"");
        self.problem(401, &refused.reason, &refused.message, json!({ "reason": refused.reason }))
            .with("WWW-Authenticate", challenge)
    }

    /// 402, or 403 if the operator says so: the plan is used up, and can be bought again.
    pub(super) fn exhausted(&self, standing: &Standing, wanted: Wanted<'_>) -> Answer {
        let shortfall = Shortfall::QuotaExhausted;
        let answer = match self.market.terms.exhausted_is_403 {
            false => self.challenge(&shortfall, wanted),
            true => {
                let purchase = self.market.prices.endpoint_url("purchase");
                let details = json!({ "reason": shortfall.reason(), "purchaseUrl": purchase });
                let message = format!("The plan is used up. Buy one at {purchase}?plan=NAME.");
                self.problem(403, shortfall.reason(), &message, details)
            }
        };
        answer.with_all(standing::headers(standing, self.time()))
    }

    /// 429: faster than the plan allows.
    pub(super) fn rate_limited(&self, wait: Duration, standing: &Standing) -> Answer {
        let seconds = wait.as_secs() + 1;
        let limit = standing.plan.rate.map(|(rate, _)| rate.to_string());
        let reset_at = self.now + seconds;
        let details = json!({
            "reason": "rate_limited", "limit": limit, "remaining": 0, "reset_at": reset_at, "retryAfter": seconds,
        });
        self.problem(429, "rate_limited", "The plan's rate is exceeded.", details)
            .with("Retry-After", seconds.to_string())
            .with_all(standing::headers(standing, self.time()))
    }

    fn time(&self) -> std::time::SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.now)
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
            Limit::Unpaid(_) | Limit::BadPayments(_) | Limit::Keyless(_) => {
                ("address_limit", "Too many requests from this address.")
            }
        };
        let seconds = retry_after.as_secs() + 1;
        let window = limit.per().map(|per| humantime::format_duration(per).to_string());
        let details = json!({ "reason": reason, "limit": limit.to_string(), "window": window, "retryAfter": seconds });
        self.problem(429, reason, message, details).with("Retry-After", seconds.to_string())
    }
}
