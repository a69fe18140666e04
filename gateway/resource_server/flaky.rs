//! A store that can be made to fail.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::payment::{PaymentId, Settling};
use crate::plans::{Holder, HolderAddress, HolderId, Key, KeyHash, KeyId, Subscription, SubscriptionId, Units};
use crate::store::{
    Changes, Claim, ClaimOutcome, Doubt, KeyStore, Ledger, Linked, NewKey, Record, Sale, SqliteStore, StoreError,
    StoredResponse, Swept, Usage,
};
use crate::x402::facilitator::SettleResponse;

/// The real store, with a switch for each kind of failure.
#[derive(Debug)]
pub(super) struct Flaky {
    pub(super) store: SqliteStore,
    /// Nothing works any more.
    pub(super) down: AtomicBool,
    /// A settled payment cannot be written down.
    pub(super) forgets: AtomicBool,
    /// As many reports are written until none is.
    pub(super) reports_left: AtomicUsize,
}

impl Flaky {
    fn up(&self) -> Result<&SqliteStore, StoreError> {
        match self.down.load(Ordering::Relaxed) {
            true => Err(StoreError::Failed("down".to_owned())),
            false => Ok(&self.store),
        }
    }
}

#[async_trait]
impl Ledger for Flaky {
    async fn claim(&self, id: &PaymentId) -> Result<ClaimOutcome, StoreError> {
        self.up()?.claim(id).await
    }

    async fn settling(&self, payment: &Settling<Claim>) -> Result<(), StoreError> {
        self.up()?.settling(payment).await
    }

    async fn settled(&self, id: &PaymentId, receipt: &SettleResponse, sale: Option<&Sale>) -> Result<(), StoreError> {
        match self.forgets.load(Ordering::Relaxed) {
            true => Err(StoreError::Failed("disk full".to_owned())),
            false => self.up()?.settled(id, receipt, sale).await,
        }
    }

    async fn voided(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError> {
        self.up()?.voided(id, reason).await
    }

    async fn unknown(&self, id: &PaymentId, doubt: &Doubt) -> Result<(), StoreError> {
        self.up()?.unknown(id, doubt).await
    }

    async fn asking(&self, id: &PaymentId) -> Result<u32, StoreError> {
        self.up()?.asking(id).await
    }

    async fn delivered(&self, id: &PaymentId, response: Option<StoredResponse>) -> Result<(), StoreError> {
        self.up()?.delivered(id, response).await
    }

    async fn record(&self, id: &PaymentId) -> Result<Option<Record>, StoreError> {
        self.up()?.record(id).await
    }

    async fn keep(&self, id: &PaymentId, response: StoredResponse) -> Result<(), StoreError> {
        self.up()?.keep(id, response).await
    }

    async fn response(&self, id: &PaymentId, now: SystemTime) -> Result<Option<StoredResponse>, StoreError> {
        self.up()?.response(id, now).await
    }

    async fn due(&self, now: SystemTime, limit: u32) -> Result<Vec<PaymentId>, StoreError> {
        self.up()?.due(now, limit).await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        self.up()?.sweep().await
    }

    async fn open_payments(&self) -> Result<u64, StoreError> {
        self.up()?.open_payments().await
    }
}

#[async_trait]
impl KeyStore for Flaky {
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
        self.up()?.key(hash).await
    }

    async fn keys_of(&self, holder: &HolderId) -> Result<Vec<Key>, StoreError> {
        self.up()?.keys_of(holder).await
    }

    async fn imported(&self) -> Result<Vec<KeyHash>, StoreError> {
        self.up()?.imported().await
    }

    async fn holder(&self, id: &HolderId) -> Result<Option<Holder>, StoreError> {
        self.up()?.holder(id).await
    }

    async fn holder_at(&self, chain: &str, address: &str) -> Result<Option<HolderId>, StoreError> {
        self.up()?.holder_at(chain, address).await
    }

    async fn holder_named(&self, name: &str) -> Result<Option<HolderId>, StoreError> {
        self.up()?.holder_named(name).await
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        self.up()?.subscription(id).await
    }

    async fn current_of(&self, holder: &HolderId) -> Result<Option<Subscription>, StoreError> {
        self.up()?.current_of(holder).await
    }

    async fn grant(&self, sale: &Sale) -> Result<(), StoreError> {
        self.up()?.grant(sale).await
    }

    async fn issue(&self, key: &NewKey, replaces: Option<&KeyId>, keys_max: u32) -> Result<(), StoreError> {
        self.up()?.issue(key, replaces, keys_max).await
    }

    async fn revoke(&self, holder: &HolderId, key: &KeyId) -> Result<(), StoreError> {
        self.up()?.revoke(holder, key).await
    }

    async fn link(&self, holder: &HolderId, address: &HolderAddress) -> Result<Linked, StoreError> {
        self.up()?.link(holder, address).await
    }

    async fn changes(&self, after: i64) -> Result<Changes, StoreError> {
        self.up()?.changes(after).await
    }

    async fn lease(&self, id: &SubscriptionId, want: Units) -> Result<Units, StoreError> {
        self.up()?.lease(id, want).await
    }

    async fn report(&self, usages: Vec<Usage>) -> Result<(), StoreError> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.reports_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => self.up()?.report(usages).await,
            Err(_) => Err(StoreError::Failed("disk full".to_owned())),
        }
    }
}
