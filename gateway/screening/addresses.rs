//! Token buckets for client addresses.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::Rate;

/// Addresses that are remembered; beyond that, those that were not heard of for longest start anew.
const ADDRESSES_MAX: usize = 65_536;

/// A bucket for each address. An IPv6 customer has a whole /64, so that is one address here.
///
/// Not `governor`'s: a bucket here can be looked at without taking from it, its rate may change while it is in use, and
/// their number is bounded.
#[derive(Debug, Default)]
pub(super) struct Buckets(OnceLock<Cache<IpAddr, Arc<Bucket>>>);

/// When the bucket will be full again. None: it is.
#[derive(Debug, Default)]
struct Bucket(Mutex<Option<Instant>>);

impl Buckets {
    /// Takes a token.
    ///
    /// # Errors
    /// How long to wait for one.
    pub(super) fn take(&self, client: IpAddr, rate: Rate, now: Instant) -> Result<(), Duration> {
        let bucket = self.of(client);
        let mut full_at = bucket.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = after_taking(*full_at, rate, now);
        match wait(after, rate, now) {
            None => {
                *full_at = Some(after);
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    /// How long to wait until there is a token. None if there is one.
    pub(super) fn wait(&self, client: IpAddr, rate: Rate, now: Instant) -> Option<Duration> {
        let bucket = self.of(client);
        let full_at = *bucket.0.lock().unwrap_or_else(PoisonError::into_inner);
        wait(after_taking(full_at, rate, now), rate, now)
    }

    fn of(&self, client: IpAddr) -> Arc<Bucket> {
        let cache = self.0.get_or_init(|| Cache::new(ADDRESSES_MAX));
        let made = cache.get_or_insert_with(&prefix(client), || Ok::<_, std::convert::Infallible>(Arc::default()));
        made.unwrap_or_default()
    }
}

/// When the bucket would be full again after another token.
fn after_taking(full_at: Option<Instant>, rate: Rate, now: Instant) -> Instant {
    full_at.map_or(now, |full_at| full_at.max(now)) + rate.per / rate.count.max(1)
}

fn wait(after: Instant, rate: Rate, now: Instant) -> Option<Duration> {
    after.saturating_duration_since(now).checked_sub(rate.per).filter(|wait| !wait.is_zero())
}

/// What an address is counted by.
pub fn prefix(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 3, per: Duration::from_secs(60) };

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let (buckets, now, client) = (Buckets::default(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        for _ in 0..3 {
            assert_eq!(buckets.wait(client, RATE, now), None);
            assert_eq!(buckets.take(client, RATE, now), Ok(()));
        }
        let third = Duration::from_secs(20);
        assert_eq!(buckets.wait(client, RATE, now), Some(third));
        assert_eq!(buckets.take(client, RATE, now), Err(third));
        assert_eq!(buckets.take(client, RATE, now + third), Ok(()));
        assert_eq!(buckets.take(client, RATE, now + third), Err(third));
        assert_eq!(buckets.take(IpAddr::from([192, 0, 2, 2]), RATE, now), Ok(()));
        // Another rate applies to what was taken before.
        let faster = Rate { count: 60, ..RATE };
        assert_eq!(buckets.wait(client, faster, now + third), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_customers_addresses_are_one() {
        let of = |text: &str| prefix(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
