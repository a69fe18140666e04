//! What became of a payment whose settlement has an unknown outcome: the facilitator is asked again with the identical
//! body, which cannot move the money twice, and then the chain, if it can be asked.
//!
//! | seen | ending |
//! |---|---|
//! | the facilitator says settled, names no other payer, and its word is good on this network | settled |
//! | the chain has the transfer to the receiver, in that amount, by this authorization | settled |
//! | the chain has the authorization used or cancelled otherwise, or past and unused | voided |
//! | the facilitator says used, no chain to ask | unknown, or on EVM networks settled with `unproven_settlement = "accept"` |
//! | anything else, a clear no included: the first request may have landed and changed what the second one met | unknown |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, timeout_at};

use super::charge::contradicts;
use super::desk::Work;
use super::purchase::buyer;
use super::{Denial, Market, ResourceServer};
use crate::chain::{Chain, ChainError, Sighting, Sought};
use crate::crash::crash_point;
use crate::facilitator::{SettleOutcome, Unclear};
use crate::money::{Address, Family, Network};
use crate::payment::{PaymentId, Presented, Unproven};
use crate::store::{Doubt, Record, StoreError};
use crate::x402::facilitator::SettleResponse;

/// The wait between the second and the third asking; doubled each time. Between the first and the second is none.
const PAUSE: Duration = Duration::from_millis(500);
/// The first wait of the reconciler; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Its longest wait while the authorization can still be settled.
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// The same when it cannot, and only the chain has the last word.
const LATE_AGAIN: Duration = Duration::from_secs(3600);
/// After the end of an authorization, what is still on its way has landed by then.
const SETTLED_BY: Duration = Duration::from_secs(60);
/// The life of a Solana transaction is a blockhash's, up to 90 s.
const SVM_LIFE: Duration = Duration::from_secs(180);
/// The longest look at the chain; it may take many calls.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// The same while a client waits and nothing of its is at stake yet.
const GLANCE_MAX: Duration = Duration::from_secs(10);
/// How far the clock of a chain may be behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// The chain has the authorization used up or cancelled, and not for us.
const SPENT_ELSEWHERE: &str = "authorization_spent_elsewhere";
/// The chain is past the authorization, and does not have it.
const EXPIRED_UNUSED: &str = "authorization_expired_unused";

/// Whether a payment is voided on somebody's word, where the chain has not proved it.
pub(super) fn is_voided_on_trust(record: &Record) -> bool {
    !matches!(record.reason.as_deref(), Some(SPENT_ELSEWHERE | EXPIRED_UNUSED))
}

/// How a payment ended, or that it did not.
#[derive(Debug)]
pub(super) enum Ending {
    /// The money has moved.
    Settled(SettleResponse),
    /// It has not, and cannot any more.
    Voided(&'static str),
    /// Nobody knows yet.
    Open(Unclear),
}

impl ResourceServer {
    /// Writes down that a settlement's outcome is unknown, and asks on until it is known or the time is up. The ledger
    /// has the outcome when this returns.
    pub(super) async fn resolve_now(
        &self,
        market: &Market,
        id: &PaymentId,
        unclear: Unclear,
    ) -> Result<Ending, Denial> {
        let ask_at = Some(self.clock.now() + AGAIN_AFTER);
        let doubt = Doubt { reason: unclear.why.clone(), transaction: unclear.transaction.clone(), ask_at };
        self.ledger.unknown(id, &doubt).await?;
        crash_point!("resolve.doubted");
        if market.risk.resolve_timeout.is_zero() {
            return Ok(Ending::Open(unclear));
        }
        let record = self.ledger.record(id).await?.ok_or(Denial::StoreFailed)?;
        self.resolve(market, &record, Some(market.risk.resolve_timeout)).await
    }

    /// Asks once, or on until the outcome is known or the patience is over. The caller has the payment's claim, and the
    /// ledger has the outcome when this returns.
    pub(super) async fn resolve(
        &self,
        market: &Market,
        record: &Record,
        patience: Option<Duration>,
    ) -> Result<Ending, Denial> {
        let mut ending = match patience.map(|patience| Instant::now() + patience) {
            None => self.ask(market, record).await,
            Some(until) => self.ask_until(market, record, until).await,
        };
        crash_point!("resolve.answered");
        match (self.write_ending(market, record, &ending).await, &ending) {
            (Err(StoreError::TransactionTaken(_)), Ending::Settled(receipt)) => {
                let doubt = taken(receipt);
                self.ledger.unknown(&record.id, &doubt).await?;
                ending = Ending::Open(Unclear::new(doubt.reason));
            }
            (written, _) => written?,
        }
        crash_point!("resolve.written");
        Ok(ending)
    }

    async fn ask_until(&self, market: &Market, record: &Record, until: Instant) -> Ending {
        let mut pause = PAUSE;
        loop {
            // Cut off half way, the outcome is as unknown as it was before.
            let ending = timeout_at(until, self.ask(market, record)).await;
            let ending = ending.unwrap_or_else(|_| Ending::Open(Unclear::new("no answer in time")));
            match &ending {
                // Asked again, the facilitator would say the same for ever.
                Ending::Open(unclear) if !unclear.used && Instant::now() + pause < until => sleep(pause).await,
                _ => return ending,
            }
            pause *= 2;
        }
    }

    async fn ask(&self, market: &Market, record: &Record) -> Ending {
        let unclear = match self.ask_facilitator(market, record).await {
            Ok(receipt) if market.risk.confirmed.contains(&record.chain) => unconfirmed(&receipt),
            Ok(mut receipt) => {
                receipt.payer = record.payer.clone().or(receipt.payer);
                return Ending::Settled(receipt);
            }
            Err(unclear) => unclear,
        };
        let hint = unclear.transaction.clone().or_else(|| record.transaction_hint.clone());
        let Some((chain, sought)) = market.chain_of(record, hint) else {
            return without_chain(market, record, unclear);
        };
        match look_up(chain, &sought, LOOK_MAX).await {
            Ok(Sighting::Paid { transaction, at }) if at + CLOCK_SKEW >= record.since => {
                Ending::Settled(receipt(record, transaction))
            }
            // It paid for something else: nothing may be served for it here, and it is not void either.
            Ok(Sighting::Paid { .. }) => Ending::Open(Unclear::new("it was paid before it was presented here")),
            Ok(Sighting::Spent { .. }) => Ending::Voided(SPENT_ELSEWHERE),
            Ok(Sighting::Expired) => Ending::Voided(EXPIRED_UNUSED),
            Ok(Sighting::Open) => Ending::Open(Unclear { used: false, ..unclear }),
            Err(error) => Ending::Open(Unclear { why: format!("{}; {error}", unclear.why), used: false, ..unclear }),
        }
    }

    async fn ask_facilitator(&self, market: &Market, record: &Record) -> Result<SettleResponse, Unclear> {
        let desk = market.facilitators.asked(record).ok_or_else(|| {
            let name = record.facilitator.as_deref().unwrap_or_default();
            Unclear::new(format!("the facilitator that was asked, {name:?}, is not in the configuration"))
        })?;
        let busy = |_| Unclear::new("the facilitator cannot be asked");
        let place = desk.place(Work::Waiting).await.map_err(busy)?;
        let payer = record.payer.as_deref().and_then(|payer| Address::parse(payer, &record.chain).ok());
        match place.settle(&record.request, &record.network).await {
            SettleOutcome::Settled(receipt)
                if contradicts(payer.as_ref(), receipt.payer.as_deref(), &record.chain, &record.request) =>
            {
                Err(of_another_payer(receipt))
            }
            SettleOutcome::Settled(receipt) => Ok(receipt),
            SettleOutcome::Refused(refusal) => {
                Err(Unclear { transaction: refusal.transaction, ..Unclear::new(refusal.reason) })
            }
            SettleOutcome::NotSent(why) => Err(Unclear::new(why)),
            SettleOutcome::Unknown(unclear) => Err(unclear),
        }
    }

    pub(super) async fn write_ending(
        &self,
        market: &Market,
        record: &Record,
        ending: &Ending,
    ) -> Result<(), StoreError> {
        let id = &record.id;
        match ending {
            Ending::Settled(receipt) => {
                let goods = record.goods.clone().or_else(|| market.goods_of(record));
                let buyer = || buyer(record.payer.as_deref(), receipt, &record.request);
                let sale = goods.and_then(|goods| self.sale(id, &goods, &record.chain, buyer));
                self.ledger.settled(id, receipt, sale.as_ref()).await
            }
            Ending::Voided(reason) => self.ledger.voided(id, reason).await,
            Ending::Open(unclear) => {
                let transaction = unclear.transaction.clone();
                let ask_at = ask_at(record, market.chain_of(record, None).is_some(), self.clock.now());
                self.ledger.unknown(id, &Doubt { reason: unclear.why.clone(), transaction, ask_at }).await
            }
        }
    }

    /// The receipt of a payment that a facilitator says it has settled, where the chain shows it or need not.
    pub(super) async fn confirmed(
        &self,
        market: &Market,
        presented: &Presented,
        facilitator: &str,
        receipt: SettleResponse,
    ) -> Result<SettleResponse, Unclear> {
        if !market.risk.confirmed.contains(&presented.terms.network) {
            return Ok(receipt);
        }
        match self.sighted(market, presented, Some(receipt.transaction.clone())).await {
            Ok(Some(seen)) => Ok(SettleResponse { transaction: seen.transaction, ..receipt }),
            Ok(None) => {
                market.facilitators.contradicted(facilitator);
                Err(unconfirmed(&receipt))
            }
            // That the chain cannot be asked is not the facilitator's fault.
            Err(_) => Err(unconfirmed(&receipt)),
        }
    }

    /// The receipt of a payment that is on the chain, though no settlement of ours put it there. Not of one that was
    /// there before its quote was given, or else before it was presented: anybody could present a payment that was made
    /// for something else.
    pub(super) async fn landed(&self, market: &Market, presented: &Presented) -> Option<SettleResponse> {
        self.sighted(market, presented, None).await.ok().flatten()
    }

    async fn sighted(
        &self,
        market: &Market,
        presented: &Presented,
        hint: Option<String>,
    ) -> Result<Option<SettleResponse>, ChainError> {
        let Some(chain) = market.chains.get(&presented.terms.network) else { return Ok(None) };
        let since = UNIX_EPOCH + Duration::from_secs(presented.since());
        let Some(sought) = Sought::of(&presented.request, &presented.terms.network, since, hint) else {
            return Ok(None);
        };
        let seen = look_up(&**chain, &sought, GLANCE_MAX).await;
        let seen = seen.inspect_err(|error| {
            tracing::warn!(%error, payment_id = %presented.id, "a payment could not be looked up");
        })?;
        Ok(match seen {
            Sighting::Paid { transaction, at } if at + CLOCK_SKEW >= since => Some(SettleResponse {
                success: true,
                error_reason: None,
                error_message: None,
                transaction,
                network: presented.network_name().to_owned(),
                payer: presented.payer.as_ref().map(ToString::to_string),
            }),
            _ => None,
        })
    }
}

impl Market {
    /// The chain of a payment, and what to look for there. None if it cannot be asked.
    fn chain_of(&self, record: &Record, hint: Option<String>) -> Option<(&dyn Chain, Sought)> {
        let chain = self.chains.get(&record.chain)?;
        Some((&**chain, Sought::of(&record.request, &record.chain, record.since, hint)?))
    }
}

/// What is noted of a payment whose transaction has settled another one. Both may be the same money in two texts: to
/// serve it would be for free, and to call it unpaid might be for nothing. Only the operator can find out.
pub(super) fn taken(receipt: &SettleResponse) -> Doubt {
    let reason = "its transaction has settled another payment".to_owned();
    tracing::error!(transaction = receipt.transaction, "two payments were settled by one transaction");
    Doubt { reason, transaction: Some(receipt.transaction.clone()), ask_at: None }
}

/// A receipt that belongs to somebody else's payment proves nothing about this one.
pub(super) fn of_another_payer(receipt: SettleResponse) -> Unclear {
    let why = format!("success for the payer {}", receipt.payer.unwrap_or_default());
    Unclear::new(why)
}

/// A word that the chain does not bear out, or not yet: its server may be behind the facilitator's.
fn unconfirmed(receipt: &SettleResponse) -> Unclear {
    let why = "the facilitator says settled, and the chain has not shown it".to_owned();
    Unclear { why, transaction: Some(receipt.transaction.clone()), used: false }
}

async fn look_up(chain: &dyn Chain, sought: &Sought, longest: Duration) -> Result<Sighting, ChainError> {
    let late = |_| Err(ChainError::late(longest));
    tokio::time::timeout(longest, chain.look_up(sought)).await.unwrap_or_else(late)
}

/// What the facilitator alone can prove.
fn without_chain(market: &Market, record: &Record, unclear: Unclear) -> Ending {
    match market.risk.unproven {
        // "Already used" proves something of a payment that can be told from all others, and on EVM networks only: on
        // Solana facilitators say so while a settlement is under way, and also of one that never lands or was for
        // another seller.
        Unproven::Accept if unclear.used && record.is_read() && matches!(record.chain.family(), Family::Evm(_)) => {
            let transaction = unclear.transaction.or_else(|| record.transaction_hint.clone());
            Ending::Settled(receipt(record, transaction.unwrap_or_default()))
        }
        _ => Ending::Open(unclear),
    }
}

fn receipt(record: &Record, transaction: String) -> SettleResponse {
    SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        transaction,
        network: record.network.clone(),
        payer: record.payer.clone(),
    }
}

/// When the reconciler asks again. Without a chain it stops when the authorization is past: the facilitator has no more
/// to say, and the operator decides.
fn ask_at(record: &Record, chain: bool, now: SystemTime) -> Option<SystemTime> {
    let past = match record.valid_before {
        u64::MAX => record.created_at + SVM_LIFE,
        seconds => UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX))) + SETTLED_BY,
    };
    let wait = AGAIN_AFTER.saturating_mul(1 << record.attempts.min(16));
    match (now < past, chain) {
        (true, _) => Some(now + wait.min(AGAIN_MAX)),
        (false, true) => Some(now + wait.min(LATE_AGAIN)),
        (false, false) => None,
    }
}

/// Networks whose chain can be asked.
pub type Chains = std::collections::HashMap<Network, std::sync::Arc<dyn Chain>>;
