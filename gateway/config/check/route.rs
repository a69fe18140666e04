//! One `[[routes]]` entry.

use std::sync::Arc;

use http::Method;

use super::metering::RawMetering;
use super::price;
use super::quantity::{listed, rate};
use super::receivers::Receivers;
use super::upstream::Upstreams;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::config::{KeysConfig, RouteConfig, Sale, ServerConfig};
use crate::plans::Rate;
use crate::pricing::{Methods, Pattern, PatternError, SettleTiming, Target};

const KEYS: &[&str] = &[
    "path",
    "methods",
    "price",
    "units",
    "units_header",
    "units_max",
    "units_per_byte",
    "free",
    "free_calls",
    "settle",
    "upstream",
    "description",
    "mime_type",
];
const TIMINGS: &[(&str, SettleTiming)] = &[("after", SettleTiming::After), ("before", SettleTiming::Before)];
/// A facilitator in the field refuses longer ones.
const DESCRIPTION_CHARS_MAX: usize = 500;
const MIME_TYPE_BYTES_MAX: usize = 100;

/// What a route is checked against.
pub(super) struct Against<'a> {
    pub(super) server: &'a ServerConfig,
    pub(super) receivers: &'a Receivers<'a>,
    pub(super) upstreams: &'a Upstreams,
    pub(super) keys: &'a KeysConfig,
    pub(super) sells_plans: bool,
}

/// A route as it stands in the file.
pub(super) struct RawRoute<'a> {
    pub(super) section: Section<'a>,
    pub(super) path: Option<Field<'a>>,
    pub(super) methods: Option<Field<'a>>,
    pub(super) price: Option<Field<'a>>,
    pub(super) metering: RawMetering<'a>,
    pub(super) free: Option<Field<'a>>,
    pub(super) free_calls: Option<Field<'a>>,
    pub(super) settle: Option<Field<'a>>,
    pub(super) upstream: Option<Field<'a>>,
    pub(super) description: Option<Field<'a>>,
    pub(super) mime_type: Option<Field<'a>>,
}

impl<'a> RawRoute<'a> {
    pub(super) fn read(element: &Field<'a>) -> Option<Self> {
        let section = element.section(KEYS)?;
        Some(Self {
            path: section.required("path", "a path like \"/weather\""),
            methods: section.field("methods"),
            price: section.field("price"),
            metering: RawMetering::read(&section),
            free: section.field("free"),
            free_calls: section.field("free_calls"),
            settle: section.field("settle"),
            upstream: section.field("upstream"),
            description: section.field("description"),
            mime_type: section.field("mime_type"),
            section,
        })
    }

    /// The checked route, or none if a part of it is wrong that nothing can stand in for.
    pub(super) fn check(&self, against: &Against<'_>) -> (Option<(Pattern, Methods)>, Option<RouteConfig>) {
        let pattern = self.path.as_ref().and_then(|field| pattern(field, &against.server.endpoints));
        let methods = self.methods.as_ref().map_or(Some(Methods::All), methods);
        let place = pattern.zip(methods);
        let sale = self.sale(against);
        let settle = self.settle.as_ref().and_then(|field| self.settle(field)).unwrap_or(SettleTiming::After);
        let free_calls = self.free_calls.as_ref().and_then(|field| self.free_calls(field));
        let upstream = self.upstream.as_ref().and_then(|field| upstream(field, against.upstreams));
        let described = self.description.as_ref().and_then(description);
        let mime_type = self.mime_type.as_ref().and_then(mime_type);
        let route = place.clone().zip(sale).map(|((pattern, methods), sale)| RouteConfig {
            description: described.unwrap_or_else(|| usual_description(&methods, &pattern, &against.server.name)),
            pattern,
            methods,
            sale,
            settle,
            upstream: upstream.unwrap_or_default(),
            mime_type: mime_type.unwrap_or_default(),
            free_calls,
        });
        (place, route)
    }

    fn sale(&self, against: &Against<'_>) -> Option<Sale> {
        let free = self.free.as_ref().map_or(Some(false), Field::flag);
        let price = self.price.as_ref().and_then(|field| {
            let price = price::check(field, against.receivers)?;
            price::warn_if_above_a_dollar(field, &price, against.receivers);
            Some(price)
        });
        let takes_units = self.metering.first();
        let metering = takes_units.and_then(|_| self.metering.check(&self.section, against.keys));
        if let (Some(field), false) = (takes_units, against.sells_plans) {
            field.wrong("takes units of a plan, but there is none, [[plans]] would be right");
        }
        let free = free?;
        match (&self.free, &self.price, takes_units) {
            (Some(field), Some(_), _) if free => wrong(field, "is true beside a price, one of the two would be right"),
            (Some(field), _, Some(_)) if free => wrong(field, "is true beside units, one of the two would be right"),
            (Some(_), None, None) if free => Some(Sale::Free),
            (_, Some(_), Some(_)) => Some(Sale::Either(price?, metering?)),
            (_, Some(_), None) => Some(Sale::PerCall(price?)),
            (_, None, Some(_)) => Some(Sale::PlanOnly(metering?)),
            (_, None, None) => {
                self.section.wrong("says not what it takes, one of price, units, both, or free = true would be right");
                None
            }
        }
    }

    fn settle(&self, field: &Field<'_>) -> Option<SettleTiming> {
        if self.price.is_none() {
            return wrong(field, "is for routes with a price, which this one has not");
        }
        field.choice(TIMINGS)
    }

    fn free_calls(&self, field: &Field<'_>) -> Option<Rate> {
        if self.price.is_none() && self.metering.first().is_none() {
            return wrong(field, "is for routes with price or units, which this one has not");
        }
        rate(field)
    }
}

/// One line for buyers.
pub(super) fn description(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text("a text")?;
    let chars = text.chars().count();
    if chars > DESCRIPTION_CHARS_MAX {
        return wrong(field, &format!("has {chars} characters, facilitators take {DESCRIPTION_CHARS_MAX}"));
    }
    field.read(if text.contains(char::is_control) { Err("is not one line of text") } else { Ok(text.into()) })
}

fn usual_description(methods: &Methods, pattern: &Pattern, name: &str) -> Arc<str> {
    let text = match methods {
        Methods::All => format!("{pattern} at {name}"),
        Methods::Only(_) => format!("{methods} {pattern} at {name}"),
    };
    text.chars().take(DESCRIPTION_CHARS_MAX).collect::<String>().into()
}

fn pattern(field: &Field<'_>, endpoints: &str) -> Option<Pattern> {
    let text = field.text("a path like \"/weather\"")?;
    let pattern = field.read(Pattern::parse(text).map_err(|error| match error {
        PatternError::Path(error) => format!("is not a path that can be asked for: {error}"),
        error => error.to_string(),
    }))?;
    if is_under(text, endpoints) {
        return wrong(field, &format!("{text:?} is under {endpoints:?}, where the gateway itself answers"));
    }
    Some(pattern)
}

/// Whether a pattern can match nothing but paths under `endpoints`.
fn is_under(pattern: &str, endpoints: &str) -> bool {
    let depth = endpoints.matches('/').count();
    let head: Vec<_> = pattern.split('/').take(depth + 1).collect();
    Target::parse(head.join("/").as_bytes()).is_ok_and(|head| head.path() == endpoints)
}

fn methods(field: &Field<'_>) -> Option<Methods> {
    let list = field.list("a list like [\"GET\"]")?;
    if list.is_empty() {
        return wrong(field, "is empty, a list like [\"GET\"] would be right, or no methods at all for every method");
    }
    let mut methods = Vec::new();
    for element in &list {
        let method = method(element)?;
        if methods.contains(&method) {
            return wrong(element, &format!("\"{method}\" is named twice"));
        }
        methods.push(method);
    }
    // HEAD is looked up as GET: alone it would name no request.
    match (methods.iter().position(|method| method == Method::HEAD), methods.contains(&Method::GET)) {
        (Some(_), false) => return wrong(field, "has HEAD without GET, which HEAD is priced as"),
        (Some(head), true) => drop(methods.remove(head)),
        (None, _) => {}
    }
    Some(Methods::Only(methods))
}

fn method(element: &Field<'_>) -> Option<Method> {
    let text = element.text("a method like \"GET\"")?;
    let is_token =
        Method::from_bytes(text.as_bytes()).ok().filter(|_| !text.contains(|c: char| c.is_ascii_lowercase()));
    let method = element.read(is_token.ok_or("is not a method in capitals like \"GET\""))?;
    let refused = method == Method::CONNECT || method == Method::TRACE;
    element.read(if refused { Err("is a method that the gateway refuses") } else { Ok(method) })
}

fn upstream(field: &Field<'_>, upstreams: &Upstreams) -> Option<Arc<str>> {
    let text = field.text("the name of an upstream")?;
    if let Some((name, _)) = upstreams.list.get_key_value(text).filter(|(name, _)| !name.is_empty()) {
        return Some(Arc::clone(name));
    }
    let names: Vec<_> = upstreams.list.keys().filter(|name| !name.is_empty()).map(|name| format!("{name:?}")).collect();
    match names.as_slice() {
        [] => wrong(field, &format!("{text:?} is not known, [upstreams.{text}] would be right")),
        names => wrong(field, &format!("{text:?} is not known, the upstreams are {}", listed(names))),
    }
}

fn mime_type(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text("a media type like \"application/json\"")?;
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let right = text.len() <= MIME_TYPE_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    field.read(if right { Ok(text.into()) } else { Err("is not a media type like \"application/json\"") })
}

fn wrong<T>(field: &Field<'_>, text: &str) -> Option<T> {
    field.wrong(text);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_under_the_endpoints_in_any_spelling() {
        for pattern in ["/x402", "/x402/", "/x402/pricing", "/%78402/{a}", "/x402/{rest...}"] {
            assert!(is_under(pattern, "/x402"), "{pattern}");
        }
        for pattern in ["/", "/x4021", "/{a}/pricing", "/{rest...}", "/a/x402"] {
            assert!(!is_under(pattern, "/x402"), "{pattern}");
        }
        assert!(is_under("/a/pay/b", "/a/pay") && !is_under("/a/{b}", "/a/pay") && !is_under("/a", "/a/pay"));
    }
}
