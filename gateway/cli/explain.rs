//! `tollgate explain FILE METHOD URL`: which route a request meets, what it costs, and why.

use std::fmt::Write as _;
use std::io::{stderr, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use http::Method;

use super::print;
use crate::config::{Config, Receiver, RouteConfig, load};
use crate::plans::Units;
use crate::pricing::{
    Access, Endpoint, Found, Kinds, Metering, Price, Reported, Route, Router, SettleTiming, Target, Unlisted,
};

/// Explains a request of a file. Fails if the file is wrong or the request is none.
pub fn run(path: &Path, method: &str, url: &str) -> ExitCode {
    let loaded = match load(path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            print(stderr(), &problems.to_string());
            return ExitCode::FAILURE;
        }
    };
    match explain(&loaded.config, method, url) {
        Ok(text) => {
            print(stdout(), &text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            print(stderr(), &error);
            ExitCode::FAILURE
        }
    }
}

/// What becomes of a request, line by line. `url` is absolute, or a path with its query.
///
/// # Errors
/// A sentence, if the method or the URL is none.
pub fn explain(config: &Config, method: &str, url: &str) -> Result<String, String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is not a method"))?;
    let raw = target(url).ok_or_else(|| format!("{url:?} is neither a URL nor a path"))?;
    let target = match Target::parse(raw.as_bytes()) {
        Ok(target) => target,
        Err(error) => return Ok(format!("{method} {raw}\nrefused    400, {error}")),
    };
    let mut text = format!("{method} {target}");
    // What the facilitator settles is not known here, and does not change which route it is.
    let (table, _) = config.price_table(&Kinds::unknown());
    match table.find(&method, target.path()) {
        Found::Route(found) => match config.routes.iter().enumerate().find(|(_, route)| is_same(route, &found)) {
            Some((index, route)) => {
                push_route(&mut text, config, index, route, is_twin(&found, &method, target.path()));
            }
            None => push(&mut text, "route", found.pattern.as_str()),
        },
        Found::Endpoint(endpoint) => push(&mut text, "gateway", endpoint_text(endpoint)),
        Found::Unlisted => match config.server.unlisted {
            Unlisted::Free => {
                push(&mut text, "route", "none; unlisted = \"free\" forwards it, and nothing is asked");
                push_upstream(&mut text, config, "");
            }
            Unlisted::Deny => push(&mut text, "route", "none; unlisted = \"deny\" answers 404"),
        },
    }
    Ok(text)
}

/// Path and query of a URL, as a client would send them.
fn target(url: &str) -> Option<&str> {
    if url.starts_with('/') {
        return Some(url);
    }
    let (_, rest) = url.split_once("://")?;
    match rest.find(['/', '?']) {
        Some(at) => rest.get(at..).filter(|target| target.starts_with('/')),
        None => Some("/"),
    }
}

fn is_same(route: &RouteConfig, found: &Route) -> bool {
    route.pattern == found.pattern && route.methods == found.methods
}

/// Whether a path is not the route's own, but one that a careless upstream would take for it.
fn is_twin(found: &Route, method: &Method, path: &str) -> bool {
    let Route { pattern, methods, settle, upstream, .. } = found;
    let (pattern, methods, settle, upstream) = (pattern.clone(), methods.clone(), *settle, Arc::clone(upstream));
    // Only what has a price has twins.
    let alone = Arc::new(Route { pattern, methods, access: Access::Free, settle, upstream, free_calls: None });
    Router::new(&[alone]).is_ok_and(|router| router.find(method, path).is_none())
}

fn endpoint_text(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Pricing => "the price list, free",
        Endpoint::Purchase => "the sale of plans",
        Endpoint::Status => "the state of a subscription, free",
        Endpoint::Keys | Endpoint::RotateKey | Endpoint::Key => "a buyer's own keys, free",
        Endpoint::LinkAddress => "another wallet for a buyer, free",
        Endpoint::Jwks => "the key of what upstreams are told, where one asks for it; free",
        Endpoint::Unknown => "404, this prefix is the gateway's own",
    }
}

fn push_route(text: &mut String, config: &Config, index: usize, route: &RouteConfig, is_twin: bool) {
    push(text, "route", &format!("{} {} (routes[{index}])", route.methods, route.pattern));
    if is_twin {
        push(text, "", "upstreams that ignore letter case or a slash at the end serve this path as that route");
    }
    push_upstream(text, config, &route.upstream);
    if let Some(price) = route.sale.price() {
        let timing = match route.settle {
            SettleTiming::After => "settled when the upstream has answered well",
            SettleTiming::Before => "settled before the upstream is asked",
        };
        push(text, "price", &format!("{price} for this call, {timing}"));
        config.receivers.iter().filter_map(|receiver| way(receiver, price)).for_each(|way| push(text, "", &way));
        push_times(text, config, route, price);
    }
    if let Some(metering) = route.sale.metering() {
        let plans: Vec<_> = config.plans.iter().map(|plan| &*plan.plan.name).collect();
        push_metering(text, metering, &plans.join(", "));
    }
    if let Some(rate) = route.free_calls {
        push(text, "free", &format!("{rate} for each address, without a payment or a key"));
    }
    if route.sale.price().is_none() && route.sale.metering().is_none() {
        push(text, "price", "free");
    }
}

fn push_metering(text: &mut String, metering: &Metering, plans: &str) {
    let Metering { units, reported, per_byte } = metering;
    match per_byte {
        Some(each) if *units == Units::ZERO => {
            push(text, "units", &format!("{each} of a plan for each byte sent, with a key of {plans}"));
        }
        _ => push(text, "units", &format!("{units} of a plan, with a key of {plans}")),
    }
    if let Some(Reported { header, units_max }) = reported.as_deref() {
        push(text, "", &format!("in place of it what the answer's {header} says, {units_max} at most"));
    }
    if let Some(each) = per_byte.filter(|_| *units != Units::ZERO) {
        push(text, "", &format!("and {each} for each byte sent"));
    }
}

fn push_upstream(text: &mut String, config: &Config, name: &str) {
    if let Some(upstream) = config.upstreams.get(name) {
        let scheme = if upstream.tls { "https" } else { "http" };
        let host = if upstream.host.contains(':') { format!("[{}]", upstream.host) } else { upstream.host.to_string() };
        push(text, "upstream", &format!("{scheme}://{host}:{}", upstream.port));
    }
}

/// How long the upstream may take, and the signature lasts meanwhile.
fn push_times(text: &mut String, config: &Config, route: &RouteConfig, price: &Price) {
    let (SettleTiming::After, Some(upstream)) = (route.settle, config.upstreams.get(&route.upstream)) else { return };
    let wait = upstream.connect_timeout.saturating_add(upstream.read_timeout);
    let payable = config.receivers.iter().filter(|receiver| receiver.asset_for(price).is_some());
    let lasts = payable.map(|receiver| format!("{}s on {}", receiver.max_timeout_seconds, receiver.name));
    let lasts: Vec<_> = lasts.collect();
    push(text, "times", &format!("{wait:?} for the upstream; a payment lasts {}", lasts.join(", ")));
}

/// One way to pay a price, in numbers for people and for the chain.
fn way(receiver: &Receiver, price: &Price) -> Option<String> {
    let asset = receiver.asset_for(price)?;
    let amount = price.on(asset).ok()?;
    let (scheme, family) = (&receiver.scheme, receiver.network.family());
    let needed = scheme.needs_of_facilitator(family).filter(|name| !receiver.extra.contains_key(*name));
    let waits = match needed {
        Some("feePayer") => ", once the facilitator names a fee payer".to_owned(),
        Some(name) => format!(", once the facilitator gives a {name}"),
        None if scheme.is_read_on(family) => String::new(),
        None => ", once the facilitator says that it settles that".to_owned(),
    };
    let by = if scheme.is_exact() { String::new() } else { format!(" by {:?}", scheme.as_str()) };
    Some(format!(
        "{} {} = {amount} atomic units on {} ({}), to {}{by}{waits}",
        amount.to_decimal(asset.decimals),
        asset.symbol,
        receiver.name,
        receiver.network,
        receiver.pay_to,
    ))
}

fn push(text: &mut String, what: &str, line: &str) {
    let _ = write!(text, "\n{what:<10} {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(method: &str, url: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plans.toml");
        explain(&load(&file).unwrap().config, method, url).unwrap()
    }

    #[test]
    fn a_priced_request_is_explained_in_both_numbers() {
        let text = explained("GET", "https://api.example.com/v1/tokens/base/0xabc?full=1");
        assert_eq!(
            text,
            "\
GET /v1/tokens/base/0xabc?full=1
route      GET /v1/tokens/{chain}/{address} (routes[0])
upstream   http://127.0.0.1:3000
price      $0.01 for this call, settled when the upstream has answered well
           0.01 USDC = 10000 atomic units on base (eip155:8453), to 0x209693Bc6afc0C5328bA36FaF03C514EF312287C
           0.01 USDC = 10000 atomic units on solana (solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp), to \
EGBQqKn968sVv5cQh5Cr72pSTHfxsuzq7o7asqYB5uEV, once the facilitator names a fee payer
times      45s for the upstream; a payment lasts 120s on base, 60s on solana
units      1 of a plan, with a key of trial, nano, starter, pro"
        );
    }

    #[test]
    fn any_other_request_is_explained_too() {
        for (method, url, line) in [
            ("POST", "/v1/swap", "units      5 of a plan, with a key of trial, nano, starter, pro"),
            ("HEAD", "/v1/quotes", "units      0.25 of a plan, with a key of trial, nano, starter, pro"),
            ("GET", "/v1/status", "price      free"),
            ("POST", "/v1/quotes", "route      none; unlisted = \"deny\" answers 404"),
            ("GET", "/x402/pricing", "gateway    the price list, free"),
            ("GET", "//v1", "refused    400, the path has an empty segment"),
            ("GET", "https://api.example.com", "route      none; unlisted = \"deny\" answers 404"),
        ] {
            assert_eq!(explained(method, url).lines().last(), Some(line), "{method} {url}");
        }
    }

    #[test]
    fn what_a_call_takes_of_a_plan_is_explained_in_all_its_parts() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/everything.toml");
        let config = load(&file).unwrap().config;
        for (url, last) in [
            (
                "/v1/graphql",
                "\
units      1 of a plan, with a key of trial
           in place of it what the answer's x-units says, 5 at most",
            ),
            (
                "/v1/stream",
                "\
units      0.5 of a plan, with a key of trial
           and 0.005 for each byte sent",
            ),
            ("/v1/firehose", "units      0.005 of a plan for each byte sent, with a key of trial"),
            ("/weather", "free       100/d for each address, without a payment or a key"),
        ] {
            let text = explain(&config, "POST", url).unwrap();
            assert!(text.ends_with(&format!("\n{last}")), "{text}");
        }
    }

    #[test]
    fn a_twin_is_called_one() {
        let text = explained("POST", "/V1/Swap/");
        assert!(text.contains("ignore letter case") && text.contains("/v1/swap/{rest...}"), "{text}");
        assert!(!explained("POST", "/v1/swap/").contains("ignore letter case"));
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plans.toml");
        let config = load(&file).unwrap().config;
        assert_eq!(explain(&config, "G T", "/"), Err("\"G T\" is not a method".to_owned()));
        assert_eq!(explain(&config, "GET", "weather"), Err("\"weather\" is neither a URL nor a path".to_owned()));
    }
}
