//! The part of `tollgate check --online` that asks the chains: what the file says of its tokens against what they are.

use super::check::Online;
use crate::chain::Finding;
use crate::config::{Config, Receiver};
use crate::money::Asset;
use crate::pricing::Price;

/// Asks a receiver's RPC server about some of its tokens.
pub type Look<'a> = &'a dyn Fn(&Receiver, &[Asset]) -> Vec<Finding>;

/// Adds what the chains show, where there is an RPC server to ask. Only tokens that something is sold for are looked at.
pub(super) fn look(config: &Config, look: Look<'_>, found: &mut Online) {
    let prices: Vec<_> = prices(config).collect();
    for receiver in config.receivers.iter().filter(|receiver| receiver.rpc_url.is_some()) {
        let is_used = |asset: &&Asset| prices.iter().any(|price| receiver.asset_for(price) == Some(*asset));
        let used: Vec<_> = receiver.assets.iter().filter(is_used).cloned().collect();
        for finding in look(receiver, &used) {
            match finding {
                Finding::Problem(text) => found.problems.push(format!("{}: {text}", receiver.name)),
                Finding::Warning(text) => found.warnings.push(format!("{}: {text}", receiver.name)),
            }
        }
    }
}

/// Everything that a file asks for.
fn prices(config: &Config) -> impl Iterator<Item = &Price> {
    let calls = config.routes.iter().filter_map(|route| route.sale.price());
    calls.chain(config.plans.iter().map(|plan| &plan.price))
}
