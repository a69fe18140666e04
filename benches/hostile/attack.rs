//! The kinds of requests that somebody sends who does not want to pay.

use std::time::SystemTime;

use tollgate::clock::unix_seconds;
use tollgate::sandbox::DemoWallet;

use super::Result;
use super::wire::{Wire, get};

const TARGET: &str = "/premium/report";

/// One kind.
#[derive(Debug, Clone)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) request: Vec<u8>,
}

/// All kinds. The gateway is asked once, for the challenge that a forged payment answers.
pub(super) async fn all(addr: std::net::SocketAddr) -> Result<Vec<Attack>> {
    let target = |target: &str| get(target, "");
    let line = |line: &str| get(TARGET, line);
    let attack = |name, request| Attack { name, request };
    let forged = forged(addr).await?;
    Ok(vec![
        attack("no payment", target(TARGET)),
        attack("a payment with a forged signature", line(&format!("PAYMENT-SIGNATURE: {forged}"))),
        attack("a payment that is none", line(&format!("PAYMENT-SIGNATURE: {}", "QUJD".repeat(2000)))),
        attack("the same in version 1", line(&format!("X-PAYMENT: {}", "eyJh".repeat(2000)))),
        attack("two payments", line("PAYMENT-SIGNATURE: QUJD\r\nX-PAYMENT: REVG")),
        attack("an invented key", line(&format!("X-API-KEY: tg_live_{}", "a1B2".repeat(12)))),
        attack("an invented token", line(&format!("Authorization: Bearer {0}.{0}.{0}", "eyJhbGciOiJub25lIn0"))),
        attack("an invented sign-in", line(&format!("SIGN-IN-WITH-X: {}", "eyJh".repeat(200)))),
        attack("a dot segment", target("/public/../premium/report")),
        attack("an encoded slash", target("/premium%2freport")),
        attack("a double slash", target("//premium/report")),
        attack("another letter case", target("/PREMIUM/report")),
        attack("two lengths", get(TARGET, "Content-Length: 5\r\nTransfer-Encoding: chunked")),
        attack("a large head", line(&format!("X-Filler: {}", "x".repeat(24 * 1024)))),
        attack("a purchase without a payment", target("/x402/purchase?plan=bench")),
        attack("a status without a key", target("/x402/status")),
    ])
}

/// A payment that is right in all but the one who signed it: nothing short of the signature tells.
async fn forged(addr: std::net::SocketAddr) -> Result<String> {
    let mut wire = Wire::to(addr).await?;
    let challenge = wire.ask(&get(TARGET, "")).await?;
    let required = challenge.header("payment-required").ok_or("nothing is sold")?.as_bytes();
    let now = unix_seconds(SystemTime::now());
    let (honest, other) = (DemoWallet::random()?.pay(required, now)?, DemoWallet::random()?.pay(required, now)?);
    let (mut payment, other) = (decode(&honest.header)?, decode(&other.header)?);
    *payment.pointer_mut("/payload/signature").ok_or("no signature")? =
        other.pointer("/payload/signature").ok_or("no signature")?.clone();
    Ok(tollgate::x402::codec::encode(&payment))
}

fn decode(header: &str) -> Result<serde_json::Value> {
    use base64::Engine as _;
    Ok(serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(header)?)?)
}
