use std::path::{Path, PathBuf};
use std::time::Duration;

use super::quantity::{duration, size};
use super::secret::{self, Place};
use super::{Surroundings, mode};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{KeptConfig, SecretSource, StoreConfig};

const USUAL_FILE: &str = "tollgate.db";
const USUAL_SECRET: &str = "tollgate.secret";
const KEYS: &[&str] = &["url", "secret", "replay_body_limit", "replay_ttl", "replay_disk_limit", "retention"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const SECRET_BYTES_MIN: usize = 32;

/// `[store]`.
pub(super) fn check(root: &Section<'_>, around: &Surroundings<'_>) -> StoreConfig {
    let store = root.section("store", KEYS);
    let path = store.field("url").and_then(|field| path(&field, around));
    let secret = store.field("secret").and_then(|field| secret(&field, around));
    let path = path.unwrap_or_else(|| around.path(USUAL_FILE));
    let secret = secret.unwrap_or_else(|| SecretSource::File(around.path(USUAL_SECRET)));
    open_to_others(&store, &path, &secret);
    StoreConfig { path, secret, kept: kept(&store) }
}

/// The gateway makes these files for itself alone. Those of an earlier time, or of somebody's copying, go on to work,
/// but for the secret.
fn open_to_others(store: &Section<'_>, path: &Path, secret: &SecretSource) {
    let beside = |ending: &str| PathBuf::from([path.as_os_str(), ending.as_ref()].join("".as_ref()));
    for file in ["", "-wal", "-shm"].map(beside).iter().filter(|file| mode::is_open(file)) {
        store.warn("url", format_args!("{} can be read by others, chmod 600 would be right", named(file)));
    }
    if let SecretSource::File(file) = secret
        && mode::is_open(file)
    {
        store.wrong_setting("secret", format_args!("{} can be read by others, chmod 600 would be right", named(file)));
    }
}

fn named(file: &Path) -> std::path::Display<'_> {
    file.file_name().map_or(file, Path::new).display()
}

/// How much of the past is kept. An authorization lives for an hour at most, so a day is enough to know it again.
fn kept(store: &Section<'_>) -> KeptConfig {
    let size = |key, range, usual| store.field(key).and_then(|field| size(&field, range, "64KiB")).unwrap_or(usual);
    let time = |key, range, usual| store.field(key).and_then(|field| duration(&field, range, "1h")).unwrap_or(usual);
    KeptConfig {
        replay_body_bytes_max: usize::try_from(size("replay_body_limit", 0..=16 * MIB, 64 * KIB)).unwrap_or(0),
        replay_ttl: time("replay_ttl", Duration::ZERO..=30 * DAY, DAY / 24),
        replay_disk_bytes_max: size("replay_disk_limit", 0..=1024 * 1024 * MIB, 256 * MIB),
        retention: time("retention", DAY..=36_500 * DAY, 365 * DAY),
    }
}

fn path(field: &Field<'_>, around: &Surroundings<'_>) -> Option<PathBuf> {
    let text = field.text("a text like \"sqlite:tollgate.db\"")?;
    let result = match text.split_once(':') {
        Some(("postgres" | "postgresql", _)) => Err("is a PostgreSQL database, this version has sqlite only"),
        Some(("sqlite", ":memory:" | "//:memory:")) => {
            Err("forgets payments when the gateway stops, a file would be right")
        }
        Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
            "" => Err("names no file"),
            path if path.contains('?') => Err("has options, a path alone would be right"),
            path => Ok(around.path(path)),
        },
        _ => Err("is not a text like \"sqlite:tollgate.db\""),
    };
    // The text is not repeated: a database's URL may hold a password.
    if let Err(error) = &result {
        field.wrong(error);
    }
    result.ok()
}

fn secret(field: &Field<'_>, around: &Surroundings<'_>) -> Option<SecretSource> {
    match secret::place(field)? {
        Place::File(file) => {
            let path = file.text("a path")?;
            file.read(if path.is_empty() { Err("names no file") } else { Ok(SecretSource::File(around.path(path))) })
        }
        Place::Env(env) => {
            let value = secret::variable(&env, around)?;
            let is_long = value.reveal().len() >= SECRET_BYTES_MIN;
            let short = "has less than 32 bytes, \"openssl rand -hex 32\" makes good ones";
            env.read(if is_long { Ok(SecretSource::Given(value)) } else { Err(short) })
        }
    }
}
