//! What requests are served by, kept up to date: reloads of the file, and what the facilitator says it settles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;

use crate::chain;
use crate::config::{self, Config, JwtConfig, Loaded, Omission, Watcher, unchangeable};
use crate::drift::Drift;
use crate::money::Network;
use crate::payment::Unproven;
use crate::plans::TokenVerifier;
use crate::pricing::Kinds;
use crate::proxy::{Snapshot, Upstream};
use crate::resource_server::{Chains, Market, Proofs, Risk, SubscriptionTerms};
use crate::telemetry::Metrics;
use crate::webhook::Events;

use super::StartError;
use super::aside::{aside, replace, retire};
use super::collectors::{Collectors, Prepared};
use super::payers::Doorkeeper;
use super::turn::turn;

/// The one who changes what requests are served by.
pub(super) struct Keeper {
    path: PathBuf,
    /// What the listeners and the store were started with.
    started: Config,
    config: Arc<Config>,
    collectors: Collectors,
    kinds: Arc<Kinds>,
    omissions: Vec<Omission>,
    live: Arc<ArcSwap<Snapshot>>,
    metrics: Arc<Metrics>,
    watcher: Watcher,
    door: Doorkeeper,
}

impl Keeper {
    /// Builds the first snapshot. No facilitator is asked for it.
    pub(super) async fn start(
        path: &Path,
        mut config: Config,
        mut watcher: Watcher,
        metrics: Arc<Metrics>,
        mut door: Doorkeeper,
    ) -> Result<Self, StartError> {
        let mut collectors = Collectors::new(Arc::clone(&metrics));
        collectors.take(collectors.prepare(&config)?);
        let kinds = Arc::new(collectors.kinds());
        let (prices, omissions) = config.price_table(&kinds);
        door.prepare(&config.payers)?;
        watcher.also(&config.payers.files);
        let market = market(&config, prices, &collectors, &door);
        let upstreams = upstreams(&config, &BTreeMap::new()).await;
        let live = Arc::new(ArcSwap::from_pointee(snapshot(&config, market, upstreams)));
        let (started, config) = (config.settings(), Arc::new(config));
        let path = path.to_owned();
        Ok(Self { path, started, config, collectors, kinds, omissions, live, metrics, watcher, door })
    }

    pub(super) fn live(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.live)
    }

    /// A handle for whoever has something to tell the operator.
    pub(super) fn events(&self) -> Events {
        self.door.events()
    }

    /// What is seen of facilitators; it outlives reloads.
    pub(super) fn drift(&self) -> Arc<Drift> {
        self.door.drift()
    }

    /// Follows the file and the facilitators for as long as the process runs.
    pub(super) async fn keep(mut self) {
        let turned = self.collectors.turned();
        loop {
            self.collectors.ask();
            tokio::select! {
                () = self.watcher.changed() => drop(turn("reloading", self.reload()).await),
                () = turned.notified() => drop(turn("hearing of a facilitator", self.hear()).await),
            }
        }
    }

    /// Reads the file anew; if anything in it is wrong, everything stays.
    async fn reload(&mut self) {
        let (path, earlier) = (self.path.clone(), Arc::clone(&self.config));
        let loaded =
            aside(move || config::load(&path).map(|loaded| Some(loaded).filter(|loaded| loaded.config != *earlier)));
        let Loaded { config, warnings } = match loaded.await {
            Some(Ok(Some(loaded))) => loaded,
            Some(Ok(None)) => return self.metrics.reload(true),
            Some(Err(problems)) => {
                problems.0.iter().for_each(|problem| tracing::error!("{problem}"));
                tracing::error!(problems = problems.0.len(), "the configuration is wrong; the old one stays in force");
                self.metrics.reload(false);
                return;
            }
            None => {
                tracing::error!("the configuration could not be read; the old one stays in force");
                return self.metrics.reload(false);
            }
        };
        let earlier = match self.clients(&config) {
            Ok(collectors) => self.collectors.take(collectors),
            Err(error) => {
                tracing::error!(%error, "whom to ask cannot be asked; the old configuration stays");
                self.metrics.reload(false);
                return;
            }
        };
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        for setting in unchangeable(&self.started, &config) {
            tracing::warn!(setting, "changed in the file; it takes effect at the next start");
        }
        if !self.publish(Arc::new(config)).await {
            self.collectors.take(earlier);
            // Else the next table of the old configuration would have the screener of the new one, or none.
            if let Err(error) = self.door.prepare(&self.config.payers) {
                tracing::error!(%error, "whom to ask about payers cannot be asked as before");
            }
            return self.metrics.reload(false);
        }
        self.watcher.also(&self.config.payers.files);
        self.metrics.reload(true);
        tracing::info!(routes = self.config.routes.len(), plans = self.config.plans.len(), "configuration reloaded");
    }

    /// The clients of a new configuration; those of payers' rules are in force only if all of them can be.
    fn clients(&mut self, config: &Config) -> Result<Prepared, StartError> {
        let collectors = self.collectors.prepare(config)?;
        self.door.prepare(&config.payers)?;
        Ok(collectors)
    }

    /// A facilitator fails or works again, or says something new: what is offered may change with it.
    async fn hear(&mut self) {
        self.collectors.tell(&self.door.events());
        if self.collectors.kinds() != *self.kinds {
            self.publish(Arc::clone(&self.config)).await;
        }
    }

    /// Swaps in a new snapshot; requests under way keep theirs. False if there is none: then the old one stays.
    async fn publish(&mut self, config: Arc<Config>) -> bool {
        let (kinds, built) = (Arc::new(self.collectors.kinds()), Arc::clone(&config));
        let known = Arc::clone(&kinds);
        let Some((prices, omissions)) = aside(move || built.price_table(&known)).await else {
            tracing::error!("the table of prices could not be built; the old one stays in force");
            return false;
        };
        if omissions != self.omissions {
            for omission in &omissions {
                tracing::warn!(network = %omission.network, "{omission}");
            }
            self.omissions = omissions;
        }
        self.kinds = kinds;
        let upstreams = upstreams(&config, &self.live.load().upstreams).await;
        let market = market(&config, prices, &self.collectors, &self.door);
        let earlier = self.live.swap(Arc::new(snapshot(&config, market, upstreams)));
        retire(Arc::clone(&earlier.market));
        replace(&mut self.config, config);
        true
    }
}

fn snapshot(config: &Config, market: Arc<Market>, upstreams: BTreeMap<Arc<str>, Arc<Upstream>>) -> Snapshot {
    let (key_headers, key_query) = (config.keys.headers.clone(), config.keys.query.clone());
    let admin_token = config.server.admin_token.clone();
    let set = config.upstreams.values().flat_map(|upstream| &upstream.headers);
    let upstream_headers = set.map(|(name, _)| name.clone()).collect();
    let (trusted_proxies, connections) = (config.server.trusted_proxies.clone(), config.connections.clone());
    Snapshot { market, upstreams, key_headers, upstream_headers, key_query, admin_token, trusted_proxies, connections }
}

pub(super) fn market(
    config: &Config,
    prices: crate::pricing::PriceTable,
    collectors: &Collectors,
    door: &Doorkeeper,
) -> Arc<Market> {
    let drift = door.drift();
    drift.follow(config.drift.as_ref());
    let (kept, facilitators) = (&config.store.kept, config.facilitators.as_ref());
    let sold = &config.subscriptions;
    let risk = Risk {
        resolve_timeout: facilitators.map_or(Duration::ZERO, |facilitators| facilitators.resolve_timeout),
        unproven: facilitators.map_or(Unproven::Hold, |facilitators| facilitators.unproven_settlement),
        confirmed: confirmed(config),
        replay_body_bytes_max: kept.replay_body_bytes_max,
        replay_ttl: kept.replay_ttl,
    };
    Arc::new(Market {
        prices,
        facilitators: collectors.desks(config),
        chains: chains(config),
        hinted: hinted(config),
        risk,
        quote_ttl: config.server.quote_ttl,
        key_prefix: Arc::clone(&config.keys.prefix),
        terms: SubscriptionTerms {
            on_repurchase: sold.on_repurchase,
            keys_max: sold.keys_max,
            exhausted_is_403: sold.exhausted_status == StatusCode::FORBIDDEN,
            status_by_address: sold.status_by_address,
        },
        quota_alerts: sold.quota_alerts.clone(),
        proofs: Proofs::new(config.jwt.as_ref().and_then(verifier)),
        screening: door.screening(&config.payers),
        drift,
    })
}

/// What checks the operator's tokens. A checked configuration has a key that can be used.
fn verifier(jwt: &JwtConfig) -> Option<TokenVerifier> {
    let (issuer, audience) = (jwt.issuer.as_deref(), jwt.audience.as_deref());
    let verifier = TokenVerifier::new(jwt.public_key.reveal(), issuer, audience, &jwt.claim);
    verifier.inspect_err(|error| tracing::error!(%error, "no tokens are taken")).ok()
}

/// Where a facilitator's word is not enough.
fn confirmed(config: &Config) -> Vec<Network> {
    let receivers = config.receivers.iter().filter(|receiver| receiver.confirm_settlements);
    receivers.map(|receiver| receiver.network.clone()).collect()
}

/// The chains that a configuration has an RPC server for. One that cannot be asked is as good as none.
fn chains(config: &Config) -> Chains {
    let asked = config.receivers.iter().filter_map(|receiver| Some((receiver, receiver.rpc_url.as_ref()?)));
    let connected = asked.filter_map(|(receiver, url)| match chain::connect(&receiver.network, url.reveal()) {
        Ok(chain) => Some((receiver.network.clone(), chain)),
        Err(error) => {
            tracing::error!(%error, network = %receiver.network, "the chain cannot be asked");
            None
        }
    });
    connected.collect()
}

/// The networks whose challenges name a recent block.
fn hinted(config: &Config) -> Vec<Network> {
    let hinted = config.receivers.iter().filter(|receiver| receiver.blockhash_hints);
    hinted.map(|receiver| receiver.network.clone()).collect()
}

/// Upstreams of a configuration; those that did not change are kept, with their connections.
async fn upstreams(config: &Config, earlier: &BTreeMap<Arc<str>, Arc<Upstream>>) -> BTreeMap<Arc<str>, Arc<Upstream>> {
    let mut upstreams = BTreeMap::new();
    for (name, settings) in &config.upstreams {
        let upstream = match earlier.get(name).filter(|earlier| earlier.config() == settings) {
            Some(earlier) => Arc::clone(earlier),
            None => {
                let upstream = Arc::new(Upstream::new(settings).await);
                tokio::spawn(Upstream::keep_looking_up(Arc::downgrade(&upstream)));
                upstream
            }
        };
        upstreams.insert(Arc::clone(name), upstream);
    }
    upstreams
}
