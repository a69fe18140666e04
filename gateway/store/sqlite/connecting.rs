//! Connections for threads of their own: what runs on one waits for the disk and for nothing else.
//!
//! `sqlx` has a thread behind each connection too, and goes there and back for every statement. That is good enough where
//! a question is asked now and then; each payment's own few statements would cost more in going than in doing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::BUSY_TIMEOUT;
use crate::store::StoreError;

/// Statements that are kept prepared: more than there are.
const STATEMENTS: usize = 64;

/// Of the writer, in KiB: the pages between the roots and the leaves of some million payments. What is not there is read
/// anew for each write, since payments are found by hashes.
const CACHE_KIB: i64 = 32 * 1024;

/// Of each one that looks up, in KiB: the roots and the pages below them of some million keys.
const LOOKUP_CACHE_KIB: i64 = 16 * 1024;

/// How many pages the write-ahead log has before they are moved to their places, 16 MiB. Many payments write to the same few
/// pages, which are then moved once.
const LOG_PAGES: i64 = 4096;

/// How the file is opened.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub(super) path: PathBuf,
    pub(super) busy_timeout: Duration,
    /// How large the file may become.
    #[cfg(test)]
    pub(super) pages_max: Option<i64>,
}

impl Opening {
    pub(super) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            busy_timeout: BUSY_TIMEOUT,
            #[cfg(test)]
            pages_max: None,
        }
    }

    /// For the writer: every commit is synced to the disk. The file is there already, with its write-ahead log.
    pub(super) fn to_write(&self) -> Result<Connection, StoreError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
        #[cfg(test)]
        if let Some(pages) = self.pages_max {
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        Ok(connection)
    }

    /// For what is found by hashes, of payments, keys and holders.
    pub(super) fn to_look_up(&self) -> Result<Connection, StoreError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -LOOKUP_CACHE_KIB)?;
        Ok(connection)
    }

    fn connect(&self, access: OpenFlags) -> Result<Connection, StoreError> {
        let connection = Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
        let kind = match &error {
            // One row's trouble, and none of those that are written with it.
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..) => {
                Self::Corrupt
            }
            // A trigger's `raise` is one too.
            error if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Refused,
            _ => Self::Failed,
        };
        kind(error.to_string())
    }
}

/// Whether another row has what only one may have.
pub(super) fn is_taken(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    let code = error.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE].contains(&code))
}
