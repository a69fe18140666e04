//! SIGHUP, in a process of its own: the signal reaches every watcher there is.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::process::Command;
use std::time::Duration;

use tollgate::config::Watcher;

#[tokio::test]
async fn a_hangup_is_told_though_the_file_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tollgate.toml");
    std::fs::write(&file, "").unwrap();
    let mut watcher = Watcher::new(&file).unwrap();
    let kill = Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap();
    assert!(kill.success());
    tokio::time::timeout(Duration::from_secs(10), watcher.changed()).await.unwrap();
}
