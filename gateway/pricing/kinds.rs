use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::money::Network;
use crate::x402::Scheme;
use crate::x402::facilitator::SupportedResponse;

/// Version, scheme and network.
type Kind = (u8, String, String);

/// Members of `extra` that name one of the facilitator's own addresses.
const SIGNERS: &[&str] = &["feePayer", "facilitatorAddress"];

/// What the facilitator is known to settle, so that nothing is offered that nobody would take.
///
/// Before its first answer nothing is known: then all that needs no word of the facilitator is offered, since a
/// challenge must not wait for anybody. What the gateway cannot read itself always needs one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    /// What goes into `extra`.
    known: Option<BTreeMap<Kind, Map<String, Value>>>,
}

impl Kinds {
    /// Nothing known yet.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// What `/supported` said, with the fee payers of `earlier` kept where the facilitator still signs for them: a
    /// facilitator with several names a random one each time, and an honest payment must not stop matching.
    pub fn from_supported(supported: &SupportedResponse, earlier: &Self) -> Self {
        let mut known = BTreeMap::new();
        for kind in &supported.kinds {
            let key = (kind.x402_version, kind.scheme.clone(), kind.network.clone());
            let mut extra = kind.extra.clone().unwrap_or_default();
            let family = kind.network.split_once(':').map_or("solana", |(namespace, _)| namespace);
            let signers = supported.signers.get(&format!("{family}:*"));
            let before = earlier.known.as_ref().and_then(|known| known.get(&key));
            for name in SIGNERS {
                if let (Some(signers), Some(Value::String(before))) =
                    (signers, before.and_then(|extra| extra.get(*name)))
                    && signers.contains(before)
                {
                    extra.insert((*name).to_owned(), Value::from(before.as_str()));
                }
            }
            known.entry(key).or_insert(extra);
        }
        Self { known: Some(known) }
    }

    /// Whether nothing is known yet.
    pub fn are_unknown(&self) -> bool {
        self.known.is_none()
    }

    /// Whether payments of version 1 on a network may be offered, by its short name.
    pub fn settles_v1(&self, name: &str) -> bool {
        self.known.is_none() || self.lists_v1(name)
    }

    /// Whether the facilitator has said that it settles payments of version 1 on a network.
    pub fn lists_v1(&self, name: &str) -> bool {
        self.of(1, &Scheme::exact(), name).is_some()
    }

    /// What the facilitator wants in `extra` of payments of version 2. None if it has not said that it settles them.
    pub fn extra(&self, scheme: &Scheme, network: &Network) -> Option<&Map<String, Value>> {
        self.of(2, scheme, network.caip2())
    }

    fn of(&self, version: u8, scheme: &Scheme, network: &str) -> Option<&Map<String, Value>> {
        self.known.as_ref()?.get(&(version, scheme.to_string(), network.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

    fn supported(fee_payer: &str, signers: &[&str]) -> SupportedResponse {
        serde_json::from_value(serde_json::json!({
            "kinds": [
                { "x402Version": 2, "scheme": "exact", "network": "eip155:8453" },
                { "x402Version": 1, "scheme": "exact", "network": "base" },
                { "x402Version": 2, "scheme": "upto", "network": "eip155:1" },
                { "x402Version": 2, "scheme": "exact", "network": SOLANA, "extra": { "feePayer": fee_payer } },
            ],
            "signers": { "solana:*": signers },
        }))
        .unwrap()
    }

    #[test]
    fn only_what_the_facilitator_settles_is_offered() {
        let kinds = Kinds::from_supported(&supported("A", &[]), &Kinds::unknown());
        let settles = |scheme, id| kinds.extra(&Scheme::parse(scheme).unwrap(), &Network::parse(id).unwrap()).is_some();
        assert!(settles("exact", "eip155:8453") && settles("exact", SOLANA) && settles("upto", "eip155:1"));
        assert!(!settles("exact", "eip155:1") && !settles("upto", "eip155:8453"));
        assert!(kinds.settles_v1("base") && !kinds.settles_v1("solana"));
    }

    #[test]
    fn before_its_first_answer_nothing_is_known() {
        let kinds = Kinds::unknown();
        assert!(kinds.are_unknown() && kinds.settles_v1("base") && !kinds.lists_v1("base"));
        assert_eq!(kinds.extra(&Scheme::exact(), &Network::parse("eip155:8453").unwrap()), None);
    }

    #[test]
    fn a_fee_payer_stays_while_it_signs() {
        let solana = Network::parse(SOLANA).unwrap();
        let fee_payer = |kinds: &Kinds| kinds.extra(&Scheme::exact(), &solana).unwrap()["feePayer"].clone();
        let first = Kinds::from_supported(&supported("A", &["A", "B"]), &Kinds::unknown());
        let second = Kinds::from_supported(&supported("B", &["A", "B"]), &first);
        assert_eq!(fee_payer(&second), "A");
        let third = Kinds::from_supported(&supported("B", &["B"]), &second);
        assert_eq!(fee_payer(&third), "B");
    }
}
