//! A store with holders who have bought already, before any gateway has opened it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tollgate::clock::SystemClock;
use tollgate::plans::{ApiKey, KeyMint};
use tollgate::resource_server::{ResourceServer, Secrets};
use tollgate::store::{Retention, SqliteStore};

use super::{Result, books};

/// What all keys are derived from.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Its folder, and the keys in it.
#[derive(Debug)]
pub(super) struct Shop {
    folder: TempDir,
    pub(super) keys: Arc<[Box<str>]>,
}

impl Shop {
    pub(super) async fn stock(count: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let secret = folder.path().join("secret");
        fs::write(&secret, SECRET)?;
        fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        let path = folder.path().join("store.db");
        let retention = Retention { responses_bytes_max: 0, payments: None, usage: None };
        let store = Arc::new(SqliteStore::open(&path, retention, Arc::new(SystemClock)).await?);
        let (ledger, keys) = (Arc::<SqliteStore>::clone(&store), store);
        let secrets = Secrets::derive(SECRET.as_bytes());
        let server = ResourceServer::new(ledger, keys, &secrets, Arc::new(SystemClock), Handle::current());
        let keys: Vec<_> = (0..count).map(|number| key(&server.keys, number)).collect();
        server.accounts().close().await?;
        drop(server);
        books::fill(&path, keys.iter().map(ApiKey::hash)).await?;
        Ok(Self { folder, keys: keys.iter().map(|key| key.reveal().into()).collect() })
    }

    /// What the gateway's file says of it.
    pub(super) fn table(&self) -> String {
        let folder = self.folder.path().display();
        format!("[store]\nurl = \"sqlite:{folder}/store.db\"\nsecret = {{ file = \"{folder}/secret\" }}\n")
    }

    /// How many units all holders have used.
    pub(super) async fn used(&self) -> Result<u64> {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("store.db"));
        let mut connection = options.connect().await?;
        let used: i64 = sqlx::query_scalar("SELECT sum(used) FROM balances").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(u64::try_from(used)? / 1000)
    }
}

fn key(keys: &KeyMint, number: u32) -> ApiKey {
    keys.derive("tg_live_", &books::id("key", number), &books::id("hol", number))
}
