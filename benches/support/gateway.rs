//! The program that is measured, in a folder of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::Result;
use super::cpu::{self, Pinning};
use super::wire::{Wire, get};

/// How long it may take to start or to stop, under an instrument too.
const PATIENCE: Duration = Duration::from_secs(90);

/// What stands around a gateway. It lives as long as the process.
#[derive(Debug)]
pub(super) struct Neighbours {
    pub(super) upstream: SocketAddr,
    pub(super) facilitator: String,
}

/// The plan that [`Gateway::buy`] buys where a bench sells no other.
pub(super) const PLAN: &str = r#"
[[plans]]
name = "bench"
price = "$1"
units = 1_000_000_000
duration = "30d"
rate = "1_000_000/s"
"#;

/// A running gateway. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Gateway {
    child: Child,
    folder: TempDir,
    pub(super) addr: SocketAddr,
    admin: SocketAddr,
    /// The others, each with a comma before it.
    listeners: String,
    /// How long it took to start.
    pub(super) ready_after: Duration,
}

impl Gateway {
    /// `tables` are its routes and plans; the rest of its file is made here.
    pub(super) async fn start(neighbours: &Neighbours, pinned: &Pinning, tables: &str) -> Result<Self> {
        Self::start_by(pinned.gateway(&program()), neighbours, tables).await
    }

    /// The same by a command that lacks `run FILE`.
    pub(super) async fn start_by(command: Command, neighbours: &Neighbours, tables: &str) -> Result<Self> {
        Self::start_at(command, neighbours, "", tables).await
    }

    /// The same with more listeners, each with a comma before it.
    pub(super) async fn start_at(
        mut command: Command,
        neighbours: &Neighbours,
        listeners: &str,
        tables: &str,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (addr, admin) = (free_port()?, free_port()?);
        let file = folder.path().join("tollgate.toml");
        fs::write(&file, config(addr, admin, neighbours, listeners, tables))?;
        let log = File::create(folder.path().join("log"))?;
        let started = Instant::now();
        let child = command.arg("run").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let listeners = listeners.to_owned();
        let mut gateway = Self { child, folder, addr, admin, listeners, ready_after: Duration::ZERO };
        gateway.wait().await?;
        gateway.ready_after = started.elapsed();
        Ok(gateway)
    }

    async fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && self.child.try_wait()?.is_none() {
            if let Ok(mut wire) = Wire::to(self.admin).await
                && wire.ask(&get("/readyz", "")).await.is_ok_and(|answer| answer.status() == "200")
                // The public side listens by itself, a moment later where all is slow.
                && Wire::to(self.addr).await.is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let log = fs::read_to_string(self.folder.path().join("log"))?;
        Err(format!("the gateway did not start:\n{log}").into())
    }

    /// Puts another file in the place of its own, with these routes and plans.
    pub(super) fn rewrite(&self, neighbours: &Neighbours, tables: &str) -> Result<()> {
        let (new, file) = (self.folder.path().join("new"), self.folder.path().join("tollgate.toml"));
        fs::write(&new, config(self.addr, self.admin, neighbours, &self.listeners, tables))?;
        Ok(fs::rename(new, file)?)
    }

    /// Has it close its books and end.
    pub(super) fn stop(&mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM)?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { Err(format!("the gateway ended with {status}").into()) };
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("the gateway did not stop".into())
    }

    /// Buys a plan with play money; its key.
    pub(super) async fn buy(&self, plan: &str) -> Result<String> {
        let target = format!("/x402/purchase?plan={plan}");
        let mut wire = Wire::to(self.addr).await?;
        let challenge = wire.ask(&get(&target, "")).await?;
        let required = challenge.header("payment-required").ok_or("the plan is not offered")?;
        let payment = DemoWallet::random()?.pay(required.as_bytes(), unix_seconds(SystemTime::now()))?;
        let sold = wire.ask(&get(&target, &format!("PAYMENT-SIGNATURE: {}", payment.header))).await?.ok()?;
        let body: Value = serde_json::from_slice(sold.body)?;
        Ok(body.get("apiKey").and_then(Value::as_str).ok_or("the sale gave no key")?.to_owned())
    }

    /// How many units of a key's plan are used.
    pub(super) async fn used(&self, key: &str) -> Result<u64> {
        let mut wire = Wire::to(self.addr).await?;
        let status = wire.ask(&get("/x402/status", &format!("X-API-KEY: {key}"))).await?.ok()?;
        let body: Value = serde_json::from_slice(status.body)?;
        Ok(body.pointer("/quota/used").and_then(Value::as_u64).ok_or("the status tells no units")?)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its books are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The memory that it has now, in bytes.
    pub(super) fn memory(&self) -> Result<u64> {
        cpu::memory_of(self.pid())
    }

    /// The processor time that it has had.
    pub(super) fn time(&self) -> Result<Duration> {
        cpu::time_of(self.pid())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is measured: the build beside this one, or another one that `TOLLGATE_BIN` names.
pub(super) fn program() -> String {
    std::env::var("TOLLGATE_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tollgate").to_owned())
}

/// An address that nobody listens at.
pub(super) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn config(addr: SocketAddr, admin: SocketAddr, neighbours: &Neighbours, listeners: &str, tables: &str) -> String {
    let Neighbours { upstream, facilitator } = neighbours;
    format!(
        r#"
[server]
listen = ["{addr}"{listeners}]
admin = "{admin}"
public_url = "https://api.example.com"
unlisted = "deny"
threads = 1
[upstream]
url = "http://{upstream}"
[facilitator]
url = "{facilitator}"
concurrency = 8192
[pay_to]
base = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
{tables}
"#
    )
}
