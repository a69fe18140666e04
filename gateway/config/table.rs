//! From the configuration to the table that requests are priced by.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Config, PlanConfig, Receiver, RouteConfig, Sale, ServerConfig};
use crate::money::{AtomicAmount, Network, TransferMethod};
use crate::pricing::{
    Access, Kinds, Offer, OfferKey, PlanOffer, Price, PriceTable, Route, Router, SettleTiming, Terms,
};

/// From here on version 1 refuses an amount: its schema has room for 18 digits.
const V1_AMOUNT_LIMIT: AtomicAmount = AtomicAmount::new(1_000_000_000_000_000_000);

/// A network that nothing is offered on, though it has a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// Which network.
    pub network: Network,
    /// Its name in the file.
    pub name: Arc<str>,
    /// Why.
    pub reason: OmissionReason,
}

/// Why nothing is offered on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OmissionReason {
    /// The facilitator does not settle `exact` payments there.
    NotSettled,
    /// Payers need a fee payer, and the facilitator has named none.
    NoFeePayer,
}

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

    /// The networks that nothing is offered on, in the order of the file.
    pub fn omissions(&self, kinds: &Kinds) -> Vec<Omission> {
        let omission = |receiver: &Receiver| {
            let (network, name) = (receiver.network.clone(), Arc::clone(&receiver.name));
            Some(Omission { network, name, reason: omitted(receiver, kinds)? })
        };
        self.receivers.iter().filter_map(omission).collect()
    }
}

fn omitted(receiver: &Receiver, kinds: &Kinds) -> Option<OmissionReason> {
    if kinds.settles(&receiver.network, receiver.needs_fee_payer()) {
        None
    } else if kinds.settles(&receiver.network, false) {
        Some(OmissionReason::NoFeePayer)
    } else {
        Some(OmissionReason::NotSettled)
    }
}

/// Makes offers. Those of one price share their terms: a hundred thousand routes have few prices.
struct Offers<'a> {
    server: &'a ServerConfig,
    receivers: Vec<&'a Receiver>,
    kinds: &'a Kinds,
    terms: HashMap<(&'a Price, SettleTiming), Vec<Arc<Terms>>>,
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
            Sale::PlanOnly(units) => Access::PlanOnly(*units),
            Sale::Either(price, units) => Access::Either(self.call(route, price), *units),
        };
        Route {
            pattern: route.pattern.clone(),
            methods: route.methods.clone(),
            access,
            settle: route.settle,
            upstream: Arc::clone(&route.upstream),
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
            // A plan is settled before its key is made, but says so nowhere: clients prefer entries without a flow.
            terms: self.terms(&sold.price, SettleTiming::After),
        };
        PlanOffer { plan: sold.plan.clone(), price: sold.price.clone(), offer }
    }

    fn terms(&mut self, price: &'a Price, settle: SettleTiming) -> Vec<Arc<Terms>> {
        let (receivers, kinds) = (&self.receivers, self.kinds);
        let make =
            || receivers.iter().filter_map(|receiver| terms(receiver, price, settle, kinds)).map(Arc::new).collect();
        self.terms.entry((price, settle)).or_insert_with(make).clone()
    }
}

fn terms(receiver: &Receiver, price: &Price, settle: SettleTiming, kinds: &Kinds) -> Option<Terms> {
    let asset = receiver.asset_for(price)?.clone();
    let amount = price.on(&asset).ok()?;
    let mut more = Map::new();
    if let Some(fee_payer) = kinds.fee_payer(&receiver.network).filter(|_| receiver.needs_fee_payer()) {
        more.insert("feePayer".to_owned(), fee_payer.clone());
    }
    if settle == SettleTiming::Before {
        more.insert("paymentFlow".to_owned(), Value::from("upfront"));
    }
    // Version 1 has no word for payment flows and none for Permit2.
    let in_v1 = settle == SettleTiming::After && asset.transfer == TransferMethod::Native && amount < V1_AMOUNT_LIMIT;
    let v1_network = receiver.v1_name.filter(|name| in_v1 && kinds.settles_v1(name));
    let (network, pay_to) = (receiver.network.clone(), receiver.pay_to.clone());
    Some(Terms::new(network, asset, amount, pay_to, receiver.max_timeout_seconds, v1_network, more))
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            OmissionReason::NotSettled => "the facilitator settles no \"exact\" payments there",
            OmissionReason::NoFeePayer => "the facilitator has named no fee payer for it",
        };
        write!(f, "nothing is offered on {}: {reason}", self.name)
    }
}
