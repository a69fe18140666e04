//! A program that is measured, or measured with.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Result;
use super::wire::Wire;

/// How long it may take to start: Node compiles its modules first.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Server(Child);

impl Server {
    /// Starts it, and waits until it listens at all these addresses. What it prints goes to `log`.
    pub(super) async fn start(mut command: Command, addrs: &[SocketAddr], log: &Path) -> Result<Self> {
        let file = File::create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}; `benches/compare` installs it"))?;
        let (mut server, end) = (Self(child), Instant::now() + PATIENCE);
        for addr in addrs {
            while Wire::to(*addr).await.is_err() {
                if Instant::now() > end || server.0.try_wait()?.is_some() {
                    return Err(format!("{command:?} did not start:\n{}", fs::read_to_string(log)?).into());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
