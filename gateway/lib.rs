//! Tollgate: a reverse proxy that sells the HTTP API behind it.
//!
//! # Layout
//! | module | its job |
//! |---|---|
//! | [`money`] | atomic amounts, assets, CAIP-2 networks, addresses |
//! | [`x402`] | the protocol's messages, v1 and v2, headers and codec, known networks |
//! | [`plans`] | plans, subscriptions, API keys, units |
//! | [`payment`] | challenges, presented payments, quotes, prechecks, steps |
//! | [`pricing`] | canonical paths, patterns, the route table, prices, offers |
//! | [`config`] | the TOML file

pub mod clock;
pub mod config;
pub mod facilitator;
pub mod money;
pub mod payment;
pub mod plans;
pub mod pricing;
pub mod proxy;
pub mod resource_server;
pub mod store;
pub mod telemetry;
pub mod x402;
