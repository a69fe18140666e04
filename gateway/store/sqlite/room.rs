//! Whether there is room for more, tried with a write of the size that is to come.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, query};

use crate::store::StoreError;

/// Some hundred payments: what is much less would go well where the next batch fails again.
const ROOM_BYTES: i64 = 1024 * 1024;

/// Writes so much, and lets it go again. Its pages stay in the file, for what is written next.
///
/// Random bytes, since a file system may keep zeros in no room at all. In two transactions: what is deleted in the
/// transaction that wrote it never comes to the disk. The table may be there from a try that broke off in between.
pub(super) async fn make(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    query("DROP TABLE IF EXISTS room").execute(&mut *transaction).await?;
    query("CREATE TABLE room (bytes BLOB)").execute(&mut *transaction).await?;
    query("INSERT INTO room VALUES (randomblob(?))").bind(ROOM_BYTES).execute(&mut *transaction).await?;
    transaction.commit().await?;
    query("DROP TABLE room").execute(connection).await?;
    Ok(())
}
