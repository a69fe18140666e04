//! When to read the file again.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Config;
use super::directories::Directories;

/// Quiet for this long, a file is written to its end: editors and Kubernetes take several steps.
const QUIET: Duration = Duration::from_millis(200);
/// A file that is never quiet is read anyhow.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often the file is looked at without an event: a single file mounted into a container sends none.
const POLL: Duration = Duration::from_secs(5);

/// Tells when the configuration file may have changed, by its directory's events, by looking, and by SIGHUP.
///
/// It neither reads nor applies anything. Lists that the configuration names are watched with it ([`Watcher::also`]);
/// secrets and certificates are not: SIGHUP is for them.
#[derive(Debug)]
pub struct Watcher {
    /// The configuration file, and then the lists that it names.
    paths: Vec<PathBuf>,
    seen: Vec<Stamp>,
    hangup: Signal,
    /// None where the system has no events for directories; then looking must do.
    directories: Option<Directories>,
}

/// Why a file cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No handler for SIGHUP.
    #[error("SIGHUP cannot be handled")]
    Signal(#[source] std::io::Error),
}

/// What tells one state of a file from another, with links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, u64, Option<SystemTime>)>);

impl Watcher {
    /// Begins to watch a file; begin before reading it, so that no change falls between. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`WatchError`] if SIGHUP cannot be handled.
    pub fn new(path: &Path) -> Result<Self, WatchError> {
        let hangup = signal(SignalKind::hangup()).map_err(WatchError::Signal)?;
        let paths = vec![path.to_owned()];
        let seen = Stamp::of(&paths);
        let mut watcher = Self { paths, seen, hangup, directories: Directories::new() };
        watcher.follow();
        Ok(watcher)
    }

    /// Watches these files besides, and none that were named before. One that was not watched until now counts as
    /// changed, since it may have changed since it was read.
    pub fn also(&mut self, files: &[PathBuf]) {
        if self.paths.iter().skip(1).eq(files) {
            return;
        }
        self.paths.truncate(1);
        self.paths.extend_from_slice(files);
        self.seen.truncate(1);
        self.follow();
    }

    /// Waits until the file has changed and been quiet for a moment, or until SIGHUP.
    ///
    /// Cancel safe: a change that was not told yet is told by the next call.
    pub async fn changed(&mut self) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = told(self.directories.as_ref()) => {}
                _ = poll.tick() => {}
                _ = self.hangup.recv() => {
                    self.seen = Stamp::of(&self.paths);
                    return;
                }
            }
            if Stamp::of(&self.paths) != self.seen {
                self.quiet().await;
                self.seen = Stamp::of(&self.paths);
                self.follow();
                return;
            }
        }
    }

    async fn quiet(&mut self) {
        let end = Instant::now() + QUIET_WAIT_MAX;
        loop {
            let before = Stamp::of(&self.paths);
            sleep(QUIET).await;
            if Stamp::of(&self.paths) == before || Instant::now() >= end {
                return;
            }
        }
    }

    /// Watches the directories that the file is in, by its name and behind its links. A directory that cannot be
    /// watched is no error: the file is looked at anyhow.
    fn follow(&mut self) {
        let Some(directories) = &mut self.directories else { return };
        let real = self.paths.iter().filter_map(|path| std::fs::canonicalize(path).ok());
        directories.watch(&self.paths.iter().cloned().chain(real).filter_map(|file| directory(&file)).collect());
    }
}

/// Waits until something has happened where the files are. It may be about others: then they are looked at in vain.
async fn told(directories: Option<&Directories>) {
    match directories {
        Some(directories) => directories.told().await,
        None => std::future::pending().await,
    }
}

fn directory(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

impl Stamp {
    fn of(paths: &[PathBuf]) -> Vec<Self> {
        paths.iter().map(|path| Self::of_file(path)).collect()
    }

    fn of_file(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.map(|metadata| (metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok())))
    }
}

/// The settings that differ and cannot change while the gateway runs.
pub fn unchangeable(old: &Config, new: &Config) -> Vec<String> {
    let settings = [
        ("server.listen", old.server.listen != new.server.listen),
        ("server.admin", old.server.admin != new.server.admin),
        ("server.threads", old.server.threads != new.server.threads),
        ("server.log", old.server.log != new.server.log),
        ("connections.head_limit", old.connections.head_bytes_max != new.connections.head_bytes_max),
        ("store.url", old.store.path != new.store.path),
        ("store.secret", old.store.secret != new.store.secret),
        ("store.replay_disk_limit", old.store.kept.replay_disk_bytes_max != new.store.kept.replay_disk_bytes_max),
        ("store.retention", old.store.kept.retention != new.store.kept.retention),
        ("subscriptions.usage_retention", old.subscriptions.usage_retention != new.subscriptions.usage_retention),
    ];
    settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn told(watcher: &mut Watcher) -> bool {
        tokio::time::timeout(Duration::from_secs(10), watcher.changed()).await.is_ok()
    }

    /// Nothing is told for longer than it takes to tell a change.
    async fn silent(watcher: &mut Watcher) -> bool {
        tokio::time::timeout(Duration::from_millis(500), watcher.changed()).await.is_err()
    }

    #[tokio::test]
    async fn a_file_written_in_place_or_replaced_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tollgate.toml");
        fs::write(&file, "a").unwrap();
        let mut watcher = Watcher::new(&file).unwrap();
        assert!(silent(&mut watcher).await);
        fs::write(&file, "ab").unwrap();
        assert!(told(&mut watcher).await);
        fs::write(directory.path().join("new"), "abc").unwrap();
        fs::rename(directory.path().join("new"), &file).unwrap();
        assert!(told(&mut watcher).await);
        fs::write(directory.path().join("tollgate.db"), "x").unwrap();
        fs::read(&file).unwrap();
        assert!(silent(&mut watcher).await);
    }

    #[tokio::test]
    async fn lists_are_watched_beside_the_file_and_only_as_long_as_they_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (file, list) = (directory.path().join("tollgate.toml"), elsewhere.path().join("list.txt"));
        fs::write(&file, "a").unwrap();
        fs::write(&list, "a").unwrap();
        let mut watcher = Watcher::new(&file).unwrap();
        watcher.also(std::slice::from_ref(&list));
        assert!(told(&mut watcher).await, "it may have changed since it was read");
        watcher.also(std::slice::from_ref(&list));
        assert!(silent(&mut watcher).await);
        fs::write(&list, "ab").unwrap();
        assert!(told(&mut watcher).await);
        fs::remove_file(&list).unwrap();
        assert!(told(&mut watcher).await);
        fs::write(&file, "ab").unwrap();
        assert!(told(&mut watcher).await);
        watcher.also(&[]);
        fs::write(&list, "abc").unwrap();
        assert!(silent(&mut watcher).await);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let config = |server: &str| {
            let text =
                format!("upstream = {{ url = \"http://127.0.0.1:3000\" }}\n[server]\nunlisted = \"deny\"\n{server}");
            crate::config::parse(&text, "t.toml", Path::new(""), &|_| None).unwrap().config
        };
        let old = config("");
        assert_eq!(unchangeable(&old, &config("name = \"Other\"")), Vec::<String>::new());
        let new = config(
            "admin = \"127.0.0.1:9000\"\nlog = \"json\"\n[store]\nurl = \"sqlite:other.db\"\n\
                          [subscriptions]\nusage_retention = \"30d\"\nkeys_max = 2",
        );
        let settings = ["server.admin", "server.log", "store.url", "subscriptions.usage_retention"];
        assert_eq!(unchangeable(&old, &new), settings);
    }

    /// Kubernetes mounts a link to a link, and swaps the inner one.
    #[tokio::test]
    async fn a_link_that_is_swapped_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("tollgate.toml"), version).unwrap();
        }
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/tollgate.toml", at("tollgate.toml")).unwrap();
        let mut watcher = Watcher::new(&at("tollgate.toml")).unwrap();
        std::os::unix::fs::symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(told(&mut watcher).await);
        fs::write(at("..2").join("tollgate.toml"), "in place").unwrap();
        assert!(told(&mut watcher).await);
    }
}
