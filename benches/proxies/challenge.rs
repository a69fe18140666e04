//! What an unpaid request is answered with: the gateway's is a real one, and the others' are as large.

use std::net::SocketAddr;

use serde_json::Value;
use tollgate::sandbox::DemoWallet;

use super::Result;
use super::wire::{Answer, Wire, get};

/// How many bytes a challenge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) head: usize,
    pub(super) body: usize,
}

impl Size {
    pub(super) async fn of_challenge(addr: SocketAddr) -> Result<Self> {
        let mut wire = Wire::to(addr).await?;
        let answer = ask(&mut wire).await?;
        Ok(Self { head: answer.head_bytes(), body: answer.body.len() })
    }
}

/// The gateway's can be paid in version 2 by its header, and in version 1 by its body, and each has a quote of its own.
pub(super) async fn check(addr: SocketAddr) -> Result<()> {
    let (mut first, mut second) = (Wire::to(addr).await?, Wire::to(addr).await?);
    let (first, second) = (ask(&mut first).await?, ask(&mut second).await?);
    let [header, other] = [&first, &second].map(|answer| answer.header("payment-required").unwrap_or_default());
    DemoWallet::random()?.pay(header.as_bytes(), 0)?;
    let body: Value = serde_json::from_slice(first.body)?;
    if body.get("x402Version") != Some(&1.into()) || body.pointer("/accepts/0/maxAmountRequired").is_none() {
        return Err(format!("no challenge of version 1: {body}").into());
    }
    if header == other { Err("two challenges have one quote".into()) } else { Ok(()) }
}

async fn ask(wire: &mut Wire) -> Result<Answer<'_>> {
    let answer = wire.ask(&get("/paid", "")).await?.with_status("402")?;
    if answer.header("payment-required").is_some() { Ok(answer) } else { Err("402 without a challenge".into()) }
}
