//! [`Drift`] on whole stories, by a clock that is moved.

use std::time::Duration;

use super::*;
use crate::clock::{Clock as _, ManualClock};

const PAYERS: [&str; 4] = ["0x01", "0x02", "0x03", "0x04"];

struct Story {
    drift: Drift,
    clock: Arc<ManualClock>,
    asked: usize,
}

impl Story {
    fn begin() -> Self {
        let clock = Arc::new(ManualClock::at(1_777_118_400));
        let drift = Drift::of(Some(&Rules::USUAL), Arc::<ManualClock>::clone(&clock));
        Self { drift, clock, asked: 0 }
    }

    fn see(&self, seen: &Seen<'_>) {
        self.drift.note(seen);
    }

    /// So many payments over five minutes, of four payers; `refused` of each ten for a reason.
    fn five_minutes(&mut self, payments: usize, refused: usize, reason: &str) {
        for _ in 0..payments {
            let said = if self.asked % 10 < refused { Said::No(reason) } else { Said::Yes };
            self.see(&Seen { payer: Some(PAYERS[self.asked % 4]), said, ..seen() });
            self.asked += 1;
            self.clock.advance(Duration::from_millis(300_000 / u64::try_from(payments).unwrap()));
        }
    }

    /// An hour of good ones.
    fn good_hour(&mut self) {
        (0..12).for_each(|_| self.five_minutes(100, 0, ""));
    }

    fn raised(&self) -> Vec<String> {
        self.drift.raised()
    }
}

fn seen() -> Seen<'static> {
    Seen { facilitator: "main", call: Call::Verify, offer: "call:GET /a", payer: None, sealed: true, said: Said::Yes }
}

#[test]
fn a_facilitator_that_begins_to_refuse_is_told_of_until_it_is_over() {
    let mut story = Story::begin();
    story.good_hour();
    assert!(story.raised().is_empty());
    story.five_minutes(100, 5, "invalid_payload");
    assert_eq!(story.raised(), ["main verify invalid_payload"]);
    story.five_minutes(100, 2, "invalid_payload");
    assert_eq!(story.raised(), ["main verify invalid_payload"], "a fifth is more than half of the threshold");
    story.five_minutes(100, 1, "invalid_payload");
    assert!(story.raised().is_empty());
    story.five_minutes(100, 0, "");
    assert!(story.raised().is_empty());
}

#[test]
fn each_alarm_is_told_once_with_its_numbers() {
    let mut story = Story::begin();
    story.good_hour();
    let told = |story: &Story, said| {
        let seen = Seen { payer: Some(PAYERS[story.asked % 4]), said, ..seen() };
        story.drift.lock().note(&seen, seen.payer.map(|payer| u64::from(payer.as_bytes()[3])), story.clock.now()).0
    };
    story.clock.advance(Duration::from_secs(300));
    let begun = story.clock.now();
    let mut news = Vec::new();
    for _ in 0..40 {
        news.extend(told(&story, Said::No("invalid_payload")));
        story.asked += 1;
        story.clock.advance(Duration::from_secs(1));
    }
    let [alarm] = news.as_slice() else { panic!("{news:?}") };
    assert!(alarm.raised && alarm.since <= begun && *alarm.offers == ["call:GET /a".into()]);
    assert_eq!((alarm.share.count, alarm.share.of, alarm.share.percent()), (20, 20, Some(100)));
    assert_eq!((alarm.before.count, alarm.before.percent()), (0, Some(0)));
    story.clock.advance(Duration::from_secs(300));
    let over = told(&story, Said::Yes);
    let [over] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!((over.raised, over.since, over.share.count, over.share.of), (false, alarm.since, 0, 1));
}

#[test]
fn little_is_no_alarm() {
    for (what, payments, payers, reason) in [
        ("few payments", 19, 4, "invalid_payload"),
        ("few payers", 200, 2, "invalid_payload"),
        ("the payers' own doing", 200, 4, "insufficient_funds"),
    ] {
        let story = Story::begin();
        for number in 0..payments {
            story.see(&Seen { payer: Some(PAYERS[number % payers]), said: Said::No(reason), ..seen() });
        }
        assert!(story.raised().is_empty(), "{what}");
    }
    let story = Story::begin();
    (0..20).for_each(|number| story.see(&Seen { payer: Some(PAYERS[number % 4]), said: Said::No("a"), ..seen() }));
    assert_eq!(story.raised(), ["main verify a"]);
}

#[test]
fn what_was_always_so_is_no_drift_and_what_is_new_needs_half() {
    let mut story = Story::begin();
    // Without a history: four of ten are not enough, five are.
    story.five_minutes(100, 4, "odd");
    assert!(story.raised().is_empty());
    story.five_minutes(100, 6, "even");
    assert_eq!(story.raised(), ["main verify even"]);

    let mut story = Story::begin();
    // A tenth before: it would have to be half.
    (0..12).for_each(|_| story.five_minutes(100, 1, "usual"));
    story.five_minutes(100, 4, "usual");
    assert!(story.raised().is_empty());
    story.five_minutes(100, 8, "usual");
    assert_eq!(story.raised(), ["main verify usual"]);

    // Three tenths before: five times that is more than there is, so nearly all.
    let mut story = Story::begin();
    (0..12).for_each(|_| story.five_minutes(100, 3, "often"));
    story.five_minutes(100, 7, "often");
    assert!(story.raised().is_empty());
    story.five_minutes(100, 10, "often");
    assert_eq!(story.raised(), ["main verify often"]);

    // What was refused all the time is no news.
    let mut story = Story::begin();
    story.drift.follow(None);
    (0..12).for_each(|_| story.five_minutes(100, 10, "always"));
    story.drift.follow(Some(&Rules::USUAL));
    story.five_minutes(100, 10, "always");
    assert!(story.raised().is_empty());
}

#[test]
fn strangers_rubbish_raises_nothing_and_hides_nothing() {
    let mut story = Story::begin();
    story.good_hour();
    // Wallets made for it, empty, and transactions that nobody here can judge.
    for number in 0..1000 {
        let payer = format!("0x{number:x}");
        let (sealed, reason) = match number % 3 {
            0 => (true, "insufficient_funds"),
            1 => (true, "invalid_exact_evm_transaction_simulation_failed"),
            _ => (false, "invalid_exact_svm_payload_transaction_instructions_length"),
        };
        story.see(&Seen { payer: Some(&payer), sealed, said: Said::No(reason), ..seen() });
        if number % 100 == 0 {
            story.five_minutes(10, 0, "");
        }
    }
    assert!(story.raised().is_empty(), "{:?}", story.raised());
    // Under all of it, what is no stranger's doing is seen as ever.
    for number in 0..60 {
        story.see(&Seen { payer: Some(PAYERS[number % 4]), said: Said::No("invalid_payload"), ..seen() });
        for _ in 0..50 {
            story.see(&Seen { said: Said::No("insufficient_funds"), ..seen() });
        }
    }
    assert_eq!(story.raised(), ["main verify invalid_payload"]);
}

#[test]
fn what_anybody_can_bring_about_is_told_if_good_payments_stop() {
    let svm = |story: &Story, said| story.see(&Seen { sealed: false, said, ..seen() });
    let reason = "invalid_exact_svm_payload_memo_count";
    let mut story = Story::begin();
    story.good_hour();
    // The rest of the good ones leaves the window first.
    (0..100).for_each(|_| svm(&story, Said::No(reason)));
    assert!(story.raised().is_empty());
    story.clock.advance(Duration::from_secs(300));
    (0..100).for_each(|_| svm(&story, Said::No(reason)));
    assert_eq!(story.raised(), [format!("main verify {reason}")]);
    story.five_minutes(20, 0, "");
    assert_eq!(story.raised(), [format!("main verify {reason}")], "few are back");
    story.five_minutes(100, 0, "");
    assert!(story.raised().is_empty());

    // Where few were good before, that there are none now says nothing.
    let mut quiet = Story::begin();
    (0..12).for_each(|_| quiet.five_minutes(4, 0, ""));
    quiet.clock.advance(Duration::from_secs(300));
    (0..100).for_each(|_| svm(&quiet, Said::No(reason)));
    assert!(quiet.raised().is_empty());
}

#[test]
fn an_alarm_without_a_verdict_is_over_when_all_is_forgotten() {
    let mut story = Story::begin();
    story.five_minutes(40, 10, "unreachable");
    for (minutes, raised) in [(10, 1), (50, 1), (20, 0)] {
        story.clock.advance(Duration::from_secs(minutes * 60));
        story.drift.tick();
        assert_eq!(story.raised().len(), raised, "{minutes}");
    }
    assert!(story.drift.lock().histories.is_empty());
}

#[test]
fn rules_change_while_it_runs() {
    let mut story = Story::begin();
    story.five_minutes(15, 10, "invalid_payload");
    assert!(story.raised().is_empty());
    story.drift.follow(Some(&Rules { least: 10, ..Rules::USUAL }));
    story.five_minutes(15, 10, "invalid_payload");
    assert_eq!(story.raised().len(), 1);
    story.drift.follow(None);
    story.five_minutes(100, 10, "invalid_payload");
    assert!(story.raised().is_empty(), "none is told, the counters go on");
    assert_eq!(story.drift.counted().len(), 1);
    story.drift.follow(Some(&Rules::USUAL));
    story.good_hour();
    story.five_minutes(20, 10, "invalid_payload");
    assert_eq!(story.raised().len(), 1);
}

#[test]
fn facilitators_and_their_calls_are_told_apart() {
    let story = Story::begin();
    for number in 0..40 {
        let payer = Some(PAYERS[number % 4]);
        story.see(&Seen { payer, said: Said::No("timeout"), call: Call::Settle, ..seen() });
        story.see(&Seen { payer, said: Said::No("timeout"), facilitator: "spare", ..seen() });
        story.see(&Seen { payer, ..seen() });
    }
    assert_eq!(story.raised(), ["main settle timeout", "spare verify timeout"]);
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut story = Story::begin();
    story.good_hour();
    story.clock.set(1_777_000_000);
    story.five_minutes(100, 10, "invalid_payload");
    assert_eq!(story.raised(), ["main verify invalid_payload"]);
    story.clock.set(1_776_999_000);
    story.five_minutes(300, 0, "");
    assert!(story.raised().is_empty());
}

#[test]
fn what_is_remembered_is_bounded() {
    let story = Story::begin();
    for number in 0..5000 {
        let text = format!("word_{number}");
        story.see(&Seen { facilitator: &text, offer: &text, payer: Some(&text), said: Said::No(&text), ..seen() });
        story.see(&Seen { offer: &text, payer: Some(&text), said: Said::No(&text), ..seen() });
    }
    assert!(story.drift.lock().histories.len() <= HISTORIES_MAX);
    assert!(story.drift.counted().len() <= 5000, "{}", story.drift.counted().len());
}
