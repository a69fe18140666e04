//! The store in an SQLite file: write-ahead log, every commit synced to the disk.
//!
//! Readers have connections of their own; all writes go through one writer, which commits together what arrived
//! together, so that concurrent payments share one sync of the disk. `sqlx` makes the tables and reads them; the writer,
//! and what is read for each payment and credential, have [connections](connecting) on threads of their own.

mod beside;
mod books;
#[cfg(test)]
mod changing;
mod connecting;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod fixture;
mod holders;
mod kept_headers;
mod lookups;
#[cfg(test)]
mod model;
mod moves;
#[cfg(test)]
mod paging;
#[cfg(test)]
mod refusals;
mod register;
#[cfg(test)]
mod registered;
mod responses;
mod room;
mod rows;
mod sales;
#[cfg(test)]
mod sweeping;
#[cfg(test)]
mod tests;
mod units;
#[cfg(test)]
mod upgrading;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use sqlx::error::DatabaseError;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _};

pub use self::beside::Alone;
use self::connecting::Opening;
use self::lookups::Lookups;
use self::moves::SettlingRow;
use self::responses::Responses;
use self::writer::{Desk, Write, Writer, Written};
use super::{
    Changes, Claim, ClaimOutcome, Claims, Doubt, KeyStore, Ledger, Linked, NewKey, Record, Retention, Sale, StoreError,
    StoredResponse, Swept, Usage,
};
use crate::clock::{Clock, unix_millis};
use crate::payment::{PaymentId, Settling};
use crate::plans::{Holder, HolderAddress, HolderId, Key, KeyHash, KeyId, Subscription, SubscriptionId, Units};
use crate::x402::facilitator::SettleResponse;

/// The store in an SQLite file. One gateway uses it at a time.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    lookups: Lookups,
    writer: Writer,
    claims: Claims,
    /// Held as long as the store is: claims are in memory, so a second gateway would not see them. None beside a
    /// running gateway.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens or makes the file and brings its tables up to date. Units that an earlier process had set aside and not
    /// spent are free again, and what it was settling is unknown.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the file cannot be opened, locked or migrated.
    pub async fn open(path: &Path, retention: Retention, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        // Made here, so that nobody else can read the payments in it.
        private(path)?;
        migrate_to(path, MIGRATIONS.len()).await?;
        let opening = Opening::of(path);
        let mut connection = opening.to_write()?;
        units::free_leases(&mut connection, unix_millis(clock.now()))?;
        connection.execute(
            "UPDATE payments SET state = 'unknown', reason = 'the gateway ended while it was settled', ask_at = 0
             WHERE state = 'settling'",
            [],
        )?;
        Self::start(opening, retention, clock, Some(lock)).await
    }

    async fn start(
        opening: Opening,
        retention: Retention,
        clock: Arc<dyn Clock>,
        lock: Option<File>,
    ) -> Result<Self, StoreError> {
        let readers = options(&opening.path).create_if_missing(false).read_only(true);
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(readers)
            .await?;
        // Each has a thread with the priority of whoever began it: not one that a payment's task has, since keys wait too.
        drop(try_join_all((0..READERS).map(|_| readers.acquire())).await?);
        let lookups = Lookups::start(&opening)?;
        let connection = opening.to_write()?;
        let writer = Writer::start(Desk { connection, opening, responses: Responses::new(retention), clock })?;
        Ok(Self { readers, lookups, writer, claims: Claims::default(), _lock: lock })
    }
}

/// How long the operator's commands may keep the file to themselves.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many read at the same time, beside those who [look up](lookups) payments and keys.
const READERS: u32 = 4;

const MIGRATIONS: [(&str, &str); 10] = [
    ("payments and subscriptions", include_str!("schema/1_payments_and_subscriptions.sql")),
    ("recovery", include_str!("schema/2_recovery.sql")),
    ("operator", include_str!("schema/3_operator.sql")),
    ("holders", include_str!("schema/4_holders.sql")),
    ("register", include_str!("schema/5_register.sql")),
    ("facilitator", include_str!("schema/6_facilitator.sql")),
    ("proofs", include_str!("schema/7_proofs.sql")),
    ("payments in order", include_str!("schema/8_payments_in_order.sql")),
    ("balances", include_str!("schema/9_balances.sql")),
    ("rules without lists", include_str!("schema/10_rules_without_lists.sql")),
];

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// Brings the tables up to date. Without foreign keys, as SQLite wants it where a table is made anew.
async fn migrate_to(path: &Path, version: usize) -> Result<(), StoreError> {
    let mut connection = options(path).foreign_keys(false).connect().await?;
    let migrations = (1..).zip(MIGRATIONS).take(version).map(|(version, (name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrated = Migrator::with_migrations(migrations.collect()).run(&mut connection).await;
    migrated.map_err(|error| StoreError::Failed(error.to_string()))?;
    connection.close().await.map_err(Into::into)
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
        // What could not be written down is not begun.
        self.writer.health()?;
        // In memory first: whoever holds the claim writes its outcome before letting go, so the row read after
        // taking it is the last word.
        let claim = match self.claims.take(id) {
            Ok(claim) => claim,
            Err(busy) => return Ok(ClaimOutcome::InFlight(busy)),
        };
        if !self.lookups.has(id).await? {
            return Ok(ClaimOutcome::New(claim));
        }
        Ok(match rows::payment(&self.readers, id).await? {
            Some(record) => ClaimOutcome::Recorded(claim, Box::new(record)),
            None => ClaimOutcome::New(claim),
        })
    }

    async fn record(&self, id: &PaymentId) -> Result<Option<Record>, StoreError> {
        rows::payment(&self.readers, id).await
    }

    async fn settling(&self, payment: &Settling<Claim>) -> Result<(), StoreError> {
        self.writer.write(Write::Settling(Box::new(SettlingRow::new(payment)?))).await.map(drop)
    }

    async fn settled(&self, id: &PaymentId, receipt: &SettleResponse, sale: Option<&Sale>) -> Result<(), StoreError> {
        let receipt = rows::to_json(receipt)?;
        self.writer.write(Write::Settled { id: id.clone(), receipt, sale: sale.cloned().map(Box::new) }).await.map(drop)
    }

    async fn voided(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError> {
        self.writer.write(Write::Voided { id: id.clone(), reason: reason.to_owned() }).await.map(drop)
    }

    async fn asking(&self, id: &PaymentId) -> Result<u32, StoreError> {
        match self.writer.write(Write::Asking { id: id.clone() }).await? {
            Written::Asked(times) => Ok(times),
            _ => Ok(0),
        }
    }

    async fn unknown(&self, id: &PaymentId, doubt: &Doubt) -> Result<(), StoreError> {
        self.writer.write(Write::Unknown { id: id.clone(), doubt: doubt.clone() }).await.map(drop)
    }

    async fn delivered(&self, id: &PaymentId, response: Option<StoredResponse>) -> Result<(), StoreError> {
        self.writer.write(Write::Delivered { id: id.clone(), response: response.map(Box::new) }).await.map(drop)
    }

    async fn keep(&self, id: &PaymentId, response: StoredResponse) -> Result<(), StoreError> {
        self.writer.write(Write::Keep { id: id.clone(), response: Box::new(response) }).await.map(drop)
    }

    async fn response(&self, id: &PaymentId, now: SystemTime) -> Result<Option<StoredResponse>, StoreError> {
        rows::response(&self.readers, id, unix_millis(now)).await
    }

    async fn due(&self, now: SystemTime, limit: u32) -> Result<Vec<PaymentId>, StoreError> {
        rows::due(&self.readers, unix_millis(now), limit).await
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        match self.writer.write(Write::Sweep).await? {
            Written::Swept(swept) => Ok(swept),
            _ => Ok(Swept::default()),
        }
    }

    async fn open_payments(&self) -> Result<u64, StoreError> {
        rows::open_payments(&self.readers).await
    }
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
        self.lookups.key(hash).await
    }

    async fn keys_of(&self, holder: &HolderId) -> Result<Vec<Key>, StoreError> {
        holders::keys_of(&self.readers, holder).await
    }

    async fn imported(&self) -> Result<Vec<KeyHash>, StoreError> {
        holders::imported(&self.readers).await
    }

    async fn holder(&self, id: &HolderId) -> Result<Option<Holder>, StoreError> {
        holders::holder(&self.readers, id).await
    }

    async fn holder_at(&self, chain: &str, address: &str) -> Result<Option<HolderId>, StoreError> {
        holders::holder_at(&self.readers, chain, address).await
    }

    async fn holder_named(&self, name: &str) -> Result<Option<HolderId>, StoreError> {
        holders::holder_named(&self.readers, name).await
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        holders::subscription(&self.readers, id).await
    }

    async fn current_of(&self, holder: &HolderId) -> Result<Option<Subscription>, StoreError> {
        self.lookups.current_of(holder).await
    }

    async fn grant(&self, sale: &Sale) -> Result<(), StoreError> {
        self.writer.write(Write::Grant(Box::new(sale.clone()))).await.map(drop)
    }

    async fn issue(&self, key: &NewKey, replaces: Option<&KeyId>, keys_max: u32) -> Result<(), StoreError> {
        let (key, replaces) = (Box::new(key.clone()), replaces.cloned());
        self.writer.write(Write::Issue { key, replaces, keys_max }).await.map(drop)
    }

    async fn revoke(&self, holder: &HolderId, key: &KeyId) -> Result<(), StoreError> {
        self.writer.write(Write::Revoke { holder: holder.clone(), key: key.clone() }).await.map(drop)
    }

    async fn link(&self, holder: &HolderId, address: &HolderAddress) -> Result<Linked, StoreError> {
        let written = self.writer.write(Write::Link { holder: holder.clone(), address: address.clone() }).await?;
        Ok(if let Written::Linked(linked) = written { linked } else { Linked::Before })
    }

    async fn changes(&self, after: i64) -> Result<Changes, StoreError> {
        holders::changes(&self.readers, after).await
    }

    async fn lease(&self, id: &SubscriptionId, want: Units) -> Result<Units, StoreError> {
        match self.writer.write(Write::Lease { id: id.clone(), want }).await? {
            Written::Leased(units) => Ok(units),
            _ => Ok(Units::ZERO),
        }
    }

    async fn report(&self, usages: Vec<Usage>) -> Result<(), StoreError> {
        self.writer.write(Write::Report { usages }).await.map(drop)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let refused = error.as_database_error().is_some_and(is_constraint);
        let kind = if refused { Self::Refused } else { Self::Failed };
        kind(error.to_string())
    }
}

/// Whether a rule of the schema is the reason, a trigger's `raise` included.
fn is_constraint(error: &dyn DatabaseError) -> bool {
    const CONSTRAINT: u32 = 19;
    // The extended result code has the primary one in its lowest byte.
    error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == CONSTRAINT)
}
