use std::sync::Arc;

use super::account::{Grant, Reservation};
use super::accounts::{Found, Subject};
use super::{Denial, Market, ResourceServer, Status};
use crate::crash::crash_point;
use crate::payment::siwx::SignIn;
use crate::payment::{Refused, Shortfall};
use crate::plans::{Allowance, HolderId, KeyHash, Units, allow};
use crate::pricing::{Metering, Route};

/// What a request has to show for itself, beside a payment. They are tried in this order, and the first that opens
/// something counts. Its `Debug` form says which are there.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// A wallet's sign-in.
    pub sign_in: Option<&'a SignIn>,
    /// An API key, in whatever form.
    pub key: Option<&'a str>,
    /// A token that the operator may have signed.
    pub token: Option<&'a str>,
}

/// Why a credential opens nothing.
enum Unfit {
    /// It may be good for something else, or was once: 402.
    Short(Shortfall),
    /// It is not what it says it is: 401 with this scheme.
    Malformed(&'static str, Refused),
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let there = [("sign_in", self.sign_in.is_some()), ("key", self.key.is_some()), ("token", self.token.is_some())];
        f.debug_set().entries(there.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name)).finish()
    }
}

impl Credentials<'_> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sign_in.is_none() && self.key.is_none() && self.token.is_none()
    }
}

impl ResourceServer {
    /// Reserves what a call takes of a plan. Touches memory only, but for a credential's first call and for each block
    /// of units.
    ///
    /// # Errors
    /// [`Denial`]; nothing is reserved then.
    pub(super) async fn spend(
        &self,
        market: &Market,
        credentials: Credentials<'_>,
        route: &Arc<Route>,
        metering: &Metering,
    ) -> Result<Reservation, Denial> {
        let cost = metering.reserved();
        loop {
            let grant = self.open(market, credentials, true).await?;
            let account = &grant.account;
            let rate_left = account
                .keep_rate()
                .map_err(|wait| Denial::RateLimited(wait, Box::new(account.standing(Units::ZERO, 0))))?;
            if self.accounts.take(account, cost).await? {
                let reserved = Reservation::new(grant, route, cost, rate_left);
                crash_point!("units.reserved");
                return Ok(reserved);
            }
            // Another plan was bought meanwhile: who is told that this one is used up would buy once more.
            if grant.is_current() {
                return Err(Denial::Exhausted(Box::new(account.standing(Units::ZERO, rate_left))));
            }
        }
    }

    /// What a credential's holder may know of the subscription behind it, even if that has ended.
    ///
    /// # Errors
    /// [`Denial`] if it leads to none.
    pub async fn status(&self, market: &Market, credentials: Credentials<'_>) -> Result<Status, Denial> {
        Ok(self.status_of(&*self.open(market, credentials, false).await?))
    }

    /// Whose credential it is, even if the subscription has ended.
    ///
    /// # Errors
    /// [`Denial`] if it leads to nobody.
    pub async fn holder_of(&self, market: &Market, credentials: Credentials<'_>) -> Result<HolderId, Denial> {
        Ok(self.open(market, credentials, false).await?.account.subscription().holder.clone())
    }

    pub(super) fn status_of(&self, grant: &Grant) -> Status {
        let bought = grant.account.subscription();
        Status {
            plan: Arc::clone(&bought.plan),
            units: bought.units,
            used: grant.account.used(),
            expires_at: bought.expires_at,
            active: allow(bought.expires_at, self.clock.now()) == Allowance::Allowed,
        }
    }

    /// The first credential that opens something; `running` asks for a subscription in its time. If there is none, the
    /// first one says why.
    pub(super) async fn open(
        &self,
        market: &Market,
        credentials: Credentials<'_>,
        running: bool,
    ) -> Result<Arc<Grant>, Denial> {
        let mut first = None;
        if let Some(sign_in) = credentials.sign_in {
            match Box::pin(self.by_wallet(market, sign_in)).await?.and_then(|grant| self.in_time(grant, running)) {
                Ok(grant) => return Ok(grant),
                Err(unfit) => first = first.or(Some(unfit)),
            }
        }
        if let Some(key) = credentials.key {
            match self.by_key(key).await?.and_then(|grant| self.in_time(grant, running)) {
                Ok(grant) => return Ok(grant),
                Err(unfit) => first = first.or(Some(unfit)),
            }
        }
        if let Some(token) = credentials.token {
            match Box::pin(self.by_token(market, token)).await?.and_then(|grant| self.in_time(grant, running)) {
                Ok(grant) => return Ok(grant),
                Err(unfit) => first = first.or(Some(unfit)),
            }
        }
        Err(first.unwrap_or(Unfit::Short(Shortfall::MissingCredentials)).into())
    }

    fn in_time(&self, grant: Arc<Grant>, running: bool) -> Result<Arc<Grant>, Unfit> {
        let ended = || allow(grant.account.subscription().expires_at, self.clock.now()) == Allowance::Expired;
        if running && ended() { Err(Unfit::Short(Shortfall::ExpiredKey)) } else { Ok(grant) }
    }

    /// Whether a text may be a key that was given out here or brought along. The check inside a key refuses what was made
    /// up, without a look-up.
    pub fn may_be_key(&self, text: &str) -> bool {
        self.keys.recognise(text).is_some() || self.may_be_imported(text)
    }

    /// Whether a text may be a key that was brought along, and so may have any form.
    pub fn may_be_imported(&self, text: &str) -> bool {
        self.accounts.may_be_imported(&KeyHash::of(text))
    }

    async fn by_key(&self, key: &str) -> Result<Result<Arc<Grant>, Unfit>, Denial> {
        let subject = Subject::Key(KeyHash::of(key));
        if let Some(grant) = self.accounts.known(&subject) {
            return Ok(Ok(grant));
        }
        if !self.may_be_key(key) {
            return Ok(Err(Unfit::Short(Shortfall::InvalidKey)));
        }
        Ok(match Box::pin(self.accounts.find(subject)).await? {
            Found::Grant(grant) => Ok(grant),
            Found::NoKey => Err(Unfit::Short(Shortfall::InvalidKey)),
            Found::NoSubscription => Err(Unfit::Short(Shortfall::NoSubscription)),
        })
    }

    async fn by_wallet(&self, market: &Market, sign_in: &SignIn) -> Result<Result<Arc<Grant>, Unfit>, Denial> {
        match self.proved(market, sign_in).await? {
            Ok(subject) => self.by_subject(subject).await,
            Err(refused) => Ok(Err(Unfit::Malformed("SIWX", refused))),
        }
    }

    async fn by_token(&self, market: &Market, token: &str) -> Result<Result<Arc<Grant>, Unfit>, Denial> {
        match market.proofs.name(token, self.now()) {
            Ok(subject) => self.by_subject(subject).await,
            Err(refused) => Ok(Err(Unfit::Malformed("Bearer", refused))),
        }
    }

    async fn by_subject(&self, subject: Subject) -> Result<Result<Arc<Grant>, Unfit>, Denial> {
        Ok(match self.accounts.find(subject).await? {
            Found::Grant(grant) => Ok(grant),
            Found::NoKey | Found::NoSubscription => Err(Unfit::Short(Shortfall::NoSubscription)),
        })
    }
}

impl From<Unfit> for Denial {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Short(shortfall) => Self::Shortfall(shortfall),
            Unfit::Malformed(scheme, refused) => Self::Unauthorized(scheme, refused),
        }
    }
}
