//! `[subscriptions]`: what their holders may do, and what is told of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;

use super::quantity::{count, duration};
use crate::config::SubscriptionsConfig;
use crate::config::document::Section;
use crate::config::field::Field;
use crate::plans::OnRepurchase;

const KEYS: &[&str] =
    &["on_repurchase", "exhausted_status", "status_by_address", "keys_max", "usage_retention", "quota_alerts"];
const ON_REPURCHASE: &[(&str, OnRepurchase)] = &[("replace", OnRepurchase::Replace), ("extend", OnRepurchase::Extend)];
const KEYS_MAX: RangeInclusive<u32> = 1..=1000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Ten years of 365.25 days.
const RETENTION_MAX: Duration = Duration::from_secs(10 * 31_557_600);
const USUAL_ALERTS: [u8; 3] = [50, 80, 100];

/// `[subscriptions]`.
pub(super) fn check(root: &Section<'_>) -> SubscriptionsConfig {
    let section = root.section("subscriptions", KEYS);
    let on_repurchase = section.field("on_repurchase").and_then(|field| field.choice(ON_REPURCHASE));
    let status = section.field("exhausted_status").and_then(|field| status(&field));
    let keys_max = section.field("keys_max").and_then(|field| count(&field, KEYS_MAX));
    let retention = section.field("usage_retention").and_then(|field| duration(&field, DAY..=RETENTION_MAX, "400d"));
    let alerts = section.field("quota_alerts").and_then(|field| alerts(&field));
    SubscriptionsConfig {
        on_repurchase: on_repurchase.unwrap_or_default(),
        exhausted_status: status.unwrap_or(StatusCode::PAYMENT_REQUIRED),
        status_by_address: section.field("status_by_address").and_then(|field| field.flag()).unwrap_or(false),
        keys_max: keys_max.unwrap_or(16),
        usage_retention: retention.unwrap_or(400 * DAY),
        quota_alerts: alerts.unwrap_or_else(|| USUAL_ALERTS.to_vec()),
    }
}

fn status(field: &Field<'_>) -> Option<StatusCode> {
    match field.number("402 or 403")? {
        "402" => Some(StatusCode::PAYMENT_REQUIRED),
        "403" => Some(StatusCode::FORBIDDEN),
        _ => field.read(Err("is not 402 or 403")),
    }
}

fn alerts(field: &Field<'_>) -> Option<Vec<u8>> {
    let mut alerts: Vec<u8> = Vec::new();
    for element in field.list("a list of percents like [50, 80, 100]")? {
        let percent = count(&element, 1..=100).and_then(|percent| u8::try_from(percent).ok());
        let Some(percent) = percent else { continue };
        if alerts.last().is_some_and(|last| *last >= percent) {
            element.wrong(format_args!("{percent} is not above the percent before it, each must be"));
        }
        alerts.push(percent);
    }
    Some(alerts)
}
