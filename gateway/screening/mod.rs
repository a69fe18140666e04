//! Who may pay, and how much: lists, an outside screener, limits and alarms for each payer and each address.
//!
//! Not for whether a payment is good: that is `payment` and the facilitator.
//!
//! | part | what it says |
//! |---|---|
//! | [`AddressList`] | who must not pay, or who alone may |
//! | [`HttpScreener`] | the same, asked of somebody else |
//! | [`Limits`] | how often and how much a payer pays, and what an address may cost us |
//! | [`FreeCall`] | what an address has free of a route that costs something |
//! | [`Cap`] | also the mark at which somebody is told |
//! | [`Tallies`] | what was counted; it lives as long as the process, whatever the rules become |

mod addresses;
mod admission;
mod counters;
mod dollars;
mod free_calls;
mod limits;
mod list;
mod payer;
mod screener;
mod tallies;
mod window;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub use addresses::prefix;
pub use admission::Admission;
pub use counters::Counters;
pub use dollars::Dollars;
pub use free_calls::FreeCall;
pub use limits::{Cap, Exceeded, Limit, Limits, Most, Rate};
pub use list::{AddressList, ListError, Lists};
pub use screener::{HttpScreener, NoVerdict, ScreenerSettings};
pub use tallies::Tallies;

use crate::money::{Address, Network};

/// The rules of one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `[screening]`.
    pub lists: Lists,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[alerts]]`.
    pub alerts: Vec<Cap>,
}

/// What screening says of a payer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Screened {
    /// Nothing against them.
    Clear,
    /// They may not pay, and why: for the operator's eyes.
    Refused(Arc<str>),
}

/// Who pays, as far as screening and counting are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Payment<'a> {
    /// The payer. None if nobody has said.
    pub payer: Option<&'a Address>,
    /// Where they pay.
    pub network: &'a Network,
    /// How much.
    pub amount: Dollars,
    /// Whether it is settled without being verified first, so that nobody has proved yet whose it is.
    pub unproven: bool,
}

/// The rules of a configuration, and what was counted until now.
#[derive(Debug)]
pub struct Screening {
    rules: Arc<Rules>,
    screener: Option<Arc<HttpScreener>>,
    tallies: Arc<Tallies>,
}

impl Screening {
    /// Puts the parts together.
    pub fn new(rules: Rules, screener: Option<Arc<HttpScreener>>, tallies: Arc<Tallies>) -> Self {
        Self { rules: Arc::new(rules), screener, tallies }
    }

    /// Whether a payment of an unknown payer must be refused: there is a rule that cannot be applied to it.
    fn needs_payer(&self) -> bool {
        !self.rules.lists.is_empty() || self.screener.is_some() || !self.rules.limits.payments.is_empty()
    }

    /// Whether a payment would be over a limit, before anybody is asked whether it is good. Counts nothing, since the
    /// payer may be somebody else's word.
    ///
    /// # Errors
    /// [`Exceeded`]: the limit that it is over.
    pub fn check(&self, payment: Payment<'_>, now: Instant) -> Result<(), Exceeded> {
        payment.payer.map_or(Ok(()), |payer| self.tallies.check(&self.rules, payer, payment, now))
    }

    /// Whether a payer may pay. To be asked of a verified payer, before the upstream is called or money moves.
    ///
    /// # Errors
    /// [`NoVerdict`] if the screener has none; the payment must then not be served.
    pub async fn screen(&self, payment: Payment<'_>) -> Result<Screened, NoVerdict> {
        let Some(payer) = payment.payer else {
            let unknown = Screened::Refused("payer unknown".into());
            return Ok(if self.needs_payer() { unknown } else { Screened::Clear });
        };
        let screened = match (self.rules.lists.screen(payer), &self.screener) {
            (Screened::Clear, Some(screener)) => screener.screen(payer, payment.network).await,
            (screened, _) => Ok(screened),
        };
        if self.needs_payer() {
            self.tallies.counters().screened(&screened);
        }
        screened
    }

    /// Counts a payment as admitted, until its [`Admission`] is dropped.
    ///
    /// # Errors
    /// [`Exceeded`]: the limit that it is over. Nothing is counted then.
    pub fn admit(&self, payment: Payment<'_>, now: Instant) -> Result<Admission, Exceeded> {
        let Some(payer) = payment.payer else { return Ok(Admission::uncounted()) };
        Tallies::admit(&self.tallies, &self.rules, payer, payment, now)
            .map(|counted| Admission::new(counted, Arc::clone(&self.rules)))
    }

    /// Whether an address may present another payment.
    ///
    /// # Errors
    /// [`Exceeded`] if too many of its payments were bad.
    pub fn may_present(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Exceeded> {
        self.tallies.may_present(&self.rules.limits, client, now)
    }

    /// Notes that an address presented a payment that was no good.
    pub fn bad_payment(&self, client: Option<IpAddr>, now: Instant) {
        self.tallies.bad_payment(&self.rules.limits, client, now);
    }

    /// Counts a challenge for an address.
    ///
    /// # Errors
    /// [`Exceeded`] if it had too many.
    pub fn challenge(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Exceeded> {
        self.tallies.challenge(&self.rules.limits, client, now)
    }

    /// Counts a call of an address without a key or a payment.
    ///
    /// # Errors
    /// [`Exceeded`] if it had too many.
    pub fn may_call(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Exceeded> {
        self.tallies.may_call(&self.rules.limits, client, now)
    }

    /// Whether calls that do not pay are counted at all.
    pub fn counts_calls(&self) -> bool {
        self.rules.limits.keyless.is_some()
    }

    /// Takes one of the calls that an address has free of a route, until the [`FreeCall`] is dropped. None if there is
    /// none left, or nobody knows the address.
    pub fn free_call(&self, client: Option<IpAddr>, route: &str, rate: Rate, now: Instant) -> Option<FreeCall> {
        self.tallies.free_call(client?, route, rate, now)
    }
}

#[cfg(test)]
impl Screening {
    /// One with these rules and nothing counted.
    pub(crate) fn of(rules: Rules) -> Self {
        let tallies = Tallies::new(crate::webhook::Events::default(), Counters::new().expect("names differ"));
        Self::new(rules, None, Arc::new(tallies))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate { count: 2, per: Duration::from_secs(60) };

    #[test]
    fn calls_without_a_key_are_counted_by_address_if_there_is_a_limit() {
        let (client, now) = (Some([192, 0, 2, 1].into()), Instant::now());
        let limited =
            Screening::of(Rules { limits: Limits { keyless: Some(RATE), ..Limits::default() }, ..Rules::default() });
        assert_eq!((limited.may_call(client, now), limited.may_call(client, now)), (Ok(()), Ok(())));
        let exceeded = Exceeded { limit: Limit::Keyless(RATE), retry_after: RATE.per / 2 };
        assert_eq!(limited.may_call(client, now), Err(exceeded));
        assert_eq!(limited.may_call(client, now + RATE.per / 2), Ok(()));
        assert_eq!(limited.may_call(Some([192, 0, 2, 2].into()), now), Ok(()));
        // Challenges and bad payments have counts of their own.
        assert_eq!((limited.challenge(client, now), limited.may_present(client, now)), (Ok(()), Ok(())));
        let unlimited = Screening::of(Rules::default());
        for _ in 0..100 {
            assert_eq!((limited.may_call(None, now), unlimited.may_call(client, now)), (Ok(()), Ok(())));
        }
    }

    #[test]
    fn free_calls_outlive_the_rules_and_nobody_unknown_has_any() {
        let (client, now) = (Some([192, 0, 2, 1].into()), Instant::now());
        let before = Screening::of(Rules::default());
        assert!(before.free_call(None, "GET /a", RATE, now).is_none());
        before.free_call(client, "GET /a", RATE, now).unwrap().keep();
        let after = Screening::new(Rules::default(), None, Arc::clone(&before.tallies));
        after.free_call(client, "GET /a", RATE, now).unwrap().keep();
        assert!(before.free_call(client, "GET /a", RATE, now).is_none());
    }
}
