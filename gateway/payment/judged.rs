//! What can be said of a payload without asking anybody, by its scheme.

use serde::Deserialize;
use serde_json::Value;

use super::presented::Window;
use super::{PaymentId, Refused, eip712, eip3009, permit2, svm, upto};
use crate::money::{Address, Family, TransferMethod};
use crate::pricing::Terms;

/// What can be said of a payload here.
pub(super) struct Judged {
    pub(super) id: PaymentId,
    pub(super) payer: Option<Address>,
    pub(super) window: Window,
    /// Whether it is an account's, whose signature is judged here.
    pub(super) sealed: bool,
}

impl Judged {
    /// Judges the payload of a payment on these terms.
    pub(super) fn of(payload: &str, terms: &Terms, now: u64) -> Result<Self, Refused> {
        let family = terms.network.family();
        let is_read = terms.scheme.is_read_on(family);
        match (family, terms.asset.transfer) {
            (Family::Evm(_), _) if is_read && terms.scheme.is_upto() => {
                let payload = parse_payload(payload)?;
                Ok(Self::signed(upto::check(&payload, terms, now)?, payload.signature()))
            }
            (Family::Evm(_), TransferMethod::Native) if is_read => {
                let payload = parse_payload(payload)?;
                Ok(Self::signed(eip3009::check(&payload, terms, now)?, payload.signature()))
            }
            (Family::Evm(_), TransferMethod::Permit2) if is_read => {
                let payload = parse_payload(payload)?;
                Ok(Self::signed(permit2::check(&payload, terms, now)?, payload.signature()))
            }
            // Much of a transaction is the payer's choice, and not all of it is judged here.
            (Family::Solana, _) if is_read => {
                let (id, payer) = svm::check(&parse_payload(payload)?, terms)?;
                Ok(Self { payer, ..Self::unread(id) })
            }
            // Nothing is known of it here, not even which part of it was signed.
            _ => {
                let value: Value = parse(payload)?;
                Ok(Self::unread(PaymentId::opaque(&terms.network, &value.to_string())))
            }
        }
    }

    fn signed((id, payer, window): (PaymentId, Address, Window), signature: &str) -> Self {
        Self { id, payer: Some(payer), window, sealed: eip712::is_accounts(signature) }
    }

    fn unread(id: PaymentId) -> Self {
        Self { id, payer: None, window: Window::OPEN, sealed: false }
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refused> {
    serde_json::from_str(text)
        .map_err(|error| Refused::new("invalid_payload", format!("the payment cannot be read: {error}")))
}

fn parse_payload<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refused> {
    serde_json::from_str(text).map_err(|error| {
        Refused::new("unsupported_payload_type", format!("the payload is not of the offered transfer method: {error}"))
    })
}
