//! Everything that runs: the upstream, the facilitator, the gateway, and those beside it.

use std::iter;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::challenge::{self, Size};
use super::cpu::Pinning;
use super::gateway::{Gateway, Neighbours, PLAN, free_port};
use super::instant::InstantFacilitator;
use super::rows::{Kind, Side};
use super::server::Server;
use super::settings::Settings;
use super::upstream;
use super::{Result, nginx};

/// What is sold. The plan never ends: what is measured is the counting, not the refusal.
const TABLES: &str = r#"
[[routes]]
path = "/free"
free = true
[[routes]]
path = "/keyed"
units = 1
[[routes]]
path = "/paid"
price = "$0.001"
"#;

/// What is sold besides by Node and by Rust, as `benches/peers` calls them.
const PEERS: [&str; 3] = ["axum", "express", "mppx"];
/// All that runs. It ends when this is dropped.
pub(super) struct Stage {
    pub(super) gateway: Gateway,
    pub(super) key: String,
    challenge: Size,
    facilitator: InstantFacilitator,
    others: Vec<Other>,
    _upstream: Option<Server>,
    _folder: TempDir,
}

/// One beside the gateway.
struct Other {
    name: &'static str,
    server: Server,
    /// Where it passes on.
    passing: SocketAddr,
    /// Where it asks for money.
    answering: SocketAddr,
    challenge: Size,
}

impl Stage {
    pub(super) async fn set(settings: &Settings, pinned: &Pinning) -> Result<Self> {
        let (folder, facilitator) = (tempfile::tempdir()?, InstantFacilitator::start()?);
        let (upstream, server) = if settings.measures {
            let addr = free_port()?;
            (addr, Some(nginx::upstream(addr, folder.path()).await?))
        } else {
            (upstream::start()?.upstream, None)
        };
        let neighbours = Neighbours { upstream, facilitator: format!("http://{}", facilitator.addr) };
        let gateway = Gateway::start(&neighbours, pinned, &format!("{TABLES}{PLAN}")).await?;
        let key = gateway.buy("bench").await?;
        challenge::check(gateway.addr).await?;
        let challenge = Size::of_challenge(gateway.addr).await?;
        let mut others = Vec::new();
        if settings.wants("bare") {
            others.push(bare(pinned, upstream, challenge, folder.path()).await?);
        }
        if settings.wants("nginx") {
            others.push(nginx(pinned, upstream, challenge, folder.path()).await?);
        }
        for name in PEERS.into_iter().filter(|name| settings.wants(name)) {
            others.push(peer(name, pinned, &neighbours, folder.path()).await?);
        }
        Ok(Self { gateway, key, challenge, facilitator, others, _upstream: server, _folder: folder })
    }

    /// How many requests of a kind are in the books.
    pub(super) async fn booked(&self, kind: Kind) -> Result<u64> {
        match kind {
            Kind::Plain => Ok(0),
            Kind::Keyed => self.gateway.used(&self.key).await,
            Kind::Paid => self.facilitator.settled(),
        }
    }

    /// Who asks for money.
    pub(super) fn answering(&self) -> Vec<Side> {
        self.sides(|_| true, |other| other.answering)
    }

    /// Who passes on.
    pub(super) fn passing(&self) -> Vec<Side> {
        self.sides(|_| true, |other| other.passing)
    }

    /// Who passes on whatever comes: nobody else knows keys.
    pub(super) fn plain_passing(&self) -> Vec<Side> {
        self.sides(|name| !PEERS.contains(&name), |other| other.passing)
    }

    /// Who sells by the call.
    pub(super) fn selling(&self) -> Vec<Side> {
        self.sides(|name| PEERS.contains(&name), |other| other.answering)
    }

    /// How large everybody's challenge is.
    pub(super) fn challenges(&self) -> String {
        let others = self.others.iter().map(|other| (other.name, other.challenge));
        let all = iter::once(("tollgate", self.challenge)).chain(others);
        let all = all.map(|(name, Size { head, body })| format!("{name} {head} and {body}"));
        all.collect::<Vec<_>>().join(", ")
    }

    fn sides(&self, which: fn(&str) -> bool, addr: fn(&Other) -> SocketAddr) -> Vec<Side> {
        let others = self.others.iter().filter(|other| which(other.name));
        others.map(|other| Side { name: other.name, pid: other.server.pid(), addr: addr(other) }).collect()
    }
}

async fn bare(pinned: &Pinning, upstream: SocketAddr, size: Size, folder: &Path) -> Result<Other> {
    let (passing, answering) = (free_port()?, free_port()?);
    let program = std::env::current_exe()?;
    let start = async |header_bytes: usize| {
        let mut command = pinned.gateway(&program.to_string_lossy());
        let addrs = [passing, answering, upstream].map(|addr| addr.to_string());
        command.arg("bare").args(addrs).args([header_bytes, size.body].map(|bytes| bytes.to_string()));
        Server::start(command, &[passing, answering], &folder.join("bare.log")).await
    };
    let server = as_large(size, answering, start).await?;
    Ok(Other { name: "bare", server, passing, answering, challenge: size })
}

async fn nginx(pinned: &Pinning, upstream: SocketAddr, size: Size, folder: &Path) -> Result<Other> {
    let addr = free_port()?;
    let start = async |header_bytes: usize| {
        nginx::proxy(pinned.gateway("nginx"), addr, upstream, folder, [header_bytes, size.body]).await
    };
    let server = as_large(size, addr, start).await?;
    Ok(Other { name: "nginx", server, passing: addr, answering: addr, challenge: size })
}

/// Starts one whose challenge is as large as the gateway's: first with a header's value of one byte, to see what it adds
/// of its own.
async fn as_large(size: Size, addr: SocketAddr, start: impl AsyncFn(usize) -> Result<Server>) -> Result<Server> {
    let first = start(1).await?;
    let own = Size::of_challenge(addr).await?.head;
    drop(first);
    let server = start(size.head.saturating_sub(own) + 1).await?;
    match Size::of_challenge(addr).await? {
        same if same == size => Ok(server),
        other => Err(format!("{other:?} is compared with Tollgate's {size:?}").into()),
    }
}

async fn peer(name: &'static str, pinned: &Pinning, neighbours: &Neighbours, folder: &Path) -> Result<Other> {
    let addr = free_port()?;
    let mut command: Command = pinned.gateway(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/start.sh"));
    command.args(["start", name]);
    command.env("PEER_LISTEN", addr.to_string()).env("PEER_UPSTREAM", format!("http://{}", neighbours.upstream));
    command.env("PEER_FACILITATOR", &neighbours.facilitator);
    command.env("PEER_PAY_TO", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C");
    let server = Server::start(command, &[addr], &folder.join(format!("{name}.log"))).await?;
    let challenge = Size::of_challenge(addr).await?;
    Ok(Other { name, server, passing: addr, answering: addr, challenge })
}
