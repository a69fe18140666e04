//! Whether there is room for more, tried with a write of the size that is to come.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// Some hundred payments: what is much less would go well where the next batch fails again.
const ROOM_BYTES: i64 = 1024 * 1024;

/// Writes so much, and lets it go again. Its pages stay in the file, for what is written next.
///
/// Random bytes, since a file system may keep zeros in no room at all. In two transactions: what is deleted in the
/// transaction that wrote it never comes to the disk. The table may be there from a try that broke off in between.
pub(super) fn make(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch("DROP TABLE IF EXISTS room; CREATE TABLE room (bytes BLOB)")?;
    transaction.execute("INSERT INTO room VALUES (randomblob(?))", [ROOM_BYTES])?;
    transaction.commit()?;
    connection.execute_batch("DROP TABLE room").map_err(Into::into)
}
