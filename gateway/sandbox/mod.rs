//! Everything that a trial of the gateway needs on one machine: a facilitator with play money, an API to sell, and a
//! buyer's wallet.
//!
//! Signatures are real and checked as a real facilitator checks them; no chain, no key and no money is behind them.
//! All servers listen on loopback only. Not for production: whoever can reach the facilitator can pay with any key.
//!
//! ```no_run
//! # async fn trial() -> Result<(), Box<dyn std::error::Error>> {
//! use tollgate::money::Network;
//! use tollgate::sandbox::{DemoWallet, SampleUpstream, SandboxFacilitator};
//!
//! let base = Network::parse("eip155:8453")?;
//! let facilitator = SandboxFacilitator::new(vec![base]).start("127.0.0.1:0".parse()?).await?;
//! let upstream = SampleUpstream::start("127.0.0.1:0".parse()?).await?;
//! println!("{} sells {} to {}", facilitator.url(), upstream.url(), DemoWallet::random()?.address());
//! # Ok(())
//! # }
//! ```

mod asked;
mod desk;
mod eip3009;
mod exact_evm;
mod exact_svm;
mod facilitator;
mod loopback;
mod play_money;
mod svm_entry;
#[cfg(test)]
mod trial;
mod upstream;
#[cfg(test)]
mod vectors;
mod wallet;

pub use facilitator::{Sandbox, SandboxFacilitator};
pub use play_money::Purse;
pub use upstream::SampleUpstream;
pub use wallet::{DemoWallet, SignedPayment, WalletError};

/// Why a part of the sandbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address can be reached from other machines.
    #[error("the sandbox listens on loopback only, and {0} is not loopback")]
    NotLoopback(std::net::SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("the sandbox cannot listen on {addr}")]
    Listen {
        /// Where it should have listened.
        addr: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}
