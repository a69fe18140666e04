//! Random moves, made with the database and with the store in memory: both say the same and then have the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use http::StatusCode;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};
use tokio::runtime::Runtime;

use super::fixture::{Fixture, call, payment, receipt, retention, sale, units, unread, usage};
use super::*;
use crate::payment::{Claimed, Presented, State};
use crate::plans::{OnRepurchase, Origin};
use crate::store::memory::MemoryStore;

const PAYMENTS: usize = 4;
/// Everything is compared after so many moves, and at the end; each move's answer at once.
const LOOK_EVERY: usize = 4;

/// Two with an end that is soon over, and two that nobody here can read, whose end only the chain knows.
static PRESENTED: LazyLock<[Presented; PAYMENTS]> = LazyLock::new(|| [payment(1), payment(2), unread(3), unread(4)]);

/// Something that happens to the store. A number names a payment.
#[derive(Debug, Clone)]
enum Move {
    Claim(usize),
    Drop(usize),
    /// With a payment-identifier.
    Settling(usize, Option<u8>),
    /// With a sale, by the number of its key, of its payer, and whether it extends an earlier one.
    Settled(usize, Option<(u8, u8, bool)>),
    Voided(usize),
    /// With a transaction, and when to ask again, in seconds from now.
    Unknown(usize, bool, Option<u64>),
    /// With a response: its length, and how many seconds it is kept.
    Delivered(usize, Option<(usize, u64)>),
    Asking(usize),
    /// An answer whose payment is in doubt, by its length.
    Keep(usize, usize),
    /// Seconds go by.
    Wait(u64),
    Due(u32),
    Sweep,
    /// A plan of the operator's, by the number of its key, for a holder with one of two names.
    Grant(u8, u8),
    /// A key of a payment's holder, in place of that of another payment.
    Issue(usize, Option<usize>),
    Revoke(usize, usize),
    /// A key from elsewhere, by its number.
    Import(usize, u8),
    /// An address by its number, for a payment's holder.
    Link(usize, u8),
    Lease(usize, u64),
    Report(usize, u64, u64),
    /// Of two at once.
    ReportBoth(usize, u64, usize, u64),
    Restart,
}

fn a_move() -> impl Strategy<Value = Move> {
    let one = 0..PAYMENTS;
    let key = || prop_oneof![4 => 0u8..4, 1 => Just(9)];
    prop_oneof![
        2 => one.clone().prop_map(Move::Claim),
        2 => one.clone().prop_map(Move::Drop),
        6 => (one.clone(), proptest::option::weighted(0.3, 0u8..2)).prop_map(|(one, id)| Move::Settling(one, id)),
        4 => (one.clone(), proptest::option::of((key(), 0u8..3, any::<bool>())))
            .prop_map(|(one, sale)| Move::Settled(one, sale)),
        1 => (20u8..23, 0u8..2).prop_map(|(key, name)| Move::Grant(key, name)),
        1 => (one.clone(), proptest::option::of(one.clone())).prop_map(|(one, other)| Move::Issue(one, other)),
        1 => (one.clone(), one.clone()).prop_map(|(one, other)| Move::Revoke(one, other)),
        1 => (one.clone(), 0u8..3).prop_map(|(one, key)| Move::Import(one, key)),
        1 => (one.clone(), 0u8..3).prop_map(|(one, address)| Move::Link(one, address)),
        3 => one.clone().prop_map(Move::Voided),
        3 => (one.clone(), any::<bool>(), proptest::option::of(0u64..100))
            .prop_map(|(one, hint, ask)| Move::Unknown(one, hint, ask)),
        4 => (one.clone(), proptest::option::of((0usize..7000, 1u64..7200)))
            .prop_map(|(one, response)| Move::Delivered(one, response)),
        1 => one.clone().prop_map(Move::Asking),
        2 => (one.clone(), 0usize..7000).prop_map(|(one, length)| Move::Keep(one, length)),
        3 => prop_oneof![1u64..100, 3600u64..10_000, Just(86_400), Just(90_000)].prop_map(Move::Wait),
        1 => (0u32..4).prop_map(Move::Due),
        2 => Just(Move::Sweep),
        3 => (one.clone(), 0u64..12).prop_map(|(one, want)| Move::Lease(one, want)),
        3 => (one.clone(), 0u64..8, 0u64..8).prop_map(|(one, spent, back)| Move::Report(one, spent, back)),
        1 => (one.clone(), 0u64..8, one, 0u64..12).prop_map(|(a, x, b, y)| Move::ReportBoth(a, x, b, y)),
        1 => Just(Move::Restart),
    ]
}

/// What a payment has behind it when the moves begin, so that they meet more than beginnings.
fn a_past() -> impl Strategy<Value = Vec<Move>> {
    let of_one = |one: usize| {
        let sold = (0u8..2, 0u64..12).prop_map(move |(shared, want)| {
            let key = if shared == 0 { 9 } else { u8::try_from(one).unwrap() };
            vec![
                Move::Settling(one, None),
                Move::Settled(one, Some((key, key % 3, shared == 0))),
                Move::Lease(one, want),
            ]
        });
        let identified = (0u8..2).prop_map(move |number| vec![Move::Settling(one, Some(number))]);
        let unknown = Just(vec![Move::Settling(one, None), Move::Unknown(one, true, Some(9))]);
        let voided = Just(vec![Move::Settling(one, Some(0)), Move::Voided(one)]);
        prop_oneof![2 => Just(Vec::new()), 4 => sold, 2 => identified, 2 => unknown, 2 => voided]
    };
    (of_one(0), of_one(1), of_one(2), of_one(3)).prop_map(|(a, b, c, d)| [a, b, c, d].concat())
}

/// Both stores, and the claims that somebody has in each.
struct Pair {
    fixture: Fixture,
    memory: MemoryStore,
    claims: HashMap<usize, (Claim, Claim)>,
    /// The last change that was heard of, of each.
    heard: (i64, i64),
    /// The state of each payment after the last move, and whether it bought something.
    before: [(Option<State>, bool); PAYMENTS],
}

impl Pair {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let clock = Arc::clone(&fixture.clock);
        let memory = MemoryStore::new(retention(), clock);
        Self { fixture, memory, claims: HashMap::new(), heard: (0, 0), before: [(None, false); PAYMENTS] }
    }

    /// Makes a move in both, and says what each had to say.
    async fn make(&mut self, step: &Move) -> (String, String) {
        let now = self.fixture.clock.0.now();
        match step {
            Move::Claim(one) => return self.claim(*one).await,
            Move::Drop(one) => drop(self.claims.remove(one)),
            Move::Wait(seconds) => self.fixture.clock.0.advance(Duration::from_secs(*seconds)),
            Move::Restart => {
                self.claims.clear();
                self.fixture.reopen().await;
                self.memory.restart();
            }
            step => {
                let database = told(&**self.fixture.store(), step, now).await;
                return (database, told(&self.memory, step, now).await);
            }
        }
        Default::default()
    }

    async fn claim(&mut self, one: usize) -> (String, String) {
        let id = &PRESENTED[one].id;
        let pair = (self.fixture.store().claim(id).await.unwrap(), self.memory.claim(id).await.unwrap());
        assert_eq!(matches!(pair.0, ClaimOutcome::InFlight(_)), self.claims.contains_key(&one), "one claim at a time");
        let (database, memory) = (claimed(pair.0), claimed(pair.1));
        if let (Some(database), Some(memory)) = (database.1, memory.1) {
            self.claims.insert(one, (database, memory));
        }
        (database.0, memory.0)
    }

    /// Whom each says to have changed since it was last asked.
    async fn changed(&mut self) -> (BTreeSet<HolderId>, BTreeSet<HolderId>) {
        let database = self.fixture.store().changes(self.heard.0).await.unwrap();
        let memory = self.memory.changes(self.heard.1).await.unwrap();
        self.heard = (database.last, memory.last);
        (database.holders.into_iter().collect(), memory.holders.into_iter().collect())
    }

    /// What must be so whatever happened. The model is asked: the database has the same.
    async fn check(&mut self) -> Result<(), TestCaseError> {
        prop_assert!(self.memory.is_within_plans());
        for (one, presented) in PRESENTED.iter().enumerate() {
            let store = &self.memory;
            let state = store.record(&presented.id).await.unwrap().map(|record| record.state);
            let id = SubscriptionId::of_payment(presented.id.as_str());
            let sold = store.subscription(&id).await.unwrap().is_some();
            let (before, sold_before) = self.before[one];
            prop_assert!(may_follow(before, state), "{one}: {before:?} became {state:?}");
            prop_assert!(sold || !sold_before, "{one}: what was sold is gone");
            if sold && !sold_before {
                prop_assert_eq!(state, Some(State::Settled), "{} was sold", one);
            }
            self.before[one] = (state, sold);
        }
        Ok(())
    }
}

/// The moves of a payment between two looks at it. One that is over can be purged.
fn may_follow(before: Option<State>, after: Option<State>) -> bool {
    use State::{Delivered, Settled, Settling, Unknown, Voided};
    match (before, after) {
        (before, after) if before == after => true,
        (None, Some(Settling)) | (Some(Voided), Some(Settling | Unknown)) | (Some(Delivered | Voided), None) => true,
        (Some(Settling | Unknown), Some(Settled | Voided | Unknown)) | (Some(Settled), Some(Delivered)) => true,
        _ => false,
    }
}

fn claimed(outcome: ClaimOutcome) -> (String, Option<Claim>) {
    match outcome {
        ClaimOutcome::New(claim) => ("new".to_owned(), Some(claim)),
        ClaimOutcome::Recorded(claim, record) => (whole(&record), Some(claim)),
        ClaimOutcome::InFlight(_) => ("in flight".to_owned(), None),
    }
}

/// All of a record, as text: its own `Debug` form leaves out what is nobody's business.
fn whole(record: &Record) -> String {
    let Record { id, state, offer, goods, quote, identifier, request, facilitator, network, .. } = record;
    let Record { chain, asset, amount, pay_to, payer, since, valid_before, transaction_hint, attempts, .. } = record;
    let Record { asked, reason, receipt, created_at, .. } = record;
    let sent = (quote, identifier, serde_json::to_string(request).unwrap(), facilitator, network, chain, asset, amount);
    let ended = (pay_to, payer, since, valid_before, transaction_hint, attempts, asked, reason, receipt, created_at);
    format!("{id:?} {state:?} {offer:?} {goods:?} {sent:?} {ended:?}")
}

/// Makes a move in one store, and gives its answer as text.
async fn told<S: Ledger + KeyStore>(store: &S, step: &Move, now: SystemTime) -> String {
    let later = |seconds: u64| now + Duration::from_secs(seconds);
    let bought = |one: usize| SubscriptionId::of_payment(PRESENTED[one].id.as_str());
    match step {
        Move::Settling(one, identifier) => {
            let identifier = identifier.map(|number| format!("identifier {number}"));
            let presented = Presented { identifier, ..PRESENTED[*one].clone() };
            match claimed(store.claim(&presented.id).await.unwrap()) {
                (said, None) => said,
                (_, Some(claim)) => {
                    let settling = Claimed::new(presented, call(), claim).unwrap().unverified().settling("f".into());
                    said(store.settling(&settling).await)
                }
            }
        }
        Move::Settled(one, sold) => {
            let sale = sold.map(|(key, payer, extends)| sale_to(&PRESENTED[*one], key, payer, extends));
            said(store.settled(&PRESENTED[*one].id, &receipt(), sale.as_ref()).await)
        }
        Move::Voided(one) => said(store.voided(&PRESENTED[*one].id, "no").await),
        Move::Unknown(one, hint, ask) => {
            let transaction = hint.then(|| "0xhint".to_owned());
            let doubt = Doubt { reason: "timeout".to_owned(), transaction, ask_at: ask.map(later) };
            said(store.unknown(&PRESENTED[*one].id, &doubt).await)
        }
        Move::Delivered(one, response) => {
            let response = response.map(|(length, ttl)| response_of(length, later(ttl)));
            said(store.delivered(&PRESENTED[*one].id, response).await)
        }
        Move::Asking(one) => said(store.asking(&PRESENTED[*one].id).await),
        Move::Keep(one, length) => match store.record(&PRESENTED[*one].id).await {
            Ok(Some(_)) => said(store.keep(&PRESENTED[*one].id, response_of(*length, later(60))).await),
            // Only what has a payment is kept.
            _ => String::new(),
        },
        Move::Due(limit) => said(store.due(now, *limit).await),
        Move::Sweep => said(store.sweep().await),
        Move::Grant(key, name) => said(store.grant(&granted(*key, *name)).await),
        Move::Issue(one, other) => {
            let replaces = other.map(|other| KeyId::of_payment(PRESENTED[other].id.as_str()));
            let holder = holder_of(*one);
            let number = u8::try_from(store.keys_of(&holder).await.unwrap().len()).unwrap();
            said(store.issue(&issued(holder, *one, number), replaces.as_ref(), 3).await)
        }
        Move::Revoke(one, other) => {
            let key = KeyId::of_payment(PRESENTED[*other].id.as_str());
            said(store.revoke(&holder_of(*one), &key).await)
        }
        Move::Import(one, key) => said(store.issue(&imported(holder_of(*one), *key), None, 3).await),
        Move::Link(one, address) if store.holder(&holder_of(*one)).await.unwrap().is_some() => {
            let address =
                HolderAddress { chain: "evm".into(), address: format!("0x{address:02}").into(), network: None };
            said(store.link(&holder_of(*one), &address).await)
        }
        Move::Link(..) => String::new(),
        Move::Lease(one, want) => said(store.lease(&bought(*one), units(*want)).await),
        Move::Report(one, spent, back) => said(store.report(vec![usage(&bought(*one), *spent, *back)]).await),
        Move::ReportBoth(one, spent, other, more) => {
            let usages = vec![usage(&bought(*one), *spent, 0), usage(&bought(*other), *more, 0)];
            said(store.report(usages).await)
        }
        Move::Claim(_) | Move::Drop(_) | Move::Wait(_) | Move::Restart => String::new(),
    }
}

fn holder_of(one: usize) -> HolderId {
    HolderId::of_payment(PRESENTED[one].id.as_str())
}

fn sale_to(presented: &Presented, key: u8, payer: u8, extends: bool) -> Sale {
    let mut sale = sale(presented, 10, key);
    sale.subscription.payer = format!("0x{payer:02}").into();
    sale.on_repurchase = if extends { OnRepurchase::Extend } else { OnRepurchase::Replace };
    sale
}

/// What the operator gives to somebody with a name.
fn granted(key: u8, name: u8) -> Sale {
    let mut sale = sale(&PRESENTED[0], 10, key);
    let id = format!("pay_granted{key}");
    sale.subscription.id = SubscriptionId::of_payment(&id);
    sale.subscription.holder = HolderId::of_payment(&id);
    sale.subscription.payer = "".into();
    sale.key.key = Key { id: KeyId::of_payment(&id), ..sale.key.key };
    Sale { name: Some(format!("name {name}").into()), ..sale }
}

fn issued(holder: HolderId, one: usize, number: u8) -> NewKey {
    let id = KeyId::new(&format!("key_issued_{one}_{number}"));
    let hash = KeyHash([100 + number + 10 * u8::try_from(one).unwrap(); 32]);
    let key = Key { id, holder, origin: Origin::Issued, ..sale(&PRESENTED[one], 10, 0).key.key };
    NewKey { key, hash }
}

fn imported(holder: HolderId, number: u8) -> NewKey {
    let id = KeyId::new(&format!("key_imported_{number}"));
    let key = Key { id, holder, origin: Origin::Imported, prefix: None, ..sale(&PRESENTED[0], 10, 0).key.key };
    NewKey { key, hash: KeyHash([200 + number; 32]) }
}

fn response_of(length: usize, expires_at: SystemTime) -> StoredResponse {
    let headers = vec![("x-a".to_owned(), b"1".to_vec())];
    StoredResponse { status: StatusCode::OK, headers, body: vec![b'x'; length].into(), expires_at }
}

/// An answer; a refusal without the words that only a database has.
fn said<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Refused(_)) => "refused".to_owned(),
        answer => format!("{answer:?}"),
    }
}

/// Everything that can be asked of a store.
async fn seen<S: Ledger + KeyStore>(store: &S, now: SystemTime) -> String {
    let mut seen = String::new();
    for presented in PRESENTED.iter() {
        let id = SubscriptionId::of_payment(presented.id.as_str());
        let record = store.record(&presented.id).await.unwrap();
        let response = store.response(&presented.id, now).await.unwrap();
        let record = record.as_ref().map(whole);
        seen += &format!("{record:?}\n{response:?}\n{:?}\n", store.subscription(&id).await.unwrap());
    }
    for key in [0, 1, 2, 3, 9, 20, 21, 22] {
        seen += &format!("{key}: {:?}\n", store.key(&KeyHash([key; 32])).await.unwrap());
    }
    let granted = (20..23).map(|key| granted(key, 0).subscription.holder);
    for holder in (0..PAYMENTS).map(holder_of).chain(granted) {
        let addresses =
            store.holder(&holder).await.unwrap().map(|holder| {
                (holder.name, holder.addresses.iter().map(|it| it.address.clone()).collect::<BTreeSet<_>>())
            });
        let keys: BTreeSet<_> =
            store.keys_of(&holder).await.unwrap().into_iter().map(|key| (key.id, key.revoked_at)).collect();
        seen += &format!("{addresses:?} {keys:?} {:?}\n", store.current_of(&holder).await.unwrap());
    }
    seen += &format!("{:?}\n", store.imported().await.unwrap().into_iter().map(|hash| hash.0).collect::<BTreeSet<_>>());
    seen + &format!("{:?} {:?}", store.open_payments().await, store.due(now, 100).await)
}

async fn same(moves: Vec<Move>) -> Result<(), TestCaseError> {
    let mut pair = Pair::new().await;
    let last = moves.len().saturating_sub(1);
    for (number, step) in moves.into_iter().enumerate() {
        let (database, memory) = pair.make(&step).await;
        prop_assert_eq!(database, memory, "{:?}", step);
        let (database, memory) = pair.changed().await;
        prop_assert_eq!(database, memory, "changed by {:?}", step);
        pair.check().await?;
        if number % LOOK_EVERY != 0 && number != last {
            continue;
        }
        let now = pair.fixture.clock.0.now();
        let (database, memory) = (seen(&**pair.fixture.store(), now).await, seen(&pair.memory, now).await);
        prop_assert_eq!(database, memory, "after {:?}", step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 64, max_shrink_iters: 500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_database_does_what_the_model_does(past in a_past(), moves in prop::collection::vec(a_move(), 1..40)) {
        Runtime::new().unwrap().block_on(same([past, moves].concat()))?;
    }
}
