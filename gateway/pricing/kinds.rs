use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{FeePayers, Reach};
use crate::money::Network;
use crate::svm;
use crate::x402::facilitator::SupportedResponse;
use crate::x402::networks;

/// What a facilitator, or all of them together, are known to settle, so that nothing is offered that nobody would take.
///
/// Before a facilitator's first answer nothing is known of it: then all that needs no word of it is offered, since a
/// challenge must not wait for anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds {
    /// `extra`, by version and the network's name in it.
    known: BTreeMap<(u8, String), Map<String, Value>>,
    /// The networks of facilitators that have not answered.
    unheard: Vec<Reach>,
    fee_payers: FeePayers,
}

impl Kinds {
    /// Nothing known yet, of a facilitator that is asked for all networks.
    pub fn unknown() -> Self {
        Self::unheard(Reach::everywhere())
    }

    /// Nothing known yet.
    pub fn unheard(reach: Reach) -> Self {
        Self { known: BTreeMap::new(), unheard: vec![reach], fee_payers: FeePayers::default() }
    }

    /// What `/supported` said, with the fee payers of `earlier` kept where the facilitator still signs for them: a
    /// facilitator with several names a random one each time, and an honest payment must not stop matching.
    pub fn from_supported(supported: &SupportedResponse, earlier: &Self) -> Self {
        let mut known = BTreeMap::new();
        for kind in supported.kinds.iter().filter(|kind| kind.scheme == "exact") {
            let mut extra = kind.extra.clone().unwrap_or_default();
            let family = kind.network.split_once(':').map_or("solana", |(namespace, _)| namespace);
            let signers = supported.signers.get(&format!("{family}:*"));
            let before = earlier.extra(kind.x402_version, &kind.network).and_then(|extra| extra.get("feePayer"));
            if let (Some(signers), Some(Value::String(before))) = (signers, before)
                && signers.contains(before)
            {
                extra.insert("feePayer".to_owned(), Value::from(before.as_str()));
            }
            known.entry((kind.x402_version, kind.network.clone())).or_insert(extra);
        }
        let signers = supported.signers.iter().filter(|(pattern, _)| pattern.starts_with("solana:"));
        let signers = signers.flat_map(|(_, list)| list).map(String::as_str);
        // Also the one that was just named, where an earlier one is kept.
        let named = supported.kinds.iter().filter_map(|kind| kind.extra.as_ref());
        let named = named.chain(known.values()).filter_map(|extra| extra.get("feePayer")?.as_str());
        let fee_payers = FeePayers::new(named.chain(signers), &earlier.fee_payers);
        Self { known, unheard: Vec::new(), fee_payers }
    }

    /// The part of it that the facilitator is asked for.
    pub fn within(mut self, reach: &Reach) -> Self {
        let network = |version: u8, name: &str| match version {
            1 => networks::of_v1(name),
            _ => Network::parse(name).ok(),
        };
        self.known.retain(|(version, name), _| network(*version, name).is_some_and(|network| reach.covers(&network)));
        self
    }

    /// What several facilitators settle together; for each network the first one's word holds.
    pub fn joined<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut joined = Self { known: BTreeMap::new(), unheard: Vec::new(), fee_payers: FeePayers::default() };
        for Self { known, unheard, fee_payers } in all {
            for (kind, extra) in known {
                joined.known.entry(kind.clone()).or_insert_with(|| extra.clone());
            }
            joined.unheard.extend_from_slice(unheard);
            joined.fee_payers = FeePayers::new(fee_payers.iter(), &joined.fee_payers);
        }
        joined
    }

    /// Whether payments of version 2 on a network may be offered; `fee_payer` says whether that needs the
    /// facilitator's own word.
    pub fn settles(&self, network: &Network, fee_payer: bool) -> bool {
        match self.extra(2, network.caip2()) {
            Some(_) => !fee_payer || self.fee_payer(network).is_some(),
            None => !fee_payer && self.may_settle(network),
        }
    }

    /// Whether payments of version 1 on a network may be offered, by its short name.
    pub fn settles_v1(&self, network: &Network, name: &str) -> bool {
        self.extra(1, name).is_some() || self.may_settle(network)
    }

    /// Whether a payment on these terms can be settled: `name` is the network's in the payment's version.
    pub fn takes(&self, version: u8, network: &Network, name: &str, fee_payer: Option<&str>) -> bool {
        match self.extra(version, name) {
            Some(_) => fee_payer.is_none_or(|fee_payer| self.fee_payers.contains(fee_payer)),
            None => fee_payer.is_none() && self.may_settle(network),
        }
    }

    /// The address that pays a network's fees, for `extra.feePayer`. None if it is no address: nobody could pay then.
    pub fn fee_payer(&self, network: &Network) -> Option<&str> {
        self.named(2, network.caip2())
    }

    /// The same for version 1, by the network's short name: what its own kind says goes before the other's word.
    pub fn fee_payer_v1(&self, name: &str, network: &Network) -> Option<&str> {
        self.named(1, name).or_else(|| self.fee_payer(network))
    }

    /// All that were named since the start.
    pub fn fee_payers(&self) -> &FeePayers {
        &self.fee_payers
    }

    fn named(&self, version: u8, network: &str) -> Option<&str> {
        self.extra(version, network)?.get("feePayer")?.as_str().filter(|text| svm::pubkey(text).is_some())
    }

    /// Whether somebody may settle there who has not said so yet.
    pub fn may_settle(&self, network: &Network) -> bool {
        self.unheard.iter().any(|reach| reach.covers(network))
    }

    fn extra(&self, version: u8, network: &str) -> Option<&Map<String, Value>> {
        self.known.get(&(version, network.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
    const A: &str = "FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj";
    const B: &str = "EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV";

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
        let kinds = Kinds::from_supported(&supported(A, &[]), &Kinds::unknown());
        let settles = |id, fee_payer| kinds.settles(&Network::parse(id).unwrap(), fee_payer);
        assert!(settles("eip155:8453", false));
        assert!(settles(SOLANA, true));
        assert!(!settles("eip155:1", false));
        let v1 = |name| kinds.settles_v1(&networks::of_v1(name).unwrap(), name);
        assert!(v1("base") && !v1("solana"));
    }

    #[test]
    fn before_its_first_answer_only_solana_waits() {
        let kinds = Kinds::unknown();
        assert!(kinds.settles(&Network::parse("eip155:8453").unwrap(), false));
        assert!(!kinds.settles(&Network::parse(SOLANA).unwrap(), true));
        assert!(kinds.settles_v1(&Network::parse("eip155:8453").unwrap(), "base"));
    }

    #[test]
    fn a_fee_payer_stays_while_it_signs() {
        let solana = Network::parse(SOLANA).unwrap();
        let first = Kinds::from_supported(&supported(A, &[A, B]), &Kinds::unknown());
        let second = Kinds::from_supported(&supported(B, &[A, B]), &first);
        assert_eq!(second.fee_payer(&solana), Some(A));
        let third = Kinds::from_supported(&supported(B, &[B]), &second);
        assert_eq!(third.fee_payer(&solana), Some(B));
    }

    #[test]
    fn every_fee_payer_that_was_named_stays_known() {
        let c = svm::base58(&[3; 32]);
        let first = Kinds::from_supported(&supported(A, &[A, &c]), &Kinds::unknown());
        let kept = Kinds::from_supported(&supported(B, &[A]), &first);
        assert!(kept.fee_payer(&Network::parse(SOLANA).unwrap()) == Some(A) && kept.fee_payers().contains(B));
        let second = Kinds::from_supported(&supported(B, &[]), &first);
        assert!([A, B, &c].iter().all(|known| second.fee_payers().contains(known)));
        assert!(!first.fee_payers().contains(B));
        assert_eq!(Kinds::from_supported(&supported(B, &[]), &second), second);
    }

    #[test]
    fn what_is_no_address_pays_no_fees() {
        let solana = Network::parse(SOLANA).unwrap();
        let kinds = Kinds::from_supported(&supported("somebody", &["somebody"]), &Kinds::unknown());
        assert_eq!(kinds.fee_payer(&solana), None);
        assert!(!kinds.settles(&solana, true) && kinds.settles(&solana, false));
        assert!(!kinds.fee_payers().contains("somebody"));
    }

    #[test]
    fn version_one_has_a_fee_payer_of_its_own_or_the_others() {
        let solana = Network::parse(SOLANA).unwrap();
        let with = |extra: Value| {
            let mut supported = supported(A, &[]);
            let kind = serde_json::json!({"x402Version": 1, "scheme": "exact", "network": "solana", "extra": extra});
            supported.kinds.push(serde_json::from_value(kind).unwrap());
            let kinds = Kinds::from_supported(&supported, &Kinds::unknown());
            assert!(kinds.settles_v1(&solana, "solana"));
            kinds.fee_payer_v1("solana", &solana).map(str::to_owned)
        };
        assert_eq!(with(serde_json::json!({"feePayer": B})).as_deref(), Some(B));
        assert_eq!(with(serde_json::json!({"feePayer": "somebody"})).as_deref(), Some(A));
        assert_eq!(with(Value::Null).as_deref(), Some(A));
    }

    #[test]
    fn a_facilitator_is_asked_for_its_networks_only() {
        let (base, solana) = (Network::parse("eip155:8453").unwrap(), Network::parse(SOLANA).unwrap());
        let reach = Reach::of([base.clone()]);
        let kinds = Kinds::from_supported(&supported(A, &[]), &Kinds::unknown()).within(&reach);
        assert!(kinds.settles(&base, false) && kinds.settles_v1(&base, "base") && !kinds.settles(&solana, true));
        let silent = Kinds::unheard(reach);
        assert!(silent.settles(&base, false) && !silent.settles(&Network::parse("eip155:1").unwrap(), false));
    }

    #[test]
    fn of_several_the_first_ones_word_holds() {
        let solana = Network::parse(SOLANA).unwrap();
        let [first, second] = [A, B].map(|payer| Kinds::from_supported(&supported(payer, &[]), &Kinds::unknown()));
        let silent = Kinds::unheard(Reach::of([Network::parse("eip155:1").unwrap()]));
        let joined = Kinds::joined([&silent, &first, &second]);
        assert_eq!(joined.fee_payer(&solana), Some(A));
        let settles = |id: &str| joined.settles(&Network::parse(id).unwrap(), false);
        assert!(settles("eip155:1") && settles("eip155:8453") && !settles("eip155:137"));
    }

    #[test]
    fn a_payment_goes_to_whoever_pays_its_fees() {
        let (base, solana) = (Network::parse("eip155:8453").unwrap(), Network::parse(SOLANA).unwrap());
        let kinds = Kinds::from_supported(&supported(A, &[]), &Kinds::unknown());
        let takes = |fee_payer: &str| kinds.takes(2, &solana, SOLANA, Some(fee_payer));
        assert!(takes(A) && !takes(B));
        assert!(kinds.takes(1, &base, "base", None) && !kinds.takes(1, &base, "solana", None));
        assert!(Kinds::unknown().takes(2, &base, "eip155:8453", None));
        assert!(!Kinds::unknown().takes(2, &solana, SOLANA, Some(A)), "it has named none");
    }
}
