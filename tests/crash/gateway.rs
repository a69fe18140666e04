//! The real program, life after life in one folder.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http;

/// Who is paid.
const SELLER: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
/// For a start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(5);

/// The folder, the addresses, and the life that there is.
pub(crate) struct Gateway {
    folder: TempDir,
    pub(crate) addr: SocketAddr,
    admin: SocketAddr,
    life: Option<Child>,
}

/// What a life needs.
#[derive(Debug, Clone)]
pub(crate) struct Life<'a> {
    pub(crate) upstream: SocketAddr,
    pub(crate) facilitator: SocketAddr,
    /// What a facilitator's "already used" means: `hold` or `accept`.
    pub(crate) unproven: &'a str,
    /// A value of `FAILPOINTS`.
    pub(crate) crash: Option<String>,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), addr: free_port(), admin: free_port(), life: None }
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        self.folder.path().join("tollgate.db")
    }

    /// Begins a life. Says whether it came to be ready: it may crash before.
    pub(crate) fn live(&mut self, life: &Life<'_>) -> bool {
        std::fs::write(self.folder.path().join("tollgate.toml"), self.config(life)).unwrap();
        let begun = Instant::now();
        self.spawn(life);
        while http::ask(self.admin, "GET", "/readyz", None).map_or(0, |answer| answer.status) != 200 {
            match self.life.as_mut().and_then(|child| child.try_wait().unwrap()) {
                // Somebody else has the port for a moment.
                Some(status) if status.code().is_some() && begun.elapsed() < PATIENCE => self.spawn(life),
                Some(_) => return false,
                None => {}
            }
            assert!(begun.elapsed() < PATIENCE, "the gateway does not start: {}", self.log());
            sleep(TICK);
        }
        true
    }

    /// Waits until it has ended by itself; says whether it did within that time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let Some(child) = &mut self.life else { return true };
        loop {
            if child.try_wait().unwrap().is_some() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(TICK);
        }
    }

    /// As a power cut would, but for what the system has not written to the disk.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.life.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// What all lives wrote.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn spawn(&mut self, life: &Life<'_>) {
        self.kill();
        let log = OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["run", "tollgate.toml"]).current_dir(&self.folder).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env_remove("FAILPOINTS");
        command.envs(life.crash.iter().map(|crash| ("FAILPOINTS", crash)));
        self.life = Some(command.spawn().unwrap());
    }

    fn config(&self, life: &Life<'_>) -> String {
        let Life { upstream, facilitator, unproven, .. } = life;
        let Self { addr, admin, .. } = self;
        format!(
            r#"
            [server]
            listen = ["{addr}"]
            admin = "{admin}"
            public_url = "https://api.example.com"
            threads = 2
            unlisted = "deny"

            [upstream]
            url = "http://{upstream}"

            [facilitator]
            url = "http://{facilitator}"
            verify_timeout = "2s"
            settle_timeout = "400ms"
            resolve_timeout = "200ms"
            unproven_settlement = "{unproven}"

            [store]
            replay_body_limit = "4KiB"

            [pay_to]
            base = "{SELLER}"

            [[routes]]
            path = "/work"
            price = "$0.01"
            units = 1

            [[routes]]
            path = "/upfront"
            price = "$0.01"
            settle = "before"

            [[plans]]
            name = "many"
            price = "$1"
            units = 1000
            duration = "30d"

            # A facilitator that refuses for fun is not the buyer's fault, and the buyer has to come to an end.
            [limits]
            strikes = {{ count = 1000, per = "10m" }}
            "#
        )
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, at this moment. It is none of those that outgoing connections are given.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 1000).unwrap();
    loop {
        let port = 10_000 + (process * 20 + NEXT.fetch_add(1, Ordering::SeqCst)) % 20_000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}
