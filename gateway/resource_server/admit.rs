use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::screened::{for_address, free_call};
use super::{Credentials, Denial, Market, Reservation, ResourceServer, Settled, Verified};
use crate::crash::crash_point;
use crate::payment::siwx::SignIn;
use crate::payment::{Goods, Presented, RequestHash, Shortfall};
use crate::pricing::{Access, Offer, Route, SettleTiming};
use crate::screening::FreeCall;
use crate::store::StoredResponse;
use crate::x402::facilitator::SettleResponse;

/// A request for a route, as far as money is concerned.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The route that was found.
    pub route: &'a Arc<Route>,
    /// The request's method.
    pub method: &'a Method,
    /// Its canonical target: path and query.
    pub target: &'a str,
    /// What it has to show for itself. With a payment, a wallet's sign-in is its buyer's.
    pub credentials: Credentials<'a>,
    /// The payment header that was sent.
    pub payment: Option<&'a [u8]>,
    /// The address that it came from.
    pub client: Option<IpAddr>,
}

/// The right to one upstream call.
#[derive(Debug)]
pub enum Pass {
    /// Nothing is asked.
    Free,
    /// One of the calls that the address has free; it comes back if the upstream fails.
    Trial(FreeCall),
    /// Units of a plan are reserved; they come back if the upstream fails.
    Plan(Reservation),
    /// The payment is good; it is to be settled when the upstream has answered well.
    Verified(Box<Verified>),
    /// The payment is settled.
    Settled(Box<Settled>),
}

/// What a payment is sent for, and how it would be served.
pub(super) struct Wanted {
    pub(super) goods: Goods,
    /// Whether the route settles first.
    pub(super) upfront: bool,
    /// Whether serving it twice does the same work once.
    pub(super) safe: bool,
    /// The wallet's sign-in that came along.
    pub(super) proof: Option<SignIn>,
}

/// What a request gets.
#[derive(Debug)]
pub enum Admitted {
    /// An upstream call.
    Pass(Pass),
    /// The answer that was paid for before, and its receipt.
    Stored(Box<StoredResponse>, Box<SettleResponse>),
}

impl ResourceServer {
    /// Decides on a request: a pass for one upstream call, an answer from before, or why not.
    ///
    /// If the future is dropped, a payment that was being checked is free again, and one that was being settled goes
    /// on to its end.
    ///
    /// # Errors
    /// [`Denial`]; the upstream must then not be called.
    pub async fn admit(self: &Arc<Self>, market: &Arc<Market>, call: Call<'_>) -> Result<Admitted, Denial> {
        let pays = call.payment.is_some() && call.route.access.offer().is_some();
        let by_plan = call.route.access.metering().is_some() && !call.credentials.is_empty();
        if !pays && !by_plan {
            self.may_call(market, call.credentials.key, call.client)?;
        }
        let admitted = for_address(market, call.client, call.payment.is_some(), self.decide(market, call)).await;
        // What was shown turned out to be nothing.
        if !pays && by_plan && matches!(admitted, Err(Denial::Shortfall(_) | Denial::Unauthorized(..))) {
            self.may_call(market, call.credentials.key, call.client)?;
        }
        admitted
    }

    async fn decide(self: &Arc<Self>, market: &Arc<Market>, call: Call<'_>) -> Result<Admitted, Denial> {
        // A payment decides over a key: who sends one means to pay.
        match (&call.route.access, call.payment) {
            (Access::Free, _) => Ok(Admitted::Pass(Pass::Free)),
            (Access::PerCall(_) | Access::Either(..), Some(payment)) => {
                // Apart, so that calls which do not pay carry no room for it.
                Box::pin(self.pay(market, payment, call)).await
            }
            (Access::PlanOnly(metering) | Access::Either(_, metering), _) if !call.credentials.is_empty() => {
                let reserved = self.spend(market, call.credentials, call.route, metering).await;
                reserved.map(|reserved| Admitted::Pass(Pass::Plan(reserved)))
            }
            _ => {
                let free = free_call(market, call).ok_or(Denial::Shortfall(Shortfall::MissingCredentials))?;
                crash_point!("trial.taken");
                Ok(Admitted::Pass(Pass::Trial(free)))
            }
        }
    }

    /// The payment is read where money moves: its signature takes longer to check than all else that is done for a call on
    /// the thread that serves it, and others wait there.
    async fn pay(self: &Arc<Self>, market: &Arc<Market>, payment: &[u8], call: Call<'_>) -> Result<Admitted, Denial> {
        let (server, market, route) = (Arc::clone(self), Arc::clone(market), Arc::clone(call.route));
        let payment = payment.to_owned();
        let (upfront, safe) = (route.settle == SettleTiming::Before, call.method.is_safe());
        let goods = Goods::Call { request: RequestHash::of(call.method, call.target), upfront };
        let proof = call.credentials.sign_in.cloned();
        let wanted = Wanted { goods, upfront, safe, proof };
        self.undropped(async move {
            let offer = route.access.offer().ok_or(Denial::Shortfall(Shortfall::MissingCredentials))?;
            let presented = server.read(&payment, offer, &market)?;
            server.charge(&market, presented, wanted).await
        })
        .await
    }

    /// Reads a payment for an offer.
    pub(super) fn read(&self, payment: &[u8], offer: &Offer, market: &Market) -> Result<Presented, Denial> {
        Presented::read(payment, offer, &self.quotes, market.quote_ttl, self.now())
            .map_err(|refused| Denial::Shortfall(Shortfall::Payment(refused)))
    }
}
