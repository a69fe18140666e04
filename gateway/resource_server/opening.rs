//! What opens a plan: a wallet that signs in, a key, a token of the operator's. The first one that is good counts.
//!
//! The sign-ins and tokens are other libraries', for the time at which the shop's clock stands.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use serde_json::Value;

use super::fixture::{Shop, bare, plan, reason};
use super::*;
use crate::chain::{Chain, ChainError, Sighting, Sought};
use crate::money::Address;
use crate::payment::siwx::SignIn;
use crate::payment::testing::{Wallet, header, offer, usdc, usdc_on_solana, v2};
use crate::plans::{HolderId, TokenVerifier, Units};
use crate::pricing::{Access, Metering, OfferKey, PlanOffer, Route, SettleTiming};
use crate::store::Linked;
use crate::x402::codec;

/// The wallets of the proofs.
const EVM: u8 = 0x11;
const EVM_ADDRESS: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";
const SOLANA: &str = "AB3FQHskSYuWVw4M9EpGdxNzrAjBNiYGpbH4CVzLFene";

fn proof(name: &str) -> SignIn {
    let all: Value = serde_json::from_str(include_str!("../../tests/vectors/siwx.json")).unwrap();
    SignIn::Header(all[name]["header"].as_str().unwrap().to_owned())
}

/// A proof with another signature.
fn with_signature(signature: &str) -> SignIn {
    let SignIn::Header(good) = proof("evm_usual") else { panic!("not a header") };
    let mut sent: Value = serde_json::from_str(&codec::decode(good.as_bytes()).unwrap()).unwrap();
    sent["signature"] = signature.into();
    SignIn::Header(header(&sent))
}

fn vector(group: &str, name: &str) -> String {
    let all: Value = serde_json::from_str(include_str!("../../tests/vectors/jwt.json")).unwrap();
    all[group][name].as_str().unwrap_or_else(|| panic!("no vector {group}.{name}")).to_owned()
}

/// A plan that is paid for on either chain.
fn nano() -> Arc<PlanOffer> {
    let mut plan = Arc::try_unwrap(plan("nano", Some(100), 5_000_000, None)).unwrap();
    plan.offer = offer(OfferKey::plan("nano"), [usdc(5_000_000), usdc_on_solana(5_000_000)]);
    Arc::new(plan)
}

/// A shop that sells it and takes the tokens of an issuer.
async fn shop() -> Shop {
    let mut shop = Shop::open().await;
    let market = Arc::get_mut(&mut shop.market).unwrap();
    market.prices.plans = vec![nano()];
    market.proofs = Proofs::new(Some(TokenVerifier::new(&vector("keys", "ed25519"), None, None, "sub").unwrap()));
    shop
}

fn by(sign_in: &SignIn) -> Credentials<'_> {
    Credentials { sign_in: Some(sign_in), ..Credentials::default() }
}

fn with(token: &str) -> Credentials<'_> {
    Credentials { token: Some(token), ..Credentials::default() }
}

impl Shop {
    async fn bought_by(&self, wallet: u8, nonce: u8) -> Sold {
        let nano = nano();
        let terms = &nano.offer.terms[0];
        self.buy(&nano, &header(&v2(terms, Wallet::new(wallet).eip3009(terms, nonce)))).await.unwrap()
    }

    /// Calls a route that only a plan opens, for a unit.
    async fn call(&self, credentials: Credentials<'_>) -> Result<(), Denial> {
        let access = Access::PlanOnly(Metering::fixed(Units::from_thousandths(1000)));
        let route = Arc::new(Route { access, ..bare("/weather", SettleTiming::After) });
        let (method, target) = (&Method::GET, "/weather");
        let call = Call { route: &route, method, target, credentials, payment: None, client: None };
        match self.server.admit(&self.market, call).await? {
            Admitted::Pass(Pass::Plan(reservation)) => {
                reservation.commit();
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&self, credentials: Credentials<'_>) -> (bool, String) {
        let denied = self.call(credentials).await;
        (matches!(denied, Err(Denial::Unauthorized(..))), reason(denied))
    }

    async fn links(&self, holder: &HolderId, chain: &str, address: &str, sign_in: &SignIn) -> Result<(), Denial> {
        self.server.link(&self.market, holder, chain, address, sign_in).await.map(drop)
    }

    /// What was used of the plan that a wallet has.
    async fn used_by(&self, chain: &str, address: &str) -> Option<u64> {
        let status = self.server.status_at(&self.market, chain, address).await.unwrap();
        status.map(|status| status.used.thousandths() / 1000)
    }
}

#[test]
fn credentials_are_not_printed() {
    let sign_in = SignIn::Header("mark-of-a-wallet".to_owned());
    let all = Credentials { sign_in: Some(&sign_in), key: Some("mark-of-a-key"), token: Some("mark-of-a-token") };
    assert_eq!(format!("{all:?}"), r#"{"sign_in", "key", "token"}"#);
    assert_eq!(format!("{:?}", Credentials { key: None, ..all }), r#"{"sign_in", "token"}"#);
}

#[tokio::test]
async fn a_wallet_that_signs_in_spends_what_it_bought() {
    let shop = shop().await;
    let sign_in = proof("evm_usual");
    assert_eq!(shop.refused(by(&sign_in)).await, (false, "no_subscription".to_owned()));
    let sold = shop.bought_by(EVM, 1).await;
    for _ in 0..3 {
        shop.call(by(&sign_in)).await.unwrap();
    }
    assert_eq!(shop.used(sold.key.reveal()).await, Units::from_thousandths(3000));
    assert_eq!(shop.used_by("evm", EVM_ADDRESS).await, Some(3));
    shop.clock.advance(Duration::from_secs(300));
    shop.call(by(&sign_in)).await.unwrap();
    shop.clock.advance(Duration::from_secs(1));
    let too_old = (true, "invalid_siwx_issued_at_too_old".to_owned());
    assert_eq!(shop.refused(by(&sign_in)).await, too_old, "that it was good does not make it so");
}

#[tokio::test]
async fn a_sign_in_at_another_domain_is_nobodys_even_if_it_was_good_before_a_reload() {
    let mut shop = shop().await;
    shop.bought_by(EVM, 1).await;
    let sign_in = proof("evm_usual");
    shop.call(by(&sign_in)).await.unwrap();
    let mut elsewhere = super::fixture::market(None);
    let market = Arc::get_mut(&mut elsewhere).unwrap();
    market.prices.plans = vec![nano()];
    market.prices.public_url = "https://other.example.com".into();
    shop.market = elsewhere;
    assert_eq!(shop.refused(by(&sign_in)).await, (true, "invalid_siwx_domain_mismatch".to_owned()));
}

#[tokio::test]
async fn a_wallet_whose_plan_has_ended_is_told_so() {
    let mut shop = shop().await;
    let mut short = Arc::try_unwrap(nano()).unwrap();
    short.plan.duration = Duration::from_secs(30);
    let terms = &short.offer.terms[0];
    let payment = header(&v2(terms, Wallet::new(EVM).eip3009(terms, 1)));
    shop.buy(&Arc::new(short), &payment).await.unwrap();
    shop.clock.advance(Duration::from_secs(30));
    assert_eq!(shop.refused(by(&proof("evm_usual"))).await, (false, "expired_api_key".to_owned()));
    shop.store.down.store(true, Ordering::Relaxed);
    shop.market = super::fixture::market(None);
    let unknown = shop.call(by(&proof("evm_usual"))).await;
    assert!(matches!(unknown, Err(Denial::Unauthorized(..))), "no network is taken any more: {unknown:?}");
}

#[tokio::test]
async fn the_first_credential_that_is_good_counts() {
    let shop = shop().await;
    let sold = shop.bought_by(EVM, 1).await;
    let other = shop.bought_by(2, 2).await;
    let (good, bad, empty) = (proof("evm_usual"), with_signature("0x00"), proof("solana_usual"));
    let (key, token) = (other.key.reveal(), vector("pyjwt", "ed25519"));
    let all = |sign_in| Credentials { sign_in: Some(sign_in), key: Some(key), token: Some(&token) };
    shop.call(all(&good)).await.unwrap();
    assert_eq!(
        (shop.used(sold.key.reveal()).await, shop.used(key).await),
        (Units::from_thousandths(1000), Units::ZERO)
    );
    for first in [&bad, &empty] {
        shop.call(all(first)).await.unwrap();
    }
    assert_eq!(shop.used(key).await, Units::from_thousandths(2000), "a bad first one does not stop a good second one");
    let no_token = |sign_in, key| Credentials { sign_in: Some(sign_in), key: Some(key), token: None };
    for (sign_in, said) in [(&bad, (true, "invalid_siwx_signature")), (&empty, (false, "no_subscription"))] {
        assert_eq!(shop.refused(no_token(sign_in, "made-up")).await, (said.0, said.1.to_owned()));
    }
    let bad_key = Credentials { sign_in: None, key: Some("made-up"), token: Some("no.to.ken") };
    assert_eq!(shop.refused(bad_key).await, (false, "invalid_api_key".to_owned()));
}

#[tokio::test]
async fn a_token_opens_the_plan_of_whom_it_names_by_name_or_by_id() {
    let token = vector("pyjwt", "ed25519");
    for (name, id) in [(Some("alice"), "hol_1"), (None, "alice")] {
        let shop = shop().await;
        assert_eq!(shop.refused(with(&token)).await, (false, "no_subscription".to_owned()));
        let theirs = shop.bought_by(2, 1).await;
        let mut sale = theirs.subscription.clone();
        (sale.id, sale.holder) = (crate::plans::SubscriptionId::of_payment("pay_given"), HolderId::new(id));
        sale.payer = "".into();
        let (key, _) = shop.server.new_key("tg_live_", &sale.holder);
        let on_repurchase = OnRepurchase::Replace;
        let given =
            crate::store::Sale { subscription: sale, key, network: None, name: name.map(Into::into), on_repurchase };
        shop.store.grant(&given).await.unwrap();
        shop.call(with(&token)).await.unwrap();
        assert_eq!(shop.used(theirs.key.reveal()).await, Units::ZERO, "nobody else pays");
        // Till the year 2100.
        shop.clock.advance(Duration::from_secs(80 * 365 * 86_400));
        assert_eq!(shop.refused(with(&token)).await, (true, "invalid_token".to_owned()));
    }
}

#[tokio::test]
async fn a_token_that_is_not_the_issuers_or_not_asked_for_opens_nothing() {
    let mut shop = shop().await;
    for token in [vector("jose", "rsa"), vector("other_algorithms", "none_by_pyjwt"), "a.b.c".to_owned()] {
        assert_eq!(shop.refused(with(&token)).await, (true, "invalid_token".to_owned()));
    }
    Arc::get_mut(&mut shop.market).unwrap().proofs = Proofs::default();
    assert!(!shop.market.proofs.takes_tokens());
    assert_eq!(shop.refused(with(&vector("pyjwt", "ed25519"))).await, (true, "invalid_token".to_owned()));
}

#[tokio::test]
async fn a_linked_address_signs_in_as_the_holder() {
    let shop = shop().await;
    let sold = shop.bought_by(EVM, 1).await;
    let (holder, theirs) = (&sold.subscription.holder, proof("solana_usual"));
    assert_eq!(shop.refused(by(&theirs)).await.1, "no_subscription");
    for _ in 0..2 {
        shop.links(holder, "solana", SOLANA, &theirs).await.unwrap();
        shop.call(by(&theirs)).await.unwrap();
    }
    assert_eq!(shop.used(sold.key.reveal()).await, Units::from_thousandths(2000));
    assert_eq!(shop.used_by("solana", SOLANA).await, Some(2));
}

#[tokio::test]
async fn a_link_needs_the_word_of_that_very_address() {
    let shop = shop().await;
    let sold = shop.bought_by(2, 1).await;
    let holder = &sold.subscription.holder;
    let (evm, solana) = (proof("evm_usual"), proof("solana_usual"));
    for (chain, address, sign_in, why) in [
        ("evm", EVM_ADDRESS, &solana, "invalid_siwx_address"),
        ("solana", SOLANA, &evm, "invalid_siwx_address"),
        ("solana", EVM_ADDRESS, &evm, "invalid_siwx_address"),
        ("", EVM_ADDRESS, &evm, "invalid_siwx_address"),
        ("evm", "", &evm, "invalid_siwx_address"),
        ("evm", EVM_ADDRESS, &with_signature("0x00"), "invalid_siwx_signature"),
        ("evm", EVM_ADDRESS, &SignIn::Header("e30=".to_owned()), "invalid_siwx_payload"),
    ] {
        let denied = shop.links(holder, chain, address, sign_in).await;
        assert!(matches!(denied, Err(Denial::Unauthorized("SIWX", _))), "{denied:?}");
        assert_eq!(reason(denied), why);
    }
    assert_eq!(shop.used_by("evm", EVM_ADDRESS).await, None);
    shop.links(holder, "evm", &EVM_ADDRESS.to_lowercase(), &evm).await.unwrap();
    assert_eq!(shop.used_by("evm", EVM_ADDRESS).await, Some(0), "in whatever letter case");
}

#[tokio::test]
async fn an_address_with_a_plan_that_runs_is_nobody_elses() {
    let shop = shop().await;
    let (sold, other) = (shop.bought_by(2, 1).await, shop.bought_by(EVM, 2).await);
    let (holder, sign_in) = (&sold.subscription.holder, proof("evm_usual"));
    let denied = shop.links(holder, "evm", EVM_ADDRESS, &sign_in).await;
    assert_eq!(denied, Err(Denial::AddressTaken));
    shop.call(by(&sign_in)).await.unwrap();
    assert_eq!(shop.used(other.key.reveal()).await, Units::from_thousandths(1000), "it spends its own plan");
}

/// What is in memory of the address is of the holder that it was.
#[tokio::test]
async fn an_address_whose_plan_has_ended_goes_over_at_once() {
    let shop = shop().await;
    let sign_in = proof("evm_usual");
    let mut short = Arc::try_unwrap(nano()).unwrap();
    short.plan.duration = Duration::from_secs(30);
    let terms = &short.offer.terms[0];
    let payment = header(&v2(terms, Wallet::new(EVM).eip3009(terms, 1)));
    let before = shop.buy(&Arc::new(short), &payment).await.unwrap();
    shop.call(by(&sign_in)).await.unwrap();
    shop.clock.advance(Duration::from_secs(30));
    let sold = shop.bought_by(2, 2).await;
    shop.links(&sold.subscription.holder, "evm", EVM_ADDRESS, &sign_in).await.unwrap();
    shop.call(by(&sign_in)).await.unwrap();
    assert_eq!(shop.used(sold.key.reveal()).await, Units::from_thousandths(1000));
    let holders = shop.store.holder(&before.subscription.holder).await.unwrap().unwrap();
    assert!(holders.addresses.is_empty());
    // What the address buys is the holder's, and their old key goes on with it.
    let again = shop.bought_by(EVM, 3).await;
    assert_eq!(again.subscription.holder, sold.subscription.holder);
    assert_eq!(shop.used(sold.key.reveal()).await, Units::ZERO);
    let linked = crate::plans::HolderAddress { chain: "evm".into(), address: EVM_ADDRESS.into(), network: None };
    assert_eq!(shop.store.link(&sold.subscription.holder, &linked).await, Ok(Linked::Before));
}

/// Says yes or no of a contract's signature, and how often it was asked.
#[derive(Debug, Default)]
struct Contract(AtomicUsize);

#[async_trait::async_trait]
impl Chain for Contract {
    async fn look_up(&self, _: &Sought) -> Result<Sighting, ChainError> {
        Err(ChainError::NotFound)
    }

    async fn is_signed_by(&self, _: &Address, _: [u8; 32], signature: &[u8]) -> Result<bool, ChainError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(signature == [0])
    }
}

#[tokio::test]
async fn a_contract_signs_in_where_it_has_paid_or_was_linked_and_is_asked_once_in_five_minutes() {
    for linked in [false, true] {
        let mut shop = shop().await;
        let contract = Arc::new(Contract::default());
        let network = nano().offer.terms[0].network.clone();
        let chain: Arc<dyn Chain> = Arc::<Contract>::clone(&contract);
        Arc::get_mut(&mut shop.market).unwrap().chains.insert(network, chain);
        let sign_in = with_signature("0x00");
        let unknown = shop.refused(by(&sign_in)).await;
        assert_eq!((unknown.0, contract.0.load(Ordering::Relaxed)), (true, 0), "nobody has heard of it");
        let sold = shop.bought_by(if linked { 2 } else { EVM }, 1).await;
        if linked {
            shop.links(&sold.subscription.holder, "evm", EVM_ADDRESS, &sign_in).await.unwrap();
        }
        let before = contract.0.load(Ordering::Relaxed);
        for _ in 0..3 {
            shop.call(by(&sign_in)).await.unwrap();
        }
        assert_eq!(contract.0.load(Ordering::Relaxed) - before, 1);
        assert!(shop.refused(by(&with_signature("0x01"))).await.0);
    }
}

#[tokio::test]
async fn an_address_is_asked_for_in_its_own_chain_and_spelling() {
    let shop = shop().await;
    shop.bought_by(EVM, 1).await;
    assert_eq!(shop.used_by("evm", EVM_ADDRESS).await, Some(0));
    assert_eq!(shop.used_by("evm", &EVM_ADDRESS.to_lowercase()).await, Some(0));
    for (chain, address) in [("solana", EVM_ADDRESS), ("evm", SOLANA), ("", EVM_ADDRESS), ("evm", ""), ("evm", "0x")] {
        assert_eq!(shop.used_by(chain, address).await, None, "{chain} {address}");
    }
}
