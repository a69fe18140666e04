//! A store in a folder of its own, and payments to put into it.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::task::Poll;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::payment::testing::{NOW, Wallet, elsewhere, mint, offer, quoted, read, usdc, v2};
use crate::payment::{Claimed, Goods, Presented, RequestHash, State};
use crate::plans::{OnRepurchase, Origin, Plan};
use crate::pricing::OfferKey;
use crate::store::Record;

/// A clock that counts how often it is asked, and can keep whoever asks waiting. The writer asks once for each
/// transaction, before it begins it.
pub(super) struct Asked(pub(super) ManualClock, Gate);

#[derive(Default)]
struct Gate {
    times: AtomicUsize,
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        self.times.fetch_add(1, Ordering::Relaxed);
        drop(self.opened.wait_while(self.closed.lock().unwrap(), |closed| *closed).unwrap());
    }

    fn close(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.opened.notify_all();
    }
}

impl Clock for Asked {
    fn now(&self) -> SystemTime {
        self.1.pass();
        self.0.now()
    }
}

/// A store in a folder of its own.
pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) clock: Arc<Asked>,
    store: Option<Arc<SqliteStore>>,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(Asked(ManualClock::at(NOW), Gate::default()));
        let mut fixture = Self { folder: TempDir::new().unwrap(), clock, store: None };
        fixture.reopen().await;
        fixture
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    pub(super) async fn open(&self) -> Result<SqliteStore, StoreError> {
        let clock = Arc::clone(&self.clock);
        SqliteStore::open(&self.path(), retention(), clock).await
    }

    /// As after the end of the process and a new start.
    pub(super) async fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Arc::new(self.open().await.unwrap()));
    }

    /// The same with another word on what is kept.
    pub(super) async fn reopen_keeping(&mut self, retention: Retention) {
        self.store = None;
        let clock = Arc::clone(&self.clock);
        self.store = Some(Arc::new(SqliteStore::open(&self.path(), retention, clock).await.unwrap()));
    }

    /// The same with a writer that connects so.
    pub(super) async fn reopen_with(&mut self, opening: Opening) {
        self.store = None;
        let store = SqliteStore::start(opening, retention(), Arc::<Asked>::clone(&self.clock), None).await;
        self.store = Some(Arc::new(store.unwrap()));
    }

    pub(super) fn store(&self) -> &Arc<SqliteStore> {
        self.store.as_ref().unwrap()
    }

    pub(super) fn transactions(&self) -> usize {
        self.clock.1.times.load(Ordering::Relaxed)
    }

    /// Has the writer take these writes as one transaction: while they arrive, it is kept at a write that changes nothing,
    /// which is a transaction too.
    pub(super) async fn together<T>(&self, writes: impl Future<Output = T>) -> T {
        let (store, before) = (Arc::clone(self.store()), self.transactions());
        self.clock.1.close(true);
        let first = tokio::spawn(async move { store.asking(&PaymentId::stored("nobody's")).await });
        while self.transactions() == before {
            tokio::task::yield_now().await;
        }
        let mut writes = std::pin::pin!(writes);
        let sent = poll_fn(|context| Poll::Ready(writes.as_mut().poll(context).is_pending()));
        assert!(sent.await, "they wait for the writer");
        self.clock.1.close(false);
        assert_eq!(first.await.unwrap(), Ok(0));
        writes.await
    }

    pub(super) async fn claim(&self, presented: &Presented) -> (Claim, Option<Record>) {
        match self.store().claim(&presented.id).await.unwrap() {
            ClaimOutcome::New(claim) => (claim, None),
            ClaimOutcome::Recorded(claim, record) => (claim, Some(*record)),
            ClaimOutcome::InFlight(_) => panic!("{} is taken", presented.id),
        }
    }

    pub(super) async fn record(&self, presented: &Presented) -> Option<Record> {
        self.claim(presented).await.1
    }

    pub(super) async fn state(&self, presented: &Presented) -> Option<State> {
        self.record(presented).await.map(|record| record.state)
    }

    /// A payment on its way to the facilitator.
    pub(super) async fn on_its_way(&self, presented: &Presented) -> Settling<Claim> {
        let (claim, _) = self.claim(presented).await;
        Claimed::new(presented.clone(), call(), claim).unwrap().unverified().settling("f".into())
    }

    pub(super) async fn settling(&self, presented: &Presented) -> Result<(), StoreError> {
        self.store().settling(&self.on_its_way(presented).await).await
    }

    /// Makes one move by its name.
    pub(super) async fn apply(&self, step: &str, presented: &Presented) -> Result<(), StoreError> {
        let id = &presented.id;
        match step {
            "settling" => self.settling(presented).await,
            "settled" => self.store().settled(id, &receipt(), None).await,
            "voided" => self.store().voided(id, "no").await,
            "unknown" => self.store().unknown(id, &doubt(NOW)).await,
            "delivered" => self.store().delivered(id, None).await,
            other => panic!("no step {other}"),
        }
    }

    /// Sells a plan of so many units for a payment, and gives the subscription's id.
    pub(super) async fn sell(&self, nonce: u8, units: u64) -> SubscriptionId {
        let presented = payment(nonce);
        let sale = sale(&presented, units, nonce);
        self.settling(&presented).await.unwrap();
        self.store().settled(&presented.id, &receipt(), Some(&sale)).await.unwrap();
        sale.subscription.id
    }

    pub(super) async fn lease(&self, id: &SubscriptionId, want: u64) -> u64 {
        self.store().lease(id, units(want)).await.unwrap().thousandths() / 1000
    }

    pub(super) async fn used(&self, id: &SubscriptionId) -> u64 {
        self.store().subscription(id).await.unwrap().unwrap().used.thousandths() / 1000
    }
}

/// Room for a few answers, and a day for payments.
pub(super) fn retention() -> Retention {
    Retention { responses_bytes_max: 10_000, payments: Some(Duration::from_secs(24 * 3600)), usage: None }
}

pub(super) fn call() -> Goods {
    Goods::Call { request: RequestHash::of(&http::Method::GET, "/weather"), upfront: false }
}

/// A doubt, with the second at which to ask again.
pub(super) fn doubt(ask_at: u64) -> Doubt {
    let ask_at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(ask_at));
    Doubt { reason: "timeout".to_owned(), transaction: None, ask_at }
}

pub(super) fn units(whole: u64) -> Units {
    Units::from_thousandths(whole * 1000)
}

/// A good payment with a quote; each nonce is another one.
pub(super) fn payment(nonce: u8) -> Presented {
    let offer = offer(OfferKey::plan("nano"), [usdc(10_000)]);
    let quote = mint().quote(&offer.key, &offer.terms[0].digest, NOW, [nonce; 8]);
    read(&quoted(&offer.terms[0], Wallet::new(1).eip3009(&offer.terms[0], nonce), &quote), &offer).unwrap()
}

/// A payment by a scheme that nobody here can read, in one of its texts.
pub(super) fn unread(text: u8) -> Presented {
    let offer = offer(OfferKey::plan("nano"), [elsewhere()]);
    read(&v2(&offer.terms[0], serde_json::json!({"text": text})), &offer).unwrap()
}

pub(super) fn receipt() -> SettleResponse {
    SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        transaction: "0xabc".to_owned(),
        network: "eip155:8453".to_owned(),
        payer: Some("0x01".to_owned()),
    }
}

pub(super) fn sale(presented: &Presented, whole_units: u64, key: u8) -> Sale {
    let plan = Plan {
        name: "nano".into(),
        units: Some(units(whole_units)),
        duration: Duration::from_secs(3600),
        rate: None,
        burst: None,
    };
    let subscription = Subscription {
        id: SubscriptionId::of_payment(presented.id.as_str()),
        holder: HolderId::of_payment(presented.id.as_str()),
        chain: "evm".into(),
        payer: format!("0x{key:02}").into(),
        plan: plan.into(),
        expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 3600),
        key_prefix: "tg_live_".into(),
        units: Some(units(whole_units)),
        used: Units::ZERO,
    };
    let key = NewKey { key: key_of(&presented.id), hash: KeyHash([key; 32]) };
    Sale { subscription, key, network: Some("eip155:8453".into()), name: None, on_repurchase: OnRepurchase::Replace }
}

/// The key that a payment bought.
pub(super) fn key_of(payment: &PaymentId) -> Key {
    Key {
        id: KeyId::of_payment(payment.as_str()),
        holder: HolderId::of_payment(payment.as_str()),
        origin: Origin::Sold,
        prefix: Some("tg_live_".into()),
        hint: "tg_live_0000".into(),
        created_at: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
        revoked_at: None,
    }
}

pub(super) fn usage(id: &SubscriptionId, spent: u64, returned: u64) -> Usage {
    let (holder, calls) = (HolderId::new("hol_1"), Vec::new());
    Usage { holder, subscription: id.clone(), spent: units(spent), returned: units(returned), calls }
}
