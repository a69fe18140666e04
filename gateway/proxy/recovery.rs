//! What a wallet that signs in gets back: the plan that it bought, and the key to it.

use std::sync::Arc;

use super::answer::Answer;
use super::error::Wanted;
use super::wording::Wording;
use crate::payment::siwx::SignIn;
use crate::pricing::PlanOffer;
use crate::resource_server::{Market, ResourceServer};

impl Wording<'_> {
    /// The answer to a purchase of what the wallet holds already, without a charge. None if it is for sale to it: it
    /// holds nothing or another plan, or its plan is used up.
    pub(super) async fn bought_before(
        &self,
        sign_in: &SignIn,
        plan: &PlanOffer,
        server: &ResourceServer,
        market: &Arc<Market>,
    ) -> Option<Answer> {
        match server.holding(market, sign_in).await {
            Ok(held) => {
                let held = held.filter(|held| held.subscription.plan.name == plan.plan.name && !held.is_used_up())?;
                Some(self.bought(&held.subscription, held.receipt.as_ref(), held.key.as_ref()))
            }
            Err(denial) => {
                let resource = format!("{}?plan={}", market.prices.endpoint_url("purchase"), plan.plan.name);
                Some(self.denial(&denial, Wanted { offer: Some(&plan.offer), resource: &resource, plans: false }))
            }
        }
    }
}
