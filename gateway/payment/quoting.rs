//! Which quotes are honoured, for what and how long.

use serde_json::{Map, Value, json};

use super::testing::{
    NOW, SvmWallet, Wallet, elsewhere, mint, offer, quoted, read, read_at, reason, usdc, usdc_by_permit2,
    usdc_on_solana, v1, v2, weather,
};
use super::{Presented, QuoteMint, Refused};
use crate::money::AtomicAmount;
use crate::pricing::{Offer, OfferKey, Terms};
use crate::x402::Scheme;

fn quote(offer: &OfferKey, terms: &Terms) -> String {
    mint().quote(offer, &terms.digest, NOW, [1; 8])
}

/// A payment on some terms, with a quote.
fn pay(terms: &Terms, quote: &str) -> Value {
    quoted(terms, Wallet::new(1).eip3009(terms, 1), quote)
}

/// [`weather`] after its price went up.
fn dearer() -> Offer {
    offer(weather().key, [usdc(20_000)])
}

#[test]
fn the_quote_of_the_challenge_is_recognised() {
    let offer = weather();
    let token = quote(&offer.key, &offer.terms[0]);
    let found = read(&pay(&offer.terms[0], &token), &offer).unwrap().quote.unwrap();
    assert_eq!((found.token, found.issued_at), (token, NOW));
}

#[test]
fn a_payment_without_a_quote_has_to_match_the_present_offer() {
    let terms = usdc(10_000);
    let payload = Wallet::new(1).eip3009(&terms, 1);
    assert_eq!(read(&v2(&terms, payload.clone()), &weather()).unwrap().quote, None);
    assert_eq!(reason(&v2(&terms, payload.clone()), &dearer()), "no_matching_payment_requirements");
    assert_eq!(read(&v1(&terms, payload.clone()), &weather()).unwrap().quote, None);
    assert_eq!(reason(&v1(&terms, payload), &dearer()), "invalid_exact_evm_payload_authorization_value_mismatch");
}

#[test]
fn a_quote_for_something_else_at_the_same_price_is_a_mismatch() {
    let offer = weather();
    let terms = &offer.terms[0];
    for other in [OfferKey::call("GET", "/forecast"), OfferKey::call("POST", "/weather"), OfferKey::plan("nano")] {
        assert_eq!(reason(&pay(terms, &quote(&other, terms)), &offer), "quote_mismatch", "{}", other.as_str());
    }
    let of_others_terms = quote(&offer.key, &usdc(1));
    assert_eq!(reason(&pay(terms, &of_others_terms), &offer), "quote_mismatch");
    let of_another_gateway = QuoteMint::new(&[8; 32]).quote(&offer.key, &terms.digest, NOW, [1; 8]);
    assert_eq!(reason(&pay(terms, &of_another_gateway), &offer), "quote_mismatch");
}

#[test]
fn what_is_no_quote_is_a_mismatch() {
    let offer = weather();
    for value in [json!(""), json!("AAAA"), json!("ä"), json!(1), json!(null), json!(["x"]), json!({"a": 1})] {
        let mut message = pay(&offer.terms[0], "");
        message["accepted"]["extra"]["quote"] = value.clone();
        assert_eq!(reason(&message, &offer), "quote_mismatch", "{value}");
    }
    let good = quote(&offer.key, &offer.terms[0]);
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).unwrap();
        assert_eq!(reason(&pay(&offer.terms[0], &forged), &offer), "quote_mismatch", "{forged}");
    }
}

/// The first presentation of a payment is bound to its quote's time: [`Presented`] of an old price has its terms.
fn old_price(later: u64) -> Result<Presented, Refused> {
    let old = usdc(10_000);
    let mut message = pay(&old, &quote(&weather().key, &old));
    let mut authorization = message["payload"]["authorization"].clone();
    authorization["validBefore"] = (NOW + 10_000).to_string().into();
    message["payload"] = Wallet::new(1).authorize(&old, authorization);
    read_at(NOW + later, &message, &dearer())
}

#[test]
fn a_quoted_price_holds_for_its_time_after_it_has_changed() {
    for later in [0, 1, 300] {
        let presented = old_price(later).unwrap();
        assert_eq!(presented.amount(), AtomicAmount::new(10_000));
        assert_eq!(presented.terms.requirements(), usdc(10_000).requirements());
        assert_eq!(presented.offer, dearer().key);
        let request = serde_json::to_value(&presented.request).unwrap();
        assert_eq!(request["paymentRequirements"], serde_json::to_value(usdc(10_000).requirements()).unwrap());
    }
}

#[test]
fn a_quoted_price_does_not_hold_longer() {
    let late = old_price(301).unwrap();
    assert_eq!(late.late.unwrap().reason, "no_matching_payment_requirements");
    assert_eq!(old_price(300).unwrap().late, None);
}

/// It may be in the ledger, and then its buyer has paid. Without a quote nobody can tell whose it is.
#[test]
fn a_payment_with_a_quote_is_read_when_it_is_over() {
    let (native, permit2, wallet) = (usdc(10_000), usdc_by_permit2(10_000), Wallet::new(1));
    for (terms, payload, reason) in [
        (&native, wallet.eip3009(&native, 1), "invalid_exact_evm_payload_authorization_valid_before"),
        (&permit2, wallet.permit2(&permit2, 1), "permit2_deadline_expired"),
    ] {
        let offer = offer(weather().key, [terms.clone()]);
        let message = quoted(terms, payload.clone(), &quote(&offer.key, terms));
        assert_eq!(read_at(NOW + 54, &message, &offer).unwrap().late, None);
        let late = read_at(NOW + 55, &message, &offer).unwrap();
        assert_eq!(late.late.unwrap().reason, reason);
        assert_eq!(read_at(NOW + 55, &v2(terms, payload), &offer).unwrap_err().reason, reason);
    }
    let in_v1 = v1(&native, wallet.eip3009(&native, 1));
    assert!(read_at(NOW + 55, &in_v1, &weather()).is_err());
}

#[test]
fn a_quote_of_a_price_that_has_not_changed_is_good_for_ever() {
    let offer = weather();
    let early = mint().quote(&offer.key, &offer.terms[0].digest, NOW - 1_000_000, [1; 8]);
    assert_eq!(read(&pay(&offer.terms[0], &early), &offer).unwrap().quote.unwrap().issued_at, NOW - 1_000_000);
}

/// Terms of a scheme that nobody here knows.
fn streamed(amount: u128) -> Terms {
    let Terms { network, asset, pay_to, .. } = elsewhere();
    let extra = Map::from_iter([("channel".to_owned(), json!({"of": [1, "b"]}))]);
    Terms::new(network, asset, AtomicAmount::new(amount), pay_to, 60, None, extra)
        .by(Scheme::parse("streamed").unwrap())
}

/// The facilitator has another word now: what it said before holds for who was quoted it.
#[test]
fn what_the_facilitator_said_before_is_honoured() {
    let old = streamed(10_000);
    let mut new = old.clone();
    new.extra.insert("channel".to_owned(), json!("another"));
    let offer = offer(weather().key, [new.by(Scheme::exact()).by(Scheme::parse("streamed").unwrap())]);
    let message = quoted(&old, json!({"stream": "AAAA"}), &quote(&offer.key, &old));
    assert_eq!(read(&message, &offer).unwrap().terms.requirements(), old.requirements());
    assert_eq!(reason(&v2(&old, json!({"stream": "AAAA"})), &offer), "no_matching_payment_requirements");
    let mut as_exact = message;
    as_exact["accepted"]["scheme"] = "exact".into();
    assert_eq!(reason(&as_exact, &offer), "no_matching_payment_requirements");
}

/// Only on Solana the gateway ends a memo itself; of others, a slash at the end says nothing.
#[test]
fn a_memo_of_somebody_elses_is_complete_as_it_is() {
    let mut terms = elsewhere();
    terms.extra.insert("memo".to_owned(), "order/".into());
    let terms = terms.by(Scheme::parse("streamed").unwrap());
    let offer = offer(weather().key, [terms.clone()]);
    let message = quoted(&terms, json!({"stream": "AAAA"}), &quote(&offer.key, &terms));
    assert_eq!(read(&message, &offer).unwrap().terms.requirements(), terms.requirements());
}

#[test]
fn an_old_price_is_honoured_on_every_rail() {
    let wallet = Wallet::new(1);
    let rails = [
        (usdc(10_000), usdc(20_000), wallet.eip3009(&usdc(10_000), 1)),
        (usdc_by_permit2(10_000), usdc_by_permit2(20_000), wallet.permit2(&usdc_by_permit2(10_000), 1)),
        (usdc_on_solana(10_000), usdc_on_solana(20_000), SvmWallet::new(1).pay(&usdc_on_solana(10_000), 1)),
        (streamed(10_000), streamed(20_000), json!({"stream": "AAAA"})),
    ];
    for (old, new, payload) in rails {
        let offer = offer(weather().key, [new]);
        let message = quoted(&old, payload, &quote(&offer.key, &old));
        let presented = read(&message, &offer).unwrap();
        assert_eq!(presented.terms.requirements(), old.requirements());
        assert_eq!(presented.terms.asset.transfer, old.asset.transfer);
    }
}

#[test]
fn an_old_price_has_to_be_paid_in_full() {
    let (old, wallet) = (usdc(10_000), Wallet::new(1));
    let cheap = wallet.eip3009(&usdc(1), 1);
    let message = quoted(&old, cheap, &quote(&weather().key, &old));
    assert_eq!(reason(&message, &dearer()), "invalid_exact_evm_payload_authorization_value_mismatch");
}

#[test]
fn terms_that_were_never_ours_are_refused_whatever_the_quote() {
    let (offer, wallet) = (weather(), Wallet::new(1));
    let stolen = quote(&offer.key, &offer.terms[0]);
    let cheap = usdc(1);
    assert_eq!(reason(&pay(&cheap, &stolen), &offer), "no_matching_payment_requirements");
    let mut self_paid = pay(&usdc(10_000), &stolen);
    self_paid["accepted"]["payTo"] = wallet.address().to_string().into();
    assert_eq!(reason(&self_paid, &offer), "no_matching_payment_requirements");
    let other = Terms::new(cheap.network, cheap.asset, cheap.amount, wallet.address(), 60, None, Map::new());
    let forged = QuoteMint::new(&[8; 32]).quote(&offer.key, &other.digest, NOW, [1; 8]);
    assert_eq!(reason(&pay(&other, &forged), &offer), "no_matching_payment_requirements");
}

/// A quote is for one offer: the old price of a cheap route is no price of a dear one.
#[test]
fn the_old_price_of_something_else_is_refused() {
    let old = usdc(10_000);
    let message = pay(&old, &quote(&OfferKey::call("GET", "/forecast"), &old));
    assert_eq!(reason(&message, &dearer()), "no_matching_payment_requirements");
}

#[test]
fn an_old_price_with_something_added_to_its_terms_is_refused() {
    let old = usdc(10_000);
    for (name, value) in [("extra", json!({"paymentFlow": "authorization"})), ("maxTimeoutSeconds", json!(3600))] {
        let mut message = pay(&old, &quote(&weather().key, &old));
        match name {
            "extra" => message["accepted"]["extra"]["paymentFlow"] = value["paymentFlow"].clone(),
            name => message["accepted"][name] = value,
        }
        assert_eq!(reason(&message, &dearer()), "no_matching_payment_requirements", "{name}");
    }
}
