use super::accounts::Subject;
use super::proven::Proven;
use crate::payment::Refused;
use crate::payment::siwx::SignIn;
use crate::plans::{TokenError, TokenVerifier};

/// Credentials that are checked by computing, and what came of it. It belongs to a configuration: another public URL,
/// other networks or another issuer's key judge anew.
#[derive(Debug, Default)]
pub struct Proofs {
    wallets: Proven<Subject>,
    names: Proven<Subject>,
    verifier: Option<TokenVerifier>,
}

impl Proofs {
    /// Nothing proved yet. Without a verifier no token of the operator's is taken.
    pub fn new(verifier: Option<TokenVerifier>) -> Self {
        Self { verifier, ..Self::default() }
    }

    /// Whether tokens of the operator's are taken.
    pub fn takes_tokens(&self) -> bool {
        self.verifier.is_some()
    }

    /// The wallet that this sign-in has proved before.
    pub(super) fn wallet(&self, sign_in: &SignIn, now: u64) -> Option<Subject> {
        self.wallets.get(sign_in.as_bytes(), now)
    }

    /// Remembers a wallet until the sign-in ends.
    pub(super) fn keep_wallet(&self, sign_in: &SignIn, wallet: &Subject, ends_at: u64) {
        self.wallets.keep(sign_in.as_bytes(), wallet.clone(), ends_at);
    }

    /// Whom a token of the operator's names.
    ///
    /// # Errors
    /// [`Refused`] with `invalid_token` (RFC 6750 §3.1).
    pub(super) fn name(&self, token: &str, now: u64) -> Result<Subject, Refused> {
        let refused = |error: TokenError| Refused::new("invalid_token", error.to_string());
        if let Some(name) = self.names.get(token.as_bytes(), now) {
            return Ok(name);
        }
        let verifier = self.verifier.as_ref().ok_or(Refused::new("invalid_token", "no tokens are taken here"))?;
        let claimed = verifier.verify(token, now).map_err(refused)?;
        let name = Subject::Name(claimed.subject.into());
        self.names.keep(token.as_bytes(), name.clone(), claimed.expires_at);
        Ok(name)
    }
}
