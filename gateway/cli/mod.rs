//! The command line: one file for each command. Exit codes: 0 done, 1 it could not be done, 2 a wrong command line.

mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run { file } => run::run(&file),
        }
    }
}
