use std::collections::BTreeMap;

use serde_json::json;

use crate::money::Network;

/// How long a block is worth naming, in seconds. A transaction has to land within some 60 s of its block; most of that is
/// for the buyer, the upstream and the settlement.
const FRESH_S: u64 = 20;

/// Recent blocks of Solana's clusters, so that a buyer can sign without asking one: `extra.recentBlockhash` and
/// `extra.lastValidBlockHeight`, as the reference's server gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints(BTreeMap<Network, Hint>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hint {
    /// Members of `extra` as text, each with a comma behind it.
    members: String,
    /// In seconds of Unix time.
    seen_at: u64,
}

impl Hints {
    /// Takes down a block that was the newest at `seen_at`, in seconds of Unix time.
    pub fn put(&mut self, network: &Network, blockhash: &str, last_valid_block_height: u64, seen_at: u64) {
        let (blockhash, height) = (json!(blockhash), json!(last_valid_block_height.to_string()));
        let members = format!(r#""lastValidBlockHeight":{height},"recentBlockhash":{blockhash},"#);
        self.0.insert(network.clone(), Hint { members, seen_at });
    }

    /// Forgets the networks that are not among these.
    pub fn keep_only(&mut self, networks: &[Network]) {
        self.0.retain(|network, _| networks.contains(network));
    }

    /// The members for a challenge of now. None if there is no block, or only an old one.
    pub(super) fn of(&self, network: &Network, now: u64) -> Option<&str> {
        let hint = self.0.get(network)?;
        (now.abs_diff(hint.seen_at) <= FRESH_S).then_some(&*hint.members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_named_while_it_is_fresh() {
        let network = Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap();
        let mut hints = Hints::default();
        assert_eq!(hints.of(&network, 100), None);
        hints.put(&network, "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx", 1000, 100);
        let members =
            r#""lastValidBlockHeight":"1000","recentBlockhash":"US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx","#;
        for time in [80, 100, 120] {
            assert_eq!(hints.of(&network, time), Some(members), "{time}");
        }
        // A clock that was put back knows no better than one that went on.
        assert_eq!((hints.of(&network, 79), hints.of(&network, 121)), (None, None));
        assert_eq!(hints.of(&Network::parse("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1").unwrap(), 100), None);
        hints.put(&network, "newer", 1001, 121);
        assert!(hints.of(&network, 121).unwrap().contains("newer"));
        hints.keep_only(&[]);
        assert_eq!(hints.of(&network, 121), None);
    }
}
