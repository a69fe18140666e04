//! The gateway's database, read and aged from outside.

use std::collections::HashMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

/// The state of each payment, and why it is so.
pub(crate) type Rows = HashMap<String, (String, Option<String>)>;

/// Reads all payments.
pub(crate) fn rows(file: &Path) -> Rows {
    with(file, true, async |connection| {
        let query = sqlx::query_as::<_, (String, String, Option<String>)>("SELECT id, state, reason FROM payments");
        let rows = query.fetch_all(connection).await.unwrap();
        rows.into_iter().map(|(id, state, reason)| (id, (state, reason))).collect()
    })
}

/// Lets the time pass until everything that is unknown is due.
pub(crate) fn age(file: &Path) {
    with(file, false, async |connection| {
        let all = sqlx::query("UPDATE payments SET ask_at = 0 WHERE state = 'unknown'");
        all.execute(connection).await.unwrap();
    });
}

fn with<T>(file: &Path, read_only: bool, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).read_only(read_only);
        let mut connection = options.connect().await.unwrap();
        let done = work(&mut connection).await;
        let _ = connection.close().await;
        done
    })
}
