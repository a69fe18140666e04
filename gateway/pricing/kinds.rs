use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{FeePayers, Reach};
use crate::money::Network;
use crate::svm;
use crate::x402::Scheme;
use crate::x402::facilitator::SupportedResponse;
use crate::x402::networks;

/// Version, scheme and network, by its name in that version.
type Kind = (u8, String, String);

/// Members of `extra` that name one of the facilitator's own addresses.
const SIGNERS: &[&str] = &["feePayer", "facilitatorAddress"];

/// What a facilitator, or all of them together, are known to settle, so that nothing is offered that nobody would take.
///
/// Before a facilitator's first answer nothing is known of it: then all that needs no word of it is offered, since a
/// challenge must not wait for anybody. What the gateway cannot read itself always needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds {
    /// What goes into `extra`.
    known: BTreeMap<Kind, Map<String, Value>>,
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
        for kind in &supported.kinds {
            let key = (kind.x402_version, kind.scheme.clone(), kind.network.clone());
            let mut extra = kind.extra.clone().unwrap_or_default();
            let family = kind.network.split_once(':').map_or("solana", |(namespace, _)| namespace);
            let signers = supported.signers.get(&format!("{family}:*"));
            for name in SIGNERS {
                let before = earlier.known.get(&key).and_then(|extra| extra.get(*name));
                if let (Some(signers), Some(Value::String(before))) = (signers, before)
                    && signers.contains(before)
                {
                    extra.insert((*name).to_owned(), Value::from(before.as_str()));
                }
            }
            known.entry(key).or_insert(extra);
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
        self.known
            .retain(|(version, _, name), _| network(*version, name).is_some_and(|network| reach.covers(&network)));
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

    /// What payments of version 2 have in `extra` by the facilitator's word. None if nobody has said that they are settled.
    pub fn extra(&self, scheme: &Scheme, network: &Network) -> Option<&Map<String, Value>> {
        self.of(2, scheme, network.caip2())
    }

    /// Whether payments of version 1 on a network may be offered, by its short name.
    pub fn settles_v1(&self, network: &Network, name: &str) -> bool {
        self.lists_v1(name) || self.may_settle(network)
    }

    /// Whether somebody has said that payments of version 1 on a network are settled.
    pub fn lists_v1(&self, name: &str) -> bool {
        self.of(1, &Scheme::exact(), name).is_some()
    }

    /// Whether a payment with this `extra` can be settled: `name` is the network's in the payment's version.
    pub fn takes(
        &self,
        version: u8,
        scheme: &Scheme,
        network: &Network,
        name: &str,
        extra: &Map<String, Value>,
    ) -> bool {
        let [fee_payer, address] = ["feePayer", "facilitatorAddress"].map(|name| extra.get(name)?.as_str());
        match self.of(version, scheme, name) {
            Some(known) => {
                let [named, ours] = ["feePayer", "facilitatorAddress"].map(|name| known.get(name)?.as_str());
                // On networks that are not read here it is no address of Solana's, of which alone the earlier are known.
                fee_payer.is_none_or(|fee_payer| named == Some(fee_payer) || self.fee_payers.contains(fee_payer))
                    && address.zip(ours).is_none_or(|(address, ours)| address.eq_ignore_ascii_case(ours))
            }
            None => fee_payer.is_none() && address.is_none() && self.may_settle(network),
        }
    }

    /// The address that pays a network's fees, for `extra.feePayer`. None if it is no address: nobody could pay then.
    pub fn fee_payer(&self, network: &Network) -> Option<&str> {
        Self::named(self.extra(&Scheme::exact(), network))
    }

    /// The same for version 1, by the network's short name: what its own kind says goes before the other's word.
    pub fn fee_payer_v1(&self, name: &str, network: &Network) -> Option<&str> {
        Self::named(self.of(1, &Scheme::exact(), name)).or_else(|| self.fee_payer(network))
    }

    /// All that were named since the start.
    pub fn fee_payers(&self) -> &FeePayers {
        &self.fee_payers
    }

    fn named(extra: Option<&Map<String, Value>>) -> Option<&str> {
        extra?.get("feePayer")?.as_str().filter(|text| svm::pubkey(text).is_some())
    }

    /// Whether somebody may settle there who has not said so yet.
    pub fn may_settle(&self, network: &Network) -> bool {
        self.unheard.iter().any(|reach| reach.covers(network))
    }

    fn of(&self, version: u8, scheme: &Scheme, network: &str) -> Option<&Map<String, Value>> {
        self.known.get(&(version, scheme.to_string(), network.to_owned()))
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
        let settles = |scheme, id| kinds.extra(&Scheme::parse(scheme).unwrap(), &Network::parse(id).unwrap()).is_some();
        assert!(settles("exact", "eip155:8453") && settles("exact", SOLANA) && settles("upto", "eip155:1"));
        assert!(!settles("exact", "eip155:1") && !settles("upto", "eip155:8453"));
        let v1 = |name| kinds.settles_v1(&networks::of_v1(name).unwrap(), name);
        assert!(v1("base") && !v1("solana"));
    }

    #[test]
    fn before_its_first_answer_only_solana_waits() {
        let kinds = Kinds::unknown();
        let base = Network::parse("eip155:8453").unwrap();
        assert!(kinds.may_settle(&base) && kinds.settles_v1(&base, "base") && !kinds.lists_v1("base"));
        assert_eq!(
            (kinds.extra(&Scheme::exact(), &base), kinds.fee_payer(&Network::parse(SOLANA).unwrap())),
            (None, None)
        );
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
        let settles = |network| kinds.extra(&Scheme::exact(), network).is_some();
        assert!(settles(&base) && kinds.settles_v1(&base, "base") && !settles(&solana));
        let silent = Kinds::unheard(reach);
        assert!(silent.may_settle(&base) && !silent.may_settle(&Network::parse("eip155:1").unwrap()));
    }

    #[test]
    fn of_several_the_first_ones_word_holds() {
        let solana = Network::parse(SOLANA).unwrap();
        let [first, second] = [A, B].map(|payer| Kinds::from_supported(&supported(payer, &[]), &Kinds::unknown()));
        let silent = Kinds::unheard(Reach::of([Network::parse("eip155:1").unwrap()]));
        let joined = Kinds::joined([&silent, &first, &second]);
        assert_eq!(joined.fee_payer(&solana), Some(A));
        let settles = |id: &str| {
            let network = Network::parse(id).unwrap();
            joined.extra(&Scheme::exact(), &network).is_some() || joined.may_settle(&network)
        };
        assert!(settles("eip155:1") && settles("eip155:8453") && !settles("eip155:137"));
    }

    #[test]
    fn a_payment_goes_to_whoever_pays_its_fees() {
        let (base, solana) = (Network::parse("eip155:8453").unwrap(), Network::parse(SOLANA).unwrap());
        let kinds = Kinds::from_supported(&supported(A, &[]), &Kinds::unknown());
        let extra = |name: &str, address: &str| Map::from_iter([(name.to_owned(), Value::from(address))]);
        let (exact, none) = (Scheme::exact(), Map::new());
        let takes = |fee_payer| kinds.takes(2, &exact, &solana, SOLANA, &extra("feePayer", fee_payer));
        assert!(takes(A) && !takes(B));
        assert!(kinds.takes(1, &exact, &base, "base", &none) && !kinds.takes(1, &exact, &base, "solana", &none));
        assert!(Kinds::unknown().takes(2, &exact, &base, "eip155:8453", &none));
        assert!(!Kinds::unknown().takes(2, &exact, &solana, SOLANA, &extra("feePayer", A)), "it has named none");
        let hedera = Network::parse("hedera:mainnet").unwrap();
        let mut on_hedera = supported(A, &[]);
        on_hedera.kinds[0].network = hedera.to_string();
        on_hedera.kinds[0].extra = Some(extra("feePayer", "0.0.7001"));
        let on_hedera = Kinds::from_supported(&on_hedera, &Kinds::unknown());
        let takes = |fee_payer| on_hedera.takes(2, &exact, &hedera, hedera.caip2(), &extra("feePayer", fee_payer));
        assert!(takes("0.0.7001") && !takes("0.0.7002"));
        let mut with_upto = supported(A, &[]);
        with_upto.kinds[2].extra = Some(extra("facilitatorAddress", "0xAb"));
        let kinds = Kinds::from_supported(&with_upto, &Kinds::unknown());
        let (upto, ethereum) = (Scheme::parse("upto").unwrap(), Network::parse("eip155:1").unwrap());
        let takes = |address| kinds.takes(2, &upto, &ethereum, "eip155:1", &extra("facilitatorAddress", address));
        assert!(takes("0xab") && !takes("0xac"));
    }
}
