//! Payments in doubt, and answers that were lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use http::{Method, StatusCode};

use super::fixture::{Shop, nano, offer_of, reason, receipt, route, unquoted, with_identifier};
use super::*;
use crate::chain::{Chain, ChainError, Sighting, Sought};
use crate::facilitator::{Refusal, SettleOutcome, Unclear, Verdict};
use crate::money::Address;
use crate::payment::State;
use crate::payment::testing::{NOW, SvmWallet, Wallet, header, offer, usdc_on_solana, v2};
use crate::pricing::{OfferKey, Route, SettleTiming};
use crate::store::StoredResponse;

const GET: Method = Method::GET;

/// A chain that says what it is told to.
#[derive(Debug)]
struct Says(Mutex<Result<Sighting, ChainError>>, AtomicBool);

#[async_trait]
impl Chain for Says {
    async fn look_up(&self, sought: &Sought) -> Result<Sighting, ChainError> {
        assert!(matches!(sought.authorization, crate::chain::Authorization::Eip3009 { .. }));
        self.1.store(true, Ordering::Relaxed);
        self.0.lock().unwrap().clone()
    }

    async fn is_signed_by(&self, _: &Address, _: [u8; 32], _: &[u8]) -> Result<bool, ChainError> {
        Err(ChainError::NotFound)
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(super) fn paid(seconds: u64) -> Sighting {
    Sighting::Paid { transaction: "0xchain".to_owned(), at: at(seconds) }
}

pub(super) fn with_chain(shop: &mut Shop, sighting: Result<Sighting, ChainError>) {
    let network = offer_of(&weather()).terms[0].network.clone();
    change(shop, |market| {
        market.chains.insert(network, Arc::new(Says(Mutex::new(sighting), AtomicBool::new(false))));
    });
}

pub(super) fn change(shop: &mut Shop, change: impl FnOnce(&mut Market)) {
    change(Arc::get_mut(&mut shop.market).unwrap());
}

fn weather() -> Arc<Route> {
    route("/weather", SettleTiming::After)
}

fn used() -> SettleOutcome {
    SettleOutcome::Unknown(Unclear { used: true, ..Unclear::new("invalid_exact_evm_nonce_already_used") })
}

pub(super) fn timeout() -> SettleOutcome {
    SettleOutcome::Unknown(Unclear::new("no answer in time"))
}

#[tokio::test]
async fn the_outcome_is_found_out_before_the_client_is_answered() {
    for second in [None, Some(timeout())] {
        let mut shop = Shop::open().await;
        change(&mut shop, |market| market.risk.resolve_timeout = Duration::from_secs(5));
        [Some(timeout()), second].into_iter().flatten().for_each(|outcome| shop.facilitator.next_outcome(outcome));
        let verified = shop.verified(&weather(), &shop.pay(offer_of(&weather()), 1)).await;
        let settled = shop.settle(verified).await.unwrap();
        assert_eq!(settled.receipt.transaction, "0xabc");
        let bodies = shop.facilitator.bodies();
        assert!(bodies.len() >= 2 && bodies.iter().all(|body| *body == bodies[0]), "identical bodies");
    }
}

#[tokio::test]
async fn what_the_chain_says_ends_a_payment() {
    let unread = Err(ChainError::NotFound);
    for (sighting, state) in [
        (Ok(paid(NOW)), State::Settled),
        // It paid for something else, before it was quoted here.
        (Ok(paid(NOW - 60)), State::Unknown),
        (Ok(Sighting::Spent { transaction: None }), State::Voided),
        (Ok(Sighting::Expired), State::Voided),
        (Ok(Sighting::Open), State::Unknown),
        (unread, State::Unknown),
    ] {
        let mut shop = Shop::open().await;
        change(&mut shop, |market| market.risk.resolve_timeout = Duration::from_millis(50));
        with_chain(&mut shop, sighting.clone());
        shop.facilitator.next_outcome(used());
        shop.facilitator.next_outcome(used());
        let verified = shop.verified(&weather(), &shop.pay(offer_of(&weather()), 1)).await;
        let id = verified.presented().id.clone();
        let outcome = shop.settle(verified).await;
        match state {
            State::Settled => assert_eq!(outcome.unwrap().receipt.transaction, "0xchain"),
            State::Voided => assert!(matches!(outcome, Err(Denial::NotSettled(..))), "{sighting:?}"),
            _ => assert_eq!(outcome.unwrap_err(), Denial::Unresolved(id.clone()), "{sighting:?}"),
        }
        assert_eq!(shop.state(&id).await, Some(state), "{sighting:?}");
    }
}

#[tokio::test]
async fn used_is_no_proof_unless_the_operator_says_so() {
    for (unproven, state) in [(Unproven::Hold, State::Unknown), (Unproven::Accept, State::Settled)] {
        let mut shop = Shop::open().await;
        change(&mut shop, |market| {
            (market.risk.resolve_timeout, market.risk.unproven) = (Duration::from_secs(1), unproven);
        });
        shop.facilitator.next_outcome(timeout());
        shop.facilitator.next_outcome(used());
        let verified = shop.verified(&weather(), &shop.pay(offer_of(&weather()), 1)).await;
        let id = verified.presented().id.clone();
        assert_eq!(shop.settle(verified).await.is_ok(), unproven == Unproven::Accept);
        assert_eq!(shop.state(&id).await, Some(state));
    }
}

/// The reference's facilitator remembers what it has begun, whatever becomes of it and whoever it was for.
#[tokio::test]
async fn on_solana_used_is_no_proof_whatever_the_operator_says() {
    let mut shop = Shop::open().await;
    change(&mut shop, |market| {
        (market.risk.resolve_timeout, market.risk.unproven) = (Duration::from_secs(1), Unproven::Accept);
    });
    let used = || SettleOutcome::Unknown(Unclear { used: true, ..Unclear::new("duplicate_settlement") });
    let mut plan = Arc::into_inner(nano()).unwrap();
    plan.offer = offer(OfferKey::plan("nano"), [usdc_on_solana(10_000)]);
    let (plan, wallet) = (Arc::new(plan), SvmWallet::new(1));
    let terms = &plan.offer.terms[0];
    for payload in [wallet.pay(terms, 1), wallet.pay_by_program(terms, 2)] {
        shop.facilitator.next_outcome(used());
        shop.facilitator.next_outcome(used());
        let Err(Denial::Unresolved(id)) = shop.buy(&plan, &header(&v2(terms, payload))).await else { panic!("sold") };
        assert_eq!(shop.state(&id).await, Some(State::Unknown));
    }
}

/// A clear no is not believed where the chain says otherwise: somebody else may have put the payment there before, or
/// the facilitator denies what it did. With or without a quote: it was not there yet when it was verified.
#[tokio::test]
async fn a_payment_that_is_not_settled_is_looked_up() {
    let refused = |reason: &str, transaction: Option<&str>| {
        let (reason, transaction) = (reason.to_owned(), transaction.map(str::to_owned));
        SettleOutcome::Refused(Refusal { reason, message: None, payer: None, transaction })
    };
    let failed = || refused("invalid_exact_evm_transaction_failed", Some("0xfailed"));
    // It would not have failed when it was verified.
    let would_fail = || refused("invalid_exact_svm_transaction_simulation_failed", None);
    let (mut shop, offered) = (Shop::open().await, weather());
    let [v1, by_hand] = unquoted(offer_of(&offered), 1);
    let [other, _] = unquoted(offer_of(&offered), 3);
    with_chain(&mut shop, Ok(paid(NOW)));
    let with_quote = |nonce| shop.pay(offer_of(&offered), nonce);
    let denied = refused("invalid_payload", None);
    for (payment, outcome) in
        [(v1, failed()), (with_quote(2), failed()), (with_quote(4), would_fail()), (with_quote(5), denied)]
    {
        shop.facilitator.next_outcome(outcome);
        let verified = shop.verified(&offered, &payment).await;
        assert_eq!(shop.settle(verified).await.unwrap().receipt.transaction, "0xchain");
    }
    assert!(matches!(shop.admit(&offered, &GET, &by_hand).await, Err(Denial::Spent(_, None))));
    // What is on the chain since before it was presented was made for something else.
    with_chain(&mut shop, Ok(paid(NOW - 60)));
    shop.facilitator.next_outcome(failed());
    let verified = shop.verified(&offered, &other).await;
    assert!(matches!(shop.settle(verified).await, Err(Denial::NotSettled(..))));
}

#[tokio::test]
async fn a_payment_that_a_stranger_put_on_the_chain_is_served_once() {
    let (mut shop, offered) = (Shop::open().await, weather());
    with_chain(&mut shop, Ok(paid(NOW + 1)));
    let refused = || {
        let reason = "invalid_exact_evm_nonce_already_used".to_owned();
        Ok(Verdict::Refused(Refusal { reason, message: None, payer: None, transaction: None }))
    };
    for payment in unquoted(offer_of(&offered), 2) {
        shop.facilitator.next_verdict(refused());
        assert_eq!(reason(shop.admit(&offered, &GET, &payment).await), "invalid_exact_evm_nonce_already_used");
    }
    let payment = shop.pay(offer_of(&offered), 1);
    shop.facilitator.next_verdict(refused());
    let Ok(Pass::Settled(settled)) = shop.admit(&offered, &GET, &payment).await else { panic!("not served") };
    assert_eq!((settled.receipt.transaction.as_str(), shop.facilitator.calls().1), ("0xchain", 0));
    shop.server.deliver(*settled, None);
    shop.server.payments_done().await;
    assert!(matches!(shop.admit(&offered, &GET, &payment).await, Err(Denial::Spent(..))));

    // A quote that is younger than the transaction proves that the payment was made for something else.
    with_chain(&mut shop, Ok(paid(NOW - 60)));
    shop.facilitator.next_verdict(refused());
    let old = shop.pay(offer_of(&offered), 3);
    assert_eq!(reason(shop.admit(&offered, &GET, &old).await), "invalid_exact_evm_nonce_already_used");
}

#[tokio::test]
async fn the_reconciler_completes_a_sale_without_its_buyer() {
    let (shop, plan) = (Shop::open().await, nano());
    let payment = shop.pay(&plan.offer, 1);
    shop.facilitator.next_outcome(timeout());
    let Err(Denial::Unresolved(id)) = shop.buy(&plan, &payment).await else { panic!("not unknown") };
    assert_eq!(shop.server.reconcile(&shop.market).await, Ok(Reconciled::default()), "not yet");
    shop.facilitator.next_outcome(timeout());
    shop.clock.advance(Duration::from_secs(3));
    assert_eq!(shop.server.reconcile(&shop.market).await, Ok(Reconciled { open: 1, ..Reconciled::default() }));
    shop.clock.advance(Duration::from_secs(3));
    assert_eq!(shop.server.reconcile(&shop.market).await, Ok(Reconciled::default()), "it waits longer each time");
    shop.clock.advance(Duration::from_secs(10));
    assert_eq!(shop.server.reconcile(&shop.market).await, Ok(Reconciled { settled: 1, ..Reconciled::default() }));
    assert_eq!(shop.state(&id).await, Some(State::Settled));
    let asked = shop.facilitator.calls();
    let sold = shop.buy(&plan, &payment).await.unwrap();
    assert_eq!((sold.subscription.plan.name.as_ref(), shop.facilitator.calls()), ("nano", asked));
    assert!(shop.status(sold.key.reveal()).await.unwrap().active);
}

/// The facilitator has nothing more to say then; the operator decides.
#[tokio::test]
async fn without_a_chain_the_reconciler_stops_at_the_authorizations_end() {
    let (shop, plan) = (Shop::open().await, nano());
    shop.facilitator.next_outcome(timeout());
    let Err(Denial::Unresolved(id)) = shop.buy(&plan, &shop.pay(&plan.offer, 1)).await else { panic!("not unknown") };
    for _ in 0..100 {
        shop.facilitator.next_outcome(timeout());
        shop.clock.advance(Duration::from_secs(60));
        shop.server.reconcile(&shop.market).await.unwrap();
    }
    assert!(shop.facilitator.calls().1 < 12, "{:?}", shop.facilitator.calls());
    assert_eq!(shop.state(&id).await, Some(State::Unknown), "and it is listed");
}

fn answer(body: &str) -> StoredResponse {
    StoredResponse {
        status: StatusCode::CREATED,
        headers: vec![("content-type".to_owned(), b"text/plain".to_vec())],
        body: body.to_owned().into(),
        expires_at: at(NOW + 60),
    }
}

#[tokio::test]
async fn the_buyer_gets_the_stored_answer_and_nobody_else() {
    let (shop, offered) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&offered), 1);
    let verified = shop.verified(&offered, &payment).await;
    let settled = shop.settle(verified).await.unwrap();
    shop.server.deliver(settled, Some(answer("sunny")));
    shop.server.payments_done().await;
    for _ in 0..2 {
        let Ok(Admitted::Stored(stored, settled)) = shop.ask(&offered, &GET, &payment).await else { panic!() };
        assert_eq!((*stored, settled.transaction), (answer("sunny"), receipt("eip155:8453").transaction));
    }
    let stolen = shop.pay_with(offer_of(&offered), 1, &shop.quote(offer_of(&offered), 2));
    for stolen in unquoted(offer_of(&offered), 1).into_iter().chain([stolen]) {
        assert!(matches!(shop.ask(&offered, &GET, &stolen).await, Err(Denial::Spent(_, None))));
    }
    assert!(matches!(shop.ask(&offered, &Method::POST, &payment).await, Err(Denial::Spent(_, Some(_)))));
    shop.clock.advance(Duration::from_secs(61));
    assert!(matches!(shop.ask(&offered, &GET, &payment).await, Err(Denial::Spent(_, Some(_)))), "it is gone");
}

#[tokio::test]
async fn an_answer_that_was_withheld_is_there_when_the_payment_turns_out_settled() {
    let (shop, offered) = (Shop::open().await, weather());
    let payment = shop.pay(offer_of(&offered), 1);
    shop.facilitator.next_outcome(timeout());
    let verified = shop.verified(&offered, &payment).await;
    let id = verified.presented().id.clone();
    assert!(shop.settle(verified).await.is_err());
    shop.server.keep(id.clone(), None, answer("sunny"));
    shop.server.payments_done().await;
    let Ok(Admitted::Stored(stored, _)) = shop.ask(&offered, &GET, &payment).await else { panic!() };
    assert_eq!((stored.body.as_ref(), shop.state(&id).await), (b"sunny".as_slice(), Some(State::Delivered)));
}

#[tokio::test]
async fn a_payment_identifier_stands_for_one_payment_and_for_its_buyer() {
    let (shop, plan) = (Shop::open().await, nano());
    let [_, by_hand] = unquoted(&plan.offer, 1);
    let first = with_identifier(&by_hand, "order_0123456789");
    let key = shop.buy(&plan, &first).await.unwrap().key.reveal().to_owned();
    assert_eq!(shop.buy(&plan, &first).await.unwrap().key.reveal(), key);
    assert!(matches!(shop.buy(&plan, &by_hand).await, Err(Denial::Spent(_, None))));
    let other = with_identifier(&by_hand, "order_9876543210");
    assert!(matches!(shop.buy(&plan, &other).await, Err(Denial::Spent(_, None))));
    let [_, second] = unquoted(&plan.offer, 2);
    let second = with_identifier(&second, "order_0123456789");
    assert!(matches!(shop.buy(&plan, &second).await, Err(Denial::IdentifierTaken(_))));
    assert_eq!(shop.facilitator.calls().1, 1, "nothing is charged for it");
}

/// Mixed-up answers happen: a receipt for somebody else must not open what this payment was for.
#[tokio::test]
async fn a_receipt_that_names_another_payer_proves_nothing() {
    let (shop, offered) = (Shop::open().await, weather());
    let of = |payer: &str| {
        SettleOutcome::Settled(SettleResponse { payer: Some(payer.to_owned()), ..receipt("eip155:8453") })
    };
    let (payment, other) = (shop.pay(offer_of(&offered), 1), Wallet::new(2).address().to_string());
    let verified = shop.verified(&offered, &payment).await;
    for _ in 0..2 {
        shop.facilitator.next_outcome(of(&other));
    }
    assert!(matches!(shop.settle(verified).await, Err(Denial::Unresolved(_))));
    assert!(matches!(shop.ask(&offered, &GET, &payment).await, Err(Denial::Unresolved(_))));
    shop.facilitator.next_outcome(of(&Wallet::new(1).address().to_string().to_lowercase()));
    assert!(matches!(shop.ask(&offered, &GET, &payment).await, Ok(Admitted::Pass(Pass::Settled(_)))));
}

/// The money was taken, the upstream was never asked, and the buyer was told that the payment is used up.
#[tokio::test]
async fn an_advance_payment_in_doubt_buys_work_that_cannot_be_repeated() {
    let (shop, offered) = (Shop::open().await, route("/weather", SettleTiming::Before));
    let payment = shop.pay(offer_of(&offered), 1);
    shop.facilitator.next_outcome(timeout());
    assert!(matches!(shop.ask(&offered, &Method::POST, &payment).await, Err(Denial::Unresolved(_))));
    let Ok(Admitted::Pass(Pass::Settled(settled))) = shop.ask(&offered, &Method::POST, &payment).await else {
        panic!()
    };
    drop(settled);
    // From here on the work may have been done.
    assert!(matches!(shop.ask(&offered, &Method::POST, &payment).await, Err(Denial::Undelivered(..))));
}

/// The reconciler may be faster than the buyer: the money is here, and the upstream was never asked.
#[tokio::test]
async fn an_advance_payment_that_was_reconciled_buys_its_work_once() {
    let (shop, offered) = (Shop::open().await, route("/weather", SettleTiming::Before));
    let payment = shop.pay(offer_of(&offered), 1);
    shop.facilitator.next_outcome(timeout());
    assert!(matches!(shop.ask(&offered, &Method::POST, &payment).await, Err(Denial::Unresolved(_))));
    shop.clock.advance(Duration::from_secs(3));
    assert_eq!(shop.server.reconcile(&shop.market).await.unwrap().settled, 1);
    let Ok(Admitted::Pass(Pass::Settled(settled))) = shop.ask(&offered, &Method::POST, &payment).await else {
        panic!("paid, and not served")
    };
    drop(settled);
    assert!(matches!(shop.ask(&offered, &Method::POST, &payment).await, Err(Denial::Undelivered(..))));

    // One that was settled at once has asked the upstream: it is not asked again.
    let other = shop.pay(offer_of(&offered), 2);
    assert!(matches!(shop.ask(&offered, &Method::POST, &other).await, Ok(Admitted::Pass(Pass::Settled(_)))));
    assert!(matches!(shop.ask(&offered, &Method::POST, &other).await, Err(Denial::Undelivered(..))));
}

/// A facilitator that refused the request itself may have settled it all the same.
#[tokio::test]
async fn a_voided_payment_that_turns_out_used_is_in_doubt() {
    let used = || {
        let reason = "invalid_exact_evm_nonce_already_used".to_owned();
        Ok(Verdict::Refused(Refusal { reason, message: None, payer: None, transaction: None }))
    };
    let (shop, offered, plan) = (Shop::open().await, weather(), nano());
    let call = shop.pay(offer_of(&offered), 1);
    shop.facilitator.next_outcome(SettleOutcome::NotSent("HTTP 401".to_owned()));
    let verified = shop.verified(&offered, &call).await;
    let id = verified.presented().id.clone();
    assert!(matches!(shop.settle(verified).await, Err(Denial::NoVerdict(_))));
    shop.facilitator.next_verdict(used());
    assert_eq!(shop.ask(&offered, &GET, &call).await.unwrap_err(), Denial::Unresolved(id.clone()));
    assert_eq!(shop.state(&id).await, Some(State::Unknown));

    let purchase = shop.pay(&plan.offer, 2);
    shop.facilitator.next_outcome(SettleOutcome::NotSent("HTTP 401".to_owned()));
    assert!(matches!(shop.buy(&plan, &purchase).await, Err(Denial::NoVerdict(_))));
    shop.facilitator.next_verdict(used());
    assert!(matches!(shop.buy(&plan, &purchase).await, Err(Denial::Unresolved(_))));
    // Never sent by us, it is only refused.
    shop.facilitator.next_verdict(used());
    let fresh = shop.pay(offer_of(&offered), 3);
    assert_eq!(reason(shop.admit(&offered, &GET, &fresh).await), "invalid_exact_evm_nonce_already_used");
}
