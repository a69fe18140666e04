//! Payments whose request panics.

use std::collections::HashSet;

use crate::points::{By, on_the_way_of};
use crate::stage::{Stage, states};
use crate::support::facilitator::receipt;
use crate::support::server::Reply;
use crate::support::wait::{until, until_true};

/// What is paid for.
#[derive(Debug, Clone, Copy)]
struct Wish {
    method: &'static str,
    target: &'static str,
    /// Whether the same payment brings it in the end, however often the work is begun.
    is_safe: bool,
}

const CALL: Wish = Wish { method: "GET", target: "/paid", is_safe: true };
const UPFRONT: Wish = Wish { method: "GET", target: "/upfront", is_safe: true };
const POSTED: Wish = Wish { method: "POST", target: "/upfront", is_safe: false };
const SALE: Wish = Wish { method: "GET", target: "/x402/purchase?plan=nano", is_safe: true };

/// Sends a payment into the fault, and then again until it is over; the books, and those of the facilitator, have to
/// agree with what the buyer got.
#[track_caller]
fn is_ended_well(point: &str, times: u32, wish: Wish) {
    eprintln!("{point} by {wish:?}");
    let Wish { method, target, is_safe } = wish;
    let mut stage = Stage::start();
    let payment = stage.world.sign(&stage.ask(method, target, &[]).unwrap());
    stage.panics_at(&[(point, times)]);
    let paying = [("PAYMENT-SIGNATURE", payment.as_str())];
    let first = stage.ask(method, target, &paying);
    stage.has_struck(point);
    let got = first.filter(|answer| answer.status == 200).map(|answer| answer.body);
    if is_safe {
        let again = stage.ask_until(200, method, target, &paying).body;
        assert!(got.is_none_or(|got| got == again), "{point}: another answer");
    } else if got.is_none() {
        // What cannot be repeated safely is paid for and done, or it was never begun: never done twice.
        until("an end", || {
            let answer = stage.ask(method, target, &paying)?;
            (answer.status == 200 || answer.reason() == "payment_already_used").then_some(())
        });
    }
    let journal = stage.world.journal.all();
    let first_hit = journal.iter().position(|what| what == "upstream");
    let first_check = journal.iter().position(|what| what == "verify" || what == "settle");
    assert!(first_hit.is_none() || first_check < first_hit, "{point}: {journal:?}");
    let settled: HashSet<_> =
        stage.world.facilitator.settled().iter().map(|heard| receipt(heard)["transaction"].to_string()).collect();
    assert_eq!(settled.len(), 1, "{point}: charged once");
    assert!(is_safe || stage.world.upstream.hits() <= 1, "{point}: {journal:?}");
    let file = stage.world.gateway.store_file();
    let ended = |state: &String| state == "delivered" || (!is_safe && state == "settled");
    until_true("the end in the books", || states(&file).iter().all(ended));
    assert_eq!(states(&file).len(), 1, "{point}");
    // It is over: sent once more, it brings the same or nothing, and no work.
    let work = |stage: &Stage| (stage.world.upstream.hits(), stage.world.facilitator.settled().len());
    let before = work(&stage);
    assert!(stage.ask(method, target, &paying).is_some_and(|answer| [200, 409].contains(&answer.status)), "{point}");
    assert_eq!(work(&stage), before, "{point}");
    stage.is_sound(point);
}

#[test]
fn a_call_whose_payment_meets_a_panic_is_charged_once_and_served() {
    on_the_way_of(By::Call).for_each(|(point, times)| is_ended_well(point, times, CALL));
}

#[test]
fn a_call_settled_first_that_meets_a_panic_is_charged_once_and_served() {
    // Whether the upstream may be asked is noted only for what is not safe.
    on_the_way_of(By::Upfront).for_each(|(point, times)| is_ended_well(point, times, UPFRONT));
}

#[test]
fn what_is_not_safe_to_repeat_is_not_done_twice_after_a_panic() {
    on_the_way_of(By::Upfront).for_each(|(point, times)| is_ended_well(point, times, POSTED));
}

#[test]
fn a_sale_that_meets_a_panic_is_made_once() {
    on_the_way_of(By::Sale).for_each(|(point, times)| is_ended_well(point, times, SALE));
}

#[test]
fn a_refusal_that_meets_a_panic_charges_nobody() {
    for (point, times) in on_the_way_of(By::Refused) {
        let mut stage = Stage::start();
        let payment = stage.world.payment("/paid");
        stage.panics_at(&[(point, times)]);
        let no = serde_json::json!({ "success": false, "errorReason": "insufficient_funds", "network": "eip155:8453" });
        stage.world.facilitator.settles(move |_| Reply::json(200, &no));
        let paying = [("PAYMENT-SIGNATURE", payment.as_str())];
        assert!(stage.ask("GET", "/paid", &paying).is_none_or(|answer| answer.status >= 402), "{point}");
        stage.has_struck(point);
        assert_eq!(states(&stage.world.gateway.store_file()), ["voided"]);
        stage.facilitator_is_well();
        stage.ask_until(200, "GET", "/paid", &paying);
        stage.is_sound(point);
    }
}

#[test]
fn a_payment_in_doubt_that_meets_a_panic_is_charged_once_and_served() {
    for by in [By::Doubt, By::Repeat, By::Reconciler] {
        for (point, times) in on_the_way_of(by) {
            eprintln!("{point} by {by:?}");
            let mut stage = Stage::start();
            let payment = stage.world.payment("/paid");
            stage.panics_at(&[(point, times)]);
            stage.world.facilitator.settles(|_| Reply::reset());
            let paying = [("PAYMENT-SIGNATURE", payment.as_str())];
            let first = stage.ask("GET", "/paid", &paying);
            assert!(first.is_none_or(|answer| answer.status == 503), "{point}: unknown is never unpaid");
            stage.facilitator_is_well();
            if by == By::Reconciler {
                stage.world.write("UPDATE payments SET ask_at = 0 WHERE state = 'unknown'");
                stage.has_struck(point);
                stage.world.write("UPDATE payments SET ask_at = 0 WHERE state = 'unknown'");
                until_true("the reconciler", || states(&stage.world.gateway.store_file()) != ["unknown"]);
            }
            stage.ask_until(200, "GET", "/paid", &paying);
            stage.has_struck(point);
            // Where the settlement itself panicked, a repeat may be quicker than the answer that is kept for it.
            let hits_max = if by == By::Doubt { 2 } else { 1 };
            assert!(stage.world.upstream.hits() <= hits_max, "{point}: the first answer was kept");
            stage.is_sound(point);
        }
    }
}

/// Whatever becomes of the gateway then: the work is done, and may turn out to be paid.
#[test]
fn the_answer_to_a_payment_in_doubt_is_kept_before_the_buyer_has_its_own() {
    for (status, reply) in [(200, Reply::ok("done")), (204, Reply::status(204, "", ""))] {
        let mut stage = Stage::start();
        stage.world.upstream.says(reply);
        let payment = stage.world.sign(&stage.ask("POST", "/paid", &[]).unwrap());
        stage.dies_at("request.ending");
        stage.world.facilitator.settles(|_| Reply::reset());
        let paying = [("PAYMENT-SIGNATURE", payment.as_str())];
        assert!(stage.ask("POST", "/paid", &paying).is_none_or(|answer| answer.status == 503), "{status}");
        stage.lives_again();
        stage.facilitator_is_well();
        stage.ask_until(status, "POST", "/paid", &paying);
        assert_eq!(stage.world.upstream.hits(), 1, "{status}");
        stage.world.upstream.says(Reply::ok(""));
        stage.is_sound("request.ending");
    }
}
