//! A hostile facilitator: whatever it says, the money moves at most once for a payment, nothing is given away, and who
//! has paid is not asked to pay again.
//!
//! The double keeps true books. A behaviour says what is answered; whether the money moved meanwhile is another
//! question, so most of them are tried both ways. Then the facilitator turns honest and says what is in its books.

mod behaviours;
mod books;
mod crowd;
mod field;
mod row;

use behaviours::{Behaviour, NO_KINDS, SETTLE, SUPPORTED, VERIFY};
use books::{Moves, Tells};
use field::Field;
use row::{Kind, Row, Story, heads, tell};

use crate::support::wait::until_true;

const IMPATIENT: &str = "verify_timeout = \"400ms\"\nsettle_timeout = \"400ms\"\nresolve_timeout = \"300ms\"";

/// Prints the table, and fails with the whole story of each row that breaks a rule.
fn judge(field: &Field, mut stories: Vec<Story>) {
    field.close(&mut stories);
    println!("{}", heads());
    stories.iter().for_each(|story| println!("{story}"));
    let (moved, served) = (
        stories.iter().filter(|story| story.moved()).count(),
        stories.iter().filter(|story| !story.deliveries().is_empty()).count(),
    );
    println!("{} rows, the money moved in {moved}, {served} were served", stories.len());
    let broken: Vec<_> = stories.iter().filter(|story| !story.complaints().is_empty()).collect();
    let told: Vec<_> = broken.iter().map(|story| format!("{:?}: {}", story.complaints(), tell(story))).collect();
    assert!(broken.is_empty(), "{} rows break a rule:\n{}", broken.len(), told.join("\n"));
    assert_eq!(field.double.astray(), 0, "a payment followed a redirect to another origin");
}

/// The ways in which a behaviour is tried for a kind of goods.
fn ways(behaviour: &'static Behaviour, kind: Kind) -> impl Iterator<Item = Row> {
    let tells = move |moves: &Moves| match (moves, kind) {
        // Before anything has moved an honest facilitator has one thing to say.
        (Moves::Never, _) | (_, Kind::Post | Kind::UpfrontPost) => &[Tells::Receipt][..],
        (Moves::First, _) => &[Tells::Receipt, Tells::Used],
    };
    behaviour.moves.iter().flat_map(move |moves| {
        tells(moves).iter().map(move |tells| Row { tells: *tells, ..Row::new(behaviour, kind, *moves) })
    })
}

fn play(behaviours: &'static [Behaviour], kinds: &[Kind]) {
    let field = Field::start(IMPATIENT, None);
    let rows = behaviours.iter().flat_map(|behaviour| kinds.iter().flat_map(|kind| ways(behaviour, *kind)));
    judge(&field, field.play(rows.collect()));
}

#[test]
fn hostile_settlements_of_calls() {
    play(SETTLE, &[Kind::Get, Kind::Post]);
}

#[test]
fn hostile_settlements_before_the_goods() {
    play(SETTLE, &[Kind::Purchase, Kind::Upfront, Kind::UpfrontPost]);
}

#[test]
fn hostile_verdicts() {
    play(VERIFY, &[Kind::Get, Kind::Post, Kind::Purchase, Kind::Upfront]);
}

#[test]
fn hostile_lists_of_what_is_supported() {
    for behaviour in SUPPORTED {
        let field = Field::start(IMPATIENT, Some(behaviour));
        // Nothing is on offer where the facilitator says that it settles nothing, once that is heard.
        if behaviour.name == NO_KINDS {
            until_true("no offer", || field.world.get("/paid", &[]).header("payment-required").is_none());
            let answer = field.world.get("/paid", &[]);
            assert!((400..600).contains(&answer.status), "{answer:?}");
            assert_eq!(field.hits("/paid"), 0);
            continue;
        }
        let kinds = [Kind::Get, Kind::Post, Kind::Purchase, Kind::Upfront];
        let rows = kinds.iter().flat_map(|kind| ways(behaviour, *kind)).collect();
        judge(&field, field.play(rows));
    }
}

#[test]
fn the_reconciler_ends_what_a_hostile_facilitator_left() {
    let field = Field::start(IMPATIENT, None);
    let unclear = SETTLE.iter().filter(|behaviour| behaviour.moves.len() == 2);
    let kinds = [Kind::Get, Kind::Post, Kind::Purchase, Kind::Upfront, Kind::UpfrontPost];
    let rows = unclear.enumerate().flat_map(|(number, behaviour)| {
        let kind = kinds[number % kinds.len()];
        behaviour.moves.iter().map(move |moves| Row { waits: true, ..Row::new(behaviour, kind, *moves) })
    });
    let stories = field.play(rows.collect());
    judge(&field, stories);
}
