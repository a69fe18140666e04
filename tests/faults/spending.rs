//! Calls that cost units, or one of those that are free, and panic.

use crate::points::{By, on_the_way_of};
use crate::stage::Stage;

#[test]
fn a_call_with_a_key_that_meets_a_panic_costs_what_was_served() {
    for (point, times) in on_the_way_of(By::Key) {
        eprintln!("{point}");
        let mut stage = Stage::start();
        let key = stage.world.buy("nano");
        stage.panics_at(&[(point, times)]);
        let keyed = [("X-API-KEY", key.as_str())];
        let first = stage.ask("GET", "/paid", &keyed);
        stage.has_struck(point);
        let served = u64::from(first.is_some_and(|answer| answer.status == 200));
        // At once: neither a lock nor a look-up is left behind.
        stage.ask_until(200, "GET", "/paid", &keyed);
        let (served, hits) = (served + 1, stage.world.upstream.hits());
        stage.is_sound(point);
        let used = u64::try_from(stage.world.units_used()[0]).unwrap() / 1000;
        // Both the free one that `is_sound` asks for.
        assert!((served..=u64::try_from(hits).unwrap()).contains(&used), "{point}: {used} for {served} of {hits}");
        assert_eq!(stage.world.units_leased(), [0], "{point}: what was not used came back");
    }
}

#[test]
fn a_free_call_that_meets_a_panic_comes_back_unless_it_was_served() {
    for (point, times) in on_the_way_of(By::Trial) {
        eprintln!("{point}");
        let mut stage = Stage::start();
        stage.panics_at(&[(point, times)]);
        let first = stage.ask("GET", "/trial", &[]);
        stage.has_struck(point);
        let served = first.is_some_and(|answer| answer.status == 200);
        let second = stage.ask("GET", "/trial", &[]).map(|answer| answer.status);
        assert_eq!(second, Some(if served { 402 } else { 200 }), "{point}");
        assert_eq!(stage.ask("GET", "/trial", &[]).map(|answer| answer.status), Some(402), "{point}");
        stage.is_sound(point);
    }
}
