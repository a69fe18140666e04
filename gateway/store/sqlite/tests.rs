use std::os::unix::fs::PermissionsExt as _;
use std::time::SystemTime;

use futures_util::future::join_all;
use http::StatusCode;
use tokio::task::JoinSet;

use super::fixture::{Fixture, key_of, payment, receipt, sale, units, usage};
use super::*;
use crate::payment::testing::NOW;
use crate::payment::{Presented, State};
use crate::pricing::OfferKey;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_gets_the_claim_and_the_next_one_when_it_is_dropped() {
    let (fixture, presented) = (Fixture::new().await, payment(1));
    let mut claims = JoinSet::new();
    for _ in 0..100 {
        let (store, id) = (Arc::clone(fixture.store()), presented.id.clone());
        claims.spawn(async move { store.claim(&id).await.unwrap() });
    }
    let (busy, taken): (Vec<_>, Vec<_>) =
        claims.join_all().await.into_iter().partition(|claim| matches!(claim, ClaimOutcome::InFlight(_)));
    assert!(matches!(&*taken, [ClaimOutcome::New(_)]));
    assert_eq!(fixture.state(&payment(2)).await, None, "another payment is not held up");
    drop(taken);
    for claim in busy {
        let ClaimOutcome::InFlight(other) = claim else { continue };
        other.done().await;
    }
    assert_eq!(fixture.state(&presented).await, None);
}

#[tokio::test]
async fn a_payment_moves_only_along_its_way() {
    let steps = ["settling", "settled", "voided", "unknown", "delivered"];
    // From a state, reached by these steps, to the states that each step leads to; `-` if it is refused.
    let ways: [(&[&str], [&str; 5]); 6] = [
        (&[], ["settling", "-", "-", "-", ""]),
        (&["settling"], ["-", "settled", "voided", "unknown", "settling"]),
        (&["settling", "settled"], ["-", "-", "-", "-", "delivered"]),
        (&["settling", "settled", "delivered"], ["-", "-", "-", "-", "delivered"]),
        (&["settling", "voided"], ["settling", "-", "-", "unknown", "voided"]),
        (&["settling", "unknown"], ["-", "settled", "voided", "unknown", "unknown"]),
    ];
    let fixture = Fixture::new().await;
    let mut nonce = 0;
    for (reached_by, outcomes) in ways {
        for (step, outcome) in steps.into_iter().zip(outcomes) {
            nonce += 1;
            let presented = payment(nonce);
            for step in reached_by {
                fixture.apply(step, &presented).await.unwrap();
            }
            let before = fixture.state(&presented).await;
            let moved = fixture.apply(step, &presented).await;
            let after = fixture.state(&presented).await;
            let what = format!("{step} after {reached_by:?}");
            match outcome {
                "-" => {
                    assert_eq!(moved, Err(StoreError::Moved(presented.id.clone())), "{what}");
                    assert_eq!(after, before, "{what}");
                }
                outcome => {
                    assert_eq!(moved, Ok(()), "{what}");
                    assert_eq!(after.map_or("", State::as_str), outcome, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_voided_payment_that_is_tried_again_is_for_its_new_offer() {
    let (fixture, first) = (Fixture::new().await, payment(1));
    fixture.apply("settling", &first).await.unwrap();
    fixture.apply("voided", &first).await.unwrap();
    let again = Presented { offer: OfferKey::plan("pro"), quote: None, ..first.clone() };
    fixture.apply("settling", &again).await.unwrap();
    let record = fixture.record(&again).await.unwrap();
    assert_eq!((record.state, record.offer, record.quote), (State::Settling, OfferKey::plan("pro"), None));
}

#[tokio::test]
async fn everything_of_a_payment_survives_the_process() {
    let (mut fixture, presented) = (Fixture::new().await, payment(1));
    fixture.settling(&presented).await.unwrap();
    fixture.clock.0.advance(Duration::from_secs(9));
    fixture.apply("settled", &presented).await.unwrap();
    fixture.reopen().await;
    let record = fixture.record(&presented).await.unwrap();
    assert_eq!((record.state, record.receipt), (State::Settled, Some(receipt())));
    assert_eq!((record.offer, record.quote), (presented.offer, presented.quote.map(|quote| quote.token)));
    assert_eq!(record.payer, presented.payer.map(|payer| payer.to_string()));
    assert_eq!(record.network, "eip155:8453");
    assert_eq!(record.created_at, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
    let bytes = |request| serde_json::to_vec(request).unwrap();
    assert_eq!(bytes(&record.request), bytes(&presented.request), "the facilitator is asked the same again");
}

#[tokio::test]
async fn what_a_repeat_needs_is_not_printed() {
    let (fixture, presented) = (Fixture::new().await, Presented { identifier: Some("order_7".into()), ..payment(1) });
    fixture.settling(&presented).await.unwrap();
    let record = fixture.record(&presented).await.unwrap();
    let payload: serde_json::Value = serde_json::from_str(presented.request.payment_payload.get()).unwrap();
    let signature = payload["payload"]["signature"].as_str().unwrap();
    let printed = format!("{presented:?} {record:?} {:?}", record.request);
    for secret in [signature, record.quote.as_deref().unwrap(), record.identifier.as_deref().unwrap()] {
        assert!(secret.len() > 6 && !printed.contains(secret), "{secret} is in {printed}");
    }
    assert!(printed.contains(record.id.as_str()), "{printed}");
}

#[tokio::test]
async fn after_a_crash_what_was_settling_is_unknown_and_due() {
    let mut fixture = Fixture::new().await;
    for (nonce, step) in [(1, "settling"), (2, "unknown"), (3, "settled"), (4, "voided")] {
        fixture.apply("settling", &payment(nonce)).await.unwrap();
        if step != "settling" {
            fixture.apply(step, &payment(nonce)).await.unwrap();
        }
    }
    fixture.reopen().await;
    assert_eq!(fixture.store().open_payments().await, Ok(2));
    assert_eq!(fixture.state(&payment(1)).await, Some(State::Unknown));
    let due = fixture.store().due(fixture.clock.now(), 10).await.unwrap();
    assert_eq!(due, [payment(1).id, payment(2).id], "the one of the crash first");
}

#[tokio::test]
async fn a_second_gateway_is_kept_out() {
    let mut fixture = Fixture::new().await;
    let error = fixture.open().await.unwrap_err();
    assert!(error.to_string().contains("is used by another gateway"), "{error}");
    fixture.reopen().await;
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    let fixture = Fixture::new().await;
    fixture.settling(&payment(1)).await.unwrap();
    for entry in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_sale_is_found_by_its_key_and_its_payment() {
    let (mut fixture, presented) = (Fixture::new().await, payment(1));
    let id = fixture.sell(1, 10).await;
    fixture.reopen().await;
    let sold = sale(&presented, 10, 1).subscription;
    assert_eq!(fixture.store().subscription(&id).await, Ok(Some(sold.clone())));
    let key = fixture.store().key(&KeyHash([1; 32])).await.unwrap().unwrap();
    assert_eq!(key, key_of(&presented.id));
    assert_eq!(fixture.store().current_of(&key.holder).await, Ok(Some(sold)));
    assert_eq!(fixture.store().key(&KeyHash([2; 32])).await, Ok(None));
    assert_eq!(fixture.store().subscription(&SubscriptionId::new("sub_other")).await, Ok(None));
}

/// A payment without its key, or a key without its payment, would be somebody's loss.
#[tokio::test]
async fn a_sale_is_written_whole_or_not_at_all() {
    let fixture = Fixture::new().await;
    fixture.sell(1, 10).await;
    let presented = payment(2);
    fixture.settling(&presented).await.unwrap();
    let with_a_taken_key = sale(&presented, 10, 1);
    let failed = fixture.store().settled(&presented.id, &receipt(), Some(&with_a_taken_key)).await;
    assert!(matches!(failed, Err(StoreError::Refused(_))), "{failed:?}");
    assert_eq!(fixture.state(&presented).await, Some(State::Settling));
    assert_eq!(fixture.store().subscription(&with_a_taken_key.subscription.id).await, Ok(None));
    let good = sale(&presented, 10, 2);
    assert_eq!(fixture.store().settled(&presented.id, &receipt(), Some(&good)).await, Ok(()));
    assert_eq!(fixture.state(&presented).await, Some(State::Settled));
}

#[tokio::test]
async fn a_sale_of_a_payment_that_is_not_under_way_brings_nothing() {
    let (fixture, presented) = (Fixture::new().await, payment(1));
    let sale = sale(&presented, 10, 1);
    let moved = fixture.store().settled(&presented.id, &receipt(), Some(&sale)).await;
    assert_eq!(moved, Err(StoreError::Moved(presented.id.clone())));
    assert_eq!(fixture.store().key(&sale.key.hash).await, Ok(None));
    assert_eq!(fixture.store().holder_at("evm", "0x01").await, Ok(None));
}

#[tokio::test]
async fn writes_that_come_together_share_a_commit() {
    let fixture = Fixture::new().await;
    let mut all = Vec::new();
    for nonce in 0..100 {
        all.push(fixture.on_its_way(&payment(nonce)).await);
    }
    let before = fixture.transactions();
    let written = fixture.together(join_all(all.iter().map(|settling| fixture.store().settling(settling)))).await;
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(fixture.transactions(), before + 2, "the one that kept the writer, and theirs");
    assert_eq!(fixture.store().open_payments().await, Ok(100));
}

/// None is known by which it could be, so the test makes one.
#[tokio::test]
async fn a_delivery_that_is_refused_half_way_leaves_nothing_behind() {
    let fixture = Fixture::new().await;
    for (nonce, steps) in [(1, ["settling", "settled"].as_slice()), (2, &["settling", "settled"]), (3, &["settling"])] {
        for step in steps {
            fixture.apply(step, &payment(nonce)).await.unwrap();
        }
    }
    let mut operator = options(&fixture.path()).connect().await.unwrap();
    let rule = "CREATE TRIGGER no_more BEFORE INSERT ON responses BEGIN SELECT raise(ABORT, 'no more'); END";
    sqlx::query(rule).execute(&mut operator).await.unwrap();
    let expires_at = fixture.clock.0.now() + Duration::from_secs(60);
    let kept = || StoredResponse { status: StatusCode::OK, headers: Vec::new(), body: "x".into(), expires_at };
    let (store, [first, second, third]) = (fixture.store(), [1, 2, 3].map(|nonce| payment(nonce).id));
    let alone = store.delivered(&first, Some(kept())).await;
    assert!(matches!(alone, Err(StoreError::Refused(_))), "{alone:?}");
    assert_eq!(fixture.state(&payment(1)).await, Some(State::Settled));
    let writes = async {
        tokio::join!(store.delivered(&second, None), store.delivered(&first, Some(kept())), store.voided(&third, "no"))
    };
    let (delivered, refused, voided) = fixture.together(writes).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!((delivered, voided), (Ok(()), Ok(())));
    let states = [fixture.state(&payment(1)).await, fixture.state(&payment(2)).await, fixture.state(&payment(3)).await];
    assert_eq!(states, [Some(State::Settled), Some(State::Delivered), Some(State::Voided)]);
}

#[tokio::test]
async fn a_write_that_is_refused_takes_nobody_with_it() {
    let fixture = Fixture::new().await;
    let sold = fixture.sell(1, 10).await;
    for nonce in 2..=4 {
        fixture.settling(&payment(nonce)).await.unwrap();
    }
    let before = fixture.transactions();
    let (store, id) = (fixture.store(), |nonce| payment(nonce).id);
    let (taken_key, good) = (sale(&payment(2), 10, 1), sale(&payment(3), 10, 3));
    let (second, third, fourth, first) = (id(2), id(3), id(4), id(1));
    let receipt = receipt();
    let writes = async {
        tokio::join!(
            store.settled(&second, &receipt, Some(&taken_key)),
            store.voided(&first, "it is settled"),
            store.settled(&third, &receipt, Some(&good)),
            store.voided(&fourth, "no"),
            store.report(vec![usage(&sold, 11, 0)]),
            store.lease(&sold, units(4)),
        )
    };
    let (failed, moved, settled, voided, overdrawn, leased) = fixture.together(writes).await;
    assert_eq!(fixture.transactions(), before + 2, "the one that kept the writer, and theirs");
    assert!(matches!(failed, Err(StoreError::Refused(_))), "{failed:?}");
    assert_eq!(moved, Err(StoreError::Moved(first)));
    assert!(matches!(overdrawn, Err(StoreError::Refused(_))), "{overdrawn:?}");
    assert_eq!((settled, voided, leased), (Ok(()), Ok(()), Ok(units(4))));
    assert_eq!(fixture.state(&payment(2)).await, Some(State::Settling));
    assert_eq!(fixture.state(&payment(3)).await, Some(State::Settled));
    assert_eq!(fixture.state(&payment(4)).await, Some(State::Voided));
    assert_eq!(fixture.used(&sold).await, 0);
}

#[tokio::test]
async fn leases_never_come_to_more_than_the_plan() {
    let fixture = Fixture::new().await;
    let id = fixture.sell(1, 10).await;
    let mut leased = Vec::new();
    for _ in 0..4 {
        leased.push(fixture.lease(&id, 4).await);
    }
    assert_eq!(leased, [4, 4, 2, 0]);
    let id = fixture.sell(2, 100).await;
    let mut leases = JoinSet::new();
    for _ in 0..50 {
        let (store, id) = (Arc::clone(fixture.store()), id.clone());
        leases.spawn(async move { store.lease(&id, units(3)).await.unwrap() });
    }
    let all = leases.join_all().await.into_iter().fold(Units::ZERO, Units::saturating_add);
    assert_eq!(all, units(100));
}

#[tokio::test]
async fn what_is_spent_is_written_and_what_is_returned_is_free() {
    let fixture = Fixture::new().await;
    let id = fixture.sell(1, 10).await;
    assert_eq!(fixture.lease(&id, 8).await, 8);
    fixture.store().report(vec![usage(&id, 3, 4)]).await.unwrap();
    assert_eq!(fixture.used(&id).await, 3);
    assert_eq!(fixture.lease(&id, 10).await, 6, "ten, but for three used and one still set aside");
    fixture.store().report(vec![usage(&id, 7, 0)]).await.unwrap();
    assert_eq!((fixture.used(&id).await, fixture.lease(&id, 1).await), (10, 0));
}

#[tokio::test]
async fn what_a_crash_left_set_aside_is_the_buyers_again() {
    let mut fixture = Fixture::new().await;
    let id = fixture.sell(1, 10).await;
    assert_eq!(fixture.lease(&id, 10).await, 10);
    fixture.store().report(vec![usage(&id, 2, 0)]).await.unwrap();
    fixture.reopen().await;
    assert_eq!((fixture.used(&id).await, fixture.lease(&id, 10).await), (2, 8));
}

#[tokio::test]
async fn a_report_is_written_whole_or_not_at_all() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.sell(1, 10).await, fixture.sell(2, 10).await);
    fixture.lease(&one, 10).await;
    fixture.lease(&two, 10).await;
    let failed = fixture.store().report(vec![usage(&one, 1, 0), usage(&two, 11, 0)]).await;
    assert!(matches!(failed, Err(StoreError::Refused(_))), "{failed:?}");
    assert_eq!((fixture.used(&one).await, fixture.used(&two).await), (0, 0));
}

#[tokio::test]
async fn nothing_is_set_aside_of_what_is_not_counted_or_not_there() {
    let (fixture, presented) = (Fixture::new().await, payment(1));
    let mut unlimited = sale(&presented, 0, 1);
    unlimited.subscription.units = None;
    fixture.settling(&presented).await.unwrap();
    fixture.store().settled(&presented.id, &receipt(), Some(&unlimited)).await.unwrap();
    assert_eq!(fixture.lease(&unlimited.subscription.id, 5).await, 0);
    assert_eq!(fixture.lease(&SubscriptionId::new("sub_other"), 5).await, 0);
    fixture.store().report(vec![usage(&unlimited.subscription.id, 7, 0)]).await.unwrap();
    assert_eq!(fixture.used(&unlimited.subscription.id).await, 7);
}
