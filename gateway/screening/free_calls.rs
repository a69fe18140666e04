use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Rate;
use super::addresses::prefix;

/// Windows that are kept: tens of megabytes at most.
const WINDOWS_MAX: usize = 262_144;
/// How often a full table is looked through for windows that have passed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What addresses have had free, for each route in a window of its own. It begins with an address's first call.
///
/// None is forgotten before it has passed: where the table is full, nobody new gets anything free, since whoever has
/// many addresses would begin anew as often as they like.
#[derive(Debug, Default)]
pub(super) struct FreeCalls(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    windows: HashMap<Place, Window>,
    swept: Option<Instant>,
}

/// Whose calls of which route.
type Place = (IpAddr, Box<str>);

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    ends: Instant,
    used: u32,
}

/// A call that costs nothing. Dropped without [`FreeCall::keep`], it is given back: the upstream failed.
#[derive(Debug)]
pub struct FreeCall {
    /// How many the address has in a window.
    pub limit: u32,
    /// The window's length.
    pub per: Duration,
    /// How many are left after this one.
    pub remaining: u32,
    /// How long until there are all of them again.
    pub resets_in: Duration,
    taken: Option<Taken>,
}

#[derive(Debug)]
struct Taken {
    calls: Arc<FreeCalls>,
    place: Place,
    began: Instant,
}

impl FreeCalls {
    /// Takes a call, if there is one left. The rate is the one of now, whatever it was before.
    pub(super) fn take(this: &Arc<Self>, client: IpAddr, route: &str, rate: Rate, now: Instant) -> Option<FreeCall> {
        let place = (prefix(client), route.into());
        let mut table = this.lock();
        let window = table.window(&place, rate.per, now)?;
        let used = window.used.checked_add(1).filter(|used| *used <= rate.count)?;
        window.used = used;
        let (began, resets_in) = (window.began, window.ends.saturating_duration_since(now));
        drop(table);
        let taken = Some(Taken { calls: Arc::clone(this), place, began });
        Some(FreeCall { limit: rate.count, per: rate.per, remaining: rate.count - used, resets_in, taken })
    }

    fn give_back(&self, place: &Place, began: Instant) {
        let mut table = self.lock();
        // A call of an earlier window is no call of this one.
        let Some(window) = table.windows.get_mut(place).filter(|window| window.began == began) else { return };
        window.used = window.used.saturating_sub(1);
        if window.used == 0 {
            table.windows.remove(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The window that is open now; a new one if there is room.
    fn window(&mut self, place: &Place, per: Duration, now: Instant) -> Option<&mut Window> {
        let known = self.windows.contains_key(place);
        if !known && self.windows.len() >= WINDOWS_MAX {
            self.sweep(now);
            if self.windows.len() >= WINDOWS_MAX {
                return None;
            }
        }
        let new = Window { began: now, ends: now + per, used: 0 };
        let window = self.windows.entry(place.clone()).or_insert(new);
        window.ends = window.began + per;
        if window.ends <= now {
            *window = new;
        }
        Some(window)
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_EVERY) {
            self.windows.retain(|_, window| window.ends > now);
            self.swept = Some(now);
        }
    }
}

impl FreeCall {
    /// The upstream has answered.
    pub fn keep(mut self) {
        self.taken = None;
    }
}

impl Drop for FreeCall {
    fn drop(&mut self) {
        if let Some(Taken { calls, place, began }) = &self.taken {
            calls.give_back(place, *began);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const THREE: Rate = Rate { count: 3, per: HOUR };

    struct Door(Arc<FreeCalls>, Instant);

    impl Door {
        fn new() -> Self {
            Self(Arc::default(), Instant::now())
        }

        fn take(&self, client: &str, after: Duration) -> Option<FreeCall> {
            FreeCalls::take(&self.0, client.parse().unwrap(), "GET /a", THREE, self.1 + after)
        }

        fn spend(&self, client: &str, after: Duration) -> Option<(u32, Duration)> {
            let call = self.take(client, after)?;
            let left = (call.remaining, call.resets_in);
            call.keep();
            Some(left)
        }
    }

    #[test]
    fn a_window_begins_with_the_first_call_and_ends_whatever_came_in_it() {
        let (door, client, half) = (Door::new(), "192.0.2.1", HOUR / 2);
        assert_eq!(door.spend(client, Duration::ZERO), Some((2, HOUR)));
        assert_eq!(door.spend(client, half), Some((1, half)));
        assert_eq!(door.spend(client, half), Some((0, half)));
        assert_eq!(door.spend(client, HOUR - Duration::from_millis(1)), None);
        assert_eq!(door.spend(client, HOUR), Some((2, HOUR)));
    }

    #[test]
    fn addresses_and_routes_are_counted_apart_and_a_customers_addresses_together() {
        let door = Door::new();
        for left in [2, 1, 0] {
            assert_eq!(door.spend("2001:db8::1", Duration::ZERO), Some((left, HOUR)));
        }
        assert_eq!(door.spend("2001:db8::2", Duration::ZERO), None);
        assert_eq!(door.spend("2001:db8:0:1::1", Duration::ZERO), Some((2, HOUR)));
        let client = "2001:db8::1".parse().unwrap();
        assert!(FreeCalls::take(&door.0, client, "GET /b", THREE, door.1).is_some());
    }

    #[test]
    fn what_is_not_kept_comes_back() {
        let (door, client) = (Door::new(), "192.0.2.1");
        for _ in 0..10 {
            drop(door.take(client, Duration::ZERO).unwrap());
        }
        assert!(door.0.lock().windows.is_empty());
        let held: Vec<_> = (0..3).map(|_| door.take(client, Duration::ZERO).unwrap()).collect();
        assert!(door.take(client, Duration::ZERO).is_none());
        drop(held);
        assert_eq!(door.spend(client, Duration::ZERO), Some((2, HOUR)));
    }

    #[test]
    fn a_call_of_an_earlier_window_does_not_come_back_to_this_one() {
        let (door, client) = (Door::new(), "192.0.2.1");
        let early = door.take(client, Duration::ZERO).unwrap();
        assert_eq!(door.spend(client, HOUR), Some((2, HOUR)));
        drop(early);
        assert_eq!(door.spend(client, HOUR), Some((1, HOUR)));
    }

    #[test]
    fn another_rate_applies_to_what_was_taken_before() {
        let (door, client) = (Door::new(), "192.0.2.1");
        door.spend(client, Duration::ZERO);
        door.spend(client, Duration::ZERO);
        let at = |count, per, after| {
            let rate = Rate { count, per };
            let call = FreeCalls::take(&door.0, client.parse().unwrap(), "GET /a", rate, door.1 + after)?;
            Some((call.remaining, call.resets_in))
        };
        assert_eq!(at(2, HOUR, Duration::ZERO), None);
        assert_eq!(at(1, HOUR, Duration::ZERO), None);
        assert_eq!(at(5, HOUR * 2, HOUR), Some((2, HOUR)));
        assert_eq!(at(2, HOUR / 2, HOUR), Some((1, HOUR / 2)));
    }

    #[test]
    fn threads_do_not_race_past_the_last_one() {
        let (door, client) = (Door::new(), "192.0.2.1");
        door.spend(client, Duration::ZERO);
        door.spend(client, Duration::ZERO);
        let served = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    if door.spend(client, Duration::ZERO).is_some() {
                        served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(served.into_inner(), 1);
    }

    #[test]
    fn a_flood_of_addresses_makes_nobody_begin_anew() {
        let door = Door::new();
        let (known, new) = ("192.0.2.1", "192.0.2.2");
        for _ in 0..3 {
            door.spend(known, Duration::ZERO);
        }
        for number in 0..u32::try_from(WINDOWS_MAX).unwrap() {
            let client = Ipv4Addr::from_bits(0x0a00_0000 + number);
            if let Some(call) = FreeCalls::take(&door.0, client.into(), "GET /a", THREE, door.1 + HOUR / 2) {
                call.keep();
            }
        }
        assert_eq!(door.0.lock().windows.len(), WINDOWS_MAX);
        assert_eq!((door.spend(known, HOUR / 2), door.spend(new, HOUR / 2)), (None, None));
        // Whoever is in it goes on; and there is room when windows have passed.
        assert_eq!(door.spend("10.0.0.1", HOUR / 2), Some((1, HOUR)));
        assert_eq!(door.spend(new, HOUR), Some((2, HOUR)));
        assert_eq!(door.spend(known, HOUR), None, "the table is full again");
        assert_eq!(door.spend(known, HOUR * 2), Some((2, HOUR)));
    }
}
