//! `[pay_to]` and `[networks.NAME]`: who gets the money, where, and in what.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::quantity::duration;
use super::url::{Location, LocationError};
use super::{Surroundings, asset, scheme, secret};
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{Receiver, Secret};
use crate::money::{Address, Asset, Family, Network, TransferMethod};
use crate::x402::networks::{self, KnownNetwork, NETWORKS};

const NETWORK_KEYS: &[&str] = &[
    "asset",
    "max_timeout",
    "scheme",
    "extra",
    "rpc_url",
    "allow_http",
    "confirm_settlements",
    "memo",
    "blockhash_hints",
];
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(TIMEOUT_SECONDS_MAX);
pub(super) const TIMEOUT_SECONDS_MAX: u64 = 3600;
const USUAL_TIMEOUT_SECONDS: u64 = 60;
/// Clients take memos of up to 256 bytes, of which a slash and sixteen digits are each challenge's own.
const MEMO_BYTES_MAX: usize = 256 - 17;

/// The receivers of a file.
pub(super) struct Receivers<'a> {
    /// Those that are sound, in the order of the file.
    pub(super) list: Vec<Receiver>,
    /// Where the file says how long payments on a network are good.
    pub(super) timeouts: Vec<(Network, Field<'a>)>,
    /// Whether all are: if not, a price that nobody takes may be a consequence.
    pub(super) all_sound: bool,
    /// Whether the file names none at all.
    pub(super) none_named: bool,
}

/// A key of `[pay_to]` or `[networks]` with the network that it names.
struct Named<'a> {
    key: &'a str,
    field: Field<'a>,
    network: Network,
    known: Option<&'static KnownNetwork>,
}

/// `[pay_to]` and `[networks.NAME]`.
pub(super) fn check<'a>(root: &Section<'a>, around: &Surroundings<'_>) -> Receivers<'a> {
    let before = root.report().count();
    let pay_to = named(root.field("pay_to"), "a table like { base = \"0x…\" }");
    let none_named = pay_to.is_empty() && root.report().count() == before;
    let settings = named(root.field("networks"), "tables like [networks.base]");
    for setting in &settings {
        if !pay_to.iter().any(|receiver| receiver.network == setting.network) {
            let text = format!("has no receiver, pay_to.{} would be right", setting.key);
            setting.field.wrong_key(text, "", &[]);
        }
    }
    let (mut list, mut timeouts) = (Vec::new(), Vec::new());
    for receiver in &pay_to {
        let settings = settings.iter().find(|setting| setting.network == receiver.network);
        let section = settings.and_then(|settings| settings.field.section(NETWORK_KEYS));
        let timeout = section.as_ref().and_then(|section| section.field("max_timeout"));
        let timeout = timeout.and_then(|field| Some((seconds(&field)?, field)));
        let seconds = timeout.as_ref().map_or(USUAL_TIMEOUT_SECONDS, |(seconds, _)| *seconds);
        list.extend(check_one(receiver, section.as_ref(), seconds, around));
        timeouts.extend(timeout.map(|(_, field)| (receiver.network.clone(), field)));
    }
    Receivers { list, timeouts, all_sound: root.report().count() == before, none_named }
}

fn named<'a>(table: Option<Field<'a>>, right: &str) -> Vec<Named<'a>> {
    let mut list: Vec<Named<'a>> = Vec::new();
    for (key, field) in table.and_then(|table| table.members(right)).unwrap_or_default() {
        let Some((network, known)) = network(key) else {
            let names: Vec<_> = NETWORKS.iter().map(|known| known.name).collect();
            field.wrong_key("is neither a known network nor a CAIP-2 id like \"eip155:8453\"", key, &names);
            continue;
        };
        match list.iter().find(|named| named.network == network) {
            Some(earlier) => {
                let text = format!("is the same network as {} in line {}", earlier.field.path(), earlier.field.line());
                field.wrong_key(text, "", &[]);
            }
            None => list.push(Named { key, field, network, known }),
        }
    }
    list
}

fn network(key: &str) -> Option<(Network, Option<&'static KnownNetwork>)> {
    match networks::known(key) {
        Some(known) => Some((known.network()?, Some(known))),
        None => Some((Network::parse(key).ok()?, None)),
    }
}

/// A network that somebody is paid on, as it is named elsewhere in the file.
pub(super) fn named_network(field: &Field<'_>, receivers: &Receivers<'_>) -> Option<Network> {
    let text = field.text("a network like \"base\"")?;
    let names: Vec<_> = receivers.list.iter().map(|receiver| &*receiver.name).collect();
    let found = network(text).map(|(network, _)| network);
    let has_receiver = |network: &Network| receivers.list.iter().any(|receiver| receiver.network == *network);
    if !found.as_ref().is_some_and(has_receiver) && receivers.all_sound {
        let close = crate::config::spelling::suggestion(text, &names);
        let right = close.map(|close| format!(", did you mean {close:?}?")).unwrap_or_default();
        field.wrong(format_args!("{text:?} has no receiver in pay_to{right}"));
    }
    found
}

fn check_one(
    receiver: &Named<'_>,
    section: Option<&Section<'_>>,
    max_timeout_seconds: u64,
    around: &Surroundings<'_>,
) -> Option<Receiver> {
    let rpc_url = section.and_then(|section| rpc_url(section, &receiver.network, around));
    let confirm = section.and_then(|section| section.field("confirm_settlements"));
    let confirm = confirm.filter(|field| field.flag() == Some(true));
    let memo = section.and_then(|section| memo(section, &receiver.network));
    let blockhash_hints = section.is_some_and(|section| blockhash_hints(section, &receiver.network));
    let pay_to = address(&receiver.field, &receiver.network);
    let scheme = scheme::check(section, &receiver.network);
    let asset = section.and_then(|section| section.field("asset"));
    let assets = match (asset, receiver.known) {
        (Some(field), known) => assets(asset::check(&field, &receiver.network, known)?, known),
        (None, Some(known)) => known.all_assets(),
        (None, None) => {
            let text = "is a network whose assets are not known";
            let right = format!("[networks.{:?}] with asset = {{ address = …, decimals = … }}", receiver.key);
            receiver.field.wrong_key(format_args!("{text}, {right} would be right"), "", &[]);
            return None;
        }
    };
    let assets = scheme::assets(&scheme, assets, section);
    let extra = scheme::extra(section, &scheme, &receiver.network, &assets);
    if let Some(field) = &confirm {
        if rpc_url.is_none() {
            field.wrong("needs the chain: rpc_url is missing");
        } else if !scheme.is_exact() || assets.iter().any(|asset| asset.transfer == TransferMethod::Permit2) {
            field.wrong("cannot be kept: payments of other schemes and by Permit2 cannot be looked up on the chain");
        }
    }
    let pay_to = pay_to?;
    if assets.iter().any(|asset| asset.address == pay_to) {
        receiver.field.wrong("is the token itself, where money would be lost; your own address would be right");
    }
    Some(Receiver {
        v1_name: networks::v1_name(&receiver.network).filter(|_| scheme.is_exact()),
        scheme,
        extra,
        network: receiver.network.clone(),
        name: receiver.key.into(),
        assets,
        pay_to,
        max_timeout_seconds,
        rpc_url,
        confirm_settlements: confirm.is_some(),
        memo,
        blockhash_hints,
    })
}

/// What the memos of payments begin with.
fn memo(section: &Section<'_>, network: &Network) -> Option<Arc<str>> {
    let field = section.field("memo")?;
    let text = field.text("a text like \"shop-7\"")?;
    let wrong = match text.chars().find(|c| c.is_control()) {
        _ if network.family() != Family::Solana => "is of no use here, only Solana's payments have one".to_owned(),
        _ if text.is_empty() => "is empty, a text like \"shop-7\" would be right".to_owned(),
        _ if text.len() > MEMO_BYTES_MAX => {
            format!("is of {} bytes, at most {MEMO_BYTES_MAX} would be right", text.len())
        }
        Some(control) => format!("has {control:?} in it, one line of text would be right"),
        None => return Some(text.into()),
    };
    field.wrong(wrong);
    None
}

/// Whether challenges name a recent block.
fn blockhash_hints(section: &Section<'_>, network: &Network) -> bool {
    let Some(field) = section.field("blockhash_hints") else { return false };
    let is_wanted = field.flag().unwrap_or(false);
    if is_wanted && network.family() != Family::Solana {
        field.wrong("is of no use here, only Solana's payments name a block");
    } else if is_wanted && section.field("rpc_url").is_none() {
        field.wrong("needs to ask somebody: rpc_url beside it would be right");
    }
    is_wanted
}

/// The chain's RPC server. Its URL is a secret, as many providers put a key into it: no report shows it.
fn rpc_url(section: &Section<'_>, network: &Network, around: &Surroundings<'_>) -> Option<Secret> {
    let field = section.field("rpc_url")?;
    let allow_http = section.field("allow_http").and_then(|field| field.flag()).unwrap_or(false);
    let url = match field.is_text() {
        true => Secret::new(field.text("")?.to_owned()),
        false => secret::read(&field, around)?,
    };
    if network.family() == Family::Other {
        field.wrong("is of no use here, payments can be looked up on EVM networks and Solana only");
    }
    // Some providers put the key into a query, which a base URL has none of.
    let base = url.reveal().split_once('?').map_or(url.reveal(), |(base, _)| base);
    match Location::base(base) {
        Err(error) => field.wrong(error),
        Ok(_) if url.reveal().parse::<http::Uri>().is_err() => field.wrong(LocationError::Form),
        Ok(location) if !location.tls && !location.is_loopback() && !allow_http => {
            field.wrong("believes whoever is on the way, https:// would be right, or allow_http = true");
        }
        Ok(_) => {}
    }
    Some(url)
}

/// The operator's asset, then the others that are known on the network.
fn assets(first: Asset, known: Option<&KnownNetwork>) -> Vec<Asset> {
    let others = known.map(KnownNetwork::all_assets).unwrap_or_default();
    let others = others.into_iter().filter(|other| other.address != first.address).collect();
    [vec![first], others].concat()
}

/// An address that can hold money.
pub(super) fn address(field: &Field<'_>, network: &Network) -> Option<Address> {
    let address = field.read(Address::parse_typed(field.text("an address")?, network))?;
    let is_zero = match &address {
        Address::Evm(address) => address.is_zero(),
        // Solana's system program is thirty-two zero bytes: a "1" of base58 each.
        Address::Text(text) => text.bytes().all(|b| b == b'1'),
    };
    field.read(if is_zero { Err("is the zero address, which nobody owns") } else { Ok(address) })
}

fn seconds(field: &Field<'_>) -> Option<u64> {
    let duration = duration(field, TIMEOUTS, "60s")?;
    let is_whole = duration.subsec_nanos() == 0;
    field.read(if is_whole { Ok(duration.as_secs()) } else { Err("is not a whole number of seconds") })
}
