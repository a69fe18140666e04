use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;

use crate::money::{Address, AtomicAmount, Network};
use crate::payment::{Goods, PaymentId, State};
use crate::plans::{Key, KeyHash, OnRepurchase, Subscription};
use crate::pricing::OfferKey;
use crate::x402::Scheme;
use crate::x402::facilitator::{FacilitatorRequest, SettleResponse};

/// What the ledger has of a payment. Its `Debug` form shows nothing that a repeat could be made with.
#[derive(Clone)]
pub struct Record {
    /// Which payment.
    pub id: PaymentId,
    /// How far it came.
    pub state: State,
    /// What it was for.
    pub offer: OfferKey,
    /// The same, as far as it takes to hand it over. None in books of an earlier version.
    pub goods: Option<Goods>,
    /// The quote of its first presentation.
    pub quote: Option<String>,
    /// The payment-identifier of its first presentation.
    pub identifier: Option<String>,
    /// What the facilitator was asked.
    pub request: FacilitatorRequest,
    /// Which one, by its name in the configuration; nobody else may be asked about this payment. None in books of an
    /// earlier version.
    pub facilitator: Option<Arc<str>>,
    /// The network's name in that request.
    pub network: String,
    /// The network.
    pub chain: Network,
    /// In what it is paid.
    pub asset: Address,
    /// How much.
    pub amount: AtomicAmount,
    /// To whom.
    pub pay_to: Address,
    /// Who pays.
    pub payer: Option<String>,
    /// It cannot have been used before this moment.
    pub since: SystemTime,
    /// When its authorization ends, in seconds of Unix time. `u64::MAX` where only the chain knows.
    pub valid_before: u64,
    /// The transaction that a facilitator named without saying that it is settled.
    pub transaction_hint: Option<String>,
    /// How often its outcome was asked for in vain.
    pub attempts: u32,
    /// How often the upstream was asked for the call and the buyer has no answer: noted before one that is settled first,
    /// and after one that may be made again and broke off on its way.
    pub asked: u32,
    /// Why it is voided or unknown.
    pub reason: Option<String>,
    /// The receipt, if it is settled.
    pub receipt: Option<SettleResponse>,
    /// When it was first written.
    pub created_at: SystemTime,
}

impl Record {
    /// Whether the gateway can read such payments, and so tell two of them apart by what was signed.
    pub fn is_read(&self) -> bool {
        #[derive(serde::Deserialize)]
        struct Requirements {
            scheme: String,
        }
        let requirements = serde_json::from_str(self.request.payment_requirements.get());
        let scheme = requirements.ok().and_then(|Requirements { scheme }| Scheme::parse(&scheme).ok());
        scheme.is_some_and(|scheme| scheme.is_read_on(self.chain.family()))
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &mut f.debug_struct("Record");
        shown.field("id", &self.id).field("state", &self.state).field("offer", &self.offer).field("payer", &self.payer);
        shown.field("attempts", &self.attempts).field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// Why nobody knows what became of a payment, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What was seen.
    pub reason: String,
    /// The transaction that was named.
    pub transaction: Option<String>,
    /// When to ask again. None if only the operator can end it.
    pub ask_at: Option<SystemTime>,
}

/// An answer that was paid for, as the client got it or would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, in order, but for those of the connection.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its whole body.
    pub body: bytes::Bytes,
    /// Until when it is kept.
    pub expires_at: SystemTime,
}

/// What a purchase, or the operator, brings into the world.
///
/// Its holder is whoever has the name, or else the payer's address, already; else the one that its subscription names,
/// who is made if not there.
/// The subscription becomes that holder's current one.
#[derive(Debug, Clone)]
pub struct Sale {
    /// The plan that was bought. How it ends, and how much it has, is decided by the books if it extends another.
    pub subscription: Subscription,
    /// The key that opens it.
    pub key: NewKey,
    /// The CAIP-2 network that was paid on.
    pub network: Option<Arc<str>>,
    /// What the operator calls the holder.
    pub name: Option<Arc<str>>,
    /// What becomes of an earlier subscription.
    pub on_repurchase: OnRepurchase,
}

/// A key that is to be, with what is stored in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What the books have of it.
    pub key: Key,
    /// What it is found by.
    pub hash: KeyHash,
}

/// How much of the past is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The most bytes of stored responses; the oldest go first.
    pub responses_bytes_max: u64,
    /// How long payments are kept that are over. None for ever.
    pub payments: Option<std::time::Duration>,
    /// How long it is kept what was called with which key. None for ever.
    pub usage: Option<std::time::Duration>,
}

/// Something that the store did besides what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Stored responses that are gone.
    pub responses: u64,
    /// Payments that are gone.
    pub payments: u64,
}
