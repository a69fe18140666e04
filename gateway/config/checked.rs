//! A configuration that has passed every check that can be made offline.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::money::{Address, Asset, Network};
use crate::plans::{OnRepurchase, Plan, Rate};
use crate::pricing::{Metering, Methods, Pattern, Price, SettleTiming, Unlisted};
use crate::x402::Scheme;

/// The whole file, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]`.
    pub server: ServerConfig,
    /// `[connections]`.
    pub connections: super::ConnectionsConfig,
    /// `[upstream]` under the name `""`, and `[upstreams.NAME]`.
    pub upstreams: BTreeMap<Arc<str>, UpstreamConfig>,
    /// `[facilitator]` and `[[facilitators]]`. None if nothing has a price.
    pub facilitators: Option<super::FacilitatorsConfig>,
    /// `[pay_to]` and `[networks.NAME]`, in the order of `[pay_to]`.
    pub receivers: Vec<Receiver>,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[keys]`.
    pub keys: KeysConfig,
    /// `[jwt]`. Without it no such token opens anything.
    pub jwt: Option<JwtConfig>,
    /// `[subscriptions]`.
    pub subscriptions: SubscriptionsConfig,
    /// `[[routes]]`, in the order of the file.
    pub routes: Vec<RouteConfig>,
    /// `[[plans]]`, in the order of the file.
    pub plans: Vec<PlanConfig>,
    /// `[screening]`, `[limits]`, `[[alerts]]` and `[webhook]`.
    pub payers: super::PayersConfig,
    /// `[drift]`. Without it nobody is told.
    pub drift: Option<crate::drift::Rules>,
}

impl Config {
    /// The same without routes and plans, of which there may be very many.
    pub fn settings(&mut self) -> Self {
        let (routes, plans) = (std::mem::take(&mut self.routes), std::mem::take(&mut self.plans));
        let settings = self.clone();
        (self.routes, self.plans) = (routes, plans);
        settings
    }
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Public addresses.
    pub listen: Vec<ListenAddr>,
    /// What buyers see, without a slash at its end.
    pub public_url: Arc<str>,
    /// Paths that no route names.
    pub unlisted: Unlisted,
    /// The operator's address: health, readiness, metrics.
    pub admin: SocketAddr,
    /// What the operator's API asks for. Without it there is no such API.
    pub admin_token: Option<Secret>,
    /// Prefix of the gateway's own endpoints; `/x402` unless said otherwise.
    pub endpoints: Arc<str>,
    /// The seller's name in descriptions; the host of `public_url` unless said otherwise.
    pub name: Arc<str>,
    /// How long a quoted price is honoured across a reload; 5 minutes unless said otherwise.
    pub quote_ttl: Duration,
    /// How long running requests may take to finish after SIGTERM; 30 s unless said otherwise.
    pub shutdown_timeout: Duration,
    /// Worker threads; the number of processors unless said otherwise.
    pub threads: usize,
    /// Form of the log lines.
    pub log: LogFormat,
    /// Proxies that are believed what they say of their clients; none unless said otherwise.
    pub trusted_proxies: super::TrustedProxies,
}

/// One public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddr {
    /// Where to listen.
    pub addr: SocketAddr,
    /// Certificate and key, for HTTPS.
    pub tls: Option<TlsFiles>,
}

/// PEM files of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// An API that is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Host name or address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Whether it is spoken to by TLS, with `host` as server name.
    pub tls: bool,
    /// The longest wait for a connection; 5 s unless said otherwise.
    pub connect_timeout: Duration,
    /// The longest wait for the next bytes of an answer; 60 s unless said otherwise.
    pub read_timeout: Duration,
    /// How long an idle connection is kept; 4 s unless said otherwise, below the 5 s of Node's servers.
    pub idle_timeout: Duration,
    /// Sent with each request, in place of what the client sent under these names.
    pub headers: Vec<(http::HeaderName, Secret)>,
    /// What it is told of each request, signed. None unless it asks for it.
    pub context: Option<ContextConfig>,
}

/// What an upstream is told of each request, signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextConfig {
    /// What `aud` says.
    pub audience: Arc<str>,
    /// How long it is good, in whole seconds; 60 s unless said otherwise.
    pub ttl: Duration,
}

/// A receiver on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Which network.
    pub network: Network,
    /// Its name in the file.
    pub name: Arc<str>,
    /// Its name in version 1, if payments there can be offered in it.
    pub v1_name: Option<&'static str>,
    /// By which rules it is paid; `exact` unless said otherwise.
    pub scheme: Scheme,
    /// What offers have in `extra` by the operator's word, over the facilitator's.
    pub extra: Map<String, Value>,
    /// The assets that prices may be in; the first is meant when a price names none.
    pub assets: Vec<Asset>,
    /// Who gets the money.
    pub pay_to: Address,
    /// Seconds from signing until the payment must be settled; 60 unless said otherwise.
    pub max_timeout_seconds: u64,
    /// The RPC server that is asked about payments whose outcome is unknown. A secret: it may have a key in it.
    pub rpc_url: Option<Secret>,
    /// Whether a facilitator's word that a payment is settled is good only if the chain shows it.
    pub confirm_settlements: bool,
    /// What the memos of payments begin with; Solana only.
    pub memo: Option<Arc<str>>,
    /// Whether challenges name a recent block, which `rpc_url` is asked for; Solana only.
    pub blockhash_hints: bool,
}

impl Receiver {
    /// The asset in which a price is paid here, if it can be.
    pub fn asset_for(&self, price: &Price) -> Option<&Asset> {
        self.assets.iter().find(|asset| price.accepts(asset))
    }

    /// Whether all that the facilitator wants in `extra` is passed on, since nobody here knows what of it is needed.
    pub fn passes_on_extra(&self) -> bool {
        !self.scheme.is_exact() || !self.scheme.is_read_on(self.network.family())
    }
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreConfig {
    /// The database's file.
    pub path: PathBuf,
    /// The secret that keys and quotes are derived from.
    pub secret: SecretSource,
    /// What is kept, and for how long.
    pub kept: KeptConfig,
}

/// What the store keeps of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptConfig {
    /// The largest body of a paid answer that is kept for the buyer's repeat; 64 KiB unless said otherwise.
    pub replay_body_bytes_max: usize,
    /// How long it is kept; an hour unless said otherwise.
    pub replay_ttl: Duration,
    /// The most bytes of all of them; 256 MiB unless said otherwise.
    pub replay_disk_bytes_max: u64,
    /// How long payments are kept that are over; a year unless said otherwise.
    pub retention: Duration,
}

/// Where the gateway's own secret comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum SecretSource {
    /// An environment variable's value, read when the file was.
    Given(Secret),
    /// A file, which is made at the first start.
    File(PathBuf),
}

/// `[keys]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysConfig {
    /// What keys begin with.
    pub prefix: Arc<str>,
    /// Headers that may carry one; `Authorization` takes `Bearer`.
    pub headers: Vec<http::HeaderName>,
    /// A query parameter that may carry one in a WebSocket's handshake, where browsers can set no header.
    pub query: Option<Arc<str>>,
}

/// `[jwt]`: whose tokens are taken in place of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtConfig {
    /// The issuer's key, in PEM. Only its frame was looked at.
    pub public_key: Secret,
    /// What `iss` must say, if it must say something.
    pub issuer: Option<Arc<str>>,
    /// What `aud` must say, if it must say something.
    pub audience: Option<Arc<str>>,
    /// The claim that names the holder; `sub` unless said otherwise.
    pub claim: Arc<str>,
}

/// `[subscriptions]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionsConfig {
    /// What a purchase does to the subscription that its buyer still has.
    pub on_repurchase: OnRepurchase,
    /// What a key whose plan is used up is answered; 402 unless said otherwise.
    pub exhausted_status: StatusCode,
    /// Whether anyone may ask for the plan of an address; no unless said otherwise.
    pub status_by_address: bool,
    /// The most working keys of one holder; 16 unless said otherwise.
    pub keys_max: u32,
    /// How long it is kept what was used when; 400 days unless said otherwise.
    pub usage_retention: Duration,
    /// At which percents of a plan its holder is worth an alert; ascending. 50, 80 and 100 unless said otherwise.
    pub quota_alerts: Vec<u8>,
}

/// A `[[routes]]` entry.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// Its path.
    pub pattern: Pattern,
    /// Its methods.
    pub methods: Methods,
    /// What it takes.
    pub sale: Sale,
    /// When a call's payment is settled.
    pub settle: SettleTiming,
    /// Upstream by name; `""` is `[upstream]`.
    pub upstream: Arc<str>,
    /// One line for buyers.
    pub description: Arc<str>,
    /// Media type of the answer, for buyers.
    pub mime_type: Arc<str>,
    /// How many calls an address has free; none unless said otherwise.
    pub free_calls: Option<Rate>,
}

/// What a route takes: exactly one of the four.
#[derive(Debug, Clone, PartialEq)]
pub enum Sale {
    /// `free = true`.
    Free,
    /// `price`.
    PerCall(Price),
    /// `units`, or another way to count them.
    PlanOnly(Metering),
    /// Both.
    Either(Price, Metering),
}

impl Sale {
    /// The price of one call, if a call can be paid for.
    pub fn price(&self) -> Option<&Price> {
        match self {
            Self::PerCall(price) | Self::Either(price, _) => Some(price),
            Self::Free | Self::PlanOnly(_) => None,
        }
    }

    /// What a call takes of a plan, if a plan opens the route.
    pub fn metering(&self) -> Option<&Metering> {
        match self {
            Self::PlanOnly(metering) | Self::Either(_, metering) => Some(metering),
            Self::Free | Self::PerCall(_) => None,
        }
    }
}

/// A `[[plans]]` entry.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanConfig {
    /// What the buyer gets.
    pub plan: Plan,
    /// What it costs.
    pub price: Price,
    /// One line for buyers.
    pub description: Arc<str>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }

    /// The secret in the clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
