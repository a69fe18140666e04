use std::time::SystemTime;

/// What the clock says of a subscription. Units are reserved after this, by whoever keeps the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// It may be used.
    Allowed,
    /// Its time is over.
    Expired,
}

/// Whether a subscription is in its time.
///
/// It is compared with the clock at each request, never with the age of a cache entry. At the moment of expiry
/// itself it is over.
pub fn allow(expires_at: SystemTime, now: SystemTime) -> Allowance {
    if now < expires_at { Allowance::Allowed } else { Allowance::Expired }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_subscription_ends_at_its_expiry() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(allow(end, end - Duration::from_millis(1)), Allowance::Allowed);
        assert_eq!(allow(end, end), Allowance::Expired);
        assert_eq!(allow(end, end + Duration::from_secs(1)), Allowance::Expired);
    }
}
