use std::sync::Arc;

use http::HeaderName;

use crate::config::KeysConfig;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::x402::headers::{PAYMENT_SIGNATURE, X_PAYMENT};

const USUAL_PREFIX: &str = "tg_live_";
const PREFIX_BYTES_MAX: usize = 32;
const QUERY_BYTES_MAX: usize = 32;
const HEADERS_MAX: usize = 8;

/// `[keys]`.
pub(super) fn check(root: &Section<'_>) -> KeysConfig {
    let keys = root.section("keys", &["prefix", "headers", "query"]);
    let usual = || vec![HeaderName::from_static("x-api-key"), http::header::AUTHORIZATION];
    KeysConfig {
        prefix: keys.field("prefix").and_then(|field| prefix(&field)).unwrap_or_else(|| USUAL_PREFIX.into()),
        headers: keys.field("headers").and_then(|field| headers(&field)).unwrap_or_else(usual),
        query: keys.field("query").and_then(|field| query(&field)),
    }
}

fn prefix(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text("a prefix like \"tg_live_\"")?;
    let right = (1..=PREFIX_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    field.read(if right { Ok(text.into()) } else { Err("is not 1 to 32 of a-z, 0-9 and _, like \"tg_live_\"") })
}

fn query(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text("the name of a query parameter like \"token\"")?;
    let right = (1..=QUERY_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    field.read(if right { Ok(text.into()) } else { Err("is not 1 to 32 letters, digits, - and _, like \"token\"") })
}

fn headers(field: &Field<'_>) -> Option<Vec<HeaderName>> {
    let list = field.list("a list like [\"X-API-KEY\", \"Authorization\"]")?;
    if list.is_empty() || list.len() > HEADERS_MAX {
        field.wrong("must name 1 to 8 headers");
    }
    let mut headers = Vec::new();
    for element in &list {
        let Some(header) = header(element) else { continue };
        if headers.contains(&header) {
            element.wrong(format_args!("{header:?} is named twice"));
        }
        headers.push(header);
    }
    Some(headers)
}

fn header(element: &Field<'_>) -> Option<HeaderName> {
    let text = element.text("the name of a header")?;
    let header = HeaderName::try_from(text).map_err(|_| "is not the name of a header");
    element.read(header.and_then(|header| {
        let carries_payments = [PAYMENT_SIGNATURE, X_PAYMENT].iter().any(|name| name.eq_ignore_ascii_case(text));
        if carries_payments { Err("carries payments, not keys") } else { Ok(header) }
    }))
}
