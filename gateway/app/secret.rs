use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::SecretSource;

/// The shortest secret that is taken, in bytes.
const BYTES_MIN: u64 = 32;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or made.
    #[error("the secret {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// Others may read it.
    #[error("the secret {0} can be read by others; run chmod 600 on it")]
    Open(PathBuf),
    /// Too short to be one.
    #[error("the secret {0} is shorter than {BYTES_MIN} bytes")]
    Short(PathBuf),
}

/// Reads the gateway's own secret; makes its file at the first start.
pub(super) fn load(source: &SecretSource) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    match source {
        SecretSource::Given(secret) => Ok(Zeroizing::new(secret.reveal().as_bytes().to_vec())),
        SecretSource::File(path) => match make(path) {
            Ok(()) => read(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
            Err(error) => Err(SecretError::File(path.clone(), error)),
        },
    }
}

/// Reads the gateway's own secret where there must be one: a new one would sell keys that the gateway does not know.
pub(super) fn existing(source: &SecretSource) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    match source {
        SecretSource::Given(_) => load(source),
        SecretSource::File(path) => read(path),
    }
}

/// Only if there is none: keys that were sold depend on the one that is there.
fn make(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut secret = Zeroizing::new([0u8; 32]);
    getrandom::fill(secret.as_mut()).map_err(|error| std::io::Error::other(error.to_string()))?;
    let text = Zeroizing::new(alloy_primitives::hex::encode(*secret));
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |error| SecretError::File(path.to_owned(), error);
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(SecretError::Open(path.to_owned()));
    }
    let mut secret = Zeroizing::new(Vec::new());
    file.read_to_end(&mut secret).map_err(failed)?;
    while secret.last().is_some_and(u8::is_ascii_whitespace) {
        secret.pop();
    }
    match u64::try_from(secret.len()) {
        Ok(length) if length >= BYTES_MIN => Ok(secret),
        _ => Err(SecretError::Short(path.to_owned())),
    }
}
