//! Payers whom only the facilitator can name, and those whom nobody names.

use std::sync::Arc;

use http::Method;

use super::fixture::{Shop, market, offer_of};
use super::*;
use crate::facilitator::Verdict;
use crate::payment::testing::{SvmWallet, elsewhere, header, offer, quoted, usdc_on_solana};
use crate::pricing::{Access, OfferKey, Route, SettleTiming, Terms};
use crate::screening::{AddressList, Cap, Limit, Limits, Lists, Most, Rules};

const LISTED: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
const UNLISTED: &str = "EMtq5F54UxgEwYx1bmZpRJXNodBPPqjFekwQZNjpzH3w";

async fn open(rules: Rules) -> Shop {
    let mut shop = Shop::open().await;
    let mut open = Arc::into_inner(market(Some(Arc::clone(&shop.facilitator)))).unwrap();
    open.screening = Arc::new(Screening::of(rules));
    shop.market = Arc::new(open);
    shop
}

fn deny() -> Rules {
    let lists = Lists { deny: vec![Arc::new(AddressList::parse("ofac.txt", LISTED).unwrap())], ..Lists::default() };
    Rules { lists, ..Rules::default() }
}

fn selling(terms: Terms, settle: SettleTiming) -> Arc<Route> {
    let key = OfferKey::call("*", "/a");
    Arc::new(Route { access: Access::PerCall(offer(key, [terms])), ..super::fixture::bare("/a", settle) })
}

/// Pays with a wallet that is a program of Solana; the facilitator says that it is of `payer`.
async fn pay(shop: &Shop, route: &Arc<Route>, number: u8, payer: Option<&str>) -> Result<Pass, Denial> {
    shop.facilitator.next_verdict(Ok(Verdict::Valid { payer: payer.map(str::to_owned) }));
    let offer = offer_of(route);
    let payload = SvmWallet::new(1).pay_by_program(&offer.terms[0], number);
    let payment = header(&quoted(&offer.terms[0], payload, &shop.quote(offer, number)));
    shop.admit(route, &Method::GET, &payment).await
}

#[tokio::test]
async fn the_payer_whom_the_facilitator_names_is_screened() {
    let shop = open(deny()).await;
    for (number, timing) in [(1, SettleTiming::After), (2, SettleTiming::Before)] {
        let route = selling(usdc_on_solana(10_000), timing);
        let refused = pay(&shop, &route, number, Some(LISTED)).await;
        assert!(matches!(refused, Err(Denial::Forbidden(_))), "{refused:?}");
        let refused = pay(&shop, &route, number + 2, None).await;
        assert!(matches!(refused, Err(Denial::Forbidden(_))), "{refused:?}");
        let refused = pay(&shop, &route, number + 4, Some("nobody that can be read")).await;
        assert!(matches!(refused, Err(Denial::Forbidden(_))), "{refused:?}");
    }
    // Where nobody but the facilitator can say who pays, it is asked even if the route settles first.
    assert_eq!(shop.facilitator.calls(), (6, 0));
    let route = selling(usdc_on_solana(10_000), SettleTiming::Before);
    assert!(matches!(pay(&shop, &route, 7, Some(UNLISTED)).await, Ok(Pass::Settled(_))));
    assert_eq!(shop.facilitator.calls(), (7, 1));
}

#[tokio::test]
async fn without_rules_about_payers_nobody_needs_to_know_them() {
    let shop = open(Rules::default()).await;
    let route = selling(usdc_on_solana(10_000), SettleTiming::Before);
    assert!(matches!(pay(&shop, &route, 1, None).await, Ok(Pass::Settled(_))));
    assert_eq!(shop.facilitator.calls(), (1, 1));
    let foreign = selling(elsewhere(), SettleTiming::After);
    let payment = header(&crate::payment::testing::v2(&offer_of(&foreign).terms[0], serde_json::json!({ "a": 1 })));
    assert!(shop.admit(&foreign, &Method::GET, &payment).await.is_ok());
}

/// Asked to settle it, a facilitator that has done so for another seller may say that it is settled.
#[tokio::test]
async fn what_only_the_facilitator_can_judge_is_judged_before_it_is_settled() {
    use crate::facilitator::Refusal;
    for terms in [usdc_on_solana(10_000), elsewhere()] {
        let (shop, route) = (open(Rules::default()).await, selling(terms, SettleTiming::Before));
        let reason = "invalid_exact_svm_smart_wallet_transfer_mismatch".to_owned();
        let refusal = Refusal { reason, message: None, payer: None, transaction: None };
        shop.facilitator.next_verdict(Ok(Verdict::Refused(refusal)));
        let terms = &offer_of(&route).terms[0];
        let payload = match terms.fee_payer() {
            Some(_) => SvmWallet::new(1).pay_by_program(terms, 1),
            None => serde_json::json!({ "a": 1 }),
        };
        let payment = header(&quoted(terms, payload, &shop.quote(offer_of(&route), 1)));
        assert!(shop.admit(&route, &Method::GET, &payment).await.is_err());
        assert_eq!(shop.facilitator.calls(), (1, 0));
    }
    let (shop, route) = (open(Rules::default()).await, selling(usdc_on_solana(10_000), SettleTiming::Before));
    let terms = &offer_of(&route).terms[0];
    let read = quoted(terms, SvmWallet::new(1).pay(terms, 1), &shop.quote(offer_of(&route), 1));
    assert!(matches!(shop.admit(&route, &Method::GET, &header(&read)).await, Ok(Pass::Settled(_))));
    assert_eq!(shop.facilitator.calls(), (0, 1), "what is judged here is not asked for twice");
}

#[tokio::test]
async fn what_the_facilitators_payer_pays_is_limited() {
    let most = Cap { most: Most::Payments(1), per: Duration::from_secs(3600) };
    let shop = open(Rules { limits: Limits { payments: vec![most], ..Limits::default() }, ..Rules::default() }).await;
    let route = selling(usdc_on_solana(10_000), SettleTiming::After);
    let Ok(Pass::Verified(first)) = pay(&shop, &route, 1, Some(UNLISTED)).await else { panic!("not admitted") };
    let over = pay(&shop, &route, 2, Some(UNLISTED)).await;
    assert!(matches!(&over, Err(Denial::Exceeded(over)) if over.limit == Limit::Payments(most)), "{over:?}");
    drop(first);
    let Ok(Pass::Verified(second)) = pay(&shop, &route, 3, Some(UNLISTED)).await else { panic!("not given back") };
    shop.settle(*second).await.unwrap();
    assert!(pay(&shop, &route, 4, Some(UNLISTED)).await.is_err());
    assert!(pay(&shop, &route, 5, Some(LISTED)).await.is_ok());
    assert!(matches!(pay(&shop, &route, 6, None).await, Err(Denial::Forbidden(_))));
}

#[tokio::test]
async fn a_facilitator_that_fails_is_not_the_payers_fault() {
    use crate::facilitator::{Refusal, SettleOutcome};
    let strikes = crate::screening::Rate { count: 2, per: Duration::from_secs(3600) };
    let shop = open(Rules { limits: Limits { strikes, ..Limits::default() }, ..Rules::default() }).await;
    let route = selling(usdc_on_solana(10_000), SettleTiming::After);
    for (number, reason) in (1..).zip(["unexpected_settle_error"; 3].into_iter().chain(["insufficient_funds"; 2])) {
        let refusal = Refusal { reason: reason.to_owned(), message: None, payer: None, transaction: None };
        shop.facilitator.next_outcome(SettleOutcome::Refused(refusal));
        let Ok(Pass::Verified(verified)) = pay(&shop, &route, number, Some(UNLISTED)).await else { panic!("{number}") };
        assert!(matches!(shop.settle(*verified).await, Err(Denial::NotSettled(..))));
    }
    let struck = pay(&shop, &route, 9, Some(UNLISTED)).await;
    assert!(matches!(&struck, Err(Denial::Exceeded(over)) if over.limit == Limit::Strikes(strikes)), "{struck:?}");
}

#[tokio::test]
async fn money_that_may_have_moved_stays_counted() {
    use crate::facilitator::SettleOutcome;
    let most = Cap { most: Most::Payments(1), per: Duration::from_secs(3600) };
    let shop = open(Rules { limits: Limits { payments: vec![most], ..Limits::default() }, ..Rules::default() }).await;
    let route = selling(usdc_on_solana(10_000), SettleTiming::After);
    for (number, outcome) in [
        (1, SettleOutcome::NotSent("down".to_owned())),
        (2, SettleOutcome::Unknown(crate::facilitator::Unclear::new("late"))),
    ] {
        shop.facilitator.next_outcome(outcome);
        let Ok(Pass::Verified(verified)) = pay(&shop, &route, number, Some(UNLISTED)).await else { panic!("{number}") };
        let _ = shop.settle(*verified).await.unwrap_err();
    }
    assert!(matches!(pay(&shop, &route, 3, Some(UNLISTED)).await, Err(Denial::Exceeded(_))));
}

#[tokio::test]
async fn a_payer_who_signed_for_the_money_is_screened_without_asking() {
    let listed = SvmWallet::new(1);
    let lists = AddressList::parse("ofac.txt", &listed.address().to_string()).unwrap();
    let lists = Lists { deny: vec![Arc::new(lists)], ..Lists::default() };
    let shop = open(Rules { lists, ..Rules::default() }).await;
    let route = selling(usdc_on_solana(10_000), SettleTiming::Before);
    for (wallet, is_refused) in [(listed, true), (SvmWallet::new(2), false)] {
        let offer = offer_of(&route);
        let payment = header(&quoted(&offer.terms[0], wallet.pay(&offer.terms[0], 1), &shop.quote(offer, 1)));
        let admitted = shop.admit(&route, &Method::GET, &payment).await;
        assert_eq!(matches!(admitted, Err(Denial::Forbidden(_))), is_refused, "{admitted:?}");
    }
    assert_eq!(shop.facilitator.calls(), (0, 1), "who pays stands in the transaction");
}

/// By the letter of the scheme the payer is who pays the fees. Taken for a contradiction, a payment that was made would be
/// one in doubt.
#[tokio::test]
async fn a_facilitator_may_call_the_fee_payer_the_payer() {
    use crate::facilitator::SettleOutcome;
    use crate::payment::testing::{FEE_PAYER, OTHER_FEE_PAYER};
    let (shop, wallet) = (open(Rules::default()).await, SvmWallet::new(1));
    let route = selling(usdc_on_solana(10_000), SettleTiming::After);
    let pay = async |number, named: &str| {
        shop.facilitator.next_verdict(Ok(Verdict::Valid { payer: Some(named.to_owned()) }));
        let (offer, payload) = (offer_of(&route), wallet.pay(&offer_of(&route).terms[0], number));
        shop.admit(&route, &Method::GET, &header(&quoted(&offer.terms[0], payload, &shop.quote(offer, number)))).await
    };
    let Ok(Pass::Verified(verified)) = pay(1, FEE_PAYER).await else { panic!("not admitted") };
    assert_eq!(verified.payer(), Some(&*wallet.address().to_string()));
    let network = verified.presented().terms.network.to_string();
    let named = |payer: &str| SettleResponse { payer: Some(payer.to_owned()), ..super::fixture::receipt(&network) };
    shop.facilitator.next_outcome(SettleOutcome::Settled(named(FEE_PAYER)));
    let settled = shop.settle(*verified).await.unwrap();
    assert_eq!(settled.receipt.payer, Some(wallet.address().to_string()));
    let other = pay(2, OTHER_FEE_PAYER).await;
    assert!(
        matches!(&other, Err(Denial::Shortfall(Shortfall::Payment(no))) if no.reason == "payer_mismatch"),
        "{other:?}"
    );
    let Ok(Pass::Verified(verified)) = pay(3, &wallet.address().to_string()).await else { panic!("not admitted") };
    shop.facilitator.next_outcome(SettleOutcome::Settled(named(OTHER_FEE_PAYER)));
    assert!(matches!(shop.settle(*verified).await, Err(Denial::Unresolved(_))));
}
