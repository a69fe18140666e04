//! `tollgate keys …`: looking after plans and keys, beside the gateway that serves them.
//!
//! | command | does |
//! |---|---|
//! | `list` | a table of keys, with what they open |
//! | `show` | everything that is known of a holder |
//! | `mint` | gives a plan with a new key, without a payment |
//! | `issue`, `rotate`, `revoke` | another key; one in place of another; one less |
//! | `usage` | what was called, by key, route and day |
//! | `export`, `import` | all keys by their hashes; keys of another gateway or another system |
//!
//! A running gateway follows within a second.

mod export;
mod import;
mod list;
mod make;
mod show;
mod sink;
mod times;
mod usage;

use std::io::{ErrorKind, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use self::usage::UsageArgs;
use super::payments::Format;
use super::{payments, print};
use crate::app::{Beside, StartError, open_books};
use crate::config::{Config, Problems, load};
use crate::plans::{KeyId, Units};
use crate::resource_server::{Gift, Registrar, Unregistered};
use crate::store::{Selection, SqliteStore, StoreError};

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List keys, the newest first, with what they open.
    List {
        /// The gateway's TOML file.
        file: PathBuf,
        #[command(flatten)]
        selection: SelectionArgs,
        /// The most keys.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show everything that is known of a holder, by name, by id, or by the id of one of their keys.
    Show {
        /// The gateway's TOML file.
        file: PathBuf,
        /// A name, hol_…, or key_….
        #[arg(value_name = "KEY_OR_HOLDER")]
        named: String,
    },
    /// Give a plan with a new key, without a payment. The key is printed once, here.
    ///
    /// It takes the place of the plan that the holder has, as one that is bought does.
    Mint {
        /// The gateway's TOML file.
        file: PathBuf,
        /// A plan of the file.
        #[arg(long, value_name = "NAME")]
        plan: String,
        /// To whom: a name, new or known, or the id of a holder.
        #[arg(long = "for", value_name = "NAME")]
        to: String,
        /// How much, if not as much as the plan has.
        #[arg(long, value_name = "N", value_parser = units)]
        units: Option<Units>,
        /// Until when, if not for as long as the plan lasts: 30d, 2026-01-31 or 2026-01-31T12:00:00Z.
        #[arg(long, value_name = "END", value_parser = times::end)]
        expires: Option<SystemTime>,
    },
    /// Make another key for a holder, to what they have.
    Issue {
        /// The gateway's TOML file.
        file: PathBuf,
        /// Their id or name.
        #[arg(long, value_name = "ID|NAME")]
        holder: String,
    },
    /// Make a key in place of another, which opens nothing from the same moment on.
    Rotate {
        /// The gateway's TOML file.
        file: PathBuf,
        /// The other's id: key_….
        #[arg(value_name = "KEY_ID")]
        id: String,
    },
    /// Make a key open nothing from now on.
    Revoke {
        /// The gateway's TOML file.
        file: PathBuf,
        /// Its id: key_….
        #[arg(value_name = "KEY_ID")]
        id: String,
    },
    /// Say what was called, in groups.
    Usage {
        /// The gateway's TOML file.
        file: PathBuf,
        #[command(flatten)]
        usage: UsageArgs,
    },
    /// Export all keys by their hashes, with what they open; never a key in the clear.
    Export {
        /// The gateway's TOML file.
        file: PathBuf,
        #[command(flatten)]
        selection: SelectionArgs,
        /// CSV with a line of names, or one JSON object a line.
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
    },
    /// Import keys: an export of another gateway's, or keys in the clear of another system.
    ///
    /// Keys in the clear are in a column "key", with "for" and "plan" (one of the file), or "units" and "expires_at".
    /// Each row is taken over whole or not at all; what is there already stays as it is.
    Import {
        /// The gateway's TOML file.
        file: PathBuf,
        /// The CSV file.
        keys: PathBuf,
    },
}

/// Which keys.
#[derive(Debug, Clone, Args)]
pub(super) struct SelectionArgs {
    /// To a plan.
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// Of a holder.
    #[arg(long, value_name = "ID|NAME")]
    holder: Option<String>,
    /// Of whoever has this wallet.
    #[arg(long, value_name = "ACCOUNT")]
    address: Option<String>,
}

/// Why a command did not do it.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Unregistered(#[from] Unregistered),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Wrong(String),
}

/// A configuration with its books.
struct Open {
    config: Config,
    store: Arc<SqliteStore>,
}

impl Keys {
    pub(super) fn run(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = runtime.map_err(Failed::from).and_then(|runtime| runtime.block_on(self.act()));
        match done {
            Ok(code) => code,
            // Whoever was reading has seen enough: `tollgate … | head` ends so.
            Err(Failed::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                print(stderr(), &payments::readable(&error.to_string()));
                ExitCode::FAILURE
            }
        }
    }

    async fn act(self) -> Result<ExitCode, Failed> {
        match self {
            Self::List { file, selection, limit, json } => {
                list::run(&Open::at(&file).await?, &selection.into(), limit, json).await?;
            }
            Self::Show { file, named } => show::run(&Open::at(&file).await?, &named).await?,
            Self::Mint { file, plan, to, units, expires } => {
                make::mint(&Open::at(&file).await?, &Gift { plan, to, units, expires_at: expires }).await?;
            }
            Self::Issue { file, holder } => make::issue(&Open::at(&file).await?, &holder).await?,
            Self::Rotate { file, id } => make::rotate(&Open::at(&file).await?, &KeyId::new(&id)).await?,
            Self::Revoke { file, id } => make::revoke(&Open::at(&file).await?, &KeyId::new(&id)).await?,
            Self::Usage { file, usage } => usage::run(&Open::at(&file).await?, &usage).await?,
            Self::Export { file, selection, format } => {
                export::run(&Open::at(&file).await?, &selection.into(), format).await?;
            }
            Self::Import { file, keys } => return import::run(&Open::at(&file).await?, &keys).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Open {
    async fn at(file: &Path) -> Result<Self, Failed> {
        let config = load(file)?.config;
        let store = open_books(&config).await?;
        Ok(Self { config, store })
    }

    fn beside(&self) -> Result<Beside, Failed> {
        Ok(Beside::assemble(&self.config, &self.store)?)
    }

    fn registrar<'a>(&'a self, beside: &'a Beside, who: &'a str) -> Registrar<'a> {
        Registrar { server: &beside.server, market: &beside.market, register: &*self.store, who }
    }
}

impl From<SelectionArgs> for Selection {
    fn from(SelectionArgs { plan, holder, address }: SelectionArgs) -> Self {
        Self { plan, holder, address, ..Self::default() }
    }
}

impl From<csv::Error> for Failed {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => Self::Io(error),
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.map_or(0, |pos| pos.line());
                Self::Wrong(format!("line {line} has {len} cells, the first one {expected_len}"))
            }
            _ => Self::Wrong("it is not CSV in UTF-8".to_owned()),
        }
    }
}

/// Whoever runs the command, for the record.
fn who() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "somebody".to_owned())
}

fn units(text: &str) -> Result<Units, String> {
    Units::parse(text).map_err(|error| error.to_string())
}
