//! A shop with a scripted facilitator, a clock that stands still, and a store that can be made to fail.

use std::sync::LazyLock;

use http::Method;
use serde_json::Map;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::flaky::Flaky;
pub(super) use super::script::{Script, desk};
use super::*;
use crate::clock::ManualClock;
use crate::drift::{self, Drift};
use crate::payment::PaymentId;
use crate::payment::testing::{NOW, QUOTE_TTL, Wallet, header, offer, quoted, usdc, v1, v2};
use crate::plans::{Plan, Rate, SubscriptionId, Units};
use crate::pricing::{
    Access, Metering, Methods, Offer, OfferKey, Pattern, PlanOffer, Price, Route, Router, SettleTiming, Terms, Unlisted,
};
use crate::screening::{Rules, Screening};
use crate::store::{ClaimOutcome, Retention, SqliteStore};

pub(super) fn receipt(network: &str) -> SettleResponse {
    SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        transaction: "0xabc".to_owned(),
        network: network.to_owned(),
        payer: None,
    }
}

/// A gateway without its edges.
pub(super) struct Shop {
    folder: TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) facilitator: Arc<Script>,
    pub(super) store: Arc<Flaky>,
    pub(super) server: Arc<ResourceServer>,
    pub(super) market: Arc<Market>,
}

fn server(store: &Arc<Flaky>, clock: &Arc<ManualClock>, runtime: Handle) -> Arc<ResourceServer> {
    let (ledger, keys) = (Arc::<Flaky>::clone(store), Arc::<Flaky>::clone(store));
    let (secrets, time) = (Secrets::derive(&[5; 32]), Arc::<ManualClock>::clone(clock));
    Arc::new(ResourceServer::new(ledger, keys, &secrets, time, runtime))
}

impl Shop {
    pub(super) async fn open() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        Self::start(TempDir::new().unwrap(), clock, Arc::new(Script::new())).await
    }

    async fn start(folder: TempDir, clock: Arc<ManualClock>, facilitator: Arc<Script>) -> Self {
        let retention = Retention { responses_bytes_max: 100_000, payments: None, usage: None };
        let path = folder.path().join("store.db");
        let store = SqliteStore::open(&path, retention, Arc::<ManualClock>::clone(&clock)).await.unwrap();
        let store =
            Arc::new(Flaky { store, down: false.into(), forgets: false.into(), reports_left: usize::MAX.into() });
        *facilitator.store.lock().unwrap() = Arc::downgrade(&store);
        let server = server(&store, &clock, Handle::current());
        let market = market(Some(Arc::<Script>::clone(&facilitator)));
        Self { folder, clock, facilitator, store, server, market }
    }

    /// The same with money moved elsewhere than requests are served, as in a gateway.
    pub(super) fn with_money_apart(self) -> Self {
        static MONEY: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
        Self { server: server(&self.store, &self.clock, MONEY.handle().clone()), ..self }
    }

    /// The same after the end of the process, however it ended: nothing more is written down.
    pub(super) async fn restarted(self) -> Self {
        let Self { folder, clock, facilitator, store, server, market } = self;
        server.payments_done().await;
        drop((store, server, market));
        Self::start(folder, clock, facilitator).await
    }

    /// The quote of a challenge for the first terms of an offer; each number is another challenge.
    pub(super) fn quote(&self, offer: &Offer, challenge: u8) -> String {
        self.server.quotes.quote(&offer.key, &offer.terms[0].digest, self.server.now(), [challenge; 8])
    }

    /// A header that pays an offer; each nonce is another payment, with a quote of its own.
    pub(super) fn pay(&self, offer: &Offer, nonce: u8) -> String {
        self.pay_with(offer, nonce, &self.quote(offer, nonce))
    }

    pub(super) fn pay_with(&self, offer: &Offer, nonce: u8, quote: &str) -> String {
        header(&quoted(&offer.terms[0], Wallet::new(1).eip3009(&offer.terms[0], nonce), quote))
    }

    /// Buys a plan.
    pub(super) async fn buy(&self, plan: &Arc<PlanOffer>, payment: &str) -> Result<Sold, Denial> {
        self.server.purchase(&self.market, plan, Some(payment.as_bytes()), None).await
    }

    /// The key of a plan that was just bought.
    pub(super) async fn key(&self, plan: &Arc<PlanOffer>, nonce: u8) -> String {
        self.buy(plan, &self.pay(&plan.offer, nonce)).await.unwrap().key.reveal().to_owned()
    }

    /// Asks for a pass for one call.
    pub(super) async fn admit(&self, route: &Arc<Route>, method: &Method, payment: &str) -> Result<Pass, Denial> {
        match self.ask(route, method, payment).await? {
            Admitted::Pass(pass) => Ok(pass),
            Admitted::Stored(response, _) => panic!("{response:?}"),
        }
    }

    /// The same, where the answer may be a stored one.
    pub(super) async fn ask(&self, route: &Arc<Route>, method: &Method, payment: &str) -> Result<Admitted, Denial> {
        let payment = Some(payment.as_bytes());
        let credentials = Credentials::default();
        let call = Call { route, method, target: "/weather", credentials, payment, client: None };
        self.server.admit(&self.market, call).await
    }

    /// Pays for one call up to the moment when the upstream would answer.
    pub(super) async fn verified(&self, route: &Arc<Route>, payment: &str) -> Verified {
        match self.admit(route, &Method::GET, payment).await.unwrap() {
            Pass::Verified(verified) => *verified,
            other => panic!("{other:?}"),
        }
    }

    /// The thousandths that the books have as set aside.
    pub(super) async fn set_aside(&self) -> i64 {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("store.db")).read_only(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::query_scalar("SELECT sum(leased) FROM balances").fetch_one(&mut connection).await.unwrap()
    }

    /// Makes the books refuse what is written of a subscription.
    pub(super) async fn forbid(&self, id: &SubscriptionId) {
        let refuse = format!(
            "CREATE TRIGGER forbidden BEFORE UPDATE ON balances WHEN NEW.id = '{}' BEGIN SELECT raise(ABORT, 'no'); END",
            id.as_str()
        );
        self.do_in_books(&refuse).await;
    }

    /// Undoes that.
    pub(super) async fn allow_all(&self) {
        self.do_in_books("DROP TRIGGER forbidden").await;
    }

    async fn do_in_books(&self, statement: &str) {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("store.db"));
        let mut connection = options.connect().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }

    /// From now on, the same plan bought again extends.
    pub(super) fn extends(&mut self) {
        Arc::get_mut(&mut self.market).unwrap().terms.on_repurchase = OnRepurchase::Extend;
    }

    pub(super) async fn settle(&self, verified: Verified) -> Result<Settled, Denial> {
        self.server.settle_call(&self.market, verified).await.map_err(Denial::from)
    }

    /// What the ledger has of a payment.
    pub(super) async fn state(&self, id: &PaymentId) -> Option<crate::payment::State> {
        match self.store.store.claim(id).await.unwrap() {
            ClaimOutcome::Recorded(_, record) => Some(record.state),
            ClaimOutcome::New(_) => None,
            ClaimOutcome::InFlight(_) => panic!("{id} is in flight"),
        }
    }

    /// Spends units of a key for a call that was served.
    pub(super) async fn spend(&self, key: &str, cost: Units) -> Result<(), Denial> {
        self.reserve(key, cost).await.map(|reserved| drop(reserved.commit()))
    }

    /// Reserves units of a key for a call.
    pub(super) async fn reserve(&self, key: &str, cost: Units) -> Result<Reservation, Denial> {
        let metering = Metering::fixed(cost);
        let route = Route { access: Access::PlanOnly(metering.clone()), ..bare("/weather", SettleTiming::After) };
        self.server.spend(&self.market, with_key(key), &Arc::new(route), &metering).await
    }

    pub(super) async fn status(&self, key: &str) -> Result<Status, Denial> {
        self.server.status(&self.market, with_key(key)).await
    }

    pub(super) async fn used(&self, key: &str) -> Units {
        self.status(key).await.unwrap().used
    }
}

/// What is on sale: nothing that the tests of this module look up here.
pub(super) fn market(facilitator: Option<Arc<Script>>) -> Arc<Market> {
    let prices = PriceTable {
        router: Router::default(),
        plans: Vec::new(),
        unlisted: Unlisted::Deny,
        endpoints: "/x402".into(),
        public_url: "https://api.example.com".into(),
    };
    let all = facilitator.map(|script| desk("one", script, 1)).into_iter().collect();
    let facilitators = Desks { all, verify_budget: Duration::from_secs(20), hedge_after: None };
    let risk = Risk {
        resolve_timeout: Duration::ZERO,
        unproven: Unproven::Hold,
        confirmed: Vec::new(),
        replay_body_bytes_max: 1024,
        replay_ttl: Duration::from_secs(3600),
    };
    Arc::new(Market {
        prices,
        facilitators,
        chains: Chains::new(),
        hinted: Vec::new(),
        risk,
        quote_ttl: QUOTE_TTL,
        key_prefix: "tg_live_".into(),
        terms: SubscriptionTerms {
            on_repurchase: OnRepurchase::Replace,
            keys_max: 4,
            exhausted_is_403: false,
            status_by_address: false,
        },
        quota_alerts: Vec::new(),
        proofs: Proofs::default(),
        screening: Arc::new(Screening::of(Rules::default())),
        drift: Arc::new(Drift::of(Some(&drift::Rules::USUAL), Arc::new(ManualClock::at(NOW)))),
    })
}

/// A plan for a price in atomic units.
pub(super) fn plan(name: &str, units: Option<u64>, price: u128, rate: Option<Rate>) -> Arc<PlanOffer> {
    let units = units.map(|units| Units::from_thousandths(units * 1000));
    let plan = Plan { name: name.into(), units, duration: Duration::from_secs(3600), rate, burst: None };
    let Terms { network, asset, amount, pay_to, max_timeout_seconds, v1_network, .. } = usdc(price);
    let content = Map::from_iter([(Plan::QUOTED.to_owned(), plan.to_quote())]);
    let terms = Terms::new(network, asset, amount, pay_to, max_timeout_seconds, v1_network, content);
    let price_text = Price::parse("$5").unwrap();
    Arc::new(PlanOffer { plan, price: price_text, offer: offer(OfferKey::plan(name), [terms]) })
}

/// A plan of a hundred units.
pub(super) fn nano() -> Arc<PlanOffer> {
    plan("nano", Some(100), 5_000_000, None)
}

/// A request that has a key to show.
pub(super) fn with_key(key: &str) -> Credentials<'_> {
    Credentials { key: Some(key), ..Credentials::default() }
}

/// A route that costs something for each call.
pub(super) fn route(pattern: &str, settle: SettleTiming) -> Arc<Route> {
    Arc::new(bare(pattern, settle))
}

/// The same, to be changed.
pub(super) fn bare(pattern: &str, settle: SettleTiming) -> Route {
    Route {
        pattern: Pattern::parse(pattern).unwrap(),
        methods: Methods::All,
        access: Access::PerCall(offer(OfferKey::call("*", pattern), [usdc(10_000)])),
        settle,
        upstream: "".into(),
        free_calls: None,
    }
}

/// The offer of such a route.
pub(super) fn offer_of(route: &Route) -> &Offer {
    route.access.offer().unwrap()
}

/// A payment without a quote, as version 1 and as made by hand.
pub(super) fn unquoted(offer: &Offer, nonce: u8) -> [String; 2] {
    let payload = || Wallet::new(1).eip3009(&offer.terms[0], nonce);
    [header(&v1(&offer.terms[0], payload())), header(&v2(&offer.terms[0], payload()))]
}

/// The same payment with something else around it.
pub(super) fn with_resource(header: &str, url: &str) -> String {
    let text = crate::x402::codec::decode(header.as_bytes()).unwrap();
    let mut message: serde_json::Value = serde_json::from_str(&text).unwrap();
    message["resource"] = serde_json::json!({ "url": url });
    crate::payment::testing::header(&message)
}

/// The same payment with a payment-identifier.
pub(super) fn with_identifier(header: &str, id: &str) -> String {
    let text = crate::x402::codec::decode(header.as_bytes()).unwrap();
    let mut message: serde_json::Value = serde_json::from_str(&text).unwrap();
    message["extensions"] = serde_json::json!({ "payment-identifier": { "info": { "required": false, "id": id } } });
    crate::payment::testing::header(&message)
}

/// The reason why a payment was not taken.
pub(super) fn reason<T: std::fmt::Debug>(result: Result<T, Denial>) -> String {
    match result.unwrap_err() {
        Denial::Shortfall(shortfall) => shortfall.reason().to_owned(),
        Denial::Exhausted(_) => "quota_exhausted".to_owned(),
        Denial::Unauthorized(_, refused) => refused.reason.into_owned(),
        other => panic!("{other:?}"),
    }
}
