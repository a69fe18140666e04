//! Whether the books, the facilitator and the upstream say the same.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::Result;
use super::upstream::Seen;

/// How long the last deliveries may take to be noted: nobody waits for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fails if one of `sent` payments was not settled exactly once, or not for one call of the upstream.
pub(super) async fn agree(path: &Path, seen: &Seen, sent: usize) -> Result<()> {
    let mut books = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
    let end = Instant::now() + PATIENCE;
    let booked = loop {
        let count =
            "SELECT count(*), coalesce(sum(state = 'delivered'), 0) FROM payments WHERE offer NOT LIKE 'plan:%'";
        let (rows, delivered): (i64, i64) = sqlx::query_as(count).fetch_one(&mut books).await?;
        if rows == delivered || Instant::now() > end {
            break [rows, delivered];
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let receipts = "SELECT count(DISTINCT json_extract(receipt, '$.transaction')) FROM payments
                    WHERE offer NOT LIKE 'plan:%'";
    let receipts: i64 = sqlx::query_scalar(receipts).fetch_one(&mut books).await?;
    let settled = seen.settled_once().ok_or("a payment was settled twice")?;
    // One more was for the plan of the keyed requests.
    let settled = settled.checked_sub(1).ok_or("the plan was never paid for")?;
    let sold = seen.sold.load(Ordering::Relaxed);
    let all = [i64::try_from(settled)?, i64::try_from(sold)?, receipts].into_iter().chain(booked);
    if all.into_iter().all(|count| usize::try_from(count) == Ok(sent)) {
        println!("{sent} payments: each settled once, in the books as delivered, and for one call of the upstream.");
        return Ok(());
    }
    let [rows, delivered] = booked;
    Err(format!(
        "{sent} payments were sent; the facilitator settled {settled}, the upstream was called {sold} times, the books \
         have {rows}, {delivered} of them delivered, with {receipts} transactions"
    )
    .into())
}
