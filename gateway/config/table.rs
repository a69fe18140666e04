//! From the configuration to the table that requests are priced by.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::omission::{FEE_PAYER, FLOW, Omission, omitted};
use super::{Config, PlanConfig, Receiver, RouteConfig, Sale, ServerConfig};
use crate::money::{Asset, AtomicAmount, TransferMethod};
use crate::plans::Plan;
use crate::pricing::{
    Access, Kinds, Offer, OfferKey, OnSolana, PlanOffer, Price, PriceTable, Route, Router, SettleTiming, Terms,
};

/// From here on version 1 refuses an amount: its schema has room for 18 digits.
const V1_AMOUNT_LIMIT: AtomicAmount = AtomicAmount::new(1_000_000_000_000_000_000);

impl Config {
    /// The table of what can be bought, with the ways to pay that `kinds` settles, and the networks left out.
    pub fn price_table(&self, kinds: &Kinds) -> (PriceTable, Vec<Omission>) {
        let mut offers = Offers::new(self, kinds);
        let routes: Vec<_> = self.routes.iter().map(|route| Arc::new(offers.route(route))).collect();
        let table = PriceTable {
            router: Router::new(&routes).expect("a checked configuration has no conflicting routes"),
            plans: self.plans.iter().map(|plan| Arc::new(offers.plan(plan))).collect(),
            unlisted: self.server.unlisted,
            endpoints: Arc::clone(&self.server.endpoints),
            public_url: Arc::clone(&self.server.public_url),
        };
        (table, self.omissions(kinds))
    }
}

/// Makes offers. Routes of one price share their terms: a hundred thousand routes have few prices.
struct Offers<'a> {
    server: &'a ServerConfig,
    receivers: Vec<&'a Receiver>,
    kinds: &'a Kinds,
    terms: HashMap<(&'a Price, SettleTiming), Arc<[Arc<Terms>]>>,
}

impl<'a> Offers<'a> {
    fn new(config: &'a Config, kinds: &'a Kinds) -> Self {
        let receivers = config.receivers.iter().filter(|receiver| omitted(receiver, kinds).is_none()).collect();
        Self { server: &config.server, receivers, kinds, terms: HashMap::new() }
    }

    fn route(&mut self, route: &'a RouteConfig) -> Route {
        let access = match &route.sale {
            Sale::Free => Access::Free,
            Sale::PerCall(price) => Access::PerCall(self.call(route, price)),
            Sale::PlanOnly(metering) => Access::PlanOnly(metering.clone()),
            Sale::Either(price, metering) => Access::Either(self.call(route, price), metering.clone()),
        };
        Route {
            pattern: route.pattern.clone(),
            methods: route.methods.clone(),
            access,
            settle: route.settle,
            upstream: Arc::clone(&route.upstream),
            free_calls: route.free_calls,
        }
    }

    fn call(&mut self, route: &'a RouteConfig, price: &'a Price) -> Offer {
        Offer {
            key: OfferKey::call(&route.methods.to_string(), route.pattern.as_str()),
            resource: format!("{}{}", self.server.public_url, route.pattern).into(),
            description: Arc::clone(&route.description),
            mime_type: Arc::clone(&route.mime_type),
            terms: self.terms(price, route.settle),
        }
    }

    fn plan(&mut self, sold: &'a PlanConfig) -> PlanOffer {
        let ServerConfig { public_url, endpoints, .. } = self.server;
        let offer = Offer {
            key: OfferKey::plan(&sold.plan.name),
            resource: format!("{public_url}{endpoints}/purchase?plan={}", sold.plan.name).into(),
            description: Arc::clone(&sold.description),
            mime_type: "application/json".into(),
            terms: self.plan_terms(sold),
        };
        PlanOffer { plan: sold.plan.clone(), price: sold.price.clone(), offer }
    }

    fn terms(&mut self, price: &'a Price, settle: SettleTiming) -> Arc<[Arc<Terms>]> {
        let (receivers, kinds) = (&self.receivers, self.kinds);
        let terms = |receiver: &&Receiver| terms(receiver, price, settle, kinds, Map::new());
        let make = || receivers.iter().filter_map(terms).map(Arc::new).collect();
        self.terms.entry((price, settle)).or_insert_with(make).clone()
    }

    /// A plan's content is among its terms, so that a quote holds both; what has terms of its own shares none.
    fn plan_terms(&self, sold: &PlanConfig) -> Arc<[Arc<Terms>]> {
        let content = || Map::from_iter([(Plan::QUOTED.to_owned(), sold.plan.to_quote())]);
        // A plan is settled before its key is made, but says so nowhere: clients prefer entries without a flow.
        let terms = |receiver: &&Receiver| terms(receiver, &sold.price, SettleTiming::After, self.kinds, content());
        self.receivers.iter().filter_map(terms).map(Arc::new).collect()
    }
}

fn terms(
    receiver: &Receiver,
    price: &Price,
    settle: SettleTiming,
    kinds: &Kinds,
    mut more: Map<String, Value>,
) -> Option<Terms> {
    let asset = receiver.asset_for(price)?.clone();
    let amount = price.on(&asset).ok()?;
    more.extend(passed_on(receiver, &asset, kinds));
    if settle == SettleTiming::Before {
        more.insert(FLOW.to_owned(), Value::from("upfront"));
    }
    // Version 1 has no word for payment flows and none for Permit2.
    let in_v1 = settle == SettleTiming::After && asset.transfer == TransferMethod::Native && amount < V1_AMOUNT_LIMIT;
    let v1_network = receiver.v1_name.filter(|name| in_v1 && kinds.settles_v1(&receiver.network, name));
    let (network, pay_to) = (receiver.network.clone(), receiver.pay_to.clone());
    let terms = Terms::new(network, asset, amount, pay_to, receiver.max_timeout_seconds, v1_network, more);
    let terms = terms.by(receiver.scheme.clone());
    let Some(fee_payer) = kinds.fee_payer(&receiver.network).filter(|_| needs_fee_payer(receiver)) else {
        return Some(terms);
    };
    Some(terms.on_solana(OnSolana {
        fee_payer,
        fee_payer_v1: v1_network.and_then(|name| kinds.fee_payer_v1(name, &receiver.network)),
        fee_payers: kinds.fee_payers(),
        memo: receiver.memo.as_deref(),
    }))
}

fn needs_fee_payer(receiver: &Receiver) -> bool {
    receiver.scheme.needs_of_facilitator(receiver.network.family()) == Some(FEE_PAYER)
}

/// What stands in `extra` by the facilitator's word, and over it by the operator's.
///
/// Of `exact` on the networks that are read here it is only what payers cannot do without: the rest is for sellers.
fn passed_on(receiver: &Receiver, asset: &Asset, kinds: &Kinds) -> Map<String, Value> {
    let needed = receiver.scheme.needs_of_facilitator(receiver.network.family());
    let is_wanted = |name: &str| receiver.passes_on_extra() || Some(name) == needed;
    // What the gateway says itself is not the facilitator's to say.
    let is_ours = |name: &str| OURS.contains(&name) || (name == FEE_PAYER && needs_fee_payer(receiver));
    let is_free = |name: &str| !is_ours(name) && !asset_members(asset).contains(&name);
    let given = kinds.extra(&receiver.scheme, &receiver.network).into_iter().flatten();
    let given = given.filter(|(name, _)| is_wanted(name) && is_free(name));
    given.chain(&receiver.extra).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Members of `extra` that the gateway writes itself, whatever is paid in.
pub(super) const OURS: [&str; 2] = ["quote", Plan::QUOTED];

/// Members of `extra` that the asset says.
pub(super) fn asset_members(asset: &Asset) -> Vec<&'static str> {
    let domain = asset.domain.iter().flat_map(|_| ["name", "version"]);
    let transfer = (asset.transfer == TransferMethod::Permit2).then_some("assetTransferMethod");
    domain.chain(transfer).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::Method;

    use super::*;
    use crate::config::OmissionReason;
    use crate::config::parse;
    use crate::pricing::Found;
    use crate::x402::Scheme;
    use crate::x402::facilitator::SupportedResponse;

    const FILE: &str = r#"
        server      = { public_url = "https://api.example.com", unlisted = "deny", name = "Example" }
        upstream    = { url = "http://127.0.0.1:3000" }
        facilitator = { url = "https://x402.org/facilitator" }

        [pay_to]
        base    = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
        solana  = "EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV"
        megaeth = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"

        [[routes]]
        path    = "/weather"
        methods = ["POST", "GET"]
        price   = "$0.001"

        [[routes]]
        path  = "/forecast"
        price = "$0.001"

        [[routes]]
        path   = "/alert"
        price  = "$0.001"
        settle = "before"

        [[routes]]
        path        = "/tether/{rest...}"
        price       = "1 USDT"
        units       = 2.5
        description = "In USDT"

        [[plans]]
        name     = "nano"
        price    = "$0.001"
        duration = "30d"
    "#;

    fn config() -> Config {
        parse(FILE, "t.toml", Path::new(""), &|_| None).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    fn supported() -> Kinds {
        let supported: SupportedResponse = serde_json::from_value(serde_json::json!({ "kinds": [
            { "x402Version": 2, "scheme": "exact", "network": "eip155:8453" },
            { "x402Version": 1, "scheme": "exact", "network": "base" },
            { "x402Version": 2, "scheme": "exact", "network": "eip155:4326" },
            { "x402Version": 2, "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
              "extra": { "feePayer": "FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj", "more": 1 } },
        ]}))
        .unwrap();
        Kinds::from_supported(&supported, &Kinds::unknown())
    }

    fn ways(offer: &Offer) -> Vec<String> {
        let way = |terms: &Arc<Terms>| {
            let extra = Value::from(terms.extra.clone());
            format!("{} {} v1={} {extra}", terms.network, terms.amount, terms.v1_network.unwrap_or("-"))
        };
        offer.terms.iter().map(way).collect()
    }

    fn offer(table: &PriceTable, path: &str) -> (String, String, Vec<String>) {
        let Found::Route(route) = table.find(&Method::GET, path) else { panic!("{path} is no route") };
        let offer = route.access.offer().unwrap();
        (offer.key.as_str().to_owned(), offer.description.to_string(), ways(offer))
    }

    const BASE: &str = r#"eip155:8453 1000 v1=base {"name":"USD Coin","version":"2"}"#;

    #[test]
    fn an_offer_has_a_way_for_each_network_in_the_order_of_the_file() {
        let (table, omissions) = config().price_table(&supported());
        assert_eq!(omissions, []);
        let (key, description, ways) = offer(&table, "/weather");
        assert_eq!((key.as_str(), description.as_str()), ("call:GET,POST /weather", "GET,POST /weather at Example"));
        assert_eq!(
            ways,
            [
                BASE,
                r#"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp 1000 v1=- {"feePayer":"FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj"}"#,
                r#"eip155:4326 1000000000000000 v1=- {"assetTransferMethod":"permit2","name":"MegaUSD","version":"1"}"#,
            ]
        );
    }

    #[test]
    fn solana_is_offered_in_both_versions_and_its_memo_in_one() {
        let mut supported: SupportedResponse = serde_json::from_value(serde_json::json!({ "kinds": [
            { "x402Version": 2, "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
              "extra": { "feePayer": "FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj" } },
            { "x402Version": 1, "scheme": "exact", "network": "solana" },
        ]}))
        .unwrap();
        let file =
            FILE.replace("[[routes]]\n        path    =", "[networks.solana]\nmemo = \"shop\"\n[[routes]]\npath =");
        let config = parse(&file, "t.toml", Path::new(""), &|_| None).unwrap().config;
        let table =
            |supported: &SupportedResponse| config.price_table(&Kinds::from_supported(supported, &Kinds::unknown())).0;
        let both = [
            r#"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp 1000 v1=solana {"feePayer":"FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj","memo":"shop/"}"#,
        ];
        assert_eq!(offer(&table(&supported), "/weather").2, both);
        assert_eq!(offer(&table(&supported), "/alert").2.len(), 1, "money first is not said in version one");
        supported.kinds.pop();
        assert_eq!(offer(&table(&supported), "/weather").2, [both[0].replace("v1=solana", "v1=-")]);
    }

    #[test]
    fn money_first_is_said_and_not_offered_in_version_one() {
        let (_, description, ways) = offer(&config().price_table(&supported()).0, "/alert");
        assert_eq!(description, "/alert at Example");
        assert_eq!(ways[0], r#"eip155:8453 1000 v1=- {"name":"USD Coin","paymentFlow":"upfront","version":"2"}"#);
    }

    #[test]
    fn a_price_in_one_asset_is_offered_where_that_asset_is() {
        let (_, description, ways) = offer(&config().price_table(&supported()).0, "/tether");
        assert_eq!(description, "In USDT");
        assert_eq!(
            ways,
            [
                r#"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp 1000000 v1=- {"feePayer":"FVdnakemjhcemfWUgNR2AERbk5Pog7zJ1UF2LjbocBUj"}"#
            ]
        );
    }

    #[test]
    fn a_plan_says_no_flow() {
        let (table, _) = config().price_table(&supported());
        let plan = table.plan("nano").unwrap();
        assert_eq!(plan.offer.key.as_str(), "plan:nano");
        assert_eq!(&*plan.offer.description, "Example API access: nano plan");
        let base = BASE.replace(r#""version""#, r#""plan":{"durationSeconds":2592000,"name":"nano"},"version""#);
        assert_eq!(ways(&plan.offer)[0], base);
    }

    /// A quote is bound to the digest of the terms: with other content it is another one.
    #[test]
    fn the_content_of_a_plan_is_among_its_terms() {
        let digest = |more: &str| {
            let file = FILE.replace(r#""30d""#, &format!(r#""30d"{more}"#));
            let config = parse(&file, "t.toml", Path::new(""), &|_| None).unwrap().config;
            let (table, _) = config.price_table(&supported());
            let plan = table.plan("nano").unwrap();
            for terms in &*plan.offer.terms {
                assert_eq!(Plan::quoted(&terms.extra).as_ref(), Some(&plan.plan));
                assert!(!terms.v1_head.contains("durationSeconds"), "{}", terms.v1_head);
            }
            plan.offer.terms[0].digest
        };
        let contents = ["", "\nunits = 5", "\nunits = 5.001", "\nrate = \"1/s\"", "\nrate = \"1/s\"\nburst = 2"];
        let digests: std::collections::HashSet<_> = contents.iter().map(|more| digest(more)).collect();
        assert_eq!(digests.len(), contents.len());
        assert_eq!(digest(""), digest(""));
    }

    #[test]
    fn a_network_that_nobody_settles_is_left_out_and_named() {
        let (table, omissions) = config().price_table(&Kinds::unknown());
        assert_eq!(offer(&table, "/weather").2.len(), 2);
        let texts: Vec<_> = omissions.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["nothing is offered on solana: the facilitator has named no fee payer for it"]);
        let none = Kinds::from_supported(&SupportedResponse::default(), &Kinds::unknown());
        let reasons: Vec<_> = config().omissions(&none).into_iter().map(|omission| omission.reason).collect();
        assert_eq!(reasons, vec![OmissionReason::NotSettled(Scheme::exact()); 3]);
    }

    #[test]
    fn routes_of_one_price_share_their_terms_and_plans_do_not() {
        let (table, _) = config().price_table(&supported());
        let first = |path| match table.find(&Method::GET, path) {
            Found::Route(route) => Arc::clone(&route.access.offer().unwrap().terms[0]),
            _ => panic!("{path} is no route"),
        };
        assert!(Arc::ptr_eq(&first("/weather"), &first("/forecast")));
        assert!(!Arc::ptr_eq(&first("/weather"), &table.plan("nano").unwrap().offer.terms[0]));
    }
}
