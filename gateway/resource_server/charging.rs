//! Paying for single calls: who is let through, what is settled, and what a repeat gets.

use std::sync::atomic::Ordering;

use http::Method;

use super::fixture::{Shop, offer_of, reason, receipt, route, unquoted, with_resource};
use super::*;
use crate::facilitator::{FacilitatorError, Refusal, SettleOutcome, Unclear, Verdict};
use crate::payment::State;
use crate::payment::testing::Wallet;
use crate::pricing::{Access, Route, SettleTiming};
use crate::store::{ClaimOutcome, StoredResponse};

const GET: Method = Method::GET;

fn weather() -> Arc<Route> {
    route("/weather", SettleTiming::After)
}

fn refusal(reason: &str) -> Refusal {
    Refusal { reason: reason.to_owned(), message: None, payer: None, transaction: None }
}

fn receipt_of(denial: Denial) -> Option<Box<SettleResponse>> {
    match denial {
        Denial::Spent(_, receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_free_route_asks_for_nothing() {
    let (shop, route) = (
        Shop::open().await,
        Arc::new(Route { access: Access::Free, ..super::fixture::bare("/weather", SettleTiming::After) }),
    );
    let pass = shop.admit(&route, &GET, "not even base64").await.unwrap();
    assert!(matches!(pass, Pass::Free));
    assert_eq!(shop.facilitator.calls(), (0, 0));
}

#[tokio::test]
async fn without_payment_there_is_no_pass() {
    let (shop, route) = (Shop::open().await, weather());
    let call = Call {
        route: &route,
        method: &GET,
        target: "/weather",
        credentials: Credentials::default(),
        payment: None,
        client: None,
    };
    assert_eq!(reason(shop.server.admit(&shop.market, call).await), "missing_credentials");
    let keyed = Call { credentials: super::fixture::with_key("tg_live_0"), ..call };
    assert_eq!(reason(shop.server.admit(&shop.market, keyed).await), "missing_credentials", "no plan opens it");
}

#[tokio::test]
async fn a_payment_is_verified_then_settled_then_used_up() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    let verified = shop.verified(&route, &payment).await;
    assert_eq!((shop.facilitator.calls(), verified.payer()), ((1, 0), Some(&*Wallet::new(1).address().to_string())));
    let settled = shop.settle(verified).await.unwrap();
    let (id, receipt) = (settled.presented.id.clone(), settled.receipt.clone());
    assert_eq!(receipt.payer, Some(Wallet::new(1).address().to_string()), "ours, whatever the facilitator says");
    assert_eq!(shop.facilitator.open_at_settling(), [1], "the ledger knew before the facilitator");
    shop.server.deliver(settled, None);
    shop.server.payments_done().await;
    let again = shop.admit(&route, &GET, &payment).await.unwrap_err();
    assert_eq!(receipt_of(again), Some(Box::new(receipt)));
    assert_eq!(shop.facilitator.calls(), (1, 1));
    assert_eq!(shop.state(&id).await, Some(State::Delivered));
}

#[tokio::test]
async fn what_the_facilitator_refuses_is_not_settled_and_may_be_tried_again() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    shop.facilitator.next_verdict(Ok(Verdict::Refused(refusal("insufficient_funds"))));
    assert_eq!(reason(shop.admit(&route, &GET, &payment).await), "insufficient_funds");
    assert_eq!(shop.facilitator.calls(), (1, 0));
    let verified = shop.verified(&route, &payment).await;
    let id = verified.presented().id.clone();
    drop(verified);
    assert_eq!(shop.state(&id).await, None, "the ledger has nothing of what was only verified");
}

#[tokio::test]
async fn without_a_verdict_there_is_no_pass() {
    let (shop, route) = (Shop::open().await, weather());
    for error in [
        FacilitatorError::Unreachable("refused".to_owned()),
        FacilitatorError::Timeout(Duration::from_secs(10)),
        FacilitatorError::Nonsense("html".to_owned()),
    ] {
        shop.facilitator.next_verdict(Err(error));
        let denied = shop.admit(&route, &GET, &shop.pay(offer_of(&route), 1)).await.unwrap_err();
        assert_eq!(denied, Denial::NoVerdict("facilitator_unavailable"));
    }
    shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
}

#[tokio::test]
async fn without_a_facilitator_there_is_no_pass() {
    let (mut shop, route) = (Shop::open().await, weather());
    shop.market = super::fixture::market(None);
    let denied = shop.admit(&route, &GET, &shop.pay(offer_of(&route), 1)).await.unwrap_err();
    assert_eq!(denied, Denial::NoVerdict("facilitator_unavailable"));
}

#[tokio::test]
async fn without_the_store_nobody_is_asked() {
    let (shop, route) = (Shop::open().await, weather());
    shop.store.down.store(true, Ordering::Relaxed);
    let denied = shop.admit(&route, &GET, &shop.pay(offer_of(&route), 1)).await.unwrap_err();
    assert_eq!((denied, shop.facilitator.calls()), (Denial::StoreFailed, (0, 0)));
}

/// If the ledger cannot say that the money is about to move, it must not move.
#[tokio::test]
async fn without_the_journal_nothing_is_settled() {
    let (shop, route) = (Shop::open().await, weather());
    let verified = shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
    shop.store.down.store(true, Ordering::Relaxed);
    assert_eq!(shop.settle(verified).await.unwrap_err(), Denial::StoreFailed);
    assert_eq!(shop.facilitator.calls(), (1, 0));
}

#[tokio::test]
async fn a_facilitator_that_names_another_payer_is_not_believed() {
    let (shop, route) = (Shop::open().await, weather());
    let other = Wallet::new(2).address().to_string();
    shop.facilitator.next_verdict(Ok(Verdict::Valid { payer: Some(other) }));
    assert_eq!(reason(shop.admit(&route, &GET, &shop.pay(offer_of(&route), 1)).await), "payer_mismatch");
    let same = Wallet::new(1).address().to_string().to_lowercase();
    shop.facilitator.next_verdict(Ok(Verdict::Valid { payer: Some(same) }));
    shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
}

#[tokio::test]
async fn a_refused_settlement_is_void_and_may_be_tried_again() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    shop.facilitator.next_outcome(SettleOutcome::Refused(refusal("insufficient_funds")));
    let verified = shop.verified(&route, &payment).await;
    let id = verified.presented().id.clone();
    let Err(Denial::NotSettled(refused, receipt)) = shop.settle(verified).await else { panic!("it was refused") };
    assert_eq!((&*refused.reason, receipt.success, &*receipt.transaction), ("insufficient_funds", false, ""));
    assert_eq!(shop.state(&id).await, Some(State::Voided));
    let verified = shop.verified(&route, &payment).await;
    shop.settle(verified).await.unwrap();
    assert_eq!(shop.state(&id).await, Some(State::Settled));
}

#[tokio::test]
async fn a_settlement_that_was_not_sent_is_void() {
    let (shop, route) = (Shop::open().await, weather());
    shop.facilitator.next_outcome(SettleOutcome::NotSent("connection refused".to_owned()));
    let verified = shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
    let id = verified.presented().id.clone();
    assert_eq!(shop.settle(verified).await.unwrap_err(), Denial::NoVerdict("facilitator_unavailable"));
    assert_eq!(shop.state(&id).await, Some(State::Voided));
}

/// A payment whose settlement nobody knows the outcome of.
async fn unknown(shop: &Shop, route: &Arc<Route>, payment: &str) -> PaymentId {
    shop.facilitator.next_outcome(SettleOutcome::Unknown(Unclear::new("timeout")));
    let verified = shop.verified(route, payment).await;
    let id = verified.presented().id.clone();
    assert_eq!(shop.settle(verified).await.unwrap_err(), Denial::Unresolved(id.clone()));
    assert_eq!(shop.state(&id).await, Some(State::Unknown));
    id
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_the_same_payment() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    let id = unknown(&shop, &route, &payment).await;
    let rewrapped = with_resource(&payment, "https://elsewhere.example/");
    let Pass::Settled(settled) = shop.admit(&route, &GET, &rewrapped).await.unwrap() else { panic!("not settled") };
    assert!(settled.receipt.success);
    let bodies = shop.facilitator.bodies();
    assert_eq!((bodies.len(), &bodies[0]), (2, &bodies[1]), "the second body is the first one, byte by byte");
    shop.server.deliver(*settled, None);
    shop.server.payments_done().await;
    assert!(matches!(shop.admit(&route, &GET, &payment).await, Err(Denial::Spent(..))));
    assert_eq!(shop.state(&id).await, Some(State::Delivered));
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_after_the_authorizations_end_too() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    unknown(&shop, &route, &payment).await;
    shop.clock.advance(Duration::from_secs(61));
    assert!(matches!(shop.admit(&route, &GET, &payment).await, Ok(Pass::Settled(_))));
}

#[tokio::test]
async fn what_was_never_settled_is_not_taken_after_its_end() {
    let (shop, after, before) = (Shop::open().await, weather(), route("/video", SettleTiming::Before));
    let payments = [&after, &before].map(|route| shop.pay(offer_of(route), 1));
    shop.clock.advance(Duration::from_secs(55));
    for (route, payment) in [&after, &before].into_iter().zip(payments) {
        let ended = "invalid_exact_evm_payload_authorization_valid_before";
        assert_eq!(reason(shop.admit(route, &GET, &payment).await), ended);
    }
    assert_eq!(shop.facilitator.calls(), (0, 0));
}

/// The first request may have landed and be the reason why the second one is refused.
#[tokio::test]
async fn a_clear_no_to_the_second_asking_proves_nothing() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    let id = unknown(&shop, &route, &payment).await;
    for outcome in [
        SettleOutcome::Refused(refusal("invalid_exact_evm_nonce_already_used")),
        SettleOutcome::NotSent("connection refused".to_owned()),
        SettleOutcome::Unknown(Unclear::new("timeout")),
    ] {
        shop.facilitator.next_outcome(outcome);
        assert_eq!(shop.admit(&route, &GET, &payment).await.unwrap_err(), Denial::Unresolved(id.clone()));
        assert_eq!(shop.state(&id).await, Some(State::Unknown));
    }
    assert!(matches!(shop.admit(&route, &GET, &payment).await, Ok(Pass::Settled(_))));
}

#[tokio::test]
async fn a_crash_in_the_middle_is_resolved_by_the_same_payment() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    shop.store.forgets.store(true, Ordering::Relaxed);
    let verified = shop.verified(&route, &payment).await;
    let id = verified.presented().id.clone();
    assert_eq!(shop.settle(verified).await.unwrap_err(), Denial::Unresolved(id.clone()), "never: unpaid");
    let shop = shop.restarted().await;
    assert_eq!(shop.state(&id).await, Some(State::Unknown));
    assert!(matches!(shop.admit(&route, &GET, &payment).await, Ok(Pass::Settled(_))));
    assert_eq!((shop.state(&id).await, shop.facilitator.calls()), (Some(State::Settled), (1, 2)));
}

#[tokio::test]
async fn a_settled_call_that_was_not_delivered_is_served_to_its_buyer_only() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    let verified = shop.verified(&route, &payment).await;
    drop(shop.settle(verified).await.unwrap());
    let stolen = shop.pay_with(offer_of(&route), 1, &shop.quote(offer_of(&route), 2));
    assert_eq!(receipt_of(shop.admit(&route, &GET, &stolen).await.unwrap_err()), None);
    for stolen in unquoted(offer_of(&route), 1) {
        assert_eq!(receipt_of(shop.admit(&route, &GET, &stolen).await.unwrap_err()), None);
    }
    let Pass::Settled(settled) = shop.admit(&route, &GET, &payment).await.unwrap() else { panic!("not served") };
    assert_eq!(
        (settled.receipt, shop.facilitator.calls()),
        (SettleResponse { payer: Some(Wallet::new(1).address().to_string()), ..receipt("eip155:8453") }, (1, 1))
    );
}

/// With as many copies as come after a crash, the last ones waited in vain for their turn to be told the same.
#[tokio::test]
async fn what_is_delivered_is_told_to_its_buyer_while_another_repeat_is_at_it() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    let settled = shop.settle(shop.verified(&route, &payment).await).await.unwrap();
    let id = settled.presented.id.clone();
    drop(settled);
    let ClaimOutcome::Recorded(first, _) = shop.store.claim(&id).await.unwrap() else { panic!("not free") };
    let early = shop.ask(&route, &GET, &payment).await;
    assert!(matches!(early, Err(Denial::InFlight(_))), "it may be served at this moment: {early:?}");
    drop(first);
    let Pass::Settled(settled) = shop.admit(&route, &GET, &payment).await.unwrap() else { panic!("not served") };
    let (body, expires_at) = ("sunny".into(), shop.clock.now() + Duration::from_secs(60));
    let response = StoredResponse { status: http::StatusCode::OK, headers: Vec::new(), body, expires_at };
    shop.server.deliver(*settled, Some(response));
    shop.server.payments_done().await;
    let ClaimOutcome::Recorded(_other, _) = shop.store.claim(&id).await.unwrap() else { panic!("not free") };
    let Admitted::Stored(response, _) = shop.ask(&route, &GET, &payment).await.unwrap() else { panic!("not stored") };
    assert_eq!(response.body, "sunny");
    let stolen = shop.pay_with(offer_of(&route), 1, &shop.quote(offer_of(&route), 2));
    assert_eq!(receipt_of(shop.admit(&route, &GET, &stolen).await.unwrap_err()), None);
    for stolen in unquoted(offer_of(&route), 1) {
        assert!(matches!(shop.ask(&route, &GET, &stolen).await, Err(Denial::InFlight(_))));
    }
    assert_eq!(shop.facilitator.calls(), (1, 1));
}

/// Whoever reads the chain can build the payment again, and a quote can be had by anybody.
#[tokio::test]
async fn a_settled_call_without_a_quote_is_served_to_nobody_again() {
    let (shop, route) = (Shop::open().await, weather());
    let [v1, by_hand] = unquoted(offer_of(&route), 1);
    let verified = shop.verified(&route, &v1).await;
    drop(shop.settle(verified).await.unwrap());
    for payment in [shop.pay(offer_of(&route), 1), by_hand, v1] {
        assert_eq!(receipt_of(shop.admit(&route, &GET, &payment).await.unwrap_err()), None);
    }
}

/// The first presentation may have done the work and lost the answer.
#[tokio::test]
async fn work_that_is_not_safe_is_not_done_twice() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    unknown(&shop, &route, &payment).await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let receipt = receipt_of(shop.admit(&route, &method, &payment).await.unwrap_err());
        assert!(receipt.is_some_and(|receipt| receipt.success), "{method}");
    }
    assert!(matches!(shop.admit(&route, &GET, &payment).await, Ok(Pass::Settled(_))));
}

#[tokio::test]
async fn a_payment_for_one_route_buys_no_other_at_the_same_price() {
    let (shop, paid, other) = (Shop::open().await, weather(), route("/forecast", SettleTiming::After));
    let payment = shop.pay(offer_of(&paid), 1);
    assert_eq!(reason(shop.admit(&other, &GET, &payment).await), "quote_mismatch");
    let verified = shop.verified(&paid, &payment).await;
    drop(shop.settle(verified).await.unwrap());
    let by_hand = unquoted(offer_of(&paid), 2);
    let verified = shop.verified(&paid, &by_hand[0]).await;
    drop(shop.settle(verified).await.unwrap());
    let with_a_quote_of_the_other = shop.pay_with(offer_of(&other), 1, &shop.quote(offer_of(&other), 1));
    let without_any = unquoted(offer_of(&other), 1).into_iter().chain(unquoted(offer_of(&other), 2));
    for payment in without_any.chain([with_a_quote_of_the_other]) {
        assert_eq!(receipt_of(shop.admit(&other, &GET, &payment).await.unwrap_err()), None);
    }
    assert_eq!(shop.facilitator.calls(), (2, 2));
}

#[tokio::test]
async fn a_route_that_settles_first_asks_for_no_verdict() {
    let (shop, route) = (Shop::open().await, route("/video", SettleTiming::Before));
    let payment = shop.pay(offer_of(&route), 1);
    shop.facilitator.next_outcome(SettleOutcome::Refused(refusal("insufficient_funds")));
    assert!(matches!(shop.admit(&route, &Method::POST, &payment).await, Err(Denial::NotSettled(..))));
    assert!(matches!(shop.admit(&route, &Method::POST, &payment).await, Ok(Pass::Settled(_))));
    assert_eq!(shop.facilitator.calls(), (0, 2));
}

#[tokio::test]
async fn a_payment_that_somebody_is_at_is_in_flight() {
    let (shop, route) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&route), 1);
    let first = shop.verified(&route, &payment).await;
    let id = first.presented().id.clone();
    let [v1, by_hand] = unquoted(offer_of(&route), 1);
    for again in [&payment, &v1, &by_hand] {
        assert_eq!(shop.admit(&route, &GET, again).await.unwrap_err(), Denial::InFlight(id.clone()));
    }
    assert_eq!(shop.facilitator.calls(), (1, 0));
    drop(first);
    shop.verified(&route, &payment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_equal_payments_one_passes() {
    let (shop, route) = (Arc::new(Shop::open().await), Arc::new(weather()));
    let mut calls = tokio::task::JoinSet::new();
    for nonce in 0..100 {
        let (shop, route) = (Arc::clone(&shop), Arc::clone(&route));
        let payment =
            if nonce % 2 == 0 { shop.pay(offer_of(&route), 1) } else { unquoted(offer_of(&route), 1)[0].clone() };
        calls.spawn(async move { shop.admit(&route, &GET, &payment).await });
    }
    let (passed, denied): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((passed.len(), shop.facilitator.calls()), (1, (1, 0)));
    assert!(denied.iter().all(|denied| matches!(denied, Err(Denial::InFlight(_)))));
}

#[tokio::test]
async fn a_settlement_goes_on_when_the_connection_is_gone() {
    let (shop, route) = (Arc::new(Shop::open().await), weather());
    let payment = shop.pay(offer_of(&route), 1);
    let verified = shop.verified(&route, &payment).await;
    let id = verified.presented().id.clone();
    shop.facilitator.gate.forget_permits(usize::MAX);
    let request = tokio::spawn({
        let shop = Arc::clone(&shop);
        async move { shop.settle(verified).await.map(drop) }
    });
    shop.facilitator.begun.acquire().await.unwrap().forget();
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    shop.facilitator.gate.add_permits(9);
    shop.server.payments_done().await;
    assert_eq!(shop.state(&id).await, Some(State::Settled));
}
