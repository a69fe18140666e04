//! Tollgate: a reverse proxy that sells the HTTP API behind it.
//!
//! An API owner writes prices into a TOML file; AI agents and other programs pay by [x402](https://x402.org), for each
//! call or for a plan with an API key. A remote facilitator checks and settles the payments, so the gateway holds no
//! wallet key and pays no gas.
//!
//! # Layout
//! | module | its job |
//! |---|---|
//! | [`money`] | atomic amounts, assets, CAIP-2 networks, addresses |
//! | [`svm`] | Solana's transactions and token accounts |
//! | [`x402`] | the protocol's messages, v1 and v2, headers and codec, known networks |
//! | [`plans`] | plans, subscriptions, API keys, units |
//! | [`pricing`] | canonical paths, patterns, the route table, prices, offers |
//! | [`payment`] | challenges, presented payments, quotes, wallet sign-ins, prechecks, the steps |
//! | [`context`] | what an upstream is told of a call, signed |
//! | [`facilitator`] | who checks and settles: the trait, and the client of a remote one |
//! | [`chain`] | what chains show: what became of a payment, what a token is; RPC servers of EVM chains and Solana |
//! | [`store`] | what must not be forgotten: the ledger and the keys, in SQLite |
//! | [`screening`] | who may pay, and how much: lists, an outside screener, limits, alerts |
//! | [`drift`] | whether a facilitator has begun to refuse what it took before |
//! | [`webhook`] | tells another machine what has happened |
//! | [`resource_server`] | the use cases: admit, charge, settle, purchase, spend a plan, recover, keep the register |
//! | [`config`] | the TOML file: read, checked, made into a price table, reloaded |
//! | [`proxy`] | the edge: Pingora's hooks, our own answers, which headers pass |
//! | [`admin`] | health, readiness, metrics, the operator's API |
//! | [`telemetry`] | log lines, counters, the requests under way |
//! | [`sandbox`] | the demo's parts: a facilitator with play money, a sample API, a buyer |
//! | [`app`] | where concrete types meet |
//! | [`cli`] | the commands |
//! | [`clock`] | the time, as an argument |
//! | [`priority`] | which threads go first |
//! | [`turns`] | how long the others go on at a time |
//! | [`memory`] | how much memory there is |
//! | [`outbound`] | the HTTP client for other machines |
//! | `crash` | points at which a test ends the process |
//!
//! # Arrows
//! ```text
//! app, cli → admin → proxy → resource_server → facilitator, chain, store → payment → pricing → plans, x402 → money, svm
//! proxy, resource_server → context
//! resource_server, config → screening → webhook, money
//! resource_server, config → drift → webhook
//! app → config → pricing, plans, facilitator, outbound   telemetry takes finished facts
//! ```
//! `money`, `x402`, `pricing`, `payment`, `plans`, `svm` and `context` are pure: no I/O, no clock, no runtime.

pub mod admin;
pub mod app;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod context;
mod crash;
pub mod drift;
pub mod facilitator;
pub mod memory;
pub mod money;
pub mod outbound;
pub mod payment;
pub mod plans;
pub mod pricing;
pub mod priority;
pub mod proxy;
pub mod resource_server;
pub mod sandbox;
pub mod screening;
pub mod store;
pub mod svm;
pub mod telemetry;
pub mod turns;
pub mod webhook;
pub mod x402;
