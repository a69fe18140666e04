use std::time::Duration;

use serde_json::{Value, json};

use crate::plans::Units;
use crate::pricing::{PlanOffer, PriceTable};

/// The plans as challenges list them: what to ask for, and the price in words.
pub(super) fn plan_names_json(table: &PriceTable) -> Value {
    let purchase = table.endpoint_url("purchase");
    let short = |offered: &PlanOffer| {
        let name = &*offered.plan.name;
        json!({ "name": name, "price": offered.price.to_string(), "purchaseUrl": format!("{purchase}?plan={name}") })
    };
    table.plans.iter().map(|offered| short(offered)).collect()
}

/// The plans as `/x402/pricing` lists them, in the order of the configuration.
pub fn plans_json(table: &PriceTable) -> Value {
    let purchase = table.endpoint_url("purchase");
    table.plans.iter().map(|offered| plan_json(offered, &purchase)).collect()
}

fn plan_json(offered: &PlanOffer, purchase: &str) -> Value {
    let plan = &offered.plan;
    let dollars = offered.price.decimal().and_then(|digits| serde_json::from_str::<Value>(digits).ok());
    let mut value = json!({
        "name": &*plan.name,
        "price": offered.price.to_string(),
        "priceUsd": dollars,
        // -1 is what clients of this kind of product read as "no limit".
        "quotaTotal": plan.units.map_or(Value::from(-1), Units::to_json),
        "durationDays": plan.duration.as_secs() / 86_400,
        "durationSeconds": plan.duration.as_secs(),
        "rate": plan.rate.map(|rate| rate.to_string()),
        "requestsPerSecond": plan.rate.filter(|rate| rate.per == Duration::from_secs(1)).map(|rate| rate.calls),
        "burst": plan.burst,
        "description": &*offered.offer.description,
        "purchaseUrl": format!("{purchase}?plan={}", plan.name),
    });
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}
