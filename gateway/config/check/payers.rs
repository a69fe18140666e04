//! `[screening]`, `[limits]`, `[[alerts]]` and `[webhook]`: who may pay, how much, and who is told.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;

use super::quantity::{count, duration, rate, timeout};
use super::url::Location;
use super::{Surroundings, facilitator, lists, secret};
use crate::config::PayersConfig;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::pricing::Price;
use crate::screening::{Cap, Dollars, Limits, Most, Rate, Rules, ScreenerSettings};
use crate::webhook::{SigningSecret, Webhook};

const LIMITS: &[&str] = &[
    "payments_per_payer",
    "unsettled_per_payer",
    "strikes",
    "unpaid_per_address",
    "bad_payments_per_address",
    "keyless_per_address",
];
/// Caps and alerts in one file: each is a window for each payer.
const CAPS_MAX: usize = 16;
const COUNT: RangeInclusive<u32> = 1..=1_000_000;
/// Each strike is remembered.
const STRIKES: RangeInclusive<u32> = 1..=1000;
const WINDOW_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const URL: &str = "a URL like \"https://example.com/hook\"";

/// All four.
pub(super) fn check(root: &Section<'_>, around: &Surroundings<'_>) -> PayersConfig {
    let screening = root.section("screening", &["deny", "allow", "http"]);
    let (lists, files) = lists::check(&screening, around);
    let rules = Rules { lists, limits: limits(root), alerts: alerts(root) };
    let screener = screening.field("http").and_then(|field| screener(&field, around));
    PayersConfig { rules, screener, webhook: webhook(root, around), files }
}

fn limits(root: &Section<'_>) -> Limits {
    let (section, usual) = (root.section("limits", LIMITS), Limits::default());
    let per_address =
        |key| section.field(key).and_then(|field| rate(&field)).map(|rate| Rate { count: rate.calls, per: rate.per });
    let payments = section.field("payments_per_payer");
    let payments = payments.and_then(|field| field.list("a list like [{ count = 10, per = \"1m\" }]"));
    let unsettled = section.field("unsettled_per_payer").and_then(|field| count(&field, COUNT));
    let strikes = section.field("strikes").and_then(|field| strikes(&field));
    Limits {
        payments: caps(&payments.unwrap_or_default(), "count", "amount"),
        unsettled: unsettled.unwrap_or(usual.unsettled),
        strikes: strikes.unwrap_or(usual.strikes),
        unpaid: per_address("unpaid_per_address"),
        bad_payments: per_address("bad_payments_per_address"),
        keyless: per_address("keyless_per_address"),
    }
}

fn strikes(field: &Field<'_>) -> Option<Rate> {
    let section = field.section(&["count", "per"])?;
    let count = section.required("count", "a whole number").and_then(|field| count(&field, STRIKES));
    let per = section.required("per", "a duration like \"10m\"").and_then(|field| window(&field));
    Some(Rate { count: count?, per: per? })
}

fn alerts(root: &Section<'_>) -> Vec<Cap> {
    let list = root.field("alerts").and_then(|field| field.list("a list of tables, [[alerts]],"));
    caps(&list.unwrap_or_default(), "payer_count", "payer_amount")
}

fn caps(list: &[Field<'_>], count_key: &'static str, amount_key: &'static str) -> Vec<Cap> {
    if let Some(field) = list.get(CAPS_MAX) {
        field.wrong(format_args!("is one too many, {CAPS_MAX} would be right"));
    }
    list.iter().filter_map(|field| cap(field, count_key, amount_key)).collect()
}

fn cap(field: &Field<'_>, count_key: &'static str, amount_key: &'static str) -> Option<Cap> {
    let keys: &[&str] = match count_key {
        "count" => &["count", "amount", "per"],
        _ => &["payer_count", "payer_amount", "per"],
    };
    let section = field.section(keys)?;
    let per = section.required("per", "a duration like \"1d\"").and_then(|field| window(&field));
    let most = match (section.field(count_key), section.field(amount_key)) {
        (Some(field), None) => count(&field, COUNT).map(Most::Payments),
        (None, Some(field)) => amount(&field).map(Most::Amount),
        (one, _) => {
            let says = if one.is_some() { "both" } else { "neither" };
            field.wrong(format_args!("has {says} of {count_key} and {amount_key}, one of them would be right"));
            None
        }
    };
    Some(Cap { most: most?, per: per? })
}

fn window(field: &Field<'_>) -> Option<Duration> {
    duration(field, Duration::from_secs(1)..=WINDOW_MAX, "1d")
}

fn amount(field: &Field<'_>) -> Option<Dollars> {
    const RIGHT: &str = "is not an amount of dollars like \"$50\"";
    match field.read(Price::parse(field.text("a text like \"$50\"")?).map_err(|_| RIGHT))? {
        Price::Decimal { digits, symbol: None } => field.read(Dollars::from_decimal(&digits)),
        _ => field.read(Err(RIGHT)),
    }
}

fn screener(field: &Field<'_>, around: &Surroundings<'_>) -> Option<ScreenerSettings> {
    let section = field.section(&["url", "allow_http", "headers", "timeout", "cache_ttl"])?;
    let headers = section
        .field("headers")
        .and_then(|field| field.members("a table like { Authorization = { env = \"TOKEN\" } }"));
    let headers = headers.unwrap_or_default();
    let headers = headers.iter().filter_map(|(name, field)| facilitator::header(name, field, around));
    let headers = headers.filter_map(|(name, secret)| {
        let mut value = http::HeaderValue::from_str(secret.reveal()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    let headers = headers.collect();
    let (timeout, cache_ttl) = (
        timeout(&section, "timeout", Duration::from_secs(2)),
        timeout(&section, "cache_ttl", Duration::from_secs(3600)),
    );
    Some(ScreenerSettings { url: url(&section, "payers' addresses")?, headers, timeout, cache_ttl })
}

fn webhook(root: &Section<'_>, around: &Surroundings<'_>) -> Option<Webhook> {
    let section = root.field("webhook")?.section(&["url", "allow_http", "secret", "timeout"])?;
    let secret = section.required("secret", "{ env = \"NAME\" } or { file = \"PATH\" }").and_then(|field| {
        let secret = SigningSecret::parse(secret::read(&field, around)?.reveal());
        // Not `read`, which would show what was written.
        secret.map_err(|error| field.wrong(error)).ok()
    });
    let timeout = timeout(&section, "timeout", Duration::from_secs(5));
    let url = url(&section, "events");
    Some(Webhook { url: url?, secret: secret?, timeout })
}

fn url(section: &Section<'_>, what: &str) -> Option<Uri> {
    let allow_http = section.field("allow_http").and_then(|field| field.flag()).unwrap_or(false);
    let field = section.required("url", URL)?;
    let location = field.read(Location::base(field.text(URL)?))?;
    if !location.tls && !location.is_loopback() && !allow_http {
        field.wrong(format_args!(
            "sends {what} over the network in the clear, https:// would be right, or allow_http = true"
        ));
    }
    field.read(location.url().parse::<Uri>())
}
