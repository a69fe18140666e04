//! What of a payment goes on to the facilitator without being judged here: the client's words around the payload.

use http::Uri;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pricing::Offer;

/// The echo of a challenge's `resource`, and nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Echo {
    url: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    mime_type: String,
}

/// Whether those words are what an honest client sends for an offer without extensions. What they say decides nothing;
/// but a facilitator may refuse what it finds odd.
pub(super) fn is_plain(resource: Option<&RawValue>, extensions: Option<&RawValue>, offer: &Offer) -> bool {
    extensions.is_none_or(is_nothing) && resource.is_none_or(|resource| is_echo(resource, offer))
}

fn is_nothing(extensions: &RawValue) -> bool {
    let value: Option<Value> = serde_json::from_str(extensions.get()).ok();
    value.is_some_and(|value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty))
}

fn is_echo(resource: &RawValue, offer: &Offer) -> bool {
    let Ok(Echo { url, description, mime_type }) = serde_json::from_str(resource.get()) else { return false };
    let is_url = url.parse::<Uri>().is_ok_and(|url| url.scheme().is_some() && url.host().is_some());
    is_url && *description == *offer.description && *mime_type == *offer.mime_type
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::payment::testing::{SvmWallet, Wallet, offer, read, usdc, usdc_on_solana, v1, v2, weather};
    use crate::pricing::OfferKey;

    fn sealed(change: impl FnOnce(&mut Value)) -> bool {
        let mut payment = v2(&usdc(10_000), Wallet::new(1).eip3009(&usdc(10_000), 1));
        change(&mut payment);
        read(&payment, &weather()).unwrap().sealed
    }

    fn echo() -> Value {
        let offer = weather();
        let (description, mime_type) = (&*offer.description, &*offer.mime_type);
        json!({ "url": "https://api.example.com/weather?a=b", "description": description, "mimeType": mime_type })
    }

    #[test]
    fn an_accounts_payment_with_the_challenges_echo_is_sealed() {
        assert!(sealed(|_| {}));
        assert!(sealed(|payment| payment["resource"] = echo()));
        for nothing in [json!(null), json!({})] {
            assert!(sealed(|payment| payment["extensions"] = nothing));
        }
        let terms = usdc(10_000);
        assert!(read(&v1(&terms, Wallet::new(1).eip3009(&terms, 1)), &weather()).unwrap().sealed);
    }

    #[test]
    fn a_payment_with_words_of_its_own_is_not() {
        for (name, value) in [("more", json!(1)), ("url", json!("rubbish")), ("description", json!("rubbish"))] {
            let mut resource = echo();
            resource[name] = value;
            assert!(!sealed(|payment| payment["resource"] = resource), "{name}");
        }
        assert!(!sealed(|payment| payment["resource"] = json!("rubbish")));
        assert!(!sealed(|payment| payment["extensions"] = json!({ "rubbish": {} })));
    }

    #[test]
    fn what_only_the_facilitator_can_judge_is_not() {
        // A contract wallet's signature, of any other length.
        let long = format!("0x{}", "11".repeat(66));
        assert!(!sealed(|payment| payment["payload"]["signature"] = json!(long)));
        let terms = usdc_on_solana(10_000);
        let payment = v2(&terms, SvmWallet::new(1).pay_by_program(&terms, 1));
        assert!(!read(&payment, &offer(OfferKey::call("GET", "/weather"), [terms])).unwrap().sealed);
    }
}
