use std::sync::Arc;

use super::accounts::{Found, ahead};
use super::{Reservation, ResourceServer, Standing};
use crate::plans::{Allowance, Units, allow};
use crate::store::StoreError;

/// What a plan pays while an answer streams: units for each byte, taken before the byte leaves.
///
/// Units are taken from the block that is set aside in memory. Dropped, it gives back what was reserved for bytes that
/// did not leave; what has left stays charged.
pub struct Tab {
    server: Arc<ResourceServer>,
    reserved: Reservation,
    per_byte: Units,
}

/// Why no more bytes are served on a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There are not units enough for the next bytes.
    QuotaExhausted,
    /// The subscription's time is over.
    Expired,
    /// The key was taken back.
    Revoked,
    /// The books cannot be read or written.
    StoreFailed,
}

impl Ended {
    /// The word that clients get.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QuotaExhausted => "quota_exhausted",
            Self::Expired => "subscription_expired",
            Self::Revoked => "key_revoked",
            Self::StoreFailed => "store_unavailable",
        }
    }
}

impl ResourceServer {
    /// Charges what the call takes by itself, gives back what was reserved above that, and opens a tab for the bytes
    /// that follow.
    pub fn open_tab(self: &Arc<Self>, mut reservation: Reservation, own: Units, per_byte: Units) -> (Tab, Standing) {
        let standing = reservation.spend(1, own);
        reservation.give_back();
        (Tab { server: Arc::clone(self), reserved: reservation, per_byte }, standing)
    }
}

impl Tab {
    /// Charges bytes that are about to leave: all of them, or none.
    ///
    /// # Errors
    /// [`Ended`]; then they must not leave.
    pub fn spend(&mut self, bytes: u64) -> Result<(), Ended> {
        self.reserve(bytes)?;
        self.commit(bytes);
        Ok(())
    }

    /// Reserves units for bytes that may leave one after the other.
    ///
    /// # Errors
    /// [`Ended`]; nothing is reserved then.
    ///
    /// # Panics
    /// On a runtime of a single thread: if the memory has not enough, this waits for the store.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), Ended> {
        if !self.reserved.grant().is_current() {
            self.look_again()?;
        }
        let account = self.reserved.account();
        if allow(account.subscription().expires_at, self.server.clock.now()) == Allowance::Expired {
            return Err(Ended::Expired);
        }
        let cost = self.per_byte.checked_mul(bytes).ok_or(Ended::QuotaExhausted)?;
        if !account.take(cost) {
            self.wait_for(cost)?;
        }
        self.reserved.grow(cost);
        if self.reserved.account().is_low(ahead(cost)) {
            self.lease_ahead(cost);
        }
        Ok(())
    }

    /// Charges bytes that leave, out of what is reserved for them.
    pub fn commit(&mut self, bytes: u64) {
        self.reserved.spend(0, self.per_byte.checked_mul(bytes).unwrap_or(Units::MAX));
    }

    /// What the credential leads to now: the key was revoked, or another plan was bought meanwhile.
    fn look_again(&mut self) -> Result<(), Ended> {
        let subject = self.reserved.grant().subject.clone();
        match self.now(self.server.accounts.find(subject))? {
            Found::Grant(grant) => {
                self.reserved.go_on_with(grant);
                Ok(())
            }
            Found::NoKey | Found::NoSubscription => Err(Ended::Revoked),
        }
    }

    fn wait_for(&self, cost: Units) -> Result<(), Ended> {
        let account = self.reserved.account();
        if self.now(self.server.accounts.take(account, cost))? { Ok(()) } else { Err(Ended::QuotaExhausted) }
    }

    /// The body filters of the proxy cannot wait, and the store makes one wait. It happens once for a block of units
    /// and only if the block before was used up faster than the next could be leased, so the other tasks of this
    /// thread are handed to another one meanwhile. Not where money moves: whoever has set the units aside may wait for a
    /// thread there, and all would wait for each other.
    fn now<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, Ended> {
        if self.server.is_here() {
            return Err(Ended::StoreFailed);
        }
        tokio::task::block_in_place(|| self.server.runtime.block_on(asked)).map_err(|error| {
            tracing::error!(%error, "the store failed while an answer streamed");
            Ended::StoreFailed
        })
    }

    fn lease_ahead(&self, cost: Units) {
        let (server, account) = (Arc::clone(&self.server), Arc::clone(self.reserved.account()));
        self.server.runtime.spawn(async move {
            if let Err(error) = server.accounts.lease_ahead(&account, cost).await {
                tracing::error!(%error, "units could not be set aside");
            }
        });
    }
}
