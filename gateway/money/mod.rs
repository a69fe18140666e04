//! What money is here: integers of an asset's smallest unit, on a named network, to a checked address.
//!
//! Not for prices as people write them: those are [`crate::pricing::Price`].

mod address;
mod amount;
mod asset;
mod network;

pub use address::{Address, AddressError, EvmAddress};
pub use amount::{AmountError, AtomicAmount};
pub use asset::{Asset, Eip712Domain, TransferMethod};
pub use network::{Family, Network, NetworkError};
