//! What the disk allows: how often a small append can be made durable.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Result;

/// A frame of SQLite's write-ahead log: a page and its header.
const FRAME: [u8; 4096 + 24] = [7; 4096 + 24];

/// Appends in `folder`, each synced, for so long; how many in a second.
pub(super) fn syncs_per_second(folder: &Path, time: Duration) -> Result<f64> {
    let mut file = File::create(folder.join("syncs"))?;
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        file.write_all(&FRAME)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
