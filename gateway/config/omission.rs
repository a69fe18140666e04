//! Networks that nothing is offered on, though they have a receiver, and why.

use std::fmt;
use std::sync::Arc;

use super::{Config, Receiver};
use crate::money::Network;
use crate::pricing::Kinds;
use crate::x402::Scheme;

/// A network that nothing is offered on, though it has a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// Which network.
    pub network: Network,
    /// Its name in the file.
    pub name: Arc<str>,
    /// Why.
    pub reason: OmissionReason,
}

/// Why nothing is offered on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OmissionReason {
    /// The facilitator does not settle payments of this scheme there.
    NotSettled(Scheme),
    /// Payers need this in `extra`, and the facilitator has not given it.
    Missing(&'static str),
    /// The gateway cannot know what payers need before the facilitator has said it.
    NotAsked(Scheme),
    /// The facilitator wants a payment flow that the gateway does not have: one that settles twice, for example.
    Flow(String),
}

impl Config {
    /// The networks that nothing is offered on, in the order of the file.
    pub fn omissions(&self, kinds: &Kinds) -> Vec<Omission> {
        let omission = |receiver: &Receiver| {
            let (network, name) = (receiver.network.clone(), Arc::clone(&receiver.name));
            Some(Omission { network, name, reason: omitted(receiver, kinds)? })
        };
        self.receivers.iter().filter_map(omission).collect()
    }
}

pub(super) fn omitted(receiver: &Receiver, kinds: &Kinds) -> Option<OmissionReason> {
    let (scheme, family) = (&receiver.scheme, receiver.network.family());
    let given = kinds.extra(scheme, &receiver.network);
    let says = |name: &str| receiver.extra.get(name).or_else(|| given?.get(name));
    let is_missing = |name: &&str| match *name {
        FEE_PAYER => kinds.fee_payer(&receiver.network).is_none(),
        name => says(name).is_none(),
    };
    let missing = scheme.needs_of_facilitator(family).filter(is_missing);
    match (given, missing) {
        (None, _) if !kinds.may_settle(&receiver.network) => Some(OmissionReason::NotSettled(scheme.clone())),
        (_, Some(name)) => Some(OmissionReason::Missing(name)),
        (None, None) if !scheme.is_read_on(family) => Some(OmissionReason::NotAsked(scheme.clone())),
        _ if !receiver.passes_on_extra() => None,
        _ => {
            let flow = says(FLOW)?;
            let is_ours = flow.as_str().is_some_and(|flow| FLOWS.contains(&flow));
            (!is_ours).then(|| OmissionReason::Flow(flow.to_string()))
        }
    }
}

/// The member of `extra` that says who pays Solana's fees.
pub(super) const FEE_PAYER: &str = "feePayer";
/// The member of `extra` that says when the money moves.
pub(super) const FLOW: &str = "paymentFlow";
/// What the gateway can do: settle after the work, or before it.
pub(super) const FLOWS: [&str; 2] = ["authorization", "upfront"];

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is offered on {}: the facilitator ", self.name)?;
        match &self.reason {
            OmissionReason::NotSettled(scheme) => write!(f, "settles no \"{scheme}\" payments there"),
            OmissionReason::Missing("feePayer") => f.write_str("has named no fee payer for it"),
            OmissionReason::Missing(name) => write!(f, "has given no {name} for it"),
            OmissionReason::NotAsked(scheme) => write!(f, "has not said yet what \"{scheme}\" payments there need"),
            OmissionReason::Flow(flow) => write!(f, "wants the payment flow {flow} there, which is not spoken here"),
        }
    }
}
