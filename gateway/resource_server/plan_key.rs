use std::sync::Arc;

use super::{Account, Denial, Reservation, ResourceServer, Status};
use crate::payment::Shortfall;
use crate::plans::{Allowance, Units, allow};

impl ResourceServer {
    /// Reserves what a call costs of a key's plan. Touches memory only, but for the key's first call and for each
    /// block of units.
    ///
    /// # Errors
    /// [`Denial`]; nothing is reserved then.
    pub(super) async fn spend(&self, key: &str, cost: Units) -> Result<Reservation, Denial> {
        let account = self.account(key).await?;
        match allow(account.subscription().expires_at, self.clock.now()) {
            Allowance::Expired => Err(Denial::Shortfall(Shortfall::ExpiredKey)),
            Allowance::Allowed => {
                account.keep_rate().map_err(Denial::RateLimited)?;
                let reserved = self.accounts.reserve(account, cost).await?;
                reserved.ok_or(Denial::Shortfall(Shortfall::QuotaExhausted))
            }
        }
    }

    /// What a key's holder may know of the subscription behind it.
    ///
    /// # Errors
    /// [`Denial`] if the key is none of ours.
    pub async fn status(&self, key: &str) -> Result<Status, Denial> {
        let account = self.account(key).await?;
        let bought = account.subscription();
        Ok(Status {
            plan: bought.plan.clone(),
            used: account.used(),
            expires_at: bought.expires_at,
            active: allow(bought.expires_at, self.clock.now()) == Allowance::Allowed,
        })
    }

    async fn account(&self, key: &str) -> Result<Arc<Account>, Denial> {
        let unknown = Denial::Shortfall(Shortfall::InvalidKey);
        // The check inside the key refuses what was made up, without a look-up.
        let hash = self.keys.recognise(key).ok_or(unknown.clone())?;
        self.accounts.find(hash).await?.ok_or(unknown)
    }
}
