use std::sync::Arc;

use crate::money::Network;

/// The networks that a facilitator is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(Option<Arc<[Network]>>);

impl Reach {
    /// Whatever it settles.
    pub fn everywhere() -> Self {
        Self(None)
    }

    /// These and no others.
    pub fn of(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(Some(networks.into_iter().collect()))
    }

    /// Whether it is asked for payments on a network.
    pub fn covers(&self, network: &Network) -> bool {
        self.0.as_ref().is_none_or(|networks| networks.contains(network))
    }
}
