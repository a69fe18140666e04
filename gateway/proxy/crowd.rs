//! How many connections there are, in all and of each client address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::ConnectionsConfig;
use crate::screening::prefix;
use crate::telemetry::Metrics;

/// Counts connections. Its lock is taken when one begins and when it ends, by no request.
pub(super) struct Crowd {
    metrics: Arc<Metrics>,
    counts: Mutex<Counts>,
}

/// As many entries as there are connections, at most.
#[derive(Default)]
struct Counts {
    all: u32,
    of: HashMap<IpAddr, u32>,
}

/// A connection that was let in; dropping it is its end.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    /// None if its address is not counted.
    address: Option<IpAddr>,
}

impl Crowd {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, counts: Mutex::default() }
    }

    /// Lets a connection in, unless there are too many. `is_exempt` says that its address stands for many clients.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr, is_exempt: bool, limits: &ConnectionsConfig) -> Option<Seat> {
        let counters = &self.metrics.connections;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |reason| {
            counters.refused(reason);
            None
        };
        if counts.all >= limits.max {
            return refused("max");
        }
        let most = limits.most_of(client).filter(|_| !is_exempt);
        if let Some(most) = most {
            let of_it = counts.of.entry(prefix(client)).or_default();
            if *of_it >= most {
                return refused("per_address");
            }
            *of_it += 1;
        }
        let address = most.map(|_| prefix(client));
        counts.all += 1;
        counters.open.set(counts.all.into());
        Some(Seat { crowd: Arc::clone(self), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        self.crowd.metrics.connections.open.set(counts.all.into());
        if let Some(address) = self.address
            && let Entry::Occupied(mut of_it) = counts.of.entry(address)
        {
            match of_it.get() {
                0 | 1 => drop(of_it.remove()),
                more => *of_it.get_mut() = more - 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_in_all_and_of_each_address() {
        let crowd = Arc::new(Crowd::new(Arc::new(Metrics::new().unwrap())));
        let limits = ConnectionsConfig { max: 4, per_address: Some(2), ..ConnectionsConfig::default() };
        let admit = |address: &str, is_exempt| crowd.admit(address.parse().unwrap(), is_exempt, &limits);
        let one = admit("2001:db8:1:2::1", false).unwrap();
        let other = admit("2001:db8:1:2:ffff::1", false).unwrap();
        assert!(admit("2001:db8:1:2::3", false).is_none(), "one customer's /64 is one address");
        drop(one);
        let again = admit("2001:db8:1:2::3", false).unwrap();
        // What stands for many is counted in all only.
        let proxied: Vec<_> = (0..2).map(|_| admit("2001:db8:1:2::1", true).unwrap()).collect();
        assert!(admit("192.0.2.1", false).is_none() && admit("192.0.2.1", true).is_none());
        assert_eq!(crowd.metrics.connections.open.get(), 4);
        drop((other, again, proxied));
        assert_eq!(crowd.metrics.connections.open.get(), 0);
        assert!(crowd.counts.lock().unwrap().of.is_empty());
        let page = crowd.metrics.page(0, None);
        for line in ["{reason=\"max\"} 2", "{reason=\"per_address\"} 1"] {
            assert!(page.contains(&format!("gateway_connections_refused_total{line}")), "{page}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_one_it_maps() {
        let crowd = Arc::new(Crowd::new(Arc::new(Metrics::new().unwrap())));
        let limits = ConnectionsConfig { per_address: Some(1), ..ConnectionsConfig::default() };
        let _seat = crowd.admit("192.0.2.1".parse().unwrap(), false, &limits).unwrap();
        assert!(crowd.admit("::ffff:192.0.2.1".parse().unwrap(), false, &limits).is_none());
        assert!(crowd.admit("192.0.2.2".parse().unwrap(), false, &limits).is_some());
    }
}
