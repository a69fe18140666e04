//! Sign-In-With-X: a wallet's proof that it is this wallet that asks (x402's extension `sign-in-with-x`, CAIP-122).
//!
//! A payment proves that somebody paid; this proves who is asking. It comes as [`SignIn::Header`], the form of x402's
//! clients, or as [`SignIn::Authorization`], a token that a client makes once and sends with every request:
//!
//! ```text
//! SIGN-IN-WITH-X: base64({"domain":…,"uri":…,"nonce":…,"issuedAt":…,"address":…,"chainId":…,"type":…,"signature":…})
//! Authorization: SIWX base64(message).signature
//! ```
//!
//! # What a captured proof is worth
//! Nonces are not used up, since such tokens are sent many times and nothing is stored for them. Whoever gets hold of
//! a proof can use it as its wallet does, at this gateway alone, until it ends: 5 minutes after the message was issued,
//! or for a token with an expiry of its own until then, but at most 24 hours. What it opens is what the wallet bought:
//! the plan's status and its API key. It moves no money. The key that was read with it outlives it.

mod check;
mod declaration;
mod message;
mod proof;
mod sent;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod tests;

pub(super) use declaration::push_declaration;
pub use proof::{Proof, Proved};
pub use sent::SignIn;

use self::check::check;
use self::sent::Signed;
use super::Refused;
use crate::money::Network;

/// Reads a proof and judges it, as far as that is possible without a chain.
///
/// `origin` is the configured public URL, never what the request calls its host: another site's sign-in could be
/// sent on to us otherwise. `networks` are those that payments are taken on. `now` is in seconds of Unix time.
///
/// # Errors
/// [`Refused`] with the reasons of the reference (`invalid_siwx_…`).
pub fn prove<'a>(
    sent: &SignIn,
    now: u64,
    origin: &str,
    networks: impl IntoIterator<Item = &'a Network>,
) -> Result<Proof, Refused> {
    let signed = Signed::read(sent)?;
    let ends_at = check(&signed.message, signed.form, now, origin)?;
    let account = signed.account(ends_at, networks)?;
    signed.proof(account)
}
