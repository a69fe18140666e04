//! The TOML file: read whole, checked whole, all errors at once.
//!
//! `document` finds every value with its place, `check` makes a [`Config`] of it, and [`Config::price_table`] makes the
//! table that requests are priced by. `reload` watches the file.

mod checked;

pub use checked::{
    Config, FacilitatorConfig, KeysConfig, ListenAddr, LogFormat, PlanConfig, Receiver, RouteConfig, Sale, Secret,
    SecretSource, ServerConfig, StoreConfig, TlsFiles, UpstreamConfig,
};
