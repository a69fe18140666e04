//! Who may pay, asked between the claim and the money; and what came of it, told to those who count.

use std::net::IpAddr;
use std::time::Instant;

use super::{Call, Denial, Market, ResourceServer, Settled};
use crate::crash::crash_point;
use crate::facilitator::is_its_own_trouble;
use crate::money::Address;
use crate::payment::{Claimed, Presented, Shortfall};
use crate::screening::{Admission, Dollars, Exceeded, FreeCall, NoVerdict, Payment, Rate, Screened};
use crate::store::Claim;
use crate::x402::facilitator::SettleResponse;

/// A payment that is found good and whose payer may pay, with the ledger's claim on it. Dropped, it is not counted.
#[derive(Debug)]
pub struct Verified {
    payment: crate::payment::Verified<Claim>,
    admission: Admission,
}

impl Verified {
    /// The payment.
    pub fn presented(&self) -> &Presented {
        self.payment.presented()
    }

    /// Who pays, as far as anybody has said.
    pub fn payer(&self) -> Option<&str> {
        self.payment.payer()
    }

    pub(super) fn into_parts(self) -> (crate::payment::Verified<Claim>, Admission) {
        (self.payment, self.admission)
    }
}

impl ResourceServer {
    /// Counts a call that does not pay for its address, unless it has one of our keys. What only looks like one is none:
    /// anybody could write it to be counted by nobody.
    ///
    /// # Errors
    /// [`Denial::Exceeded`] if the address had too many.
    pub fn may_call(&self, market: &Market, key: Option<&str>, client: Option<IpAddr>) -> Result<(), Denial> {
        if !market.screening.counts_calls() {
            return Ok(());
        }
        let has_key = key.is_some_and(|key| self.may_be_key(key));
        if has_key { Ok(()) } else { Ok(market.screening.may_call(client, Instant::now())?) }
    }

    /// Has a claimed payment verified and its payer screened. One that is settled first (`upfront`) is not verified, unless
    /// nobody but the facilitator can say who pays, and with that what: one that it began to settle for another seller may
    /// count as settled with it, whatever our terms are.
    /// With a receipt if its money is here already.
    pub(super) async fn verified(
        &self,
        market: &Market,
        claimed: Claimed<Claim>,
        upfront: bool,
    ) -> Result<(Verified, Option<SettleResponse>), Denial> {
        let screening = &market.screening;
        let early = payer(claimed.presented(), None);
        let asks = !upfront || early.is_none();
        screening.check(counted(claimed.presented(), early.as_ref(), asks), Instant::now())?;
        let (payment, landed) = if asks { self.check(market, claimed).await? } else { (claimed.unverified(), None) };
        let presented = payment.presented();
        let payer = payer(presented, payment.payer());
        let to_count = counted(presented, payer.as_ref(), asks);
        crash_point!("payer.screening");
        let screened = screening.screen(to_count).await;
        crash_point!("payer.screened");
        if let Screened::Refused(reason) = screened.map_err(|NoVerdict| Denial::NoVerdict("screening_unavailable"))? {
            tracing::warn!(
                target: "audit",
                payer = payer.as_ref().map_or_else(|| payment.payer().unwrap_or("").to_owned(), Address::to_string),
                network = %presented.terms.network,
                payment_id = %presented.id,
                reason = &*reason,
                "payer refused"
            );
            return Err(Denial::Forbidden(presented.id.clone()));
        }
        let admission = screening.admit(to_count, Instant::now())?;
        crash_point!("payer.admitted");
        Ok((Verified { payment, admission }, landed))
    }
}

/// Tells those who count what became of the money.
pub(super) fn account_for(admission: Admission, outcome: Result<&Settled, &Denial>) {
    match outcome {
        // What may have moved counts as if it had.
        Ok(_) | Err(Denial::Unresolved(_)) => admission.keep(Instant::now()),
        Err(Denial::NotSettled(refused, _)) if !is_its_own_trouble(&refused.reason) => {
            admission.strike(Instant::now());
        }
        Err(_) => drop(admission),
    }
}

/// Does something for a client's address, within the limits of addresses. `pays` says that it presents a payment.
pub(super) async fn for_address<T>(
    market: &Market,
    client: Option<IpAddr>,
    pays: bool,
    work: impl Future<Output = Result<T, Denial>>,
) -> Result<T, Denial> {
    let screening = &market.screening;
    if pays {
        screening.may_present(client, Instant::now())?;
    }
    let result = work.await;
    match &result {
        Err(Denial::Shortfall(Shortfall::Payment(_))) => screening.bad_payment(client, Instant::now()),
        Err(Denial::Shortfall(_)) => screening.challenge(client, Instant::now())?,
        _ => {}
    }
    result
}

/// One of the calls that its address has free of a route. None for a call that came with something to pay it by: if that
/// is no good, its sender should know.
pub(super) fn free_call(market: &Market, call: Call<'_>) -> Option<FreeCall> {
    let free = call.route.free_calls?;
    if !call.credentials.is_empty() || call.payment.is_some() {
        return None;
    }
    let route = format!("{} {}", call.route.methods, call.route.pattern.as_str());
    let rate = Rate { count: free.calls, per: free.per };
    market.screening.free_call(call.client, &route, rate, Instant::now())
}

/// Who pays: what is signed goes before what is said.
fn payer(presented: &Presented, named: Option<&str>) -> Option<Address> {
    presented.payer.clone().or_else(|| Address::parse(named?, &presented.terms.network).ok())
}

fn counted<'a>(presented: &'a Presented, payer: Option<&'a Address>, verified: bool) -> Payment<'a> {
    let terms = &presented.terms;
    let amount = Dollars::of(presented.amount(), terms.asset.decimals);
    Payment { payer, network: &terms.network, amount, unproven: !verified }
}

impl From<Exceeded> for Denial {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(Box::new(exceeded))
    }
}
