//! `tollgate payments show`: everything that is known of one payment, but for what it could be used with.

use std::io::{Write as _, stdout};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::advice::{Facts, advice};
use super::row::{Row, readable};
use super::{Failed, Open};
use crate::clock::iso_millis;
use crate::payment::PaymentId;
use crate::plans::Subscription;
use crate::store::{Books as _, Detail};
use crate::x402::facilitator::FacilitatorRequest;

/// The longest text of a payment that is shown; what is longer is data.
const SHOWN_MAX: usize = 256;

pub(super) async fn run(open: &Open, id: &PaymentId) -> Result<(), Failed> {
    let detail = open.store.detail(id).await?.ok_or_else(|| open.not_there(id))?;
    let row = Row::new(&detail.entry, &open.config);
    let now = SystemTime::now();
    let mut text: String = lines(&detail, &row).iter().map(|(name, value)| format!("{name:<14} {value}\n")).collect();
    let asked = serde_json::to_string_pretty(&asked(&detail.record.request)).unwrap_or_default();
    text.push_str(&format!("\nasked of the facilitator\n{asked}\n"));
    let file = open.file.display().to_string();
    text.push_str(&format!("\nwhat to do\n  {}\n", advice(&Facts::of_detail(&detail), &row, &file, now)));
    Ok(stdout().write_all(text.as_bytes())?)
}

fn lines(detail: &Detail, row: &Row) -> Vec<(&'static str, String)> {
    let (entry, record) = (&detail.entry, &detail.record);
    let mut lines = vec![
        ("payment", row.id.clone()),
        ("state", row.state.to_owned()),
        ("first seen", row.created_at.clone()),
        ("moved last", row.updated_at.clone()),
        ("offer", readable(&format!("{} {}", row.kind, row.offer))),
        ("amount", format!("{} ({} of {})", row.money(), row.amount_atomic, row.asset)),
        ("network", row.network.clone()),
        ("payer", row.payer.as_deref().map_or("not known".to_owned(), readable)),
        ("pay to", row.pay_to.clone()),
        ("authorization", authorization(record.valid_before)),
        ("quote", if record.quote.is_some() { "one of ours" } else { "none: version 1, or made by hand" }.to_owned()),
    ];
    let mut push = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    push("identifier", record.identifier.as_ref().map(|_| "given by the buyer".to_owned()));
    push("facilitator", row.facilitator.as_deref().map(readable));
    push("transaction", row.transaction.as_deref().map(readable));
    push("named as well", row.transaction_hint.as_deref().map(readable));
    push("reason", row.reason.as_deref().map(readable));
    push("asked in vain", (record.attempts > 0).then(|| times(record.attempts)));
    push("asked again", entry.ask_at.map(iso_millis));
    let kept = |kept: crate::store::Kept| {
        format!("{}, {} bytes, until {}", kept.status.as_u16(), kept.body_bytes, iso_millis(kept.expires_at))
    };
    push("stored answer", detail.kept.map(kept));
    push("subscription", detail.subscription.as_ref().map(subscription));
    lines.extend(
        detail
            .acts
            .iter()
            .map(|act| ("operator", readable(&format!("{} {}: {}", iso_millis(act.at), act.act, act.detail)))),
    );
    lines
}

fn times(attempts: u32) -> String {
    if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") }
}

fn authorization(valid_before: u64) -> String {
    match valid_before {
        u64::MAX => "ends when the chain says so".to_owned(),
        seconds => {
            let end = UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(u64::from(u32::MAX))));
            format!("ends {}", end.map(iso_millis).unwrap_or_default())
        }
    }
}

fn subscription(bought: &Subscription) -> String {
    let units = match bought.plan.units {
        Some(units) => format!("{} of {units} units used", bought.used),
        None => format!("{} units used, without limit", bought.used),
    };
    format!(
        "{}: plan {}, {units}, until {}, its key begins with {}",
        bought.id,
        bought.plan.name,
        iso_millis(bought.expires_at),
        bought.key_prefix
    )
}

/// What the facilitator was asked, without what would let others ask the same.
fn asked(request: &FacilitatorRequest) -> Value {
    let read = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let mut payload: Value = read(request.payment_payload.get());
    redact(&mut payload);
    json!({
        "x402Version": request.x402_version,
        "paymentRequirements": read(request.payment_requirements.get()),
        "paymentPayload": payload,
    })
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.to_ascii_lowercase();
                if name.contains("signature") || name.contains("transaction") {
                    *member = Value::from("(not shown)");
                } else {
                    redact(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) if text.len() > SHOWN_MAX => {
            *value = Value::from(format!("({} bytes, not shown)", text.len()));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_settled_again_is_not_shown() {
        let mut payload = json!({
            "payload": {
                "signature": "0xSECRET",
                "authorization": { "from": "0x1", "nonce": "0x2" },
                "more": [{ "Transaction": "SECRET", "typedSignature": { "r": "SECRET" } }, "S".repeat(300)],
            },
        });
        redact(&mut payload);
        let text = payload.to_string();
        assert!(!text.contains("SECRET") && !text.contains("SSS"), "{text}");
        assert_eq!(payload["payload"]["authorization"], json!({ "from": "0x1", "nonce": "0x2" }));
    }
}
