//! The command line: one file for each command. Exit codes: 0 done, 1 it could not be done, 2 a wrong command line.

pub mod chains;
pub mod check;
mod demo;
pub mod explain;
mod keys;
mod networks;
mod payments;
mod run;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::keys::Keys;
use self::payments::Payments;
use crate::app;
use crate::chain::{self, Finding, Inspected};
use crate::config::{FacilitatorConfig, Receiver};
use crate::facilitator::Facilitator as _;
use crate::money::Asset;
use crate::x402::facilitator::SupportedResponse;

/// Sells the HTTP API behind it: x402 payments per call, or plans with API keys.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway of a configuration file.
    Run {
        /// The TOML file.
        file: PathBuf,
    },
    /// Check a configuration file: all errors at once, each with its line.
    Check {
        /// The TOML file.
        file: PathBuf,
        /// Also ask the facilitator whether it settles what the file offers, and the chains (where `rpc_url` is given)
        /// whether its tokens are what the file says.
        #[arg(long)]
        online: bool,
    },
    /// Say which route a request meets, what it costs, and why.
    Explain {
        /// The TOML file.
        file: PathBuf,
        /// The request's method.
        method: String,
        /// Its URL, or its path.
        url: String,
    },
    /// List the networks and tokens that are known by name, with their EIP-712 domains.
    Networks {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look after payments: list, show, export, reconcile, resolve.
    #[command(subcommand)]
    Payments(Payments),
    /// Look after plans and keys: list, show, mint, issue, rotate, revoke, usage, export, import.
    #[command(subcommand)]
    Keys(Keys),
    /// Try it without money: a sample API, the gateway, and a sandbox facilitator in one process.
    Demo {
        /// Play a buyer through it, show each exchange, and end.
        #[arg(long)]
        walk: bool,
        /// The gateway's port on 127.0.0.1.
        #[arg(long, default_value_t = 8402)]
        port: u16,
    },
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run { file } => run::run(&file),
            Command::Check { file, online } => {
                check::run(&file, online.then_some(check::Others { ask: &ask, look: &look }))
            }
            Command::Explain { file, method, url } => explain::run(&file, &method, &url),
            Command::Networks { json } => networks::run(json),
            Command::Payments(payments) => payments.run(),
            Command::Keys(keys) => keys.run(),
            Command::Demo { walk, port } => demo::run(walk, port),
        }
    }
}

/// Asks a facilitator what it settles.
fn ask(settings: &FacilitatorConfig) -> Result<SupportedResponse, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let facilitator = app::facilitator(settings).map_err(|error| error.to_string())?;
    runtime.map_err(|error| error.to_string())?.block_on(facilitator.supported()).map_err(|error| error.to_string())
}

/// Asks a chain about a receiver's tokens.
fn look(receiver: &Receiver, assets: &[Asset]) -> Vec<Finding> {
    let Some(url) = &receiver.rpc_url else { return Vec::new() };
    let Receiver { network, scheme, pay_to, .. } = receiver;
    let subject = Inspected { network, scheme, assets, pay_to };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(chain::inspect(&subject, url.reveal())),
        Err(error) => vec![Finding::Problem(error.to_string())],
    }
}

/// Prints a text. Nobody reading any more is no error: `tollgate … | head` ends so.
fn print(mut to: impl Write, text: &str) {
    let _ = writeln!(to, "{text}");
}
