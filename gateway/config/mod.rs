//! The TOML file: read whole, checked whole, all errors at once.
//!
//! [`load`] finds every value with its place and makes a [`Config`] of them, or says all that is wrong.
//! [`Config::price_table`] makes the table that requests are priced by. [`Watcher`] tells when to load again.

mod check;
mod checked;
mod connections;
mod directories;
mod document;
mod facilitators;
mod field;
mod load;
mod omission;
#[cfg(test)]
mod passed_on;
mod payers;
mod problem;
mod reload;
mod spelling;
mod table;
mod trusted_proxies;

pub use checked::{
    Config, ContextConfig, JwtConfig, KeptConfig, KeysConfig, ListenAddr, LogFormat, PlanConfig, Receiver, RouteConfig,
    Sale, Secret, SecretSource, ServerConfig, StoreConfig, SubscriptionsConfig, TlsFiles, UpstreamConfig,
};
pub use connections::ConnectionsConfig;
pub use facilitators::{CdpConfig, FacilitatorConfig, FacilitatorsConfig};
pub use load::{Loaded, load, parse};
pub use omission::{Omission, OmissionReason};
pub use payers::PayersConfig;
pub use problem::{Place, Problem, Problems};
pub use reload::{WatchError, Watcher, unchangeable};
pub use trusted_proxies::TrustedProxies;
