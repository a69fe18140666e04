use std::borrow::Cow;

/// Why a payment is not taken: a machine reason (x402's own where there is one) and what the buyer can change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refused {
    /// One word, for programs.
    pub reason: Cow<'static, str>,
    /// One sentence, for people.
    pub message: Cow<'static, str>,
}

impl Refused {
    /// A refusal with fixed or made-up words.
    pub fn new(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Cow::Borrowed(reason), message: message.into() }
    }
}
