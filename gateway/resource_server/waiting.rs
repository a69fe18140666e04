//! Repeats that come while somebody else finds out what became of their payment.

use std::pin::{Pin, pin};

use http::Method;
use tokio::sync::Semaphore;

use super::fixture::{Shop, offer_of, route};
use super::resolving::timeout;
use super::*;
use crate::pricing::SettleTiming;

const GET: Method = Method::GET;
/// Who does not wait has answered by then.
const A_MOMENT: Duration = Duration::from_millis(50);

/// After a start the reconciler asks for what was cut off, and its buyer sends it again at that moment.
#[tokio::test]
async fn a_repeat_waits_for_who_finds_out_what_became_of_it() {
    let (shop, offered) = (Shop::open().await, route("/weather", SettleTiming::After));
    for nonce in 1..=2 {
        let payment = shop.pay(offer_of(&offered), nonce);
        shop.facilitator.next_outcome(timeout());
        let verified = shop.verified(&offered, &payment).await;
        let id = verified.presented().id.clone();
        assert!(shop.settle(verified).await.is_err());
        shop.clock.advance(Duration::from_secs(3));
        let waits = async |repeat: &mut Pin<&mut _>| tokio::time::timeout(A_MOMENT, repeat).await.is_err();
        let mut repeat = pin!(shop.ask(&offered, &GET, &payment));
        if nonce == 1 {
            // It has the payment, and has not said what for.
            let claim = shop.store.claim(&id).await.unwrap();
            assert!(waits(&mut repeat).await);
            drop(claim);
        } else {
            shop.facilitator.gate.forget_permits(Semaphore::MAX_PERMITS);
            let (server, market) = (Arc::clone(&shop.server), Arc::clone(&shop.market));
            let reconciling = tokio::spawn(async move { server.reconcile(&market).await });
            // The first payment's two, and this one's.
            shop.facilitator.begun.acquire_many(4).await.unwrap().forget();
            assert!(waits(&mut repeat).await);
            shop.facilitator.gate.add_permits(1);
            assert_eq!(reconciling.await.unwrap().unwrap().settled, 1);
        }
        assert!(matches!(repeat.await, Ok(Admitted::Pass(Pass::Settled(_)))), "{nonce}");
    }
    assert_eq!(shop.facilitator.calls().1, 4);
}
