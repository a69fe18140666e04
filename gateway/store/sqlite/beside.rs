//! The file as the operator's commands open it, beside a gateway that may be running.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::connecting::Opening;
use super::{MIGRATIONS, SqliteStore, lock};
use crate::clock::Clock;
use crate::store::{Retention, StoreError};

/// As long as this is held, no gateway runs on the file.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "held")] File);

impl SqliteStore {
    /// Opens the file beside a gateway that may be running, for the operator's commands. What both do is safe, since
    /// every move is checked by the database; nothing may be served from here.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if the file is not there or not of this version.
    pub async fn open_beside(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        if !path.exists() {
            let none = format!("there is no database at {}; a gateway makes it when it starts", path.display());
            return Err(StoreError::Failed(none));
        }
        let opening = Opening::of(path);
        let connection = opening.to_write()?;
        let version: Result<Option<i64>, _> =
            connection.query_row("SELECT max(version) FROM _sqlx_migrations WHERE success", [], |row| row.get(0));
        let version = match version {
            Ok(version) => version,
            Err(error) if error.to_string().starts_with("no such table") => None,
            Err(error) => return Err(error.into()),
        };
        if version != i64::try_from(MIGRATIONS.len()).ok() {
            let other =
                "was written by another version of tollgate; this one's gateway brings it up to date when it starts";
            return Err(StoreError::Failed(format!("{} {other}", path.display())));
        }
        // Responses are the gateway's own affair.
        let retention = Retention { responses_bytes_max: 0, payments: None, usage: None };
        Self::start(opening, retention, clock, None).await
    }

    /// Keeps gateways off the file. None if one is running.
    pub fn alone(path: &Path) -> Option<Alone> {
        lock(path).ok().map(Alone)
    }
}
