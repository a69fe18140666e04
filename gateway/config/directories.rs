//! Directories in which files may be replaced.
//!
//! What is asked for are names that come and go, and files that somebody has finished writing. A file that is written
//! all the time beside them, as the store is, costs nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub(super) use self::linux::Directories;

/// Elsewhere there are none to be had, and looking must do.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) enum Directories {}

#[cfg(not(target_os = "linux"))]
impl Directories {
    pub(super) fn new() -> Option<Self> {
        None
    }

    pub(super) fn watch(&mut self, _: &BTreeSet<PathBuf>) {
        match *self {}
    }

    pub(super) async fn told(&self) {
        match *self {}
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::io::ErrorKind;

    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    use tokio::net::unix::pipe::Receiver;

    use super::{BTreeSet, PathBuf};

    /// Not MODIFY, OPEN or CLOSE_NOWRITE: those would tell of each write of the store, and of our own reading.
    const TOLD: WatchFlags = WatchFlags::CLOSE_WRITE
        .union(WatchFlags::CREATE)
        .union(WatchFlags::DELETE)
        .union(WatchFlags::MOVE)
        .union(WatchFlags::ONLYDIR);

    /// What is read at a time; the rest is told by the next call.
    const EVENTS_BYTES: usize = 4096;

    /// Tells that something has happened in one of some directories, not what.
    #[derive(Debug)]
    pub(in super::super) struct Directories {
        /// It is read as a pipe is.
        inotify: Receiver,
        watched: BTreeMap<PathBuf, i32>,
    }

    impl Directories {
        /// None if the system has no more of these. Needs a Tokio runtime.
        pub(in super::super) fn new() -> Option<Self> {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            Some(Self { inotify: Receiver::from_owned_fd_unchecked(inotify).ok()?, watched: BTreeMap::new() })
        }

        /// Watches these and no others. One that cannot be watched is left out.
        pub(in super::super) fn watch(&mut self, wanted: &BTreeSet<PathBuf>) {
            for (_, watch) in self.watched.extract_if(.., |path, _| !wanted.contains(path)) {
                let _ = inotify::remove_watch(&self.inotify, watch);
            }
            // All of them again: two names of one directory share a watch, and a name may have become another directory's.
            let watch = |path: &PathBuf| Some((path.clone(), inotify::add_watch(&self.inotify, path, TOLD).ok()?));
            self.watched = wanted.iter().filter_map(watch).collect();
        }

        /// Waits until something has happened. Cancel safe.
        pub(in super::super) async fn told(&self) {
            while self.inotify.readable().await.is_ok() {
                match self.inotify.try_read(&mut [0; EVENTS_BYTES]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => break,
                    Ok(_) => return,
                }
            }
            std::future::pending::<()>().await;
        }
    }

    #[cfg(test)]
    mod tests {
        use std::fs::{self, File};
        use std::io::Write as _;
        use std::path::Path;

        use super::*;

        fn watching(folders: &[&Path]) -> Directories {
            let mut directories = Directories::new().unwrap();
            directories.watch(&folders.iter().map(|folder| folder.to_path_buf()).collect());
            directories
        }

        /// Whether something has happened: the system notes it before the call that did it returns.
        fn is_told(directories: &Directories) -> bool {
            rustix::io::read(&directories.inotify, &mut [0_u8; EVENTS_BYTES]).is_ok()
        }

        #[tokio::test]
        async fn what_is_written_all_the_time_tells_nothing() {
            let folder = tempfile::tempdir().unwrap();
            let mut books = File::create(folder.path().join("books")).unwrap();
            let directories = watching(&[folder.path()]);
            books.write_all(b"a row").unwrap();
            books.sync_all().unwrap();
            fs::read(folder.path().join("books")).unwrap();
            assert!(!is_told(&directories));
            drop(books);
            assert!(is_told(&directories), "whoever wrote it is done");
        }

        #[tokio::test]
        async fn each_way_to_replace_a_file_is_told() {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            fs::write(at("file"), "a").unwrap();
            let directories = watching(&[folder.path()]);
            let ways: [(&str, &dyn Fn()); 5] = [
                ("written in place", &|| fs::write(at("file"), "ab").unwrap()),
                ("removed", &|| fs::remove_file(at("file")).unwrap()),
                ("linked", &|| std::os::unix::fs::symlink("other", at("file")).unwrap()),
                ("renamed", &|| fs::rename(at("file"), at("new")).unwrap()),
                ("a folder", &|| fs::create_dir(at("folder")).unwrap()),
            ];
            for (way, replace) in ways {
                replace();
                assert!(is_told(&directories), "{way}");
                assert!(!is_told(&directories), "{way}: it is told once");
            }
        }

        #[tokio::test]
        async fn a_directory_of_two_names_is_watched_until_both_are_gone() {
            let folder = tempfile::tempdir().unwrap();
            let (first, second) = (folder.path().to_path_buf(), folder.path().join("link"));
            std::os::unix::fs::symlink(&first, &second).unwrap();
            let mut directories = watching(&[&first, &second]);
            fs::write(first.join("file"), "").unwrap();
            assert!(is_told(&directories));
            directories.watch(&[first.clone()].into());
            while is_told(&directories) {}
            fs::write(first.join("file"), "a").unwrap();
            assert!(is_told(&directories));
            directories.watch(&BTreeSet::new());
            while is_told(&directories) {}
            fs::write(first.join("file"), "ab").unwrap();
            assert!(!is_told(&directories));
        }
    }
}
