//! The store in an SQLite file: write-ahead log, every commit synced to the disk.
//!
//! Readers have connections of their own; all writes go through one writer, which commits together what arrived
//! together, so that concurrent payments share one sync of the disk.

#[cfg(test)]
mod fixture;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _};

use self::writer::{Write, Writer};
use super::{Claim, ClaimOutcome, Claims, KeyStore, Ledger, Record, Sale, StoreError, Usage};
use crate::clock::Clock;
use crate::payment::{PaymentId, Settling};
use crate::plans::{KeyHash, Subscription, SubscriptionId, Units};
use crate::x402::facilitator::SettleResponse;

/// The store in an SQLite file. One gateway uses it at a time.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    writer: Writer,
    claims: Claims,
    /// Held as long as the store is: claims are in memory, so a second gateway would not see them.
    _lock: File,
}

impl SqliteStore {
    /// Opens or makes the file and brings its tables up to date. Units that an earlier process had set aside and not
    /// spent are free again.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the file cannot be opened, locked or migrated.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        // Made here, so that nobody else can read the payments in it.
        private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let migrations = [
            ("payments and subscriptions", include_str!("schema.sql")),
            ("subscriptions by payer", include_str!("schema_payers.sql")),
        ];
        let migrations = (1..).zip(migrations).map(|(version, (name, sql))| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(migrations.collect())
            .run(&mut connection)
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        sqlx::query("UPDATE subscriptions SET leased = 0 WHERE leased > 0").execute(&mut connection).await?;
        let readers = SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer: Writer::start(connection, clock), claims: Claims::default(), _lock: lock })
    }
}

/// The right to be the only gateway on this file. The system takes it back when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let file = private(&PathBuf::from(beside))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::Failed(format!("{} is used by another gateway", path.display())))
        }
        Err(TryLockError::Error(error)) => {
            Err(StoreError::Failed(format!("{} cannot be locked: {error}", path.display())))
        }
    }
}

/// Opens or makes a file that only its owner may read.
fn private(path: &Path) -> Result<File, StoreError> {
    let options = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).clone();
    options.open(path).map_err(|error| StoreError::Failed(format!("{}: {error}", path.display())))
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn claim(&self, id: &PaymentId) -> Result<ClaimOutcome, StoreError> {
        // In memory first: whoever holds the claim writes its outcome before letting go, so the row read after
        // taking it is the last word.
        let claim = match self.claims.take(id) {
            Ok(claim) => claim,
            Err(busy) => return Ok(ClaimOutcome::InFlight(busy)),
        };
        Ok(match rows::payment(&self.readers, id).await? {
            Some(record) => ClaimOutcome::Recorded(claim, Box::new(record)),
            None => ClaimOutcome::New(claim),
        })
    }

    async fn settling(&self, payment: &Settling<Claim>) -> Result<(), StoreError> {
        self.writer.write(Write::settling(payment)?).await.map(drop)
    }

    async fn settled(&self, id: &PaymentId, receipt: &SettleResponse, sale: Option<&Sale>) -> Result<(), StoreError> {
        let receipt = rows::to_json(receipt)?;
        self.writer.write(Write::Settled { id: id.clone(), receipt, sale: sale.cloned().map(Box::new) }).await.map(drop)
    }

    async fn voided(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError> {
        self.writer.write(Write::Voided { id: id.clone(), reason: reason.to_owned() }).await.map(drop)
    }

    async fn unknown(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError> {
        self.writer.write(Write::Unknown { id: id.clone(), reason: reason.to_owned() }).await.map(drop)
    }

    async fn delivered(&self, id: &PaymentId) -> Result<(), StoreError> {
        self.writer.write(Write::Delivered { id: id.clone() }).await.map(drop)
    }

    async fn open_payments(&self) -> Result<u64, StoreError> {
        rows::open_payments(&self.readers).await
    }

    async fn payment(&self, id: &PaymentId) -> Result<Option<Record>, StoreError> {
        rows::payment(&self.readers, id).await
    }
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn subscription_of(&self, key: &KeyHash) -> Result<Option<Subscription>, StoreError> {
        rows::subscription_of(&self.readers, key).await
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        rows::subscription(&self.readers, id).await
    }

    async fn current_of(
        &self,
        chain: &str,
        payer: &str,
        now: SystemTime,
    ) -> Result<Option<(Subscription, PaymentId)>, StoreError> {
        rows::current_of(&self.readers, chain, payer, now).await
    }

    async fn lease(&self, id: &SubscriptionId, want: Units) -> Result<Units, StoreError> {
        self.writer.write(Write::Lease { id: id.clone(), want }).await
    }

    async fn report(&self, usages: Vec<Usage>) -> Result<(), StoreError> {
        self.writer.write(Write::Report { usages }).await.map(drop)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
