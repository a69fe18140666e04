//! The real program at its sockets: a topic for each file.
//!
//! Each test starts a gateway of its own in a temporary folder, between an upstream and a facilitator that do what the
//! test says and keep what they hear, and speaks to it in bytes.

// The lints are for code that money depends on; here a surprise is a failed test, whichever way it shows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod support;

mod brief;
mod broken_off;
mod commands;
mod connections;
mod context;
mod copies;
mod credentials;
mod drift;
mod facilitators;
mod facilitators_change;
mod flooded_log;
mod framing;
mod free_calls;
mod full_disk;
mod hanging_up;
mod header_forms;
mod headers;
mod hostile;
mod http2;
mod http2_floods;
mod hyper_upstream;
mod keyed_crash;
mod keyless;
mod keys;
mod keys_commands;
mod limits;
mod metering;
mod methods;
mod money_failures;
mod money_order;
mod money_unknown;
mod operator_api;
mod operators_view;
mod passed_on;
mod paths;
mod payments_commands;
mod plans;
mod priorities;
mod refused_locally;
mod reloading;
mod resting;
mod screening;
mod secrets;
mod secure;
mod slow;
mod smuggling;
mod solana;
mod steering;
mod stopping;
mod streaming;
mod tables;
mod targets;
mod trusted_proxies;
mod upstream_headers;
mod wallet;
