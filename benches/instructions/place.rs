//! What is counted: a gateway, or a Pingora without a gateway.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::cases::{Asks, Case, ROUTES_FEW, tables};
use super::gateway::{Gateway, Neighbours, program};
use super::wire::Wire;
use super::{Result, cases};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(90);
/// The sizes of the bare proxy's answer: about a challenge's for one price on one network.
const CHALLENGE: [usize; 2] = [1320, 760];

/// Where connections come in.
const RECEPTION: &str = "Reception as pingora_core::apps::ServerApp>::process_new";

#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Gateway { routes: u32 },
    Bare,
}

/// One that runs.
#[derive(Debug)]
pub(super) enum Running {
    Gateway(Box<Gateway>),
    /// Where it passes on, and where it answers.
    Bare(Process, SocketAddr, SocketAddr),
}

/// It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Place {
    /// By what the threads are known that are counted: one of these is in the names of their functions, and in those of no
    /// others.
    pub(super) fn counted(self) -> &'static [&'static str] {
        match self {
            // Where money moves tables are made, too: with many routes that is more than all requests, and never the same.
            Self::Gateway { routes } if routes > ROUTES_FEW => &[RECEPTION],
            Self::Gateway { .. } => &[RECEPTION, "tollgate::proxy::serving::"],
            Self::Bare => &["HttpServerApp>::process_new_http"],
        }
    }

    /// Starts it by a command that lacks the program.
    pub(super) async fn start(self, mut command: Command, neighbours: &Neighbours) -> Result<Running> {
        match self {
            Self::Gateway { routes } => {
                command.arg(program());
                let gateway = Gateway::start_by(command, neighbours, &tables(routes)).await?;
                Ok(Running::Gateway(Box::new(gateway)))
            }
            Self::Bare => {
                let (passing, answering) = (free_port()?, free_port()?);
                command.arg(std::env::current_exe()?).arg("bare");
                command.args([passing, answering, neighbours.upstream].map(|addr| addr.to_string()));
                command.args(CHALLENGE.map(|bytes| bytes.to_string()));
                let process =
                    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
                wait_for(passing).await?;
                wait_for(answering).await?;
                Ok(Running::Bare(process, passing, answering))
            }
        }
    }
}

impl Running {
    /// Asks every one of `cases` some times, and then `counted` alone some times more. The first is in every run.
    pub(super) async fn ask(&self, cases: &[Case], counted: Option<&Case>, [first, more]: [u32; 2]) -> Result<()> {
        let key = match self {
            Self::Gateway(gateway) => gateway.buy("bench").await?,
            Self::Bare(..) => "tg_live_0123456789012345678901234567890123456789012".to_owned(),
        };
        let mut keyed = 0;
        for (case, times) in cases.iter().map(|case| (case, first)).chain(counted.map(|case| (case, more))) {
            let mut wire = Wire::to(self.addr(case)).await?;
            let requests = case.asks.requests(&mut wire, &key).await?;
            for request in (0..times).zip(requests.iter().cycle()).map(|(_, request)| request) {
                let answer = wire.ask(request).await?;
                if answer.status() != case.status || !case.asks.is_answered_by(&answer) {
                    let body = String::from_utf8_lossy(answer.body);
                    return Err(format!("{} is answered {}: {body}", case.name, answer.status()).into());
                }
            }
            keyed += if case.asks == Asks::Keyed { u64::from(times) } else { 0 };
        }
        if let Self::Gateway(gateway) = self
            && gateway.used(&key).await? != keyed
        {
            return Err(format!("{keyed} keyed requests were answered, and the books have another number").into());
        }
        Ok(())
    }

    fn addr(&self, case: &cases::Case) -> SocketAddr {
        match self {
            Self::Gateway(gateway) => gateway.addr,
            Self::Bare(_, _, answering) if case.status == "402" => *answering,
            Self::Bare(_, passing, _) => *passing,
        }
    }

    /// Ends it and waits until it has.
    pub(super) fn stop(self) -> Result<()> {
        match self {
            Self::Gateway(mut gateway) => gateway.stop(),
            Self::Bare(mut process, ..) => {
                // At SIGTERM, a Pingora waits for five minutes.
                kill_process(Pid::from_child(&process.0), Signal::INT)?;
                process.0.wait()?;
                Ok(())
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn wait_for(addr: SocketAddr) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Wire::to(addr).await.is_err() {
        if Instant::now() > end {
            return Err("the bare proxy did not start".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
