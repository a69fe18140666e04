//! Several facilitators: who is asked, who is asked next, and who never is.

use http::Method;

use super::fixture::*;
use super::*;
use crate::facilitator::{FacilitatorError, Refusal, SettleOutcome, Unclear, Verdict};
use crate::payment::testing::{SvmWallet, Wallet, offer, read, usdc, usdc_on_solana, v2, weather};
use crate::payment::{Presented, State};
use crate::pricing::{Kinds, OfferKey, SettleTiming};
use crate::store::Record;

const UNREACHABLE: fn() -> Result<Verdict, FacilitatorError> =
    || Err(FacilitatorError::Unreachable("connection refused".to_owned()));

/// A shop with a second facilitator, which is asked when the first gives no verdict.
async fn shop() -> (Shop, Arc<Script>) {
    let (mut shop, second) = (Shop::open().await, Arc::new(Script::new()));
    *second.store.lock().unwrap() = Arc::downgrade(&shop.store);
    let two = desk("two", Arc::<Script>::clone(&second), 2);
    Arc::get_mut(&mut shop.market).unwrap().facilitators.all.push(two);
    (shop, second)
}

impl Shop {
    async fn record(&self, id: &PaymentId) -> Record {
        self.store.record(id).await.unwrap().unwrap()
    }
}

fn refused(reason: &str) -> Refusal {
    Refusal { reason: reason.to_owned(), message: None, payer: None, transaction: None }
}

fn not_sent() -> SettleOutcome {
    SettleOutcome::NotSent("connection refused".to_owned())
}

/// Nobody looks at what they say.
fn unwatched() -> Drift {
    Drift::of(None, Arc::new(crate::clock::SystemClock))
}

fn presented(nonce: u8) -> Presented {
    read(&v2(&usdc(10_000), Wallet::new(1).eip3009(&usdc(10_000), nonce)), &weather()).unwrap()
}

/// Two facilitators of the same order, or one after the other, and who of them was asked so far.
struct Pair {
    scripts: [Arc<Script>; 2],
    desks: Desks,
}

impl Pair {
    fn new(orders: [u32; 2]) -> Self {
        let scripts = [Arc::new(Script::new()), Arc::new(Script::new())];
        let named = ["one", "two"].into_iter().zip(&scripts).zip(orders);
        let all = named.map(|((name, script), order)| desk(name, Arc::<Script>::clone(script), order)).collect();
        Self { scripts, desks: Desks { all, verify_budget: Duration::from_secs(20), hedge_after: None } }
    }

    fn asked(&self) -> [usize; 2] {
        [self.scripts[0].calls().0, self.scripts[1].calls().0]
    }

    async fn verdict(&self) -> Result<(Verdict, String), Denial> {
        let (verdict, desk) = self.desks.verdict(&presented(1), &unwatched()).await?;
        Ok((verdict, desk.name().to_string()))
    }
}

fn by(name: &str) -> Result<(Verdict, String), Denial> {
    Ok((Verdict::Valid { payer: None }, name.to_owned()))
}

#[tokio::test]
async fn what_one_found_good_is_settled_by_it() {
    let (shop, second) = shop().await;
    let route = route("/weather", SettleTiming::After);
    let verified = shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
    let settled = shop.settle(verified).await.unwrap();
    assert_eq!((shop.facilitator.calls(), second.calls()), ((1, 1), (0, 0)));
    assert_eq!(shop.record(&settled.presented.id).await.facilitator.as_deref(), Some("one"));

    shop.facilitator.next_verdict(UNREACHABLE());
    let verified = shop.verified(&route, &shop.pay(offer_of(&route), 2)).await;
    let settled = shop.settle(verified).await.unwrap();
    assert_eq!((shop.facilitator.calls(), second.calls()), ((2, 1), (1, 1)));
    assert_eq!(shop.record(&settled.presented.id).await.facilitator.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_settlement_that_was_not_sent_goes_to_the_next() {
    for timing in [SettleTiming::After, SettleTiming::Before] {
        let (shop, second) = shop().await;
        let route = route("/weather", timing);
        shop.facilitator.next_outcome(not_sent());
        let id = match shop.admit(&route, &Method::POST, &shop.pay(offer_of(&route), 1)).await.unwrap() {
            Pass::Verified(verified) => shop.settle(*verified).await.unwrap().presented.id,
            Pass::Settled(settled) => settled.presented.id.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((shop.facilitator.calls().1, second.calls().1), (1, 1));
        let record = shop.record(&id).await;
        assert_eq!((record.state, record.facilitator.as_deref()), (State::Settled, Some("two")));
        assert_eq!(shop.facilitator.bodies(), second.bodies());
    }
}

#[tokio::test]
async fn what_nobody_got_is_void() {
    let (shop, second) = shop().await;
    let route = route("/weather", SettleTiming::After);
    shop.facilitator.next_outcome(not_sent());
    second.next_outcome(not_sent());
    let verified = shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
    let id = verified.presented().id.clone();
    assert_eq!(shop.settle(verified).await.unwrap_err(), Denial::NoVerdict("facilitator_unavailable"));
    assert_eq!(shop.state(&id).await, Some(State::Voided));
}

/// Its money may be on the way: asked of two, it might move twice where a chain would let it.
#[tokio::test]
async fn an_unknown_outcome_is_asked_of_nobody_else() {
    let (mut shop, second) = shop().await;
    let route = route("/weather", SettleTiming::After);
    shop.facilitator.next_outcome(SettleOutcome::Unknown(Unclear::new("timeout")));
    let payment = shop.pay(offer_of(&route), 1);
    let verified = shop.verified(&route, &payment).await;
    let id = verified.presented().id.clone();
    assert_eq!(shop.settle(verified).await.unwrap_err(), Denial::Unresolved(id.clone()));
    (0..9).for_each(|_| shop.market.facilitators.all[0].failed());
    for _ in 0..3 {
        shop.facilitator.next_outcome(not_sent());
        assert!(matches!(shop.ask(&route, &Method::GET, &payment).await, Err(Denial::Unresolved(_))));
    }
    let one = Arc::get_mut(&mut shop.market).unwrap().facilitators.all.remove(0);
    shop.clock.advance(Duration::from_secs(600));
    shop.server.reconcile(&shop.market).await.unwrap();
    let record = shop.record(&id).await;
    assert_eq!(record.state, State::Unknown);
    assert!(record.reason.unwrap().contains("\"one\", is not in the configuration"));
    assert_eq!((shop.facilitator.calls().1, second.calls()), (4, (0, 0)));

    Arc::get_mut(&mut shop.market).unwrap().facilitators.all.push(one);
    assert!(matches!(shop.ask(&route, &Method::GET, &payment).await, Ok(Admitted::Pass(Pass::Settled(_)))));
    assert_eq!((shop.facilitator.calls().1, second.calls()), (5, (0, 0)));
}

#[tokio::test]
async fn books_from_when_there_was_one_ask_the_first() {
    let (shop, _) = shop().await;
    let route = route("/weather", SettleTiming::After);
    let verified = shop.verified(&route, &shop.pay(offer_of(&route), 1)).await;
    let settled = shop.settle(verified).await.unwrap();
    let record = Record { facilitator: None, ..shop.record(&settled.presented.id).await };
    assert_eq!(&**shop.market.facilitators.asked(&record).unwrap().name(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_last_word_unless_it_is_the_facilitators_own_trouble() {
    let pair = Pair::new([1, 2]);
    pair.scripts[0].next_verdict(Ok(Verdict::Refused(refused("insufficient_funds"))));
    assert_eq!(pair.verdict().await.unwrap().0, Verdict::Refused(refused("insufficient_funds")));
    assert_eq!(pair.asked(), [1, 0]);
    let trouble = || Ok(Verdict::Refused(refused("unexpected_verify_error")));
    pair.scripts[0].next_verdict(trouble());
    assert_eq!(pair.verdict().await, by("two"));
    pair.scripts[0].next_verdict(trouble());
    pair.scripts[1].next_verdict(UNREACHABLE());
    assert_eq!(pair.verdict().await.unwrap().0, Verdict::Refused(refused("unexpected_verify_error")));
    pair.scripts.iter().for_each(|script| script.next_verdict(UNREACHABLE()));
    assert_eq!(pair.verdict().await, Err(Denial::NoVerdict("facilitator_unavailable")));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_asked_last_until_its_trial_succeeds() {
    let pair = Pair::new([1, 2]);
    (0..5).for_each(|_| pair.scripts[0].next_verdict(UNREACHABLE()));
    for _ in 0..9 {
        assert_eq!(pair.verdict().await, by("two"));
    }
    assert_eq!((pair.asked(), pair.desks.all[0].is_failing()), ([5, 9], true));
    tokio::time::advance(Duration::from_secs(6)).await;
    pair.scripts[0].next_verdict(UNREACHABLE());
    assert_eq!(pair.verdict().await, by("two"), "a trial that fails costs nobody anything");
    assert_eq!([pair.verdict().await, pair.verdict().await], [by("two"), by("two")]);
    assert_eq!(pair.asked(), [6, 12]);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!([pair.verdict().await, pair.verdict().await], [by("one"), by("one")]);
    assert!(!pair.desks.all[0].is_failing());
}

/// Good verdicts between them do not make up for settlements that fail.
#[tokio::test]
async fn one_that_does_not_settle_is_asked_last_though_its_verdicts_are_good() {
    let (shop, second) = shop().await;
    let route = route("/weather", SettleTiming::After);
    for nonce in 1..=7 {
        shop.facilitator.next_outcome(not_sent());
        let verified = shop.verified(&route, &shop.pay(offer_of(&route), nonce)).await;
        shop.settle(verified).await.unwrap();
    }
    assert!(shop.market.facilitators.all[0].is_failing());
    assert_eq!((shop.facilitator.calls(), second.calls()), ((5, 5), (2, 7)));
}

/// Settlements between them do not make up for verdicts that come too late.
#[tokio::test]
async fn one_that_is_slow_is_asked_last_though_it_settles() {
    let (mut shop, second) = shop().await;
    let desks = &mut Arc::get_mut(&mut shop.market).unwrap().facilitators.all;
    let impatient = DeskSettings { latency_budget: Some(Duration::ZERO), ..desks[0].settings().clone() };
    let slow = Desk::new(Arc::<Script>::clone(&shop.facilitator), impatient, Arc::default());
    slow.learn(Kinds::clone(&desks[0].kinds()));
    desks[0] = Arc::new(slow);
    let route = route("/weather", SettleTiming::After);
    for nonce in 1..=7 {
        let verified = shop.verified(&route, &shop.pay(offer_of(&route), nonce)).await;
        shop.settle(verified).await.unwrap();
    }
    assert_eq!((shop.facilitator.calls(), second.calls()), ((5, 5), (2, 2)));
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_they_are_asked_all_the_same() {
    let pair = Pair::new([1, 2]);
    pair.desks.all.iter().for_each(|desk| (0..9).for_each(|_| desk.failed()));
    assert_eq!(pair.verdict().await, by("one"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_one_is_overtaken_by_the_next() {
    let mut pair = Pair::new([1, 2]);
    pair.desks.hedge_after = Some(Duration::from_millis(300));
    pair.scripts[0].hangs(true);
    for _ in 0..5 {
        let began = tokio::time::Instant::now();
        assert_eq!(pair.verdict().await, by("two"));
        assert_eq!(began.elapsed(), Duration::from_millis(300));
    }
    assert!(pair.desks.all[0].is_failing(), "it was overtaken five times");
    assert_eq!((pair.verdict().await, pair.asked()), (by("two"), [5, 6]));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_budget() {
    let mut pair = Pair::new([1, 2]);
    pair.desks.hedge_after = Some(Duration::from_secs(15));
    pair.scripts.iter().for_each(|script| script.hangs(true));
    let began = tokio::time::Instant::now();
    assert_eq!(pair.verdict().await, Err(Denial::NoVerdict("facilitator_unavailable")));
    assert_eq!((began.elapsed(), pair.asked()), (Duration::from_secs(20), [1, 1]));
}

#[tokio::test]
async fn those_of_one_order_get_payments_by_their_weight() {
    let mut pair = Pair::new([1, 1]);
    let heavy = DeskSettings { weight: 3, ..pair.desks.all[0].settings().clone() };
    let desk = Desk::new(Arc::<Script>::clone(&pair.scripts[0]), heavy, Arc::default());
    desk.learn(Kinds::clone(&pair.desks.all[1].kinds()));
    pair.desks.all[0] = Arc::new(desk);
    for _ in 0..1000 {
        pair.verdict().await.unwrap();
    }
    let [heavy, light] = pair.asked();
    assert!((650..850).contains(&heavy) && heavy + light == 1000, "{heavy} and {light}");
}

/// A transaction is good only with the signature of the one whose fee payer it names.
#[tokio::test]
async fn a_payment_with_a_fee_payer_goes_to_whoever_has_it() {
    let mut pair = Pair::new([1, 2]);
    let other = serde_json::json!({ "kinds": [
        { "x402Version": 2, "scheme": "exact", "network": usdc_on_solana(1).network.caip2(),
          "extra": { "feePayer": "2btLJAAb1S3x6hZYdVyAePjqtQYi2ZBSRGy4569RZu8h" } },
    ]});
    let kinds = Kinds::from_supported(&serde_json::from_value(other).unwrap(), &Kinds::unknown());
    pair.desks.all[0].learn(kinds);
    let foreign = offer(OfferKey::plan("nano"), [usdc_on_solana(10_000)]);
    let presented =
        read(&v2(&foreign.terms[0], SvmWallet::new(1).pay_by_program(&foreign.terms[0], 1)), &foreign).unwrap();
    let (_, desk) = pair.desks.verdict(&presented, &unwatched()).await.unwrap();
    assert_eq!((&**desk.name(), pair.asked()), ("two", [0, 1]));
    pair.desks.all[1].failed();
    pair.scripts[1].next_verdict(UNREACHABLE());
    assert!(pair.desks.verdict(&presented, &unwatched()).await.is_err(), "and to nobody else");
    assert_eq!(pair.asked(), [0, 2]);

    pair.desks.all.remove(1);
    let gone = pair.desks.verdict(&presented, &unwatched()).await.unwrap_err();
    assert!(matches!(gone, Denial::Shortfall(Shortfall::Payment(refused)) if refused.reason.contains("not_managed")));
    pair.desks.all.push(Arc::new(Desk::new(
        Arc::<Script>::clone(&pair.scripts[1]),
        pair.desks.all[0].settings().clone(),
        Arc::default(),
    )));
    let unheard = pair.desks.verdict(&presented, &unwatched()).await.unwrap_err();
    assert_eq!(unheard, Denial::NoVerdict("facilitator_unavailable"), "it may yet be this one's");
}
