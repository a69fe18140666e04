use std::sync::Arc;
use std::time::Instant;

use super::Rules;
use super::tallies::Counted;

/// A payment's place within its payer's limits. Dropped without [`Admission::keep`], it is given back: the payment was
/// not settled.
#[derive(Debug)]
pub struct Admission(Option<Admitted>);

#[derive(Debug)]
struct Admitted {
    counted: Counted,
    rules: Arc<Rules>,
}

impl Admission {
    /// For a payer whom nobody knows: there is nothing to count them by.
    pub(super) fn uncounted() -> Self {
        Self(None)
    }

    pub(super) fn new(counted: Counted, rules: Arc<Rules>) -> Self {
        Self(Some(Admitted { counted, rules }))
    }

    /// The money has moved, or may have.
    pub fn keep(mut self, now: Instant) {
        if let Some(Admitted { counted, rules }) = self.0.take() {
            counted.settled(&rules, now);
        }
    }

    /// The money has not moved although the payment was found good: that counts against the payer, in whose hand it
    /// was. It does not if nobody had verified the payment, which may then be anybody's.
    pub fn strike(self, now: Instant) {
        if let Some(Admitted { counted, rules }) = self.0.as_ref().filter(|admitted| !admitted.counted.unproven) {
            counted.strike(&rules.limits, now);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(Admitted { counted, .. }) = &self.0 {
            counted.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::money::{Address, Network};
    use crate::screening::{Cap, Dollars, Exceeded, Limit, Limits, Most, Payment, Rate, Screening};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    struct Shop {
        screening: Screening,
        payer: Address,
        network: Network,
    }

    impl Shop {
        fn new(limits: Limits) -> Self {
            let screening = Screening::of(Rules { limits, ..Rules::default() });
            Self { screening, payer: Address::Text("a".into()), network: Network::parse("eip155:1").unwrap() }
        }

        fn payment(&self) -> Payment<'_> {
            let amount = Dollars::from_decimal("0.01").unwrap();
            Payment { payer: Some(&self.payer), network: &self.network, amount, unproven: false }
        }

        fn admit(&self, now: Instant) -> Result<Admission, Exceeded> {
            self.screening.admit(self.payment(), now)
        }
    }

    fn ten_a_minute() -> Limits {
        Limits { payments: vec![Cap { most: Most::Payments(10), per: MINUTE }], unsettled: 100, ..Limits::default() }
    }

    #[test]
    fn what_is_not_kept_comes_back() {
        let (shop, now) = (Shop::new(ten_a_minute()), Instant::now());
        for _ in 0..50 {
            drop(shop.admit(now).unwrap());
        }
        let held: Vec<_> = (0..10).map(|_| shop.admit(now).unwrap()).collect();
        let exceeded = shop.admit(now).unwrap_err();
        assert_eq!((exceeded.limit.as_str(), exceeded.retry_after), ("payment_count", MINUTE));
        assert_eq!(shop.screening.check(shop.payment(), now), Err(exceeded));
        held.into_iter().for_each(|admission| admission.keep(now));
        assert_eq!(shop.admit(now).unwrap_err(), exceeded);
        assert!(shop.admit(now + MINUTE).is_ok());
        let somebody_else = Payment { payer: Some(&Address::Text("b".into())), ..shop.payment() };
        assert!(shop.screening.admit(somebody_else, now).is_ok());
    }

    #[test]
    fn at_most_so_many_are_under_way() {
        let (shop, now) = (Shop::new(Limits { unsettled: 2, ..Limits::default() }), Instant::now());
        let (first, second) = (shop.admit(now).unwrap(), shop.admit(now).unwrap());
        assert_eq!(shop.admit(now).unwrap_err().limit, Limit::Unsettled(2));
        first.keep(now);
        let third = shop.admit(now).unwrap();
        assert!(shop.admit(now).is_err());
        // Whoever pretends to be the payer takes no place of theirs.
        let unproven = || shop.screening.admit(Payment { unproven: true, ..shop.payment() }, now);
        let pretended: Vec<_> = (0..5).map(|_| unproven().unwrap()).collect();
        drop(second);
        assert!(shop.admit(now).is_ok());
        drop((third, pretended));
        assert!(shop.admit(now).is_ok());
    }

    #[test]
    fn who_fails_to_settle_has_to_wait() {
        let strikes = Rate { count: 2, per: MINUTE };
        let (shop, now) = (Shop::new(Limits { strikes, ..Limits::default() }), Instant::now());
        // Nobody had found these good, so anybody may have made them.
        for _ in 0..3 {
            let unproven = Payment { unproven: true, ..shop.payment() };
            shop.screening.admit(unproven, now).unwrap().strike(now);
        }
        shop.admit(now).unwrap().strike(now);
        shop.admit(now).unwrap().strike(now + MINUTE / 2);
        let exceeded = shop.screening.check(shop.payment(), now + MINUTE / 2).unwrap_err();
        assert_eq!(exceeded, Exceeded { limit: Limit::Strikes(strikes), retry_after: MINUTE / 2 });
        assert_eq!(shop.admit(now + MINUTE / 2).unwrap_err(), exceeded);
        assert!(shop.admit(now + MINUTE).is_ok());
    }

    #[test]
    fn threads_do_not_race_past_a_limit() {
        let (shop, now) = (Shop::new(ten_a_minute()), Instant::now());
        let admitted = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    if let Ok(admission) = shop.admit(now) {
                        admitted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        admission.keep(now);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 10);
    }
}
