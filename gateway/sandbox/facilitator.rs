//! A facilitator with play money, over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::SandboxError;
use super::desk::Desk;
use super::loopback::{Answers, Body, LoopbackServer, json};
use super::play_money::Purse;
use crate::clock::{Clock, SystemClock};
use crate::money::{AtomicAmount, Network};

/// What every payer has to begin with: 1000 USDC of six decimals.
const BALANCE: AtomicAmount = AtomicAmount::new(1_000_000_000);

/// Followed by an address.
const BALANCES: &str = "/balances/";

/// A facilitator with play money that is not yet running.
///
/// It answers `/verify`, `/settle` and `/supported` as the reference does for the exact scheme: EIP-3009 on EVM, the
/// fixed layout on Solana. `GET /balances/{address}` shows what an account has. Real are the signatures, the window,
/// the amounts and the nonces; not real are the balances (everybody has some) and the transactions.
pub struct SandboxFacilitator {
    networks: Vec<Network>,
    balance: AtomicAmount,
    fee_payer: [u8; 32],
    clock: Arc<dyn Clock>,
}

impl SandboxFacilitator {
    /// One that knows these networks, gives 1000 USDC to every payer, and goes by the machine's clock.
    pub fn new(networks: Vec<Network>) -> Self {
        // A key that everybody can make: it signs nothing that any chain would see.
        let fee_payer = Sha256::digest("the sandbox's fee payer: play money, no chain").into();
        Self { networks, balance: BALANCE, fee_payer, clock: Arc::new(SystemClock) }
    }

    /// Gives every payer another amount, in atomic units of whatever it pays with.
    #[must_use]
    pub fn with_balance(self, balance: AtomicAmount) -> Self {
        Self { balance, ..self }
    }

    /// Goes by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Pays Solana's fees from another key, given by its Ed25519 seed.
    #[must_use]
    pub fn with_fee_payer(self, seed: [u8; 32]) -> Self {
        Self { fee_payer: seed, ..self }
    }

    /// Starts it on the current runtime. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`SandboxError`] if `addr` is not loopback, or cannot be listened on.
    pub async fn start(self, addr: SocketAddr) -> Result<Sandbox, SandboxError> {
        let desk = Arc::new(self.desk());
        let server = LoopbackServer::start(addr, "play money, no chain", Arc::clone(&desk)).await?;
        tracing::info!(addr = %server.addr(), "sandbox facilitator: real signatures, play money, no chain behind it");
        Ok(Sandbox { server, desk })
    }

    pub(super) fn desk(self) -> Desk {
        Desk::new(self.networks, self.balance, self.fee_payer, self.clock)
    }
}

/// A running facilitator with play money. It stops when this is dropped.
#[derive(Debug)]
pub struct Sandbox {
    server: LoopbackServer,
    desk: Arc<Desk>,
}

impl Sandbox {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The base URL for a gateway's `[facilitator]`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// What an account has received, spent and left, for each token that it has touched.
    pub fn purses(&self, account: &str) -> Vec<Purse> {
        self.desk.purses(account)
    }

    /// How many payments it has made.
    pub fn settled(&self) -> usize {
        self.desk.settled()
    }

    /// How often `/verify` was asked.
    pub fn verified(&self) -> u64 {
        self.desk.verified()
    }
}

impl Answers for Desk {
    fn answer(&self, request: &Request<Bytes>) -> Response<Body> {
        let path = request.uri().path();
        let (status, body) = match (request.method(), path) {
            (&Method::POST, "/verify") => self.verify(request.body()),
            (&Method::POST, "/settle") => self.settle(request.body()),
            (&Method::GET, "/supported") => (StatusCode::OK, json!(self.supported())),
            (&Method::GET, _) if path.starts_with(BALANCES) => {
                let account = path.strip_prefix(BALANCES).unwrap_or_default();
                (StatusCode::OK, json!({"account": account, "purses": self.purses(account)}))
            }
            (_, "/verify" | "/settle" | "/supported") => {
                (StatusCode::METHOD_NOT_ALLOWED, json!({"error": "another method is needed"}))
            }
            _ => (StatusCode::NOT_FOUND, json!({"error": "try /verify, /settle, /supported or /balances/{address}"})),
        };
        json(status, &body)
    }
}
