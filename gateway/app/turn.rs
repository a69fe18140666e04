use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

/// One turn of work that is done for as long as the process runs. A panic ends the turn and not the work: else keys
/// that were revoked would go on opening, and what is spent would not be written down, until the next start.
pub(super) async fn turn<T>(what: &'static str, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.inspect_err(|_| tracing::error!(what, "a background task panicked; it goes on")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_turn() {
        assert_eq!(turn("counting", async { 1 }).await, Some(1));
        let none: Option<u8> = turn("counting", async { [1][std::hint::black_box(1)] }).await;
        assert_eq!(none, None);
    }
}
