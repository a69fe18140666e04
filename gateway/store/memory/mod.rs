//! The store as it is meant: what the database is compared with. Nothing survives but within the test.

mod keys;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use self::keys::Bought;
use super::{Claim, ClaimOutcome, Claims, Doubt, Ledger, Record, Retention, Sale, StoreError, StoredResponse, Swept};
use crate::clock::{Clock, from_unix_millis, unix_millis, unix_seconds};
use crate::payment::{PaymentId, Settling, State};
use crate::plans::{Holder, HolderId, Key, SubscriptionId};
use crate::x402::facilitator::SettleResponse;

/// Payments, subscriptions and keys in memory.
pub(crate) struct MemoryStore {
    clock: Arc<dyn Clock>,
    retention: Retention,
    claims: Claims,
    books: Mutex<Books>,
}

/// Everything at once: a failed write leaves the copy from before it.
#[derive(Clone, Default)]
struct Books {
    payments: BTreeMap<PaymentId, Payment>,
    holders: BTreeMap<HolderId, Holder>,
    subscriptions: BTreeMap<SubscriptionId, Bought>,
    keys: BTreeMap<[u8; 32], Key>,
    changes: Vec<HolderId>,
    /// In the order in which they came.
    responses: Vec<(PaymentId, StoredResponse)>,
}

#[derive(Clone)]
struct Payment {
    record: Record,
    ask_at: Option<SystemTime>,
    updated_at: SystemTime,
}

impl MemoryStore {
    pub(crate) fn new(retention: Retention, clock: Arc<dyn Clock>) -> Self {
        Self { clock, retention, claims: Claims::default(), books: Mutex::default() }
    }

    /// As after the end of the process and a new start.
    pub(crate) fn restart(&mut self) {
        self.claims = Claims::default();
        let mut books = self.books();
        for payment in books.payments.values_mut().filter(|payment| payment.record.state == State::Settling) {
            payment.record.state = State::Unknown;
            payment.record.reason = Some("the gateway ended while it was settled".to_owned());
            payment.ask_at = Some(SystemTime::UNIX_EPOCH);
        }
        books.free_leases();
    }

    /// Whether no plan has more used and set aside than it has.
    pub(crate) fn is_within_plans(&self) -> bool {
        self.books().subscriptions.values().all(Bought::is_within)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        from_unix_millis(unix_millis(self.clock.now()))
    }

    /// Changes the books, or leaves them as they were.
    fn write<T>(&self, change: impl FnOnce(&mut Books) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut books = self.books();
        let before = books.clone();
        change(&mut books).inspect_err(|_| *books = before)
    }

    /// Changes a payment that is in one of these states.
    fn move_from(
        &self,
        id: &PaymentId,
        from: &[State],
        change: impl FnOnce(&mut Payment),
        then: impl FnOnce(&mut Books) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        self.write(|books| {
            let payment = books.payments.get_mut(id).filter(|payment| from.contains(&payment.record.state));
            let payment = payment.ok_or_else(|| StoreError::Moved(id.clone()))?;
            payment.updated_at = now;
            change(payment);
            then(books)
        })
    }
}

const OPEN: [State; 2] = [State::Settling, State::Unknown];

#[async_trait]
impl Ledger for MemoryStore {
    async fn claim(&self, id: &PaymentId) -> Result<ClaimOutcome, StoreError> {
        Ok(match self.claims.take(id) {
            Err(busy) => ClaimOutcome::InFlight(busy),
            Ok(claim) => match self.record(id).await? {
                Some(record) => ClaimOutcome::Recorded(claim, Box::new(record)),
                None => ClaimOutcome::New(claim),
            },
        })
    }

    async fn record(&self, id: &PaymentId) -> Result<Option<Record>, StoreError> {
        Ok(self.books().payments.get(id).map(|payment| payment.record.clone()))
    }

    async fn settling(&self, payment: &Settling<Claim>) -> Result<(), StoreError> {
        let (now, mut record) = (self.now(), settling_record(payment));
        self.write(|books| {
            record.created_at = now;
            if let Some(earlier) = books.payments.get(&record.id) {
                if earlier.record.state != State::Voided {
                    return Err(StoreError::Moved(record.id));
                }
                record.created_at = earlier.record.created_at;
            }
            books.check_identifier(&record)?;
            books.payments.insert(record.id.clone(), Payment { record, ask_at: None, updated_at: now });
            Ok(())
        })
    }

    async fn settled(&self, id: &PaymentId, receipt: &SettleResponse, sale: Option<&Sale>) -> Result<(), StoreError> {
        let settle = |payment: &mut Payment| {
            payment.record.state = State::Settled;
            payment.record.receipt = Some(receipt.clone());
            (payment.record.reason, payment.ask_at) = (None, None);
        };
        let now = self.now();
        self.move_from(id, &OPEN, settle, |books| {
            books.check_transaction(id, receipt)?;
            sale.map_or(Ok(()), |sale| books.sell(sale, now))
        })
    }

    async fn voided(&self, id: &PaymentId, reason: &str) -> Result<(), StoreError> {
        let void = |payment: &mut Payment| {
            payment.record.state = State::Voided;
            (payment.record.reason, payment.ask_at) = (Some(reason.to_owned()), None);
        };
        self.move_from(id, &OPEN, void, |_| Ok(()))
    }

    async fn unknown(&self, id: &PaymentId, doubt: &Doubt) -> Result<(), StoreError> {
        let note = |payment: &mut Payment| {
            payment.record.state = State::Unknown;
            payment.record.attempts += 1;
            payment.record.transaction_hint = doubt.transaction.clone().or(payment.record.transaction_hint.take());
            (payment.record.reason, payment.ask_at) = (Some(doubt.reason.clone()), doubt.ask_at);
        };
        let unless_taken = |books: &mut Books| {
            let record = books.payments.get(id).map(|payment| payment.record.clone());
            record.map_or(Ok(()), |record| books.check_identifier(&record))
        };
        self.move_from(id, &[State::Settling, State::Unknown, State::Voided], note, unless_taken)
    }

    async fn asking(&self, id: &PaymentId) -> Result<u32, StoreError> {
        Ok(self.books().payments.get_mut(id).map_or(0, |payment| {
            payment.record.asked += 1;
            payment.record.asked
        }))
    }

    async fn delivered(&self, id: &PaymentId, response: Option<StoredResponse>) -> Result<(), StoreError> {
        let deliver = |payment: &mut Payment| payment.record.state = State::Delivered;
        let room = self.retention.responses_bytes_max;
        let keep = |books: &mut Books| {
            response.into_iter().for_each(|response| books.keep(id, response, room));
            Ok(())
        };
        // What is delivered already, or cannot be, stays as it is.
        self.move_from(id, &[State::Settled], deliver, keep).or_else(|error| match error {
            StoreError::Moved(_) => Ok(()),
            error => Err(error),
        })
    }

    async fn keep(&self, id: &PaymentId, response: StoredResponse) -> Result<(), StoreError> {
        let room = self.retention.responses_bytes_max;
        self.write(|books| {
            books.keep(id, response, room);
            Ok(())
        })
    }

    async fn response(&self, id: &PaymentId, now: SystemTime) -> Result<Option<StoredResponse>, StoreError> {
        let books = self.books();
        let kept = books.responses.iter().find(|(payment, response)| payment == id && response.expires_at > now);
        Ok(kept.map(|(_, response)| response.clone()))
    }

    async fn due(&self, now: SystemTime, limit: u32) -> Result<Vec<PaymentId>, StoreError> {
        let books = self.books();
        let due_at = |payment: &Payment| match payment.record.state {
            State::Unknown => payment.ask_at.filter(|at| *at <= now),
            State::Settling => Some(payment.updated_at).filter(|at| *at + Duration::from_secs(180) <= now),
            _ => None,
        };
        let payments = books.payments.values();
        let mut due: Vec<_> =
            payments.filter_map(|payment| Some((due_at(payment)?, payment.record.id.clone()))).collect();
        due.sort();
        Ok(due.into_iter().map(|(_, id)| id).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn sweep(&self) -> Result<Swept, StoreError> {
        let now = self.now();
        let before = self.retention.payments.map(|keep| now.checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH));
        self.write(|books| {
            let (responses, payments) = (books.responses.len(), books.payments.len());
            books.responses.retain(|(_, response)| response.expires_at > now);
            let swept = responses - books.responses.len();
            books.payments.retain(|_, payment| before.is_none_or(|before| !payment.is_over(before, now)));
            let Books { payments: left, responses: kept, .. } = books;
            kept.retain(|(id, _)| left.contains_key(id));
            let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
            Ok(Swept { responses: count(swept), payments: count(payments - left.len()) })
        })
    }

    async fn open_payments(&self) -> Result<u64, StoreError> {
        let open = self.books().payments.values().filter(|payment| OPEN.contains(&payment.record.state)).count();
        Ok(u64::try_from(open).unwrap_or(u64::MAX))
    }
}

impl Books {
    /// One payment for each identifier of a payer and offer; a voided one does not count.
    fn check_identifier(&self, record: &Record) -> Result<(), StoreError> {
        let same = |other: &Record| {
            other.id != record.id
                && other.state != State::Voided
                && (&other.identifier, &other.offer, &other.payer) == (&record.identifier, &record.offer, &record.payer)
        };
        let taken = record.identifier.is_some() && self.payments.values().any(|other| same(&other.record));
        if taken { Err(StoreError::IdentifierTaken(record.id.clone())) } else { Ok(()) }
    }

    /// One payment for each transaction, of those that cannot be told apart otherwise.
    fn check_transaction(&self, id: &PaymentId, receipt: &SettleResponse) -> Result<(), StoreError> {
        let Some(payment) = self.payments.get(id).map(|payment| &payment.record) else { return Ok(()) };
        let same = |other: &Record| {
            let theirs = other.receipt.as_ref().map(|receipt| &receipt.transaction);
            other.id != *id && other.chain == payment.chain && !other.is_read() && theirs == Some(&receipt.transaction)
        };
        let taken = !receipt.transaction.is_empty()
            && !payment.is_read()
            && self.payments.values().any(|other| same(&other.record));
        if taken { Err(StoreError::TransactionTaken(id.clone())) } else { Ok(()) }
    }

    /// Keeps a response; the oldest make room for it, sixteen at a time.
    fn keep(&mut self, id: &PaymentId, response: StoredResponse, room: u64) {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if size(&response) > room {
            return;
        }
        self.responses.retain(|(payment, _)| payment != id);
        while self.responses.iter().map(|(_, kept)| size(kept)).sum::<usize>() + size(&response) > room {
            self.responses.sort_by_key(|(_, kept)| kept.expires_at);
            self.responses.drain(..self.responses.len().min(16));
        }
        self.responses.push((id.clone(), response));
    }
}

impl Payment {
    /// Whether it need not be kept: nothing can come of it any more.
    fn is_over(&self, before: SystemTime, now: SystemTime) -> bool {
        let over = matches!(self.record.state, State::Delivered | State::Voided) && self.updated_at <= before;
        over && (self.record.valid_before == u64::MAX || self.record.valid_before <= unix_seconds(now))
    }
}

fn size(response: &StoredResponse) -> usize {
    let headers = serde_json::to_string(&response.headers).map_or(0, |text| text.len());
    headers + response.body.len()
}

/// What the ledger has of a payment when it is first written, but for the time.
fn settling_record(payment: &Settling<Claim>) -> Record {
    let presented = payment.presented();
    let terms = &presented.terms;
    Record {
        id: presented.id.clone(),
        state: State::Settling,
        offer: presented.offer.clone(),
        goods: Some(payment.goods().clone()),
        quote: presented.quote.as_ref().map(|quote| quote.token.clone()),
        identifier: presented.identifier.clone(),
        request: presented.request.clone(),
        facilitator: Some(Arc::clone(payment.facilitator())),
        network: presented.network_name().to_owned(),
        chain: terms.network.clone(),
        asset: terms.asset.address.clone(),
        amount: terms.amount,
        pay_to: terms.pay_to.clone(),
        payer: payment.payer().map(str::to_owned),
        since: SystemTime::UNIX_EPOCH + Duration::from_secs(presented.since()),
        valid_before: presented.window.valid_before,
        transaction_hint: None,
        attempts: 0,
        asked: 0,
        reason: None,
        receipt: None,
        created_at: SystemTime::UNIX_EPOCH,
    }
}
