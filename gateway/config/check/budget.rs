//! The size of the challenges: many proxies on a buyer's way drop headers above 4 to 8 KiB.

use std::collections::HashMap;

use crate::config::document::Section;
use crate::config::{Config, Receiver};
use crate::plans::Plan;
use crate::pricing::{Price, Terms};

const HEADER_BYTES_WARN: usize = 4 * 1024;
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// What a challenge has besides offer and terms: version, error, the names of the members, and the rest of the
/// resource's URL (what `{name}` stands for, and the query).
const FRAME_BYTES: usize = 350;
/// The same for a plan, whose URL is known.
const PLAN_FRAME_BYTES: usize = 190;
/// A quote in `extra`, with its name.
const QUOTE_BYTES: usize = 52;
/// The timing in `extra`, which plans do not have.
const TIMING_BYTES: usize = 28;
/// An address of the facilitator's in `extra`, with its name.
const SIGNER_BYTES: usize = 66;
/// A memo in `extra`, with its name, but for the operator's text.
const MEMO_BYTES: usize = 28;
/// A recent block in `extra`, with the names of its two members.
const HINT_BYTES: usize = 112;
/// The extensions in the challenge of a plan (how to sign in, how to name a payment), but for what follows.
const EXTENSIONS_BYTES: usize = 560;
/// A network that a wallet may sign in on, but for its name.
const CHAIN_BYTES: usize = 32;
/// How often the extensions name the plan's URL or its host.
const EXTENSION_URLS: usize = 3;

/// Measures the largest challenge of the file; the others are smaller.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    let mut accepts = Accepts { receivers: &config.receivers, sizes: HashMap::new() };
    let routes = config.routes.iter().filter_map(|route| {
        let pattern = route.pattern.as_str();
        let texts = json_bytes(&[&route.description, &route.mime_type, pattern]) + FRAME_BYTES;
        let timing = TIMING_BYTES * config.receivers.len();
        Some((accepts.bytes(route.sale.price()?) + texts + timing, "route", pattern))
    });
    let largest_route = routes.max();
    let plans = config.plans.iter().map(|offered| {
        let name: &str = &offered.plan.name;
        let chains = config.receivers.iter().filter(|receiver| receiver.asset_for(&offered.price).is_some());
        let urls = EXTENSION_URLS * (config.server.public_url.len() + name.len());
        let texts = json_bytes(&[&offered.description, name]) + PLAN_FRAME_BYTES + EXTENSIONS_BYTES + urls;
        let content = chains.clone().count() * content_bytes(&offered.plan);
        let chains: usize = chains.map(|receiver| CHAIN_BYTES + receiver.network.caip2().len()).sum();
        (accepts.bytes(&offered.price) + texts + chains + content, "plan", name)
    });
    let (Some((json, kind, name)), Some(pay_to)) = (plans.chain(largest_route).max(), root.field("pay_to")) else {
        return;
    };
    let header = (json + config.server.public_url.len()).div_ceil(3) * 4;
    let text = format!("make the challenge of {kind} {name:?} a header of about {header} bytes");
    if header > HEADER_BYTES_MAX {
        pay_to.wrong(format_args!(
            "{text}, which buyers' clients refuse: fewer networks or a shorter description would be right"
        ));
    } else if header > HEADER_BYTES_WARN {
        pay_to
            .warn(format_args!("{text}, which some proxies refuse: fewer networks or a shorter description are safer"));
    }
}

/// The sizes of `accepts`, which are the same for all offers of one price.
struct Accepts<'a> {
    receivers: &'a [Receiver],
    sizes: HashMap<&'a Price, usize>,
}

impl<'a> Accepts<'a> {
    fn bytes(&mut self, price: &'a Price) -> usize {
        let receivers = self.receivers;
        *self.sizes.entry(price).or_insert_with(|| receivers.iter().filter_map(|receiver| entry(receiver, price)).sum())
    }
}

fn entry(receiver: &Receiver, price: &Price) -> Option<usize> {
    let asset = receiver.asset_for(price)?.clone();
    let amount = price.on(&asset).ok()?;
    let (network, pay_to, seconds) = (receiver.network.clone(), receiver.pay_to.clone(), receiver.max_timeout_seconds);
    let terms =
        Terms::new(network, asset, amount, pay_to, seconds, None, receiver.extra.clone()).by(receiver.scheme.clone());
    let json = serde_json::to_vec(&terms.requirements()).unwrap_or_default();
    let needed = receiver.scheme.needs_of_facilitator(receiver.network.family());
    let needed = if needed.is_some_and(|name| !receiver.extra.contains_key(name)) { SIGNER_BYTES } else { 0 };
    let memo = receiver.memo.as_ref().map_or(0, |memo| MEMO_BYTES + json_bytes(&[memo]));
    let hint = if receiver.blockhash_hints { HINT_BYTES } else { 0 };
    Some(json.len() + QUOTE_BYTES + needed + memo + hint)
}

/// A plan's content in `extra`, with its name.
fn content_bytes(plan: &Plan) -> usize {
    json_bytes(&[Plan::QUOTED]) + ":,".len() + plan.to_quote().to_string().len()
}

fn json_bytes(texts: &[&str]) -> usize {
    texts.iter().map(|text| serde_json::to_vec(text).unwrap_or_default().len()).sum()
}
