//! Selling plans: one payment, one settlement, one key, however often it is sent.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::fixture::{Shop, nano, offer_of, plan, reason, receipt, route, unquoted, with_resource};
use super::*;
use crate::facilitator::{Refusal, SettleOutcome, Unclear, Verdict};
use crate::payment::State;
use crate::payment::testing::{NOW, QUOTE_TTL, Wallet, header, quoted, usdc, v2};
use crate::plans::{Plan, Units};
use crate::pricing::{PlanOffer, SettleTiming};
use crate::store::ClaimOutcome;

fn refused() -> Refusal {
    Refusal { reason: "insufficient_funds".to_owned(), message: None, payer: None, transaction: None }
}

/// What a buyer is told, in comparable form.
fn told(sold: &Sold) -> (String, i64, SettleResponse) {
    let expires = crate::clock::unix_millis(sold.subscription.expires_at);
    (sold.key.reveal().to_owned(), expires, sold.receipt.clone())
}

#[tokio::test]
async fn a_payment_buys_a_key_that_opens_the_plan() {
    let (shop, nano) = (Shop::open().await, nano());
    let sold = shop.buy(&nano, &shop.pay(&nano.offer, 1)).await.unwrap();
    assert!(sold.key.reveal().starts_with("tg_live_") && !sold.repeated);
    assert_eq!(crate::clock::unix_seconds(sold.subscription.expires_at), NOW + 3600);
    assert_eq!(*sold.subscription.payer, *Wallet::new(1).address().to_string());
    assert_eq!(shop.facilitator.open_at_settling(), [1], "the ledger knew before the facilitator");
    shop.spend(sold.key.reveal(), Units::from_thousandths(1000)).await.unwrap();
    assert_eq!(shop.state(&sold.presented.id).await, Some(State::Delivered));
}

#[tokio::test]
async fn without_a_payment_nothing_is_sold() {
    let (shop, nano) = (Shop::open().await, nano());
    assert_eq!(reason(shop.server.purchase(&shop.market, &nano, None, None).await), "missing_credentials");
    assert_eq!(reason(shop.buy(&nano, "e30=").await), "invalid_x402_version");
    assert_eq!(shop.facilitator.calls(), (0, 0));
}

#[tokio::test]
async fn a_payment_that_is_not_good_buys_nothing() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    shop.facilitator.next_verdict(Ok(Verdict::Refused(refused())));
    assert_eq!(reason(shop.buy(&nano, &payment).await), "insufficient_funds");
    assert_eq!(shop.facilitator.calls(), (1, 0), "what is refused is not settled");
    for (outcome, state) in [
        (SettleOutcome::Refused(refused()), State::Voided),
        (SettleOutcome::NotSent("connection refused".to_owned()), State::Voided),
        (SettleOutcome::Unknown(Unclear::new("timeout")), State::Unknown),
    ] {
        shop.facilitator.next_outcome(outcome);
        let denial = shop.buy(&nano, &payment).await.unwrap_err();
        let id = crate::payment::testing::read(
            &v2(&nano.offer.terms[0], Wallet::new(1).eip3009(&usdc(5_000_000), 1)),
            &nano.offer,
        )
        .unwrap()
        .id;
        assert_eq!(shop.state(&id).await, Some(state));
        match denial {
            Denial::NotSettled(..) | Denial::NoVerdict(_) => assert_eq!(state, State::Voided),
            Denial::Unresolved(_) => assert_eq!(state, State::Unknown),
            other => panic!("{other:?}"),
        }
    }
    assert!(shop.buy(&nano, &payment).await.is_ok(), "it was never paid before, and now it is");
}

#[tokio::test]
async fn a_repeat_gets_the_same_again_and_asks_nobody() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    let first = shop.buy(&nano, &payment).await.unwrap();
    shop.clock.advance(Duration::from_secs(7));
    let again = shop.buy(&nano, &payment).await.unwrap();
    assert_eq!((told(&again), again.repeated), (told(&first), true));
    assert_eq!(shop.facilitator.calls(), (1, 1));
}

#[tokio::test]
async fn a_repeat_after_a_restart_gets_the_same_again() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    let first = shop.buy(&nano, &payment).await.unwrap();
    let shop = shop.restarted().await;
    assert_eq!(told(&shop.buy(&nano, &payment).await.unwrap()), told(&first));
    assert_eq!(shop.facilitator.calls(), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_equal_purchases_are_one_settlement_and_one_key() {
    let (shop, nano) = (Arc::new(Shop::open().await), nano());
    let payment = shop.pay(&nano.offer, 1);
    let mut purchases = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (shop, nano, payment) = (Arc::clone(&shop), Arc::clone(&nano), payment.clone());
        purchases.spawn(async move { told(&shop.buy(&nano, &payment).await.unwrap()) });
    }
    let mut told = purchases.join_all().await;
    told.dedup();
    assert_eq!((told.len(), shop.facilitator.calls()), (1, (1, 1)));
}

#[tokio::test]
async fn what_is_sold_is_told_to_its_buyer_while_another_repeat_is_at_it() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    let first = shop.buy(&nano, &payment).await.unwrap();
    let ClaimOutcome::Recorded(_other, _) = shop.store.claim(&first.presented.id).await.unwrap() else { panic!() };
    assert_eq!(told(&shop.buy(&nano, &payment).await.unwrap()), told(&first));
    let stolen = shop.pay_with(&nano.offer, 1, &shop.quote(&nano.offer, 2));
    assert!(matches!(shop.buy(&nano, &stolen).await, Err(Denial::Spent(..))));
}

/// It is not known to be the same buyer's, so it must not hold anything up either.
#[tokio::test]
async fn a_repeat_without_the_quote_does_not_wait_for_the_first() {
    let (shop, nano) = (Arc::new(Shop::open().await), nano());
    shop.facilitator.gate.forget_permits(usize::MAX);
    let first = tokio::spawn({
        let (shop, nano, payment) = (Arc::clone(&shop), Arc::clone(&nano), shop.pay(&nano.offer, 1));
        async move { shop.buy(&nano, &payment).await.map(drop) }
    });
    shop.facilitator.begun.acquire().await.unwrap().forget();
    for stranger in unquoted(&nano.offer, 1) {
        let denied = tokio::time::timeout(Duration::from_secs(30), shop.buy(&nano, &stranger)).await.unwrap();
        assert!(matches!(denied, Err(Denial::InFlight(_))), "{denied:?}");
    }
    shop.facilitator.gate.add_permits(9);
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn other_payments_are_other_keys() {
    let (shop, nano) = (Shop::open().await, nano());
    assert_ne!(shop.key(&nano, 1).await, shop.key(&nano, 2).await);
}

/// A settled authorization is public on the chain: whoever reads it there has no quote of its first presentation.
#[tokio::test]
async fn only_the_quote_of_the_first_presentation_gives_the_key_again() {
    let (shop, nano) = (Shop::open().await, nano());
    let sold = shop.buy(&nano, &shop.pay(&nano.offer, 1)).await.unwrap();
    let spent = Denial::Spent(sold.presented.id.clone(), None);
    let with_another_quote = shop.pay_with(&nano.offer, 1, &shop.quote(&nano.offer, 2));
    for stolen in unquoted(&nano.offer, 1).into_iter().chain([with_another_quote]) {
        assert_eq!(shop.buy(&nano, &stolen).await.unwrap_err(), spent);
    }
    assert_eq!(shop.facilitator.calls(), (1, 1));
}

#[tokio::test]
async fn a_purchase_without_a_quote_is_told_its_key_once() {
    for header in unquoted(&nano().offer, 1) {
        let (shop, nano) = (Shop::open().await, nano());
        let sold = shop.buy(&nano, &header).await.unwrap();
        let spent = Denial::Spent(sold.presented.id.clone(), None);
        assert_eq!(shop.buy(&nano, &header).await.unwrap_err(), spent);
        assert_eq!(shop.buy(&nano, &shop.pay(&nano.offer, 1)).await.unwrap_err(), spent, "a quote got later");
    }
}

#[tokio::test]
async fn a_payment_for_one_plan_buys_no_other_at_the_same_price() {
    let (shop, nano, other) = (Shop::open().await, nano(), plan("other", None, 5_000_000, None));
    let payment = shop.pay(&nano.offer, 1);
    assert_eq!(reason(shop.buy(&other, &payment).await), "no_matching_payment_requirements");
    let quoted_for_nano = shop.pay_with(&other.offer, 1, &shop.quote(&nano.offer, 1));
    assert_eq!(reason(shop.buy(&other, &quoted_for_nano).await), "quote_mismatch");
    let sold = shop.buy(&nano, &payment).await.unwrap();
    for stolen in unquoted(&other.offer, 1).into_iter().chain([shop.pay(&other.offer, 1)]) {
        assert_eq!(shop.buy(&other, &stolen).await.unwrap_err(), Denial::Spent(sold.presented.id.clone(), None));
    }
}

#[tokio::test]
async fn a_payment_for_a_call_buys_no_plan() {
    let (shop, route) = (Shop::open().await, route("/weather", SettleTiming::After));
    let cheap = plan("cheap", None, 10_000, None);
    let verified = shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
    let settled = shop.settle(verified).await.unwrap();
    let id = settled.presented.id.clone();
    drop(settled);
    for stolen in unquoted(&cheap.offer, 1).into_iter().chain([shop.pay(&cheap.offer, 1)]) {
        assert_eq!(shop.buy(&cheap, &stolen).await.unwrap_err(), Denial::Spent(id.clone(), None));
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_the_same_payment() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    shop.facilitator.next_outcome(SettleOutcome::Unknown(Unclear::new("timeout")));
    assert!(matches!(shop.buy(&nano, &payment).await, Err(Denial::Unresolved(_))));
    shop.facilitator.next_outcome(SettleOutcome::Refused(refused()));
    assert!(matches!(shop.buy(&nano, &payment).await, Err(Denial::Unresolved(_))), "a second no proves nothing");
    shop.clock.advance(Duration::from_secs(5));
    let sold = shop.buy(&nano, &with_resource(&payment, "https://elsewhere.example/")).await.unwrap();
    assert_eq!(crate::clock::unix_seconds(sold.subscription.expires_at), NOW + 5 + 3600);
    let bodies = shop.facilitator.bodies();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]), "always the identical body");
    assert_eq!(told(&shop.buy(&nano, &payment).await.unwrap()), told(&sold));
    shop.spend(sold.key.reveal(), Units::from_thousandths(1)).await.unwrap();
}

#[tokio::test]
async fn a_sale_that_could_not_be_written_is_made_by_the_repeat() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    shop.store.forgets.store(true, Ordering::Relaxed);
    assert!(matches!(shop.buy(&nano, &payment).await, Err(Denial::Unresolved(_))), "never: unpaid");
    let shop = shop.restarted().await;
    let sold = shop.buy(&nano, &payment).await.unwrap();
    let payer = Some(Wallet::new(1).address().to_string());
    assert_eq!(sold.receipt, SettleResponse { payer, ..receipt("eip155:8453") });
    assert_eq!(told(&shop.buy(&nano, &payment).await.unwrap()), told(&sold));
}

#[tokio::test]
async fn without_the_store_nobody_is_asked() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    shop.store.down.store(true, Ordering::Relaxed);
    assert_eq!(shop.buy(&nano, &payment).await.unwrap_err(), Denial::StoreFailed);
    assert_eq!(shop.facilitator.calls(), (0, 0));
}

#[tokio::test]
async fn a_sale_goes_on_when_the_connection_is_gone() {
    let (shop, nano) = (Arc::new(Shop::open().await), nano());
    let payment = shop.pay(&nano.offer, 1);
    shop.facilitator.gate.forget_permits(usize::MAX);
    let request = tokio::spawn({
        let (shop, nano, payment) = (Arc::clone(&shop), Arc::clone(&nano), payment.clone());
        async move { shop.buy(&nano, &payment).await.map(drop) }
    });
    shop.facilitator.begun.acquire().await.unwrap().forget();
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    shop.facilitator.gate.add_permits(9);
    let sold = shop.buy(&nano, &payment).await.unwrap();
    assert_eq!((sold.repeated, shop.facilitator.calls()), (true, (1, 1)));
}

/// The plan after its price went up.
fn dearer(plan: &PlanOffer) -> Arc<PlanOffer> {
    super::fixture::plan(&plan.plan.name, Some(100), 9_000_000, None)
}

#[tokio::test]
async fn a_price_that_was_quoted_before_it_changed_is_sold_at() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    let sold = shop.buy(&dearer(&nano), &payment).await.unwrap();
    assert_eq!(sold.presented.amount(), usdc(5_000_000).amount);
    let by_hand = header(&v2(&usdc(5_000_000), Wallet::new(1).eip3009(&usdc(5_000_000), 2)));
    assert_eq!(reason(shop.buy(&dearer(&nano), &by_hand).await), "no_matching_payment_requirements");
}

/// The plan after a reload, at the same price.
fn smaller(plan: &PlanOffer) -> Arc<PlanOffer> {
    super::fixture::plan(&plan.plan.name, Some(1), 5_000_000, None)
}

#[tokio::test]
async fn a_plan_is_sold_as_it_was_quoted() {
    let (shop, nano) = (Shop::open().await, nano());
    let sold = shop.buy(&smaller(&nano), &shop.pay(&nano.offer, 1)).await.unwrap();
    assert_eq!(*sold.subscription.plan, nano.plan);
    shop.spend(sold.key.reveal(), Units::from_thousandths(100_000)).await.unwrap();
    let sold = shop.buy(&nano, &shop.pay(&smaller(&nano).offer, 2)).await.unwrap();
    assert_eq!(*sold.subscription.plan, smaller(&nano).plan, "nor is more sold than was offered");
}

#[tokio::test]
async fn a_plan_is_sold_as_it_was_quoted_though_the_first_settlement_was_unclear() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    shop.facilitator.next_outcome(SettleOutcome::Unknown(Unclear::new("timeout")));
    assert!(matches!(shop.buy(&nano, &payment).await, Err(Denial::Unresolved(_))));
    let shop = shop.restarted().await;
    assert_eq!(*shop.buy(&smaller(&nano), &payment).await.unwrap().subscription.plan, nano.plan);
}

#[tokio::test]
async fn a_plan_is_not_sold_as_it_was_quoted_too_long_ago() {
    let (shop, nano) = (Shop::open().await, nano());
    let quote = shop.quote(&nano.offer, 1);
    shop.clock.advance(QUOTE_TTL + Duration::from_secs(1));
    let mut authorization = Wallet::new(1).eip3009(&nano.offer.terms[0], 1)["authorization"].clone();
    authorization["validBefore"] = (NOW + 10_000).to_string().into();
    let payload = Wallet::new(1).authorize(&nano.offer.terms[0], authorization);
    let payment = header(&quoted(&nano.offer.terms[0], payload, &quote));
    assert_eq!(reason(shop.buy(&smaller(&nano), &payment).await), "no_matching_payment_requirements");
    assert_eq!(*shop.buy(&nano, &payment).await.unwrap().subscription.plan, nano.plan, "it is offered as it was");
}

#[tokio::test]
async fn a_payment_without_a_quote_buys_the_plan_as_it_is() {
    let (shop, nano) = (Shop::open().await, nano());
    let [in_v1, by_hand] = unquoted(&nano.offer, 1);
    assert_eq!(reason(shop.buy(&smaller(&nano), &by_hand).await), "no_matching_payment_requirements");
    assert_eq!(shop.facilitator.calls(), (0, 0));
    let sold = shop.buy(&smaller(&nano), &in_v1).await.unwrap();
    assert_eq!(*sold.subscription.plan, smaller(&nano).plan);
}

#[tokio::test]
async fn a_plan_that_was_tampered_with_is_not_sold() {
    let (shop, nano) = (Shop::open().await, nano());
    let better = super::fixture::plan("nano", Some(1_000_000), 5_000_000, None);
    let mut echoes = vec![shop.pay_with(&better.offer, 1, &shop.quote(&nano.offer, 1))];
    for (name, value) in [("units", json!(101)), ("units", Value::Null), ("burst", json!(9)), ("name", json!("pro"))] {
        let mut echo = quoted(&nano.offer.terms[0], Wallet::new(1).eip3009(&nano.offer.terms[0], 1), "");
        echo["accepted"]["extra"]["quote"] = shop.quote(&nano.offer, 1).into();
        echo["accepted"]["extra"][Plan::QUOTED][name] = value;
        echoes.push(header(&echo));
    }
    let mut without = quoted(&nano.offer.terms[0], Wallet::new(1).eip3009(&nano.offer.terms[0], 1), "");
    without["accepted"]["extra"]["quote"] = shop.quote(&nano.offer, 1).into();
    without["accepted"]["extra"].as_object_mut().unwrap().remove(Plan::QUOTED).unwrap();
    echoes.push(header(&without));
    for echo in echoes {
        for table in [&nano, &smaller(&nano)] {
            assert_eq!(reason(shop.buy(table, &echo).await), "no_matching_payment_requirements");
        }
    }
    assert_eq!(shop.facilitator.calls(), (0, 0));
}

/// The money has moved: "sign a new one" would make the buyer pay a second time.
#[tokio::test]
async fn a_repeat_after_the_authorizations_end_gets_the_same_again() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    let first = shop.buy(&nano, &payment).await.unwrap();
    shop.clock.advance(Duration::from_secs(61));
    assert_eq!(told(&shop.buy(&nano, &payment).await.unwrap()), told(&first));
    shop.clock.advance(QUOTE_TTL);
    assert_eq!(told(&shop.buy(&dearer(&nano), &payment).await.unwrap()), told(&first));
    assert_eq!(shop.facilitator.calls(), (1, 1));
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_after_the_authorizations_end_too() {
    let (shop, nano) = (Shop::open().await, nano());
    let payment = shop.pay(&nano.offer, 1);
    shop.facilitator.next_outcome(SettleOutcome::Unknown(Unclear::new("timeout")));
    assert!(matches!(shop.buy(&nano, &payment).await, Err(Denial::Unresolved(_))));
    shop.clock.advance(Duration::from_secs(61));
    assert!(shop.buy(&nano, &payment).await.is_ok());
}

#[tokio::test]
async fn what_was_never_settled_is_not_taken_after_its_end() {
    let (shop, nano) = (Shop::open().await, nano());
    let (fresh, voided) = (shop.pay(&nano.offer, 1), shop.pay(&nano.offer, 2));
    shop.facilitator.next_outcome(SettleOutcome::Refused(refused()));
    assert!(matches!(shop.buy(&nano, &voided).await, Err(Denial::NotSettled(..))));
    let stolen = unquoted(&nano.offer, 3);
    shop.key(&nano, 3).await;
    let calls = shop.facilitator.calls();
    shop.clock.advance(Duration::from_secs(55));
    for payment in [fresh, voided].into_iter().chain(stolen) {
        let ended = "invalid_exact_evm_payload_authorization_valid_before";
        assert_eq!(reason(shop.buy(&nano, &payment).await), ended);
    }
    assert_eq!(shop.facilitator.calls(), calls);
}
