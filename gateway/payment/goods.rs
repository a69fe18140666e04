use std::fmt;
use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::plans::{OnRepurchase, Plan};

/// What a payment is for, as it is remembered until the buyer has it: enough to hand it over without the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goods {
    /// The answer to one request.
    Call {
        /// Which request.
        request: RequestHash,
        /// Whether the upstream is asked only when the money has moved.
        upfront: bool,
    },
    /// A plan as it was offered.
    Plan {
        /// What the buyer gets.
        plan: Plan,
        /// What the key begins with.
        key_prefix: Arc<str>,
        /// What becomes of the buyer's earlier subscription.
        #[serde(default)]
        on_repurchase: OnRepurchase,
    },
}

/// Which request a payment was sent with: sha256 of method and canonical target. The target itself may hold what is
/// nobody else's business, so it is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestHash([u8; 32]);

impl RequestHash {
    /// The hash of a request.
    pub fn of(method: &Method, target: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(method.as_str());
        hash.update(b" ");
        hash.update(target);
        Self(hash.finalize().into())
    }
}

impl Goods {
    /// The request that was paid for, if it is a call.
    pub fn request(&self) -> Option<RequestHash> {
        match self {
            Self::Call { request, .. } => Some(*request),
            Self::Plan { .. } => None,
        }
    }
}

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestHash({})", alloy_primitives::hex::encode(self.0))
    }
}
