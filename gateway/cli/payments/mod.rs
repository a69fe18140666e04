//! `tollgate payments …`: looking after payments, beside the gateway that takes them.
//!
//! | command | does |
//! |---|---|
//! | `list` | a table of payments, and what to do about those that are open or owed |
//! | `show` | everything that is known of one |
//! | `export` | all of them for the accounts, as CSV or JSON |
//! | `reconcile` | asks now what became of those whose outcome is unknown |
//! | `resolve` | the operator's own word on one of them |

mod advice;
mod export;
mod filter;
mod list;
mod reconcile;
mod resolve;
mod row;
mod show;

use std::io::{ErrorKind, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;

pub(super) use self::export::Format;
use self::filter::FilterArgs;
use self::resolve::WordArgs;
pub(super) use self::row::{harmless, readable};
use super::print;
use crate::app::{StartError, open_books};
use crate::config::{Config, Problems, load};
use crate::payment::PaymentId;
use crate::resource_server::Unruled;
use crate::store::{SqliteStore, StoreError};

/// What exit codes there are beside 0 and 1.
const STILL_OPEN: u8 = 2;

#[derive(Debug, Subcommand)]
pub(super) enum Payments {
    /// List payments, the newest first, and what to do about those that are open or owed.
    List {
        /// The gateway's TOML file.
        file: PathBuf,
        #[command(flatten)]
        filter: FilterArgs,
        /// The most payments.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
        /// One JSON object a line, without advice.
        #[arg(long)]
        json: bool,
    },
    /// Show everything that is known of one payment, and what to do about it.
    Show {
        /// The gateway's TOML file.
        file: PathBuf,
        /// The payment: pay_ and 40 hex digits.
        id: String,
    },
    /// Export payments for the accounts, the oldest first.
    Export {
        /// The gateway's TOML file.
        file: PathBuf,
        #[command(flatten)]
        filter: FilterArgs,
        /// The most payments; all of them unless said otherwise.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// CSV with a line of names, or one JSON object a line.
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
    },
    /// Ask the facilitator, and the chain if it can be asked, what became of payments, once and now.
    ///
    /// It is the same question with the same bytes that the gateway asks in the background; it cannot move money twice,
    /// and a running gateway is not disturbed. Exit code 2: some are still open.
    Reconcile {
        /// The gateway's TOML file.
        file: PathBuf,
        /// One payment; all that are open unless said.
        id: Option<String>,
    },
    /// Say what became of a payment that is unknown, after looking for it on the chain.
    ///
    /// With --settled the buyer gets what was paid for when the same payment is sent again. With --voided the payment
    /// counts as never made; that is refused as long as its authorization can still move the money.
    Resolve {
        /// The gateway's TOML file.
        file: PathBuf,
        /// The payment: pay_ and 40 hex digits.
        id: String,
        #[command(flatten)]
        word: WordArgs,
        /// Do not ask whether it is meant; needed where nobody can answer.
        #[arg(long)]
        yes: bool,
    },
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
    Unruled(#[from] Unruled),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("there is no payment {0} in {1}")]
    NotThere(PaymentId, String),
    #[error("{0}")]
    Refused(String),
}

/// A configuration with its books.
struct Open {
    file: PathBuf,
    config: Config,
    store: Arc<SqliteStore>,
}

impl Payments {
    pub(super) fn run(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = runtime.map_err(Failed::from).and_then(|runtime| runtime.block_on(self.act()));
        match done {
            Ok(code) => code,
            // Whoever was reading has seen enough: `tollgate … | head` ends so.
            Err(Failed::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                print(stderr(), &error.to_string());
                ExitCode::FAILURE
            }
        }
    }

    async fn act(self) -> Result<ExitCode, Failed> {
        match self {
            Self::List { file, filter, limit, json } => {
                list::run(&Open::at(&file).await?, &filter, limit, json).await?;
            }
            Self::Show { file, id } => show::run(&Open::at(&file).await?, &PaymentId::stored(&id)).await?,
            Self::Export { file, filter, limit, format } => {
                export::run(&Open::at(&file).await?, &filter, limit, format).await?;
            }
            Self::Reconcile { file, id } => {
                let open = Open::at(&file).await?;
                return reconcile::run(&open, id.as_deref().map(PaymentId::stored)).await;
            }
            Self::Resolve { file, id, word, yes } => {
                resolve::run(&Open::at(&file).await?, &PaymentId::stored(&id), word, yes).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Open {
    async fn at(file: &Path) -> Result<Self, Failed> {
        let config = load(file)?.config;
        let store = open_books(&config).await?;
        Ok(Self { file: file.to_owned(), config, store })
    }

    fn not_there(&self, id: &PaymentId) -> Failed {
        Failed::NotThere(id.clone(), self.config.store.path.display().to_string())
    }
}
