//! Signing in: who proves the wallet gets back what it bought, and nobody else does.
//!
//! The proofs are the reference's, for the time at which the shop's clock stands.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::fixture::{Shop, offer_of, plan, receipt, route};
use super::*;
use crate::chain::{Chain, ChainError, Sighting, Sought};
use crate::facilitator::SettleOutcome;
use crate::money::Address;
use crate::payment::siwx::SignIn;
use crate::payment::testing::{SvmWallet, Wallet, header, offer, usdc, usdc_on_solana, v1, v2};
use crate::plans::Units;
use crate::pricing::{OfferKey, PlanOffer, SettleTiming, Unlisted};
use crate::store::StoredResponse;

/// The wallet of the reference's proofs.
const EVM: u8 = 0x11;
const SOLANA: &str = "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene";

fn proof(name: &str) -> SignIn {
    let all: Value = serde_json::from_str(include_str!("../../tests/vectors/siwx.json")).unwrap();
    SignIn::Header(all[name]["header"].as_str().unwrap().to_owned())
}

/// A plan that is paid for on either chain.
fn either(name: &str) -> Arc<PlanOffer> {
    let plan = plan(name, Some(100), 5_000_000, None);
    let mut plan = Arc::try_unwrap(plan).unwrap();
    plan.offer = offer(OfferKey::plan(name), [usdc(5_000_000), usdc_on_solana(5_000_000)]);
    Arc::new(plan)
}

/// A shop that sells these plans.
async fn shop(plans: &[Arc<PlanOffer>]) -> Shop {
    let mut shop = Shop::open().await;
    let prices = PriceTable {
        router: crate::pricing::Router::default(),
        plans: plans.to_vec(),
        unlisted: Unlisted::Deny,
        endpoints: "/x402".into(),
        public_url: "https://api.example.com".into(),
    };
    Arc::get_mut(&mut shop.market).unwrap().prices = prices;
    shop
}

impl Shop {
    async fn buys(&self, plan: &Arc<PlanOffer>, wallet: u8, nonce: u8) -> Sold {
        let payment = header(&v2(&plan.offer.terms[0], Wallet::new(wallet).eip3009(&plan.offer.terms[0], nonce)));
        let sold = self.buy(plan, &payment).await.unwrap();
        self.clock.advance(Duration::from_secs(1));
        sold
    }

    async fn holds(&self, proof: &SignIn) -> Option<Holding> {
        self.server.holding(&self.market, proof).await.unwrap()
    }

    async fn not_held(&self, proof: &SignIn) -> String {
        super::fixture::reason(self.server.holding(&self.market, proof).await)
    }
}

#[tokio::test]
async fn a_payer_gets_back_what_was_sold_and_asks_nobody() {
    let nano = either("nano");
    let shop = shop(std::slice::from_ref(&nano)).await;
    assert!(shop.holds(&proof("evm_usual")).await.is_none());
    let sold = shop.buys(&nano, EVM, 1).await;
    let held = shop.holds(&proof("evm_usual")).await.unwrap();
    assert_eq!(
        (&held.subscription, &held.key, &held.receipt),
        (&sold.subscription, &Some(sold.key.clone()), &Some(sold.receipt.clone()))
    );
    assert!(held.status.active && !held.is_used_up());
    shop.spend(held.key.as_ref().unwrap().reveal(), Units::from_thousandths(40_000)).await.unwrap();
    assert_eq!(shop.holds(&proof("evm_usual")).await.unwrap().status.used, Units::from_thousandths(40_000));
    shop.spend(held.key.as_ref().unwrap().reveal(), Units::from_thousandths(60_000)).await.unwrap();
    assert!(shop.holds(&proof("evm_usual")).await.unwrap().is_used_up());
    assert_eq!(shop.facilitator.calls(), (1, 1));
    assert!(shop.holds(&proof("solana_usual")).await.is_none(), "the other wallet bought nothing");
}

#[tokio::test]
async fn a_payer_that_only_the_facilitator_knows_is_found_again() {
    let nano = either("nano");
    let shop = shop(std::slice::from_ref(&nano)).await;
    let network = nano.offer.terms[1].network.to_string();
    let paid = SettleResponse { payer: Some(SOLANA.to_owned()), ..receipt(&network) };
    shop.facilitator.next_outcome(SettleOutcome::Settled(paid));
    let by_program = SvmWallet::new(1).pay_by_program(&nano.offer.terms[1], 1);
    let sold = shop.buy(&nano, &header(&v2(&nano.offer.terms[1], by_program))).await.unwrap();
    assert_eq!((&*sold.subscription.chain, &*sold.subscription.payer), ("solana", SOLANA));
    assert_eq!(shop.holds(&proof("solana_usual")).await.unwrap().key, Some(sold.key));
}

#[tokio::test]
async fn a_wallet_of_solana_finds_what_it_bought() {
    let nano = either("nano");
    let shop = shop(std::slice::from_ref(&nano)).await;
    // The wallet of the reference's proofs.
    let paid = SvmWallet::new(0x21).pay(&nano.offer.terms[1], 1);
    let sold = shop.buy(&nano, &header(&v2(&nano.offer.terms[1], paid))).await.unwrap();
    assert_eq!((&*sold.subscription.chain, &*sold.subscription.payer), ("solana", SOLANA));
    assert_eq!(shop.holds(&proof("solana_usual")).await.unwrap().key, Some(sold.key));
}

#[tokio::test]
async fn the_newest_subscription_counts() {
    let (nano, pro) = (either("nano"), either("pro"));
    let shop = shop(&[Arc::clone(&nano), Arc::clone(&pro)]).await;
    shop.buys(&nano, EVM, 1).await;
    let newer = shop.buys(&pro, EVM, 2).await;
    shop.buys(&nano, 1, 3).await;
    let held = shop.holds(&proof("evm_usual")).await.unwrap();
    assert_eq!((&*held.subscription.plan.name, held.key), ("pro", Some(newer.key)));
}

#[tokio::test]
async fn what_is_not_proved_is_not_shown() {
    let nano = either("nano");
    let shop = shop(std::slice::from_ref(&nano)).await;
    let SignIn::Header(good) = proof("evm_usual") else { panic!() };
    let mut forged: Value = serde_json::from_str(&crate::x402::codec::decode(good.as_bytes()).unwrap()).unwrap();
    forged["signature"] = "0x00".into();
    let forged = SignIn::Header(header(&forged));
    // Whether there is something to show makes no difference: a contract may have signed, and nobody is asked.
    assert_eq!(shop.not_held(&forged).await, "invalid_siwx_signature");
    shop.buys(&nano, EVM, 1).await;
    assert_eq!(shop.not_held(&forged).await, "invalid_siwx_signature");
    assert_eq!(shop.not_held(&SignIn::Header("e30=".to_owned())).await, "invalid_siwx_payload");
    shop.clock.advance(Duration::from_secs(300));
    assert_eq!(shop.not_held(&proof("evm_usual")).await, "invalid_siwx_issued_at_too_old");
}

#[tokio::test]
async fn without_books_nothing_is_said() {
    let nano = either("nano");
    let shop = shop(std::slice::from_ref(&nano)).await;
    shop.buys(&nano, EVM, 1).await;
    shop.store.down.store(true, Ordering::Relaxed);
    let held = shop.server.holding(&shop.market, &proof("evm_usual")).await;
    assert_eq!(held.unwrap_err(), Denial::StoreFailed);
}

/// Says yes or no of a contract's signature.
#[derive(Debug)]
struct Contract(bool);

#[async_trait::async_trait]
impl Chain for Contract {
    async fn look_up(&self, _: &Sought) -> Result<Sighting, ChainError> {
        Err(ChainError::NotFound)
    }

    async fn is_signed_by(&self, _: &Address, _: [u8; 32], signature: &[u8]) -> Result<bool, ChainError> {
        assert_eq!(signature, [0]);
        Ok(self.0)
    }
}

#[tokio::test]
async fn a_contract_wallet_is_asked_where_it_paid() {
    let nano = either("nano");
    for (says, chain) in [(true, true), (false, true), (true, false)] {
        let mut shop = shop(std::slice::from_ref(&nano)).await;
        if chain {
            let network = nano.offer.terms[0].network.clone();
            Arc::get_mut(&mut shop.market).unwrap().chains.insert(network, Arc::new(Contract(says)));
        }
        let sold = shop.buys(&nano, EVM, 1).await;
        let SignIn::Header(good) = proof("evm_usual") else { panic!() };
        let mut by_contract: Value =
            serde_json::from_str(&crate::x402::codec::decode(good.as_bytes()).unwrap()).unwrap();
        by_contract["signature"] = "0x00".into();
        let by_contract = SignIn::Header(header(&by_contract));
        match says && chain {
            true => assert_eq!(shop.holds(&by_contract).await.unwrap().key, Some(sold.key)),
            false => assert_eq!(shop.not_held(&by_contract).await, "invalid_siwx_signature"),
        }
    }
}

/// Version 1 has no quotes: whoever proves the wallet is the buyer, and whoever copies the payment is not.
#[tokio::test]
async fn a_repeat_without_a_quote_is_answered_to_the_payers_wallet() {
    let (shop, offered) = (shop(&[]).await, route("/weather", SettleTiming::After));
    let terms = &offer_of(&offered).terms[0];
    let payment = header(&v1(terms, Wallet::new(EVM).eip3009(terms, 1)));
    let verified = shop.verified(&offered, &payment).await;
    let settled = shop.settle(verified).await.unwrap();
    let answer = StoredResponse {
        status: http::StatusCode::OK,
        headers: Vec::new(),
        body: "sunny".into(),
        expires_at: shop.clock.now() + Duration::from_secs(60),
    };
    shop.server.deliver(settled, Some(answer));
    shop.server.payments_done().await;
    let asks = async |sign_in: Option<&SignIn>| {
        let payment = Some(payment.as_bytes());
        let method = &http::Method::GET;
        let credentials = Credentials { sign_in, ..Credentials::default() };
        let call = Call { route: &offered, method, target: "/weather", credentials, payment, client: None };
        shop.server.admit(&shop.market, call).await
    };
    assert!(matches!(asks(None).await, Err(Denial::Spent(_, None))));
    assert!(matches!(asks(Some(&proof("solana_usual"))).await, Err(Denial::Spent(_, None))));
    let Ok(Admitted::Stored(stored, _)) = asks(Some(&proof("evm_usual"))).await else { panic!("not given") };
    assert_eq!(stored.body.as_ref(), b"sunny");
    shop.clock.advance(Duration::from_secs(301));
    assert!(asks(Some(&proof("evm_usual"))).await.is_err(), "too old a proof");
}
