use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Why a store is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Two gateways would each spend the same units, and each call the upstream for the same payment.
    #[error("the store {0} is used by another gateway")]
    Taken(PathBuf),
    /// The lock's file cannot be made or locked.
    #[error("the store's lock {0}: {1}")]
    File(PathBuf, std::io::Error),
}

/// Takes a store for as long as the file is kept open. Whatever ends the process lets go of it.
///
/// The lock is on a file beside the database: closing any file that is the database would drop SQLite's own locks.
pub(super) fn take(store: &Path) -> Result<File, LockError> {
    let mut path = store.as_os_str().to_owned();
    path.push("-lock");
    let failed = |error| LockError::File(path.clone().into(), error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Taken(store.to_owned())),
        Err(TryLockError::Error(error)) => Err(LockError::File(path.into(), error)),
    }
}
