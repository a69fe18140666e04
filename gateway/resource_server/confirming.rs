//! Facilitators whose word is not enough: what they say is settled must be on the chain.

use http::Method;

use super::fixture::{Shop, nano, offer_of, route};
use super::resolving::{change, paid, with_chain};
use super::*;
use crate::chain::{ChainError, Sighting};
use crate::payment::State;
use crate::payment::testing::NOW;
use crate::pricing::SettleTiming;

/// A shop on whose network the chain is asked, and what it says.
async fn shop(sighting: Result<Sighting, ChainError>) -> Shop {
    let mut shop = Shop::open().await;
    let network = nano().offer.terms[0].network.clone();
    change(&mut shop, |market| market.risk.confirmed.push(network));
    with_chain(&mut shop, sighting);
    shop
}

#[tokio::test]
async fn what_the_chain_shows_is_settled_by_the_chains_word() {
    let shop = shop(Ok(paid(NOW))).await;
    let weather = route("/weather", SettleTiming::After);
    let verified = shop.verified(&weather, &shop.pay(offer_of(&weather), 1)).await;
    assert_eq!(shop.settle(verified).await.unwrap().receipt.transaction, "0xchain");
    assert_eq!(shop.facilitator.calls(), (1, 1));
    shop.buy(&nano(), &shop.pay(&nano().offer, 2)).await.unwrap();
}

/// It may be that the chain's server is behind, so that nothing is void either.
#[tokio::test]
async fn what_the_chain_does_not_show_is_served_to_nobody() {
    let lies = [Ok(Sighting::Open), Err(ChainError::NotFound), Ok(paid(NOW - 60))];
    for sighting in lies {
        let mut shop = shop(sighting).await;
        let plan = nano();
        let payment = shop.pay(&plan.offer, 1);
        let Err(Denial::Unresolved(id)) = shop.buy(&plan, &payment).await else { panic!("it was sold") };
        assert_eq!(shop.state(&id).await, Some(State::Unknown));
        let weather = route("/weather", SettleTiming::Before);
        let early = shop.admit(&weather, &Method::POST, &shop.pay(offer_of(&weather), 2)).await;
        assert!(matches!(early, Err(Denial::Unresolved(_))), "{early:?}");

        with_chain(&mut shop, Ok(paid(NOW)));
        assert!(shop.buy(&plan, &payment).await.is_ok(), "it has come into sight");
        assert_eq!(shop.state(&id).await, Some(State::Delivered));
    }
}

#[tokio::test]
async fn a_facilitator_that_goes_on_lying_is_asked_last() {
    let shop = shop(Ok(Sighting::Open)).await;
    let weather = route("/weather", SettleTiming::After);
    for nonce in 1..=16 {
        assert!(!shop.market.facilitators.all[0].is_failing(), "{nonce}");
        let verified = shop.verified(&weather, &shop.pay(offer_of(&weather), nonce)).await;
        assert!(shop.settle(verified).await.is_err());
    }
    assert!(shop.market.facilitators.all[0].is_failing());
}

#[tokio::test]
async fn a_lie_is_void_when_the_authorization_is_over() {
    for sighting in [Sighting::Expired, Sighting::Spent { transaction: None }] {
        let shop = shop(Ok(sighting)).await;
        let weather = route("/weather", SettleTiming::After);
        let verified = shop.verified(&weather, &shop.pay(offer_of(&weather), 1)).await;
        let id = verified.presented().id.clone();
        assert_eq!(shop.settle(verified).await.unwrap_err(), Denial::Unresolved(id.clone()));
        shop.clock.advance(std::time::Duration::from_secs(200));
        shop.server.reconcile(&shop.market).await.unwrap();
        assert_eq!(shop.state(&id).await, Some(State::Voided));
    }
}
