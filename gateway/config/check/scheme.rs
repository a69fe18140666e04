//! `[networks.NAME] scheme` and `extra`: payments by rules that the facilitator knows, and the gateway need not.

use serde_json::{Map, Value};

use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::omission::{FLOW, FLOWS};
use crate::config::table::{OURS, asset_members};
use crate::money::{Asset, Family, Network, TransferMethod};
use crate::x402::Scheme;

/// Schemes that cannot be passed on, and why. Whoever settles by them keeps something between two payments.
const STATEFUL: [(&str, &str); 3] = [
    ("batch-settlement", "needs a seller that keeps its buyers' channels and claims them later"),
    ("deferred", "is the old name of \"batch-settlement\", which needs a seller that keeps its buyers' channels"),
    ("auth-capture", "needs a seller that captures, voids and refunds what was only held"),
];
/// Members of `extra` that the gateway writes itself for payments on Solana.
const ON_SOLANA: [&str; 4] = ["feePayer", "memo", "recentBlockhash", "lastValidBlockHeight"];
/// How deep `extra` may be.
const DEPTH_MAX: usize = 8;

/// The scheme of a network; `exact` unless said otherwise.
pub(super) fn check(section: Option<&Section<'_>>, network: &Network) -> Scheme {
    let Some(field) = section.and_then(|section| section.field("scheme")) else { return Scheme::exact() };
    let text = field.text("the name of a scheme like \"exact\"").unwrap_or(Scheme::EXACT);
    let scheme = field.read(Scheme::parse(text)).unwrap_or_else(Scheme::exact);
    if let Some((name, why)) = STATEFUL.iter().find(|(name, _)| *name == scheme.as_str()) {
        field.wrong(format_args!("{name:?} {why}, which is not done here; \"exact\" would be right"));
    }
    if scheme.is_upto() && network.family() == Family::Solana {
        field.wrong("\"upto\" settles twice on Solana, which is not done here; \"exact\" would be right");
    }
    scheme
}

/// The assets as the scheme moves them: `upto` has no other way than Permit2.
pub(super) fn assets(scheme: &Scheme, assets: Vec<Asset>, section: Option<&Section<'_>>) -> Vec<Asset> {
    if !scheme.is_upto() {
        return assets;
    }
    let named = section.and_then(|section| section.field("asset")).filter(Field::is_table);
    let members = named.and_then(|field| field.members("")).unwrap_or_default();
    let is_other = |(name, field): &(&str, Field<'_>)| *name == "transfer" && field.written() == "\"eip3009\"";
    if let Some((_, field)) = members.into_iter().find(is_other) {
        field.wrong("\"upto\" moves tokens by Permit2 only, \"permit2\" would be right");
    }
    assets.into_iter().map(|asset| Asset { transfer: TransferMethod::Permit2, ..asset }).collect()
}

/// What offers have in `extra` besides what the gateway writes there.
pub(super) fn extra(
    section: Option<&Section<'_>>,
    scheme: &Scheme,
    network: &Network,
    assets: &[Asset],
) -> Map<String, Value> {
    let Some(field) = section.and_then(|section| section.field("extra")) else { return Map::new() };
    let on_solana = scheme.is_exact() && network.family() == Family::Solana;
    let mut extra = Map::new();
    for (name, member) in field.members("a table like { memo = \"order 7\" }").unwrap_or_default() {
        if OURS.contains(&name) || (on_solana && ON_SOLANA.contains(&name)) {
            member.wrong("is written by the gateway itself, leaving it out would be right");
        } else if assets.iter().any(|asset| asset_members(asset).contains(&name)) {
            member.wrong("follows from the asset, leaving it out would be right");
        }
        if let Some(value) = json(&member, DEPTH_MAX) {
            if name == FLOW && !value.as_str().is_some_and(|flow| FLOWS.contains(&flow)) {
                member.wrong(format_args!(
                    "{} is no flow of this gateway, \"authorization\" or \"upfront\" would be right",
                    member.written()
                ));
            }
            extra.insert(name.to_owned(), value);
        }
    }
    extra
}

/// A value as JSON. Numbers that clients and facilitators may read in different ways are none.
fn json(field: &Field<'_>, depth: usize) -> Option<Value> {
    const RIGHT: &str = "a text, a whole number, true or false, a list or a table";
    if depth == 0 {
        field.wrong("is too deep, a flatter table would be right");
        return None;
    }
    match () {
        () if field.is_text() => field.text(RIGHT).map(Value::from),
        () if field.is_flag() => field.flag().map(Value::from),
        () if field.is_table() => {
            let members = field.members(RIGHT)?.into_iter();
            let members = members.map(|(name, member)| Some((name.to_owned(), json(&member, depth - 1)?)));
            members.collect::<Option<Map<_, _>>>().map(Value::from)
        }
        () if field.is_list() => {
            let elements = field.list(RIGHT)?;
            elements.iter().map(|element| json(element, depth - 1)).collect::<Option<Vec<_>>>().map(Value::from)
        }
        () => field.whole(RIGHT).map(Value::from),
    }
}
