//! The use cases without their edges, on a store in a folder of their own.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Method;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tollgate::clock::SystemClock;
use tollgate::drift::{self, Drift};
use tollgate::payment::Unproven;
use tollgate::plans::{ApiKey, KeyMint, OnRepurchase, Units};
use tollgate::pricing::{Access, Metering, Methods, Pattern, PriceTable, Route, Router, SettleTiming, Unlisted};
use tollgate::resource_server::{
    Admitted, Call, Chains, Credentials, Desks, Market, Pass, Proofs, ResourceServer, Risk, Secrets, SubscriptionTerms,
};
use tollgate::screening::{Counters, Rules, Screening, Tallies};
use tollgate::store::{Retention, SqliteStore};
use tollgate::webhook::Events;

use super::keys::Keys;
use super::{Result, books};

/// A shop with holders who have bought already.
pub(super) struct Shop {
    server: Arc<ResourceServer>,
    market: Arc<Market>,
    route: Arc<Route>,
    _folder: TempDir,
}

/// Where a credential was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    InMemory,
    InStore,
}

impl Shop {
    pub(super) async fn open(keys: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("store.db");
        let retention = Retention { responses_bytes_max: 0, payments: None, usage: None };
        let store = Arc::new(SqliteStore::open(&path, retention, Arc::new(SystemClock)).await?);
        let (ledger, books) = (Arc::<SqliteStore>::clone(&store), store);
        let secrets = Secrets::derive(&[7; 32]);
        let server = ResourceServer::new(ledger, books, &secrets, Arc::new(SystemClock), Handle::current());
        books::fill(&path, (0..keys).map(|number| key(&server.keys, number).hash())).await?;
        let route = Route {
            pattern: Pattern::parse("/keyed")?,
            methods: Methods::All,
            access: Access::PlanOnly(Metering::fixed(Units::from_thousandths(1000))),
            settle: SettleTiming::After,
            upstream: "".into(),
            free_calls: None,
        };
        Ok(Self { server: Arc::new(server), market: Arc::new(market()?), route: Arc::new(route), _folder: folder })
    }

    /// The keys of all holders.
    pub(super) fn keys(&self, count: u32) -> Keys {
        Keys((0..count).map(|number| key(&self.server.keys, number).reveal().into()).collect())
    }

    /// A call that is served. Memory answers at once; whoever has to wait is waiting for the store.
    pub(super) async fn call(&self, key: &str) -> Result<Seen> {
        let credentials = Credentials { key: Some(key), ..Credentials::default() };
        let (route, method) = (&self.route, &Method::GET);
        let call = Call { route, method, target: "/keyed", credentials, payment: None, client: None };
        let mut admitted = pin!(self.server.admit(&self.market, call));
        let at_once = admitted.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let (admitted, seen) = match at_once {
            Poll::Ready(admitted) => (admitted, Seen::InMemory),
            Poll::Pending => (admitted.await, Seen::InStore),
        };
        match admitted {
            Ok(Admitted::Pass(Pass::Plan(reserved))) => drop(reserved.commit()),
            other => return Err(format!("a call was not admitted: {other:?}").into()),
        }
        Ok(seen)
    }

    /// How many credentials are in memory.
    pub(super) fn known(&self) -> usize {
        self.server.accounts().len()
    }

    /// What the gateway does every second.
    pub(super) async fn write_down(&self) -> Result<()> {
        Ok(self.server.accounts().write_down().await?)
    }

    pub(super) async fn close(&self) -> Result<()> {
        Ok(self.server.accounts().close().await?)
    }
}

fn key(keys: &KeyMint, number: u32) -> ApiKey {
    keys.derive("tg_live_", &books::id("key", number), &books::id("hol", number))
}

/// Nothing is on sale: everybody has bought.
fn market() -> Result<Market> {
    let prices = PriceTable {
        router: Router::default(),
        plans: Vec::new(),
        unlisted: Unlisted::Deny,
        endpoints: "/x402".into(),
        public_url: "https://api.example.com".into(),
    };
    let tallies = Tallies::new(Events::default(), Counters::new()?);
    let drift = Drift::new(Events::default(), drift::Counters::new()?, Arc::new(SystemClock));
    Ok(Market {
        prices,
        facilitators: Desks::default(),
        chains: Chains::new(),
        hinted: Vec::new(),
        risk: Risk {
            resolve_timeout: Duration::ZERO,
            unproven: Unproven::Hold,
            confirmed: Vec::new(),
            replay_body_bytes_max: 0,
            replay_ttl: Duration::ZERO,
        },
        quote_ttl: Duration::ZERO,
        key_prefix: "tg_live_".into(),
        terms: SubscriptionTerms {
            on_repurchase: OnRepurchase::Replace,
            keys_max: 1,
            exhausted_is_403: false,
            status_by_address: false,
        },
        proofs: Proofs::default(),
        screening: Arc::new(Screening::new(Rules::default(), None, Arc::new(tallies))),
        drift: Arc::new(drift),
        quota_alerts: Vec::new(),
    })
}
