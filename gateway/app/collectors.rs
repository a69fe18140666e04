//! The facilitators of a configuration: their clients, what each says it settles, and whether it works.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::turn::turn;
use crate::config::{self, Config, FacilitatorConfig};
use crate::facilitator::{CdpKey, Facilitator, RemoteFacilitator, RemoteSettings, SetupError};
use crate::pricing::Kinds;
use crate::resource_server::{Desk, DeskSettings, Desks};
use crate::telemetry::{Metrics, Timed};
use crate::webhook::Events;

/// How often a facilitator is asked what it settles, once it has answered.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// The first wait after it did not; doubled each time.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait while its calls fail: an answer after none brings its trial.
const ASK_FAILING: Duration = Duration::from_secs(5);

/// All that collect money. Those that do not change across a reload are kept, with what is known of them.
pub(super) struct Collectors {
    all: Vec<Collector>,
    metrics: Arc<Metrics>,
    /// Told when a facilitator fails or works again, or says something new.
    turned: Arc<Notify>,
}

struct Collector {
    settings: FacilitatorConfig,
    facilitator: Arc<dyn Facilitator>,
    desk: Arc<Desk>,
    /// What the operator was told of it last.
    fails: bool,
    asking: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Collectors {
    /// None yet.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { all: Vec::new(), metrics, turned: Arc::default() }
    }

    /// Waits until there is something new about one of them.
    pub(super) fn turned(&self) -> Arc<Notify> {
        Arc::clone(&self.turned)
    }

    /// Those of a configuration. The present ones stay as they are until the new ones are [taken](Self::take).
    pub(super) fn prepare(&self, config: &Config) -> Result<Prepared, SetupError> {
        let settings = config.facilitators.iter().flat_map(|facilitators| &facilitators.list);
        settings.map(|settings| self.one(settings)).collect::<Result<_, _>>().map(Prepared)
    }

    fn one(&self, settings: &FacilitatorConfig) -> Result<Collector, SetupError> {
        if let Some(kept) = self.all.iter().find(|kept| kept.settings == *settings) {
            let (facilitator, desk) = (Arc::clone(&kept.facilitator), Arc::clone(&kept.desk));
            return Ok(Collector {
                settings: settings.clone(),
                facilitator,
                desk,
                asking: kept.asking.clone(),
                ..*kept
            });
        }
        let (remote, metrics) = (Arc::new(facilitator(settings)?), Arc::clone(&self.metrics));
        let timed: Arc<dyn Facilitator> = Arc::new(Timed::new(remote, Arc::clone(&settings.name), metrics));
        let desk = Desk::new(Arc::clone(&timed), desk_settings(settings), Arc::clone(&self.turned));
        let (facilitator, desk) = (timed, Arc::new(desk));
        Ok(Collector { settings: settings.clone(), facilitator, desk, fails: false, asking: None })
    }

    /// Puts those of a configuration in force, in the place of others.
    pub(super) fn take(&mut self, Prepared(all): Prepared) -> Prepared {
        Prepared(std::mem::replace(&mut self.all, all))
    }

    /// Has each asked what it settles, for as long as it is in force.
    pub(super) fn ask(&mut self) {
        for collector in self.all.iter_mut().filter(|collector| collector.asking.is_none()) {
            self.metrics.facilitator_works(&collector.settings.name, true);
            let (facilitator, desk) = (Arc::clone(&collector.facilitator), Arc::clone(&collector.desk));
            let asking = tokio::spawn(keep_asking(facilitator, desk, Arc::clone(&self.turned)));
            collector.asking = Some(Arc::new(AbortOnDropHandle::new(asking)));
        }
    }

    /// Where they are asked about payments.
    pub(super) fn desks(&self, config: &Config) -> Desks {
        let all = self.all.iter().map(|collector| Arc::clone(&collector.desk)).collect();
        let settings = config.facilitators.as_ref();
        let verify_budget = settings.map(|settings| settings.verify_budget).unwrap_or_default();
        Desks { all, verify_budget, hedge_after: settings.and_then(|settings| settings.hedge_after) }
    }

    /// What they settle together. Where they differ, the word of the one that is asked first holds.
    pub(super) fn kinds(&self) -> Kinds {
        let mut desks: Vec<_> = self.all.iter().map(|collector| &collector.desk).collect();
        desks.sort_by_key(|desk| (desk.is_failing(), desk.settings().order));
        let kinds: Vec<_> = desks.into_iter().map(|desk| desk.kinds()).collect();
        Kinds::joined(kinds.iter().map(|kinds| &**kinds))
    }

    /// Tells the operator which of them fail since the last time, and which work again.
    pub(super) fn tell(&mut self, events: &Events) {
        for Collector { settings, desk, fails, .. } in &mut self.all {
            if std::mem::replace(fails, desk.is_failing()) == *fails {
                continue;
            }
            self.metrics.facilitator_works(&settings.name, !*fails);
            let kind = if *fails { "facilitator.failing" } else { "facilitator.working" };
            events.send(kind, json!({ "facilitator": &*settings.name }));
        }
    }
}

/// Facilitators that can be put in force.
pub(super) struct Prepared(Vec<Collector>);

async fn keep_asking(facilitator: Arc<dyn Facilitator>, desk: Arc<Desk>, turned: Arc<Notify>) {
    let (mut again, mut was_silent) = (ASK_AGAIN, false);
    loop {
        let wait = match turn("asking a facilitator", facilitator.supported()).await {
            Some(Ok(supported)) => {
                let kinds = Kinds::from_supported(&supported, &desk.kinds()).within(&desk.settings().reach);
                if desk.learn(kinds) {
                    turned.notify_one();
                }
                if std::mem::take(&mut was_silent) {
                    desk.heard();
                }
                again = ASK_AGAIN;
                ASK_EVERY
            }
            Some(Err(error)) => {
                tracing::warn!(%error, facilitator = &**desk.name(), "the facilitator does not say what it settles");
                (again, was_silent) = ((again * 2).min(ASK_EVERY), true);
                again
            }
            None => ASK_EVERY,
        };
        let until = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(ASK_FAILING.min(wait)).await;
            if desk.is_failing() || desk.is_doubted() {
                break;
            }
        }
    }
}

fn desk_settings(settings: &FacilitatorConfig) -> DeskSettings {
    DeskSettings {
        name: Arc::clone(&settings.name),
        reach: settings.reach.clone(),
        order: settings.order,
        weight: settings.weight,
        latency_budget: settings.latency_budget,
        places: settings.concurrency,
    }
}

/// The client of a facilitator.
///
/// # Errors
/// [`SetupError`] if its settings are of no use.
pub fn facilitator(config: &FacilitatorConfig) -> Result<RemoteFacilitator, SetupError> {
    let header = |secret: &config::Secret| {
        let mut value = HeaderValue::try_from(secret.reveal()).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    };
    RemoteFacilitator::new(&RemoteSettings {
        url: Arc::clone(&config.url),
        verify_timeout: config.verify_timeout,
        settle_timeout: config.settle_timeout,
        headers: config.headers.iter().map(|(name, secret)| (name.clone(), header(secret))).collect(),
        cdp: config.cdp.as_ref().map(|cdp| CdpKey::parse(cdp.key_id.reveal(), cdp.secret.reveal())).transpose()?,
        roots: config.ca.clone(),
    })
}
