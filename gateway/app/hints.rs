use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;

use super::turn::turn;
use crate::money::Network;
use crate::proxy::Snapshot;
use crate::resource_server::{Market, ResourceServer};

/// How often the chains are asked for their newest block: a few of their blocks go by, and a challenge still has most of a
/// block's life in it.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Asks the chains of the configuration in force for their newest block, for as long as the process runs.
pub(super) async fn keep(server: Arc<ResourceServer>, live: Arc<ArcSwap<Snapshot>>) {
    let mut failing = Vec::new();
    loop {
        let market = Arc::clone(&live.load().market);
        if let Some(failed) = turn("asking for recent blocks", ask(&server, &market, &failing)).await {
            failing = failed;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Asks each chain once, all at the same time. Gives those that did not answer; the first time this is logged.
async fn ask(server: &ResourceServer, market: &Market, failing: &[Network]) -> Vec<Network> {
    // A network that is not asked any more has no block to be named.
    server.hints.rcu(|hints| {
        let mut hints = (**hints).clone();
        hints.keep_only(&market.hinted);
        hints
    });
    let asked = market.hinted.iter().filter_map(|network| Some((network, market.chains.get(network)?)));
    let answers = asked.map(|(network, chain)| async move {
        // Its age is counted from the question, as the answer may be a while on its way.
        let asked_at = server.now();
        (network, asked_at, chain.newest_block().await)
    });
    let mut failed = Vec::new();
    for (network, asked_at, answer) in join_all(answers).await {
        match answer {
            Ok(block) => {
                server.hints.rcu(|hints| {
                    let mut hints = (**hints).clone();
                    hints.put(network, &block.hash, block.last_valid_height, asked_at);
                    hints
                });
            }
            Err(error) => {
                if !failing.contains(network) {
                    tracing::warn!(%error, %network, "no recent block; challenges go without");
                }
                failed.push(network.clone());
            }
        }
    }
    failed
}
