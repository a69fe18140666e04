//! Which chain stands behind a network.

use std::sync::Arc;

use super::Chain;
use super::evm::Evm;
use super::rpc::Rpc;
use super::solana::Solana;
use crate::money::{Family, Network};
use crate::outbound::TlsError;

/// Why a chain cannot be asked. The texts do not hold the URL.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not an `http` or `https` URL.
    #[error("the RPC server's URL is not one like https://mainnet.base.org")]
    Url,
    /// TLS cannot be spoken here.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Neither EVM nor Solana.
    #[error("payments on {0} cannot be looked up")]
    Family(Network),
}

/// Makes the client of a network's RPC server. It connects when it is first asked, and then makes sure of the chain.
///
/// # Errors
/// [`ConnectError`] if that cannot work.
pub fn connect(network: &Network, url: &str) -> Result<Arc<dyn Chain>, ConnectError> {
    let rpc = Rpc::new(url)?;
    match network.family() {
        Family::Evm(chain_id) => Ok(Arc::new(Evm::new(rpc, chain_id))),
        Family::Solana => Ok(Arc::new(Solana::new(rpc, network))),
        Family::Other => Err(ConnectError::Family(network.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_picked_by_its_family_and_never_printed_with_its_url() {
        let chain = |id: &str| connect(&Network::parse(id).unwrap(), "http://127.0.0.1:1/v2/do-not-print-me");
        let evm = format!("{:?}", chain("eip155:8453").unwrap());
        let solana = format!("{:?}", chain("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap());
        assert!(evm.starts_with("Evm") && solana.starts_with("Solana"), "{evm} {solana}");
        assert!(!evm.contains("do-not-print-me") && !solana.contains("do-not-print-me"), "{evm} {solana}");
        let other = chain("algorand:wGHE2Pwdvd7S12BL5FaOP20EGYesN73k").unwrap_err();
        assert!(matches!(other, ConnectError::Family(_)), "{other}");
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        let base = Network::parse("eip155:8453").unwrap();
        for bad in ["", "mainnet.base.org", "/rpc", "ws://mainnet.base.org", "ftp://a", "https://", "http://a b"] {
            let error = connect(&base, bad).unwrap_err();
            assert!(matches!(error, ConnectError::Url), "{bad}: {error}");
        }
    }
}
