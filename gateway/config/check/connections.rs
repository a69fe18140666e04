use super::quantity::{count, size, timeout};
use crate::config::ConnectionsConfig;
use crate::config::document::Section;
use crate::config::field::Field;

const KEYS: &[&str] =
    &["max", "per_address", "head_limit", "head_timeout", "body_limit", "body_timeout", "write_timeout", "keep_alive"];
const CONNECTIONS_MAX: u32 = 1_000_000;
/// A payment and what browsers send besides must fit; beyond the framework's own megabyte there is no use.
const HEAD_BYTES: std::ops::RangeInclusive<u64> = 4 * 1024..=1024 * 1024;
const BODY_BYTES: std::ops::RangeInclusive<u64> = 1..=1 << 40;

/// `[connections]`.
pub(super) fn check(root: &Section<'_>) -> ConnectionsConfig {
    let section = root.section("connections", KEYS);
    let usual = ConnectionsConfig::default();
    let number = |key| section.field(key).and_then(|field| count(&field, 1..=CONNECTIONS_MAX));
    let head = section.field("head_limit").and_then(|field| size(&field, HEAD_BYTES, "32KiB"));
    ConnectionsConfig {
        max: number("max").unwrap_or(usual.max),
        per_address: number("per_address"),
        head_bytes_max: head.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(usual.head_bytes_max),
        head_timeout: timeout(&section, "head_timeout", usual.head_timeout),
        body_bytes_max: section.field("body_limit").map_or(usual.body_bytes_max, |field| body_limit(&field)),
        body_timeout: timeout(&section, "body_timeout", usual.body_timeout),
        write_timeout: timeout(&section, "write_timeout", usual.write_timeout),
        keep_alive: timeout(&section, "keep_alive", usual.keep_alive),
    }
}

/// A size, or the word for no limit.
fn body_limit(field: &Field<'_>) -> Option<u64> {
    match field.is_text() && field.text("") == Some("none") {
        true => None,
        false => size(field, BODY_BYTES, "100MiB"),
    }
}
