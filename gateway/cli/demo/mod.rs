//! `tollgate demo`: everything on one machine and in one process, spoken to over HTTP as in earnest.

mod buyer;
mod walk;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::buyer::Buyer;
use crate::app::{self, Stop};
use crate::config::LogFormat;
use crate::money::Network;
use crate::sandbox::{SampleUpstream, Sandbox, SandboxFacilitator};
use crate::telemetry::start_logging;
use crate::x402::networks;

/// The configuration that is shipped for it; its four ports follow each other.
const CONFIG: &str = include_str!("../../../config/demo.toml");
const FIRST_PORT: u16 = 8402;

/// Where the parts of a demo are.
struct Stage {
    directory: tempfile::TempDir,
    gateway: SocketAddr,
    admin: SocketAddr,
    sandbox: Sandbox,
    upstream: SampleUpstream,
}

pub(super) fn run(walk: bool, port: u16) -> ExitCode {
    match play(walk, port) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the demo cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(walk: bool, port: u16) -> Result<ExitCode, Box<dyn std::error::Error>> {
    start_logging(LogFormat::Text);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stage = runtime.block_on(Stage::set(port))?;
    let (file, stop) = (stage.file(), Stop::default());
    let stop_after = stop.clone();
    // Comes back with the stage, so that nothing is taken down before the gateway has ended.
    let visitor = runtime.spawn(async move {
        let visited = visit(&stage, walk, &stop_after).await;
        (stage, visited)
    });
    app::run(&file, stop)?;
    // The gateway has ended: because the walk did, or because somebody pressed Ctrl-C.
    let walked = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(100), visitor).await });
    Ok(match walked {
        Ok(Ok((_, Err(error)))) => {
            eprintln!("the walk stopped: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    })
}

/// Waits for the gateway, then shows what there is to see.
async fn visit(stage: &Stage, walk: bool, stop: &Stop) -> Result<(), buyer::Trouble> {
    let buyer = Buyer::new(stage.gateway)?;
    buyer.wait_for(&format!("http://{}/readyz", stage.admin)).await?;
    if !walk {
        println!("{}", stage.invitation());
        std::future::pending::<()>().await;
    }
    let walked = walk::walk(&buyer, stage).await;
    stop.stop();
    walked
}

impl Stage {
    async fn set(port: u16) -> Result<Self, Box<dyn std::error::Error>> {
        let at = |offset: u16| port.checked_add(offset).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (Some(gateway), Some(admin), Some(upstream), Some(sandbox)) = (at(0), at(1), at(2), at(3)) else {
            return Err("it needs four ports, beginning with the one given".into());
        };
        let networks: Vec<Network> =
            ["base", "solana"].iter().filter_map(|name| networks::known(name)?.network()).collect();
        let stage = Self {
            directory: tempfile::Builder::new().prefix("tollgate-demo-").tempdir()?,
            gateway,
            admin,
            sandbox: SandboxFacilitator::new(networks).start(sandbox).await?,
            upstream: SampleUpstream::start(upstream).await?,
        };
        let mut config = CONFIG.to_owned();
        for (offset, address) in (0..).zip([gateway, admin, upstream, sandbox]) {
            config = config.replace(&format!(":{}\"", FIRST_PORT + offset), &format!(":{}\"", address.port()));
        }
        std::fs::write(stage.file(), config)?;
        Ok(stage)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("tollgate.toml")
    }

    fn invitation(&self) -> String {
        let (gateway, file) = (self.gateway, self.file());
        format!(
            "\n\
             Tollgate demo. The money is play money: the facilitator is a sandbox in this process, every wallet\n\
             starts with a balance, and no chain is involved.\n\n  \
               gateway      http://{gateway}\n  \
               prices       {file}   (edit it: prices change while it runs)\n  \
               metrics      http://{admin}/metrics\n  \
               sample API   {upstream}\n  \
               sandbox      {sandbox}\n\n\
             Try\n  \
               curl -i http://{gateway}/v1/status                     free\n  \
               curl -i http://{gateway}/weather?city=oslo             402, with what it costs\n  \
               curl -s http://{gateway}/x402/pricing                  the plans\n  \
               curl -i http://{gateway}/x402/purchase?plan=trial      402, with the plan's price\n  \
               tollgate demo --walk                                   a buyer pays, step by step\n\n\
             Any x402 client can pay: point it at http://{gateway}/weather with any private key on Base.\n\
             Ctrl-C ends it.\n",
            file = file.display(),
            admin = self.admin,
            upstream = self.upstream.url(),
            sandbox = self.sandbox.url(),
        )
    }
}
