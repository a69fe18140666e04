//! Calls over HTTP/1.1.

use std::sync::Arc;

use super::Result;
use super::buyers::Buyers;
use super::gateway::Gateway;
use super::wire::{Wire, get};

/// Kept connections that ask at the same time.
const CONNECTIONS: usize = 16;
/// How many small calls there are for each paid one, which takes the gateway ten times as long.
const SMALL_EACH_PAID: usize = 20;

/// Makes all kinds of calls; how many were paid, the sale of the key included.
pub(super) async fn make(gateway: &Gateway, calls: usize) -> Result<u64> {
    let key = gateway.buy("bench").await?;
    let with_key = get("/keyed", &format!("X-API-KEY: {key}"));
    let as_agents_do = "User-Agent: node\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: *";
    let forged = get("/keyed", "X-API-KEY: tg_live_0123456789012345678901234567890123456789012");
    let few = calls / 8;
    for (request, status, times) in [
        (get("/free/small", ""), "200", calls),
        (get("/free/small?city=oslo&days=3", as_agents_do), "200", calls),
        (with_key, "200", calls),
        (get("/keyed", &format!("Authorization: Bearer {key}\r\n{as_agents_do}")), "200", calls),
        (get("/paid", ""), "402", calls),
        (get("/paid", as_agents_do), "402", calls),
        (post("/free/small", 2_000), "200", few),
        (post("/free/small", 100_000), "200", few / 8),
        (get("/free/large", ""), "200", few / 8),
        (get("/free/stream", ""), "200", few / 2),
        (forged, "402", few),
        (get("/paid", "PAYMENT-SIGNATURE: e30="), "402", few),
        (get("/nothing", ""), "404", few),
        (get("/x402/status", &format!("X-API-KEY: {key}")), "200", few / 8),
    ] {
        repeat(gateway, &request.into(), status, times).await.map_err(|error| format!("{status} was due: {error}"))?;
    }
    let paid = calls / SMALL_EACH_PAID;
    let mut buyers = Buyers::of(&mut Wire::to(gateway.addr).await?).await?;
    let lists = buyers.sign(paid, CONNECTIONS)?;
    let paying = lists.into_iter().map(|payments| {
        let addr = gateway.addr;
        tokio::spawn(async move {
            let mut wire = Wire::to(addr).await?;
            for payment in payments {
                wire.ask(&payment).await?.ok()?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
    });
    for paid in paying.collect::<Vec<_>>() {
        paid.await??;
    }
    Ok(u64::try_from(paid)? + 1)
}

/// Sends one request many times, over some connections.
async fn repeat(gateway: &Gateway, request: &Arc<[u8]>, status: &'static str, times: usize) -> Result<()> {
    let asking = (0..CONNECTIONS).map(|_| {
        let (addr, request) = (gateway.addr, Arc::clone(request));
        tokio::spawn(async move {
            let mut wire = Wire::to(addr).await?;
            for _ in 0..times.div_ceil(CONNECTIONS) {
                wire.ask(&request).await?.with_status(status)?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await??;
    }
    Ok(())
}

fn post(target: &str, length: usize) -> Vec<u8> {
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + length, b'.');
    request
}
